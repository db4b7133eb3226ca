from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.evaluation.summary import compare, summarize
from palaestra.agents.store.records import EpisodeSummary
from palaestra.errors import UnknownNameError
from palaestra.results.statistics import mean_interval, share_interval, wilson_interval
from tests.envs.miniature import MEASURED_ID, register_miniatures

register_miniatures()


def episode(
    task: int, sample: int = 0, *, success: bool = True, score: float | None = None, error: str = "", **more: Any
) -> EpisodeSummary:
    fields: dict[str, Any] = {
        "episode_id": f"{task}#{sample}",
        "env_id": "x/Y-v0",
        "task_key": f"test/{task}",
        "task_type": "even" if task % 2 == 0 else "odd",
        "split": "test",
        "group_id": f"test/{task}",
        "sample": sample,
        "seed": task,
        "agent": "a",
        "score": None if error else (score if score is not None else float(success)),
        "success": None if error else success,
        "return_": 0.0 if error else (score if score is not None else float(success)),
        "stop_reason": "env_error" if error else ("success" if success else "failure"),
        "error_boundary": error,
        "error_type": "Boom" if error else "",
        "error_message": error,
        "num_turns": 2,
        "truncated": False,
        "calls": 2,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost": 0.1,
        "model_s": 0.5,
        "env_s": 0.25,
    }
    return EpisodeSummary(**{**fields, **more})


def test_one_sample_per_task_gives_the_textbook_intervals() -> None:
    episodes = [episode(i, success=i < 7) for i in range(10)]
    summary = summarize(episodes)
    assert summary.success.mean == 0.7
    assert (summary.success.low, summary.success.high) == pytest.approx(wilson_interval(7, 10))
    assert summary.score == mean_interval([[float(i < 7)] for i in range(10)])
    assert summary.total.pass_at_k == summary.success
    assert summary.total.avg_at_k.mean == pytest.approx(0.7)
    assert summary.samples == 1


def test_pass_at_k_asks_for_a_success_not_for_a_score() -> None:
    episodes = [episode(0, s, success=False, score=0.9) for s in range(4)]
    episodes += [episode(1, s, success=s == 3) for s in range(4)]
    summary = summarize(episodes)
    assert summary.total.pass_at_k.mean == 0.5
    assert summary.total.avg_at_k.mean == pytest.approx((0.9 + 0.25) / 2)
    assert summary.success.mean == 1 / 8
    assert summary.samples == 4


def test_pass_hat_k_asks_for_all_samples() -> None:
    episodes = [episode(0, s, success=True) for s in range(4)] + [episode(1, s, success=s > 0) for s in range(4)]
    total = summarize(episodes).total
    assert (total.pass_at_k.mean, total.pass_hat_k.mean) == (1.0, 0.5)


def test_tasks_that_lost_samples_are_left_out_of_pass_at_k_and_counted() -> None:
    lost = [episode(task, s, success=s >= 2, error="model" if task and s else "") for task in range(4) for s in range(4)]
    summary = summarize(lost)
    assert summary.samples == 4
    assert (summary.total.pass_at_k.mean, summary.total.pass_at_k.n) == (1.0, 1)
    assert (summary.total.pass_hat_k.mean, summary.total.pass_hat_k.n) == (0.0, 1)
    assert summary.success.mean == 0.5 / 4, "tasks weigh the same"
    assert summary.total.num_tasks == 4


FIGURES = ("success", "score", "return_", "avg_at_k", "pass_at_k", "pass_hat_k")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=2), st.integers(0, 6))
def test_losing_samples_at_random_changes_the_expectation_of_no_figure(tasks: list[list[bool]], num_lost: int) -> None:
    played = [(task, sample) for task in range(2) for sample in range(3)]
    turns = {place: 1 + place[0] + 2 * place[1] for place in played}

    def figures(lost: tuple[tuple[int, int], ...]) -> dict[str, float]:
        total = summarize(
            episode(*place, success=tasks[place[0]][place[1]], error="model" * (place in lost), num_turns=turns[place])
            for place in played
        ).total
        return {name: getattr(total, name).mean for name in FIGURES} | {"turns": total.mean_turns}

    whole = figures(())
    drawn = [figures(lost) for lost in itertools.combinations(played, num_lost)]
    for name, expected in whole.items():
        known = [found[name] for found in drawn if not math.isnan(found[name])]
        if known:
            assert math.fsum(known) / len(known) == pytest.approx(expected)


def test_types_and_environments_are_told_apart() -> None:
    summary = summarize([episode(i, success=i % 2 == 0) for i in range(8)])
    assert {name: group.success.mean for name, group in summary.by_type.items()} == {"even": 1.0, "odd": 0.0}
    both = summarize([episode(0), episode(0, env_id="x/Z-v0", success=False), episode(1)])
    assert list(both.by_type) == ["x/Y-v0: even", "x/Y-v0: odd", "x/Z-v0: even"]
    assert both.by_env["x/Z-v0"].success.mean == 0
    assert both.total.num_tasks == 3


def test_errors_count_but_never_score() -> None:
    episodes = [episode(i) for i in range(4)] + [
        episode(4, error="model"),
        episode(5, error="tool"),
        episode(6, error="model"),
    ]
    summary = summarize(episodes)
    assert (summary.total.num_episodes, summary.total.num_errors, summary.success.mean, summary.success.n) == (7, 3, 1.0, 4)
    assert summary.errors == {"model": 2, "tool": 1}
    assert summary.error_types == {"model: Boom": 2, "tool: Boom": 1}
    assert summary.stop_reasons == {"success": 4}
    assert summary.usage.completion_tokens == 35


def test_only_errors_and_nothing_at_all_have_no_rates() -> None:
    for episodes in ([], [episode(0, error="environment")]):
        summary = summarize(episodes)
        assert math.isnan(summary.success.mean)
        data = summary.to_json()["total"]
        assert data["success"] == {"mean": None, "low": None, "high": None, "n": 0}
        assert data["truncated"] is None


def test_episodes_without_group_and_task_are_tasks_of_their_own() -> None:
    episodes = [episode(i, group_id="", task_key="") for i in range(5)]
    assert summarize(episodes).total.num_tasks == 5


def test_two_runs_are_compared_on_the_tasks_both_played() -> None:
    first = [episode(i, success=True) for i in range(10)] + [episode(99, success=False)]
    second = [episode(i, success=i % 2 == 0) for i in range(9)] + [episode(9, error="model")]
    found = compare(first, second)
    assert (found.n, found.mean) == (9, pytest.approx(4 / 9))
    assert found.low > 0 > -found.high
    assert compare(first, first).mean == 0
    assert compare(first, second, by="score").mean == pytest.approx(4 / 9)


@settings(max_examples=40, deadline=None)
@given(
    outcomes=st.lists(
        st.tuples(
            st.integers(0, 6), st.booleans(), st.floats(0, 1, allow_nan=False), st.sampled_from(["", "", "", "model", "tool"])
        ),
        max_size=40,
    ),
    seed=st.integers(0, 1000),
)
def test_the_order_of_the_episodes_never_matters(outcomes: list[tuple[int, bool, float, str]], seed: int) -> None:
    episodes = [
        episode(task, sample, success=success, score=score, error=error)
        for sample, (task, success, score, error) in enumerate(outcomes)
    ]
    summary = summarize(episodes).to_json()
    random.Random(seed).shuffle(episodes)
    assert summarize(episodes).to_json() == summary
    total = summary["total"]
    assert sum(summary["stop_reasons"].values()) + sum(summary["errors"].values()) == len(episodes)
    if total["success"]["n"]:
        assert 0 <= total["success"]["low"] <= total["success"]["mean"] <= total["success"]["high"] <= 1
        assert total["num_tasks"] <= total["success"]["n"]
        if summary["samples"] == 1:
            assert total["pass_at_k"] == total["success"]


# -- metrics of the environment ---------------------------------------------------------------------------------------


def test_a_metric_is_averaged_over_the_episodes_that_have_it_with_tasks_as_clusters() -> None:
    values = {(0, 0): 1.0, (0, 1): 2.0, (1, 0): 4.0, (2, 0): None}
    episodes = [
        episode(task, sample, metrics={} if value is None else {"wer": value}) for (task, sample), value in values.items()
    ]
    found = summarize([*episodes, episode(3, error="model")]).total.metrics
    assert found == {"wer": mean_interval([[1.0, 2.0], [4.0]], by_cluster=True)}
    assert found["wer"].mean == (1.5 + 4.0) / 2


def test_the_interval_of_a_metric_that_is_declared_as_a_share_stays_from_0_to_1() -> None:
    values = [1.0, 1.0, 1.0, 0.8]
    metrics = [{"directness": value, "distance": value} for value in values]
    both = mean_interval([[value] for value in values]), share_interval([[value] for value in values])
    assert both[0].high > both[1].high == 1
    total = summarize([episode(i, env_id=MEASURED_ID, metrics=given) for i, given in enumerate(metrics)]).total
    assert (total.metrics["distance"], total.metrics["directness"]) == both
    unknown = [episode(i, metrics=given) for i, given in enumerate(metrics)]  # of an environment that is not installed
    assert summarize(unknown).total.metrics["directness"] == both[0]
    mixed = summarize([*unknown[:2], *(episode(i, env_id=MEASURED_ID, metrics=metrics[i]) for i in (2, 3))])
    assert mixed.total.metrics["directness"] == both[0]


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-9, 9)), min_size=1, max_size=12), st.randoms())
def test_the_order_of_episodes_does_not_matter_to_metrics(pairs: list[tuple[int, float]], rng: random.Random) -> None:
    episodes = [episode(task, i, metrics={"m": value}) for i, (task, value) in enumerate(pairs)]
    shuffled = list(episodes)
    rng.shuffle(shuffled)
    assert summarize(episodes).total.metrics == summarize(shuffled).total.metrics


def test_metrics_are_apart_by_type_and_have_a_json_form() -> None:
    summary = summarize([episode(i, metrics={"m": float(i)}) for i in range(4)])
    assert {name: group.metrics["m"].mean for name, group in summary.by_type.items()} == {"even": 1.0, "odd": 2.0}
    assert summary.to_json()["total"]["metrics"]["m"]["mean"] == 1.5
    assert "metrics" not in summarize([episode(0)]).to_json()["total"]


def test_runs_are_compared_by_a_metric_on_the_tasks_where_both_have_it() -> None:
    first = [episode(i, metrics={"m": 2.0 * i} if i else {}) for i in range(4)]
    second = [episode(i, metrics={"m": 1.0 * i}) for i in range(4)]
    found = compare(first, second, by="m")
    assert (found.mean, found.n) == (pytest.approx(2.0), 3)
    with pytest.raises(UnknownNameError, match=r"Unknown figure 'mm'\. Did you mean 'm'"):
        compare(first, second, by="mm")


Played = list[tuple[str, int | None, bool]]


def played() -> st.SearchStrategy[Played]:
    """Runs of episodes: task key, seed, success."""
    return st.lists(st.tuples(st.sampled_from(["", "k0", "k1"]), st.none() | st.integers(0, 3), st.booleans()), max_size=12)


@settings(max_examples=60, deadline=None)
@given(runs=st.tuples(played(), played()))
def test_a_comparison_pairs_tasks_then_seeds_and_never_what_has_neither(runs: tuple[Played, Played]) -> None:
    first, second = (
        [episode(0, sample, task_key=key, seed=seed, success=success) for sample, (key, seed, success) in enumerate(run)]
        for run in runs
    )
    means: list[dict[tuple[str, int | None], float]] = []
    for run in runs:
        found: dict[tuple[str, int | None], list[bool]] = {}
        for key, seed, success in run:
            if key or seed is not None:
                found.setdefault((key, None if key else seed), []).append(success)
        means.append({task: sum(values) / len(values) for task, values in found.items()})
    shared = means[0].keys() & means[1].keys()
    compared = compare(first, second)
    assert compared.n == len(shared)
    if shared:
        assert compared.mean == pytest.approx(sum(means[0][task] - means[1][task] for task in shared) / len(shared))


def test_tasks_of_two_sets_of_arguments_are_two_tasks() -> None:
    first = [episode(0, episode_id="x/Y-v0/test/0#0", success=True), episode(0, episode_id="x/Y-v0@2/test/0#0", success=False)]
    second = [episode(0, episode_id="x/Y-v0/test/0#0", success=False)]
    found = compare(first, second)
    assert (found.n, found.mean) == (1, 1.0)


@given(st.lists(st.tuples(st.integers(0, 4), st.lists(st.booleans(), min_size=1, max_size=3)), min_size=1, max_size=12))
def test_clusters_leave_every_mean_and_change_intervals_as_their_statistics_say(tasks: list[tuple[int, list[bool]]]) -> None:
    episodes = [episode(i, k, success=won) for i, (_, found) in enumerate(tasks) for k, won in enumerate(found)]
    plain = summarize(episodes)
    alone = summarize(episodes, clusters={f"test/{i}": str(i) for i in range(len(tasks))})
    merged = summarize(episodes, clusters={f"test/{i}": str(cluster) for i, (cluster, _) in enumerate(tasks)})
    assert (plain.clusters, alone.clusters, merged.clusters) == (None, len(tasks), len({cluster for cluster, _ in tasks}))
    by_cluster: dict[int, list[float]] = {}
    for cluster, found in tasks:
        by_cluster.setdefault(cluster, []).append(sum(found) / len(found))
    assert merged.score == mean_interval(list(by_cluster.values()))
    for one in (alone, merged):
        assert one.success.mean == pytest.approx(plain.success.mean)
        assert one.total.mean_turns == plain.total.mean_turns
        assert set(one.by_type) == set(plain.by_type)
    if all(len(found) == 1 for _, found in tasks):
        assert (alone.success, alone.score) == (plain.success, plain.score)


def test_tasks_that_a_cluster_is_not_said_of_are_clusters_of_their_own() -> None:
    episodes = [episode(i, success=i < 5) for i in range(8)]
    assert summarize(episodes, clusters={f"test/{i}": "same" for i in range(4)}).clusters == 5


def test_equal_outcomes_within_clusters_count_as_few_trials() -> None:
    episodes = [episode(i, success=i % 4 == 0) for i in range(80)]
    merged = summarize(episodes, clusters={f"test/{i}": str(i % 4) for i in range(80)})
    assert (merged.success.low, merged.success.high) == pytest.approx(wilson_interval(1, 4), abs=0.03)
    alone = summarize(episodes).success
    assert merged.success.high - merged.success.low > 3 * (alone.high - alone.low)
