"""The learning rate over an update's course: as a pure function, as what AdamW really uses, and as learners plan it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from palaestra.algorithms.learner.optimiser import Optimiser, OptimiserConfig, lr_scale
from palaestra.algorithms.ppo import PPOLearner
from palaestra.algorithms.run.registry import make_learner
from palaestra.algorithms.sft import SFTLearner
from tests.algorithms.toy_recipe import toy_policy

# four updates of warm-up, then eight of decay to a tenth: cos(pi/4) = .70711, cos(pi/2) = 0
SCALES = {
    "constant": [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    "linear": [0.25, 0.5, 0.75, 1.0, 1.0, 0.8875, 0.775, 0.6625, 0.55, 0.4375, 0.325, 0.2125, 0.1, 0.1],
    "cosine": [0.25, 0.5, 0.75, 1.0, 1.0, 0.96574, 0.86820, 0.72221, 0.55, 0.37779, 0.23180, 0.13426, 0.1, 0.1],
}


@pytest.mark.parametrize("decay", SCALES)
def test_the_rate_rises_over_the_warm_up_and_falls_to_a_tenth(decay: Any) -> None:
    found = [lr_scale(update, warmup=4, total=12, decay=decay) for update in range(14)]
    assert found == pytest.approx(SCALES[decay], abs=1e-5)


def test_without_warm_up_and_without_a_plan_the_rate_is_what_it_is() -> None:
    assert lr_scale(0, warmup=0, total=0, decay="constant") == 1.0
    assert lr_scale(0, warmup=0, total=10, decay="linear") == 1.0
    assert lr_scale(3, warmup=3, total=3, decay="cosine") == 1.0


@pytest.mark.parametrize("decay", SCALES)
def test_weights_move_by_the_rate_of_their_update(decay: Any) -> None:
    weight = torch.zeros(1, requires_grad=True)
    config = OptimiserConfig(lr=0.01, warmup_updates=4, decay=decay, grad_clip=10)
    optimiser = Optimiser([weight], config, total=12)
    for scale in SCALES[decay]:
        before = float(weight.detach())
        weight.grad = torch.ones(1)  # under equal gradients a step of Adam is as long as its rate
        assert optimiser.step(0.0)["lr"] == pytest.approx(0.01 * scale, rel=1e-4)
        assert before - float(weight.detach()) == pytest.approx(0.01 * scale, rel=1e-3)


def test_a_skipped_update_does_not_advance_the_rate_and_half_the_rate_is_half_of_it() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimiser = Optimiser([weight], OptimiserConfig(lr=0.01, warmup_updates=4), total=12)
    weight.grad = torch.full((1,), float("nan"))
    assert optimiser.step(0.0) == pytest.approx({"grad_norm": float("nan"), "lr": 0.0025, "skipped": 1.0}, nan_ok=True)
    assert (float(weight.detach()), optimiser.updates, optimiser.lr) == (0.0, 0, pytest.approx(0.0025))
    optimiser.lr_factor = 0.5
    assert optimiser.lr == pytest.approx(0.00125)


PLANS = [
    ("grpo", {"steps": 5, "epochs": 2, "minibatches": 3}, 30),
    ("ppo", {"steps": 5, "epochs": 2, "minibatches": 3}, 30),
    ("vrpo", {"steps": 5, "epochs": 2, "minibatches": 3}, 30),
]


@pytest.mark.parametrize(("name", "settings", "updates"), PLANS)
def test_the_decay_of_a_policy_ends_with_its_last_planned_update(name: str, settings: dict[str, Any], updates: int) -> None:
    policy = toy_policy()
    settings = {"lr": 0.01, "warmup_updates": 2, "decay": "linear", **settings}
    made = make_learner(name, policy, settings, reference=policy.frozen_copy)
    assert made.optimiser is not None
    assert ends_at(made.optimiser, 0.01) == updates


def test_the_decay_of_a_critic_ends_with_its_own_last_update() -> None:
    critic = {"lr": 0.02, "warmup_updates": 2, "decay": "linear", "epochs": 3, "minibatches": 2}
    made = make_learner("ppo", toy_policy(), {"steps": 5, "critic": critic})
    assert isinstance(made, PPOLearner)
    assert ends_at(made.critic.optimiser, 0.02) == 30


def test_the_decay_of_cloning_ends_with_its_last_batch() -> None:
    settings = {"episodes": 25, "batch_size": 10, "epochs": 4, "lr": 0.01, "warmup_updates": 2, "decay": "linear"}
    made = make_learner("sft", toy_policy(), settings)
    assert isinstance(made, SFTLearner)
    assert made.optimiser is not None
    assert ends_at(made.optimiser, 0.01) == 12  # 3 batches an epoch


def ends_at(optimiser: Optimiser, lr: float) -> int:
    """The first update at which the rate has fallen to a tenth."""
    for optimiser.updates in range(1000):
        if optimiser.updates >= 2 and optimiser.lr == pytest.approx(0.1 * lr):
            return optimiser.updates
    raise AssertionError("the rate never falls")


def test_a_state_brings_back_the_rate_as_it_was_slowed_the_moments_and_the_count() -> None:
    def made() -> tuple[torch.Tensor, Optimiser]:
        weight = torch.ones(3, requires_grad=True)
        return weight, Optimiser([weight], OptimiserConfig(lr=0.1, warmup_updates=3, decay="linear"), total=9)

    def push(weight: torch.Tensor, optimiser: Optimiser) -> dict[str, float]:
        weight.grad = weight.detach() * torch.tensor([1.0, 2.0, -3.0])
        return optimiser.step(0.0)

    one, first = made()
    for _ in range(4):
        push(one, first)
    first.lr_factor *= 0.5
    two, second = made()
    two.data.copy_(one.data)
    second.load(copy.deepcopy(first.state()))
    assert second.lr == first.lr
    for _ in range(3):
        assert push(one, first) == push(two, second)
    assert torch.equal(one, two)
