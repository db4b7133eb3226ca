"""A collapse that is rolled back: what the steps since the checkpoint did is undone, the rest of the phase goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.alarms import CollapseWatchdog
from palaestra.algorithms.run.best import kept
from palaestra.algorithms.run.checkpoint import Checkpoint, Checkpoints
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.training import train
from tests.algorithms.toy_recipe import toy_recipe

# a critic that knows nothing yet gives an untrained policy something to learn
ROLLBACK: dict[str, Any] = {"tasks_per_step": 6, "epochs": 1, "warmup_updates": 0, "on_collapse": "rollback"}
STEPS = 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that collapses in steps 3 and 5; what it goes back to in step 3 is in the checkpoint after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CollapseWatchdog, "observe", lambda self, step, **signs: step in (3, 5))
        recipe = toy_recipe(
            phases=["ppo"],
            ppo={**ROLLBACK, "steps": STEPS, "kl_coefficient": 0.1},
            average={"decay": 1.0},
            evaluation={"n": 1, "baselines": []},
            checkpoint={"every": 1, "keep": 9, "best": "total_env_steps"},  # grows: every step is the best so far
        )
        return train(recipe, store=tmp_path_factory.mktemp("run")).folder / "checkpoints" / "ppo"


def at(checkpoints: Checkpoints, step: int) -> Checkpoint:
    found = checkpoints.at(step)
    assert found is not None
    return found


def weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = Policy.from_path(checkpoint.policy_path).model.state_dict()
    return found


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """The places at which two states differ, bit by bit."""
    if isinstance(one, torch.Tensor):
        if not torch.equal(one, other):
            yield place
    elif isinstance(one, Mapping):
        if one.keys() != other.keys():
            yield place
        for key in one.keys() & other.keys():
            yield from differences(one[key], other[key], f"{place}.{key}" if place else str(key))
    elif isinstance(one, Sequence) and not isinstance(one, str):
        assert len(one) == len(other)
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{place}.{index}")
    elif one != other:
        yield place


def test_a_collapse_is_rolled_back_once_with_half_the_rate(run: Path) -> None:
    rows = read_metrics(run.parent.parent / "metrics.jsonl")
    assert [row["alarm_collapse"] for row in rows] == [0.0, 0.0, 1.0, 0.0, 1.0]
    assert [row["lr"] for row in rows] == [1e-3, 1e-3, 1e-3, 5e-4, 5e-4]
    state = at(Checkpoints(run), STEPS).state()
    assert state["counts"]["rollbacks"] == 1
    assert state["counts"]["warnings"] == 1  # the second collapse is only reported
    assert state["learner"]["kl_coefficient"] == pytest.approx(0.2)


def test_policy_learner_and_extensions_are_those_of_the_checkpoint(run: Path) -> None:
    first, before, after = (at(Checkpoints(run), step) for step in (1, 2, 3))
    assert list(differences(weights(before), weights(after))) == []
    assert list(differences(weights(first), weights(before))) != []
    one, two, three = (found.state() for found in (first, before, after))
    slower = {"optimiser.lr_factor", "kl_coefficient"}
    assert set(differences(two["learner"], three["learner"])) == slower
    learned = set(differences(one["learner"], two["learner"]))
    for part in ("optimiser.adam.state", "critic.weights", "critic.optimiser.adam.state"):
        assert any(place.startswith(part) for place in learned), part
    assert list(differences(two["extensions"], three["extensions"])) == []
    assert list(differences(one["extensions"], two["extensions"])) != []


def test_the_mean_of_the_weights_is_without_the_step_that_was_undone(run: Path) -> None:
    played = [dict(Policy.from_path(at(Checkpoints(run), n).policy_path).model.named_parameters()) for n in (1, 2, 4)]
    found = at(Checkpoints(run), 4).state()["extensions"]["average"]
    assert found["count"] == 3
    for name, mean in found["mean"].items():
        torch.testing.assert_close(mean, sum(one[name].detach() for one in played) / 3, atol=1e-6, rtol=0)


def test_the_step_after_it_has_played_with_the_weights_of_the_checkpoint(run: Path) -> None:
    """The best policy by a figure of played episodes is the one that played."""
    best = kept(Checkpoints(run))
    for step, before in ((4, 2), (5, 4)):
        assert list(differences(weights(at(best, step)), weights(at(Checkpoints(run), before)))) == []
