from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from palaestra.agents.evaluation.arms import env_results
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.registry import make_agent
from palaestra.agents.store.store import RunStore
from palaestra.envs.vehicle.results.blocks import request_blocks
from palaestra.envs.vehicle.results.requests import RequestRow, TaskFinder, episode_requests
from palaestra.envs.vehicle.results.scores import car_scores
from palaestra.envs.vehicle.results.tables import VehicleResults, read_results, vehicle_results
from palaestra.envs.vehicle.strict import normalised
from palaestra.results.tables import Arm, arm_name
from palaestra.types import EpisodeError, Outcome, Trajectory

VEHICLE = "palaestra/VehicleWorld-v0"


def scores(accuracy: float, success: bool, *, refusal: bool | None = None, side_effects: int = 0) -> dict[str, Any]:
    return {
        "accuracy": accuracy,
        "f1_positive": accuracy,
        "f1_negative": 1.0,
        "request_success": success,
        "loose_success": success,
        "refusal": refusal,
        "side_effects": side_effects,
        "incomparable": 0,
    }


def row(accuracy: float, success: bool, idle: float = 0.0, kinds: tuple[str, ...] = ("act",), **more: Any) -> RequestRow:
    return RequestRow(scores(accuracy, success, **more), scores(idle, idle == 1, refusal=True if idle == 1 else None), kinds)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store with the expert and the agent that does nothing, in two modes, on the same tasks."""
    with RunStore(tmp_path_factory.mktemp("runs")) as store:
        for name in ("expert", "nothing"):
            for mode in ("fc", "sfc"):
                evaluate(VEHICLE, make_agent(name), env_kwargs={"mode": mode}, n=6, store=store, run_id=f"{name}-{mode}")
        yield store


def arm(store: RunStore, run_id: str, **settings: Any) -> Arm:
    config = store.config(run_id)
    kwargs = config["envs"][0]["env_kwargs"]
    settings = settings or {"mode": kwargs["mode"]}
    name = arm_name(config["agent"], settings)
    return Arm(run_id, config["agent"], VEHICLE, kwargs, "test", name, settings, list(store.trajectories(run_id)))


# -- sums -------------------------------------------------------------------------------------------------------------


def test_published_scores_are_means_over_requests_then_over_tasks() -> None:
    found = car_scores([("a", [row(1, True)]), ("b", [row(0, False), row(1, True), row(1, False)])])
    assert found.accuracy.mean == pytest.approx((1 + 2 / 3) / 2)
    assert found.request_success.mean == pytest.approx(2 / 4)
    assert found.task_success.mean == pytest.approx(1 / 2)
    assert (found.num_tasks, found.num_requests) == (2, 4)
    assert found.accuracy.low < found.accuracy.mean < found.accuracy.high


def test_samples_of_a_task_are_one_cluster() -> None:
    requests = [row(1, True)], [row(0, False)]
    apart = car_scores([(f"task {i}", requests[i % 2]) for i in range(20)])
    together = car_scores([(f"task {i // 2 % 2}", requests[i // 2 % 2]) for i in range(20)])
    assert apart.accuracy.mean == together.accuracy.mean == 0.5
    assert together.num_tasks == 2
    assert together.accuracy.high - together.accuracy.low > apart.accuracy.high - apart.accuracy.low
    assert (
        together.request_success.high - together.request_success.low > apart.request_success.high - apart.request_success.low
    )


def test_refusals_count_requests_without_a_change_only() -> None:
    found = car_scores([("a", [row(1, True, 1, refusal=True), row(1, False, 1, refusal=False), row(1, True)])])
    assert (found.refusal.mean, found.refusal.n) == (0.5, 2)


def test_normalised_scores_set_an_agent_against_doing_nothing() -> None:
    idle = [("a", [row(0, False)]), ("b", [row(1, True, 1, refusal=True)])]
    found = car_scores(idle)
    assert found.idle == {"accuracy": 0.5, "request_success": 0.5}
    assert (found.normalised_accuracy.mean, found.normalised_success.mean) == (0, 0)
    gold = car_scores([("a", [row(1, True)]), ("b", [row(1, True, 1, refusal=True)])])
    assert (gold.normalised_accuracy.mean, gold.normalised_success.mean) == (1, 1)
    some = car_scores([("a", [row(0.6, False)]), ("b", [row(1, True, 1)])])
    assert some.normalised_accuracy.mean == pytest.approx(normalised(some.accuracy.mean, some.idle["accuracy"]))
    harm = car_scores([("b", [row(1, False, 1, refusal=False)]), ("c", [row(1, True, 1, refusal=True)])])
    assert harm.normalised_success.mean == pytest.approx(normalised(0.5, 1.0)) == -0.5


def test_nothing_at_all_has_no_numbers_but_is_no_error() -> None:
    found = car_scores([("a", [])])
    assert (found.num_requests, found.accuracy.n) == (0, 0)
    assert json.loads(json.dumps(found.to_json()))["accuracy"]["mean"] is None


# -- episodes ---------------------------------------------------------------------------------------------------------


def test_the_expert_is_perfect_and_doing_nothing_is_at_zero(store: RunStore) -> None:
    results = read_results([arm(store, f"{name}-{mode}") for name in ("expert", "nothing") for mode in ("fc", "sfc")])
    for found in results.arms:
        total = found.total
        assert total.num_tasks == 6
        assert total.num_unplayed == found.num_errors == 0
        if found.model == "expert":
            perfect = (total.accuracy.mean, total.request_success.mean, total.normalised_success.mean)
            assert perfect == pytest.approx((1, 1, 1))
        else:
            assert total.accuracy.mean == pytest.approx(total.idle["accuracy"])
            assert (total.normalised_accuracy.mean, total.normalised_success.mean) == pytest.approx((0, 0))
        assert sum(scores.num_requests for scores in found.by_class.values()) == total.num_requests
        assert set(found.by_class) <= {"S-S", "S-M", "M-S", "M-M"}
        assert sum(scores.num_requests for scores in found.by_domain.values()) >= total.num_requests
    by_name = {(found.model, found.mode): found for found in results.arms}
    assert by_name["expert", "fc"].costs["calls"].mean > 0 == by_name["expert", "fc"].costs["writes"].mean
    assert by_name["expert", "sfc"].costs["writes"].mean > 0 == by_name["expert", "sfc"].costs["calls"].mean
    assert by_name["nothing", "fc"].costs["calls"].mean == 0


def test_tables_have_the_papers_form_and_its_numbers_apart(store: RunStore) -> None:
    results = read_results([arm(store, f"{name}-{mode}") for name in ("expert", "nothing") for mode in ("fc", "sfc")])
    paper, strict, _costs, *groups, reference = results.tables()
    assert paper.columns == ("Model", "FC acc.", "FC F1+", "FC F1-", "SFC acc.", "SFC F1+", "SFC F1-")
    assert [cells[0] for cells in paper.rows] == ["expert", "nothing"]
    assert paper.rows[0][1:] == ("100.0",) * 6
    assert [cells[0] for cells in strict.rows] == [
        "expert · mode=fc",
        "expert · mode=sfc",
        "nothing · mode=fc",
        "nothing · mode=sfc",
    ]
    assert [table.title.rpartition(" ")[2] for table in groups] == ["expert", "nothing"]
    assert ("GPT-4o (figure 10)", "69.3", "70.1", "70.5") in reference.rows
    assert "paper" in reference.title
    assert all(len(cells) == len(table.columns) for table in results.tables() for cells in table.rows)
    data = json.loads(json.dumps(results.to_json()))
    assert [found["mode"] for found in data["arms"]] == ["fc", "sfc", "fc", "sfc"]
    assert data["published"]["tables"]["table 4"]["mean"] == [51.1, 61.5, None]


def test_arms_without_results_have_dashes_and_no_arms_no_tables(store: RunStore) -> None:
    empty = replace(arm(store, "expert-fc"), episodes=[])
    assert read_results([empty]).tables()[0].rows == (("expert", "-", "-", "-"),)
    assert VehicleResults([]).tables() == []


def test_the_same_settings_twice_are_told_apart_by_their_runs(store: RunStore) -> None:
    results = read_results([arm(store, "expert-fc"), replace(arm(store, "expert-fc"), run_id="again")])
    assert [found.model for found in results.arms] == ["expert · expert-fc", "expert · again"]
    assert len(results.tables()[0].rows) == 2


def test_requests_never_played_count_as_nothing_done(store: RunStore) -> None:
    whole = {trajectory.episode_id: trajectory for trajectory in store.trajectories("expert-fc")}
    long = next(trajectory for trajectory in whole.values() if _num_results(trajectory) > 1)
    ends = [i for i, step in enumerate(long.steps) if "request_result" in step.info]
    first = long.steps[: ends[0] + 1]
    cut = replace(long, steps=(*first[:-1], replace(first[-1], truncated=True)))
    found = episode_requests(cut, TaskFinder())
    assert found is not None
    assert [row.played for row in found.requests] == [True] + [False] * (len(ends) - 1)
    nothing = next(t for t in store.trajectories("nothing-fc") if t.episode_id == long.episode_id)
    idle = episode_requests(nothing, TaskFinder())
    assert idle is not None
    for ours, theirs in zip(found.requests[1:], idle.requests[1:], strict=True):
        assert ours.scores["request_success"] == theirs.scores["request_success"]
        assert ours.scores["accuracy"] == theirs.scores["accuracy"]
        assert ours.kinds == theirs.kinds
    assert found.modules == idle.modules


def test_a_model_that_fails_has_done_nothing_and_a_car_that_fails_says_nothing(store: RunStore) -> None:
    trajectory = next(iter(store.trajectories("expert-fc")))
    failed = replace(trajectory, steps=(), outcome=Outcome(error=EpisodeError("model", "ModelError", "no answer")))
    found = episode_requests(failed, TaskFinder())
    assert found is not None
    assert found.requests
    assert not any(row.played for row in found.requests)
    assert all(row.scores["side_effects"] == 0 for row in found.requests)
    broken = replace(trajectory, outcome=Outcome(error=EpisodeError("environment", "KeyError", "x")))
    assert episode_requests(broken, TaskFinder()) is None
    results = read_results([replace(arm(store, "expert-fc"), episodes=[broken, failed])])
    assert results.arms[0].num_errors == 1
    note = results.tables()[1].note
    assert "1 episodes failed outside the model" in note
    assert "never played" in note


def test_a_task_that_is_gone_leaves_its_unfinished_episode_out(store: RunStore) -> None:
    trajectory = next(iter(store.trajectories("expert-fc")))
    gone = replace(trajectory, steps=(), meta={"env_kwargs": {"tasks": "/no/such/file"}})
    assert episode_requests(gone, TaskFinder()) is None


def test_environments_without_tables_of_their_own_have_none() -> None:
    played = Trajectory("e", "palaestra/TextCraft-v0", {"key": "x"})
    assert env_results([Arm("r", "a", "palaestra/TextCraft-v0", episodes=[played])]) == {}


def test_what_the_environment_names_has_tables_data_and_blocks(store: RunStore) -> None:
    found = vehicle_results([arm(store, "expert-fc")])
    assert [table.title for table in found.tables][:2] == ["Published scores (percent)", "Strict scores (percent)"]
    assert found.to_json()["arms"][0]["model"] == "expert"
    assert found.blocks is request_blocks
    assert vehicle_results([]).tables == ()


def test_results_are_found_by_the_id_of_the_environment(store: RunStore) -> None:
    found = env_results([arm(store, "expert-fc")])
    assert list(found) == [VEHICLE]
    assert found[VEHICLE].to_json()["arms"][0]["total"]["accuracy"]["mean"] == 1


def _num_results(trajectory: Trajectory) -> int:
    return sum("request_result" in step.info for step in trajectory.steps)


# -- former names -------------------------------------------------------------------------------------------------------


def formerly(trajectory: Trajectory) -> Trajectory:
    """A trajectory as it was stored when a request was called a turn."""
    text = json.dumps(trajectory.to_json())
    assert '"request_result"' in text
    for now, then in (("request_result", "turn_result"), ("request_success", "turn_success")):
        text = text.replace(f'"{now}"', f'"{then}"')
    return Trajectory.from_json(json.loads(text))


def test_runs_stored_under_former_names_are_read_as_those_of_today(store: RunStore) -> None:
    now = arm(store, "expert-fc")
    then = replace(now, episodes=[formerly(trajectory) for trajectory in now.episodes])
    assert read_results([then]).to_json() == read_results([now]).to_json()
    for former, trajectory in zip(then.episodes, now.episodes, strict=True):
        assert request_blocks(former) == request_blocks(trajectory) != {}


def test_requests_that_a_run_of_former_names_never_came_to_are_found_again(store: RunStore) -> None:
    known = next(trajectory for trajectory in store.trajectories("expert-fc") if _num_results(trajectory) > 1)
    cut = replace(known, steps=known.steps[:1], meta={**known.meta, "env_kwargs": {"profile": "paper", "reward": "turns"}})
    found = episode_requests(cut, TaskFinder())
    assert found is not None
    assert not found.requests[-1].played
