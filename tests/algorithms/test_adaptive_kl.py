from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner
from palaestra.algorithms.learner.policy_update import KLConfig
from palaestra.algorithms.math.losses import adapt_kl_coefficient
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError
from tests.algorithms.toy_recipe import toy_policy, toy_recipe
from tests.algorithms.updates import play

CLONE = {"episodes": 64, "epochs": 6, "batch_size": 16, "lr": 6e-3, "warmup_updates": 4}
ADAPTED = {"kl": {"coefficient": 0.1, "target": 0.01, "horizon": 64}, "tasks_per_step": 8, "steps": 4, "lr": 3e-3}


def updated(**kl: Any) -> tuple[GRPOLearner, list[dict[str, float]]]:
    policy = toy_policy()
    config = GRPOConfig(lr=1e-2, warmup_updates=0, epochs=2, kl=KLConfig(coefficient=0.1, **kl))
    learner = GRPOLearner(policy, config, reference=policy.frozen_copy)
    return learner, [learner.update(play(policy), step) for step in (1, 2, 3)]


def test_the_coefficient_follows_the_measured_divergence() -> None:
    learner, rows = updated(target=0.02, horizon=100)
    expected = 0.1
    for row in rows:
        assert row["kl_coefficient"] == pytest.approx(expected)
        expected = adapt_kl_coefficient(
            expected, row["kl_reference"], target=0.02, num_episodes=len(play(toy_policy())), horizon=100
        )
    assert learner.kl_coefficient == pytest.approx(expected)
    assert expected != pytest.approx(0.1)


@pytest.mark.parametrize(("target", "sign"), [(1e-6, 1), (1e3, -1)])
def test_a_policy_that_strays_is_held_more_and_one_that_does_not_is_held_less(target: float, sign: int) -> None:
    _, rows = updated(target=target, horizon=64)
    first, last = rows[0]["kl_coefficient"], rows[-1]["kl_coefficient"]
    assert (last - first) * sign > 0


def test_without_a_target_the_coefficient_stays_and_nothing_else_changes() -> None:
    plain, rows = updated()
    assert {row["kl_coefficient"] for row in rows} == {0.1}
    # a target that is met exactly changes nothing either
    far, _ = updated(target=1.0, horizon=10**9)
    for one, other in zip(plain.policy.parameters(), far.policy.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"target": 0.1}, "kl.target is 0.1 and kl.coefficient is 0"),
        ({"target": 0.1, "coefficient": 0.1, "horizon": 63}, "kl.horizon is 63; a step plays 64 episodes"),
        ({"target": 0.0, "coefficient": 0.1}, "kl.target"),
        ({"target": float("inf"), "coefficient": 0.1}, "kl.target"),
    ],
)
def test_targets_that_cannot_be_kept_are_refused(settings: dict[str, float], match: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=match):
        GRPOConfig.model_validate({"kl": settings})


class Killed(BaseException):
    """Nothing in the library catches it."""


def test_a_resumed_run_goes_on_with_the_adapted_coefficient(tmp_path: Path) -> None:
    recipe = toy_recipe(sft=CLONE, grpo=ADAPTED, evaluation={"n": 2, "baselines": []})

    def kill(event: ProgressEvent) -> None:
        if (event.phase, event.done) == ("grpo", 3):
            raise Killed

    with pytest.raises(Killed):
        train(recipe, store=tmp_path, run_id="toy", progress=kill)
    result = train(recipe, store=tmp_path, run_id="toy")
    rows = [row for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == "grpo" and "kl_coefficient" in row]
    assert len(rows) >= 3
    expected = 0.1
    for row in rows:
        assert row["kl_coefficient"] == pytest.approx(expected)
        expected = adapt_kl_coefficient(expected, row["kl_reference"], target=0.01, num_episodes=32, horizon=64)
    assert rows[-1]["kl_coefficient"] != pytest.approx(0.1)
