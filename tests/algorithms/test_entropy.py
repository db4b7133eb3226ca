"""The weight of the entropy bonus: a target that is kept, a schedule, and nothing at all where neither is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from palaestra.algorithms.learner.policy_update import PolicyConfig, PolicyGradientLearner
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm, make_learner
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError
from tests.algorithms.toy_recipe import toy_policy, toy_recipe
from tests.algorithms.updates import play

FAMILY = [name for name in algorithm_names() if issubclass(get_algorithm(name).config, PolicyConfig)]
# a critic that knows nothing yet gives an untrained policy something to learn
SMALL: dict[str, Any] = {"steps": 4, "tasks_per_step": 4, "epochs": 1, "lr": 1e-2, "warmup_updates": 0}
QUIET: dict[str, Any] = {"evaluation": {"n": 1, "baselines": []}}


def learner(name: str, **options: Any) -> PolicyGradientLearner:
    policy = toy_policy()
    made = make_learner(name, policy, {"lr": 1e-2, "warmup_updates": 0, **options}, reference=policy.frozen_copy)
    assert isinstance(made, PolicyGradientLearner)
    return made


def test_a_target_raises_the_weight_of_what_is_too_certain_and_lowers_that_of_what_is_not() -> None:
    for target, sign in ((100.0, 1), (1e-6, -1)):  # nats
        made = learner("grpo", entropy_coefficient=0.05, entropy={"target": target, "change": 0.01})
        rows = [made.update(play(made.policy), step) for step in (1, 2, 3)]
        assert [row["entropy_coefficient"] for row in rows] == pytest.approx([0.05, 0.05 + sign * 0.01, 0.05 + sign * 0.02])
        assert made.entropy_coefficient == pytest.approx(0.05 + sign * 0.03)


def test_the_weight_stays_within_its_bounds() -> None:
    made = learner("grpo", entropy={"target": 1.0, "change": 0.07, "most": 0.1})
    assert made.adapt_entropy({"entropy": 0.5}) == {"entropy_coefficient": 0.0}
    for _ in range(5):
        made.adapt_entropy({"entropy": 0.5})
    assert made.entropy_coefficient == 0.1
    for _ in range(5):
        made.adapt_entropy({"entropy": 1.5})
    assert made.entropy_coefficient == 0.0
    made.adapt_entropy({"entropy": float("nan")})
    made.adapt_entropy({})
    assert made.entropy_coefficient == 0.0


def test_a_schedule_is_a_straight_line_and_a_pure_function_of_the_step() -> None:
    made = learner("grpo", entropy_coefficient=0.02, entropy={"final": 0.0, "over": 4})
    found = []
    for step in (3, 1, 5, 2, 99, 4):
        made.schedule_entropy(step)
        found.append((step, made.entropy_coefficient))
    assert sorted(found) == [
        (1, 0.02), (2, pytest.approx(0.015)), (3, pytest.approx(0.01)), (4, pytest.approx(0.005)), (5, 0.0), (99, 0.0)
    ]  # fmt: skip


@pytest.mark.parametrize("name", FAMILY)
def test_every_policy_gradient_follows_it_and_says_so(name: str) -> None:
    size = max(2, min(4, get_algorithm(name).config().group_size))  # type: ignore[attr-defined]
    table = {"group_size": size, "entropy_coefficient": 0.05, "entropy": {"target": 50.0, "change": 0.01}}
    made: Any = learner(name, **table)
    episodes = [replace(t, steps=tuple(replace(s, state_hash="x") for s in t.steps)) for t in play(made.policy)]
    metrics = made.update(episodes, 1)
    assert metrics["entropy_coefficient"] == 0.05
    assert made.entropy_coefficient == pytest.approx(0.06)
    assert made.state()["entropy_coefficient"] == made.entropy_coefficient


def test_a_fixed_weight_is_not_logged_and_older_checkpoints_are_read() -> None:
    made = learner("grpo", entropy_coefficient=0.05)
    assert "entropy_coefficient" not in made.update(play(made.policy), 1)
    state = made.state()
    del state["entropy_coefficient"]
    made.load(state)
    assert made.entropy_coefficient == 0.05


def test_a_run_with_a_target_resumes_bit_by_bit(tmp_path: Path) -> None:
    recipe = toy_recipe(
        phases=["ppo"], ppo={**SMALL, "entropy_coefficient": 0.01, "entropy": {"target": 3.0, "change": 0.004}}, **QUIET
    )

    class Killed(BaseException):
        pass

    def kill(event: ProgressEvent) -> None:
        if event.phase == "ppo" and event.done == 3:
            raise Killed

    whole = train(recipe, store=tmp_path / "whole", run_id="r")
    with pytest.raises(Killed):
        train(recipe, store=tmp_path / "cut", run_id="r", progress=kill)
    cut = train(recipe, store=tmp_path / "cut", run_id="r")

    def rows(folder: Path) -> list[tuple[Any, ...]]:
        return [(r["loss"], r.get("entropy_coefficient")) for r in read_metrics(folder / "metrics.jsonl")]

    assert rows(cut.folder) == rows(whole.folder)
    assert len({coefficient for _, coefficient in rows(whole.folder)}) > 1
    one, two = (torch.load(next(r.folder.glob("checkpoints/ppo/step-000004/state.pt"))) for r in (whole, cut))
    assert one["learner"]["entropy_coefficient"] == two["learner"]["entropy_coefficient"]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"entropy": {"target": 1.0, "final": 0.0}}, "the coefficient follows one of them"),
        ({"entropy": {"target": 1.0}, "entropy_coefficient": 0.5}, "entropy.most is 0.1"),
        ({"entropy": {"target": 0.0}}, "greater than 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(table: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        toy_recipe(phases=["grpo"], grpo=table)
