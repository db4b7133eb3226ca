"""Training on a mixture of environments, with an algorithm that comes twice: metrics, evaluations, checkpoints, resuming."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from palaestra.agents.report import write_report
from palaestra.agents.report.seeds import Trained, compare_runs, final_runs
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.data.demonstrations import expert_episodes, tokenize
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.feed import env_of, make_feed
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.player import MixtureAgent, policy_agent
from palaestra.algorithms.run.recipe import Recipe
from palaestra.algorithms.run.start import build_policy
from palaestra.algorithms.run.training import TrainingResult, train
from palaestra.errors import ConfigError
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_policy, toy_recipe

ARMS = ["random", "untrained", "cloned", "trained", "trained-second"]
ENVS = [
    {"id": toy_env.ENV_ID, "name": "long", "weight": 2.0},
    {"id": toy_env.ENV_ID, "name": "short", "arguments": {"num_turns": 2}},
]
GRPO = {"algorithm": "grpo", "tasks_per_step": 3, "group_size": 3, "lr": 1e-3, "warmup_updates": 1}


def mixture(**tables: Any) -> Recipe:
    tables = {
        "env": ENVS,
        "phase": [
            {"algorithm": "sft", "episodes": 60, "epochs": 6, "batch_size": 15, "lr": 6e-3, "warmup_updates": 4},
            {**GRPO, "steps": 3},
            {**GRPO, "name": "second", "steps": 2, "horizon": {"rounds": [3]}},
        ],
        "evaluation": {"n": 4, "baselines": ["random", "untrained"], "every": 2, "curve_n": 3},
        "checkpoint": {"every": 1},
        **tables,
    }
    return toy_recipe(sft=None, grpo=None, **tables)


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(path).state_dict()
    return found


def curve(folder: Path) -> list[dict[str, Any]]:
    """All metrics but the wall-clock ones."""
    timed = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in read_metrics(folder / "metrics.jsonl")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return train(mixture(), store=tmp_path_factory.mktemp("whole"), run_id="mix")


def test_a_phase_that_comes_twice_has_checkpoints_metrics_and_an_arm_of_its_own(whole: TrainingResult) -> None:
    assert sorted(path.name for path in (whole.folder / "checkpoints").iterdir()) == ["grpo", "second", "sft", "start"]
    steps = [(row["phase"], row["step"]) for row in curve(whole.folder) if row["phase"] != "sft"]
    assert steps == [("grpo", step) for step in (1, 2, 3)] + [("second", step) for step in (1, 2)]
    horizons = {row["phase"]: row["horizon"] for row in curve(whole.folder) if "horizon" in row}
    assert horizons == {"grpo": 0.0, "second": 3.0}
    assert list(whole.arms) == [f"{arm}-{env}" for arm in ARMS for env in ("long", "short")]
    ends = [Checkpoints(whole.folder / "checkpoints" / name).latest() for name in ("grpo", "second")]
    first, second = (weights(found.policy_path) for found in ends if found is not None)
    assert any(not torch.equal(first[key], second[key]) for key in first)


def test_metrics_of_a_mixture_come_by_environment_and_add_up(whole: TrainingResult) -> None:
    rows = [row for row in curve(whole.folder) if row["phase"] in ("grpo", "second")]
    for row in rows:
        assert row["episodes.long"] + row["episodes.short"] == row["episodes"] == 9
        for metric in ("success", "return_mean", "turns_mean"):
            mean = sum(row[f"{metric}.{env}"] * row[f"episodes.{env}"] for env in ("long", "short")) / row["episodes"]
            assert row[metric] == pytest.approx(mean)
        assert row["turns_mean.short"] == 2.0
    assert sum(row["episodes.long"] for row in rows) == 2 * sum(row["episodes.short"] for row in rows)
    points = [row for row in rows if "test_success" in row]
    assert len(points) == 2
    for row in points:
        assert row["test_success"] == pytest.approx((row["test_success.long"] + row["test_success.short"]) / 2)
        assert row["test_turns_mean.short"] == 2.0
    assert all("loss" in row and "episodes.long" not in row for row in curve(whole.folder) if row["phase"] == "sft")


def test_every_arm_is_evaluated_in_every_environment_and_in_total(whole: TrainingResult) -> None:
    assert list(whole.totals) == ARMS
    for arm, total in whole.totals.items():
        parts = [whole.arms[f"{arm}-{env}"].summary.total for env in ("long", "short")]
        assert [part.num_episodes for part in parts] == [4, 4]
        assert (total.total.num_episodes, total.total.num_tasks) == (8, 8)
        assert total.success.mean == pytest.approx(sum(part.success.mean for part in parts) / 2)
    assert whole.arms["cloned-short"].summary.total.mean_turns == 2.0
    assert whole.to_json()["totals"]["cloned"]["total"]["num_episodes"] == 8
    with RunStore(whole.folder.parent) as store:
        config = store.config("mix")
        assert config["arms"] == list(whole.arms)
        for env in ("long", "short"):
            found = [sorted((e.task_key, e.seed) for e in store.episodes(f"mix-{arm}-{env}")) for arm in ARMS]
            assert all(keys == found[0] for keys in found)


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize(
    ("part", "done"),
    [
        ("random-short", 2),
        ("sft", 2),
        ("cloned-long", 3),
        ("grpo", 1),
        ("grpo", 3),
        ("second", 1),
        ("trained-second-short", 0),
    ],
)
def test_killed_anywhere_and_resumed_a_mixture_ends_bit_identical(
    tmp_path: Path, whole: TrainingResult, part: str, done: int
) -> None:
    def progress(event: ProgressEvent) -> None:
        if (event.phase, event.done) == (part, done):
            raise Killed

    with pytest.raises(Killed):
        train(mixture(), store=tmp_path, run_id="mix", progress=progress)
    resumed = train(mixture(), store=tmp_path, run_id="mix")
    expected, found = weights(whole.policy_path), weights(resumed.policy_path)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert curve(resumed.folder) == curve(whole.folder)
    assert {arm: found.summary.total for arm, found in resumed.arms.items()} == {
        arm: found.summary.total for arm, found in whole.arms.items()
    }
    assert {arm: found.total for arm, found in resumed.totals.items()} == {a: f.total for a, f in whole.totals.items()}


def test_a_weight_that_changed_cannot_resume_a_run(whole: TrainingResult) -> None:
    other = mixture(env=[ENVS[0], {**ENVS[1], "weight": 3.0}])
    with pytest.raises(ConfigError, match=r"different: env\)"):
        train(other, store=whole.folder.parent, run_id="mix")


def test_the_episodes_of_a_mixture_asynchronous_or_not_are_the_same_with_staleness_0(
    tmp_path: Path, whole: TrainingResult
) -> None:
    shutil.copytree(whole.folder.parent, tmp_path / "sync")
    grpo = [{**GRPO, "steps": 2}]
    tables: dict[str, Any] = {"phase": grpo, "evaluation": {"n": 1, "baselines": []}}
    near = train(mixture(**tables), store=tmp_path / "a", run_id="mix")
    far = train(mixture(**tables, asynchronous={"max_staleness": 0}), store=tmp_path / "b", run_id="mix")
    expected, found = weights(near.policy_path), weights(far.policy_path)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_report_of_a_mixture_has_a_row_for_each_environment_and_names_its_phases(
    whole: TrainingResult, tmp_path: Path
) -> None:
    with RunStore(whole.folder.parent) as store:
        page = write_report(tmp_path / "report.html", ["mix"], store=store).read_text()
    for name in ("second/success", "grpo/success.long", "second/test_success.short"):
        assert name in page
    assert "mix-cloned-long" in page
    assert "mix-cloned-short" in page
    assert "mix: all environments together" in page
    total = whole.totals["trained-second"].total
    assert f"{100 * total.success.low:.1f} to {100 * total.success.high:.1f}" in page


def test_mixtures_are_compared_over_seeds_by_all_environments_of_the_last_arm(whole: TrainingResult) -> None:
    with RunStore(whole.folder.parent) as store:
        run = store.run("mix")
        assert final_runs(run) == ["mix-trained-second-long", "mix-trained-second-short"]
        final = {name: store.episodes(name) for name in final_runs(run)}
        trained = Trained(run, final, store.metrics("mix"))
        assert trained.values["success"] == whole.totals["trained-second"].total.success.mean
        assert sorted(trained.curves["episodes.long"]) == [1, 2]  # of the phase "second"
        (group,) = compare_runs([trained]).groups
        assert group.label == "toy"


def test_each_environment_has_its_prompt_format() -> None:
    recipe = mixture(env=[ENVS[0], {**ENVS[1], "format": "react"}], agent={"format": "text"}, model={"max_positions": 512})
    feed = make_feed(recipe.envs, seed=0)
    episodes = expert_episodes(feed.plans("sft", 1, num_tasks=6), engine=RolloutEngine(4))
    policy = build_policy(recipe, feed, RolloutEngine(4))
    agent = policy_agent(policy, recipe)
    assert isinstance(agent, MixtureAgent)
    kept, _ = tokenize(episodes, agent, policy.template, max_context=policy.max_context)
    written = {
        env_of(episode.episode_id): policy.tokenizer.decode(episode.segments[0].ids, skip_special_tokens=False)
        for episode in kept
    }
    assert Counter(env_of(episode.episode_id) for episode in kept) == {"long": 4, "short": 2}
    assert "Action:" in written["short"]
    assert "Action:" not in written["long"]
    played = RolloutEngine(4).collect(feed.plans("grpo", 1, num_tasks=3), agent)
    assert all(trajectory.outcome.error is None for trajectory in played)
    # alone, an environment is played in its format by a plain agent, as evaluations do
    assert policy_agent(toy_policy(), recipe, env=recipe.envs[1]).format.name == "react"
    assert policy_agent(toy_policy(), recipe, env=recipe.envs[0]).format.name == "text"
    assert policy_agent(toy_policy(), toy_recipe(env={"id": toy_env.ENV_ID, "format": "react"})).format.name == "react"


def test_the_recipe_of_a_mixture_that_is_included_runs(tmp_path: Path) -> None:
    sizes = ["model.hidden_size=32", "model.num_layers=1", "model.num_heads=2", "model.corpus_episodes=20"]
    played = [
        "evaluation.n=2",
        "evaluation.max_turns=2",
        "evaluation.every=1",
        "evaluation.curve_n=1",
        "agent.max_tokens_per_turn=8",
    ]
    steps = [f"{phase}.{key}" for phase in ("short", "long") for key in ("steps=1", "tasks_per_step=5", "group_size=2")]
    overrides = [*sizes, *played, *steps, "sft.episodes=10", "sft.batch_size=5", "evaluation.baselines=['untrained']"]
    result = train("mixture_tiny", overrides=overrides, store=tmp_path, run_id="mix")
    assert list(result.totals) == ["untrained", "cloned", "trained", "trained-long"]
    assert [name for name in result.arms if name.startswith("trained")] == [
        f"{arm}-{env}" for arm in ("trained", "trained-long") for env in ("TextCraft", "Desk")
    ]
    rows = {row["phase"]: row for row in curve(result.folder)}
    assert (rows["short"]["episodes.TextCraft"], rows["short"]["episodes.Desk"]) == (4.0, 6.0)  # weights 1 and 1.5
    assert (rows["short"]["horizon"], rows["long"]["horizon"]) == (4.0, 8.0)
    assert rows["long"]["turns_max"] <= 8
    assert {"test_success", "test_success.TextCraft", "test_success.Desk"} <= rows["long"].keys()
