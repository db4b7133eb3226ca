from __future__ import annotations

import math

import pytest
import torch

from palaestra.algorithms.guards import CollapseWatch, FiniteGuard, TrainingStopped
from palaestra.algorithms.updates import Optimiser, OptimiserTable, lr_scale


def test_three_bad_updates_in_a_row_stop_training() -> None:
    guard = FiniteGuard(limit=3)
    assert guard.accepts(0.5, 1.0)
    assert not guard.accepts(math.nan, 1.0)
    assert not guard.accepts(0.5, math.inf)
    assert guard.accepts(0.5, 1.0)  # the row is broken
    assert not guard.accepts(math.nan, 1.0)
    assert not guard.accepts(math.nan, 1.0)
    with pytest.raises(TrainingStopped, match="3 updates in a row"):
        guard.accepts(math.nan, 1.0)
    assert guard.total == 5


def test_a_bad_update_moves_nothing_and_the_next_good_one_does() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = Optimiser([weight], OptimiserTable(lr=0.1, warmup_updates=0))
    weight.grad = torch.tensor([math.nan, 1.0])
    assert optimiser.step(0.0)["skipped"] == 1.0
    assert weight.tolist() == [1.0, 1.0]
    assert optimiser.updates == 0
    weight.grad = torch.ones(2)
    assert optimiser.step(0.0)["skipped"] == 0.0
    assert (weight < 1.0).all()


def test_gradients_are_clipped() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = Optimiser([weight], OptimiserTable(lr=1.0, warmup_updates=0, grad_clip=1.0))
    weight.grad = torch.tensor([1000.0])
    assert optimiser.step(0.0)["grad_norm"] == pytest.approx(1000.0)


@pytest.mark.parametrize(
    ("update", "decay", "expected"),
    [(0, "constant", 0.1), (9, "constant", 1.0), (500, "constant", 1.0), (10, "linear", 1.0), (60, "linear", 0.55),
     (110, "linear", 0.1), (110, "cosine", 0.1), (60, "cosine", 0.55), (10**6, "cosine", 0.1)],
)  # fmt: skip
def test_the_learning_rate_is_a_function_of_the_update(update: int, decay: str, expected: float) -> None:
    assert lr_scale(update, warmup=10, total=110, decay=decay) == pytest.approx(expected)  # type: ignore[arg-type]


def test_optimiser_state_survives() -> None:
    def fresh() -> tuple[torch.nn.Parameter, Optimiser]:
        weight = torch.nn.Parameter(torch.ones(3))
        return weight, Optimiser([weight], OptimiserTable(lr=0.01, warmup_updates=3))

    def push(weight: torch.nn.Parameter, optimiser: Optimiser, times: int) -> None:
        for _ in range(times):
            weight.grad = weight.detach() * 2
            optimiser.step(0.0)

    one, whole = fresh()
    push(one, whole, 6)
    two, first = fresh()
    push(two, first, 2)
    three, second = fresh()
    three.data.copy_(two.data)
    second.load(first.state())
    push(three, second, 4)
    assert torch.equal(one, three)


def test_collapse_needs_both_signs() -> None:
    watch = CollapseWatch(baseline_step=2, window=1)
    assert not watch.observe(1, spread=0.4, entropy=1.0)
    assert not watch.observe(2, spread=0.4, entropy=1.0)
    assert not watch.observe(3, spread=0.05, entropy=0.9)
    assert not watch.observe(4, spread=0.4, entropy=0.1)
    assert watch.observe(5, spread=0.05, entropy=0.1)


def test_a_policy_turned_into_noise_is_a_collapse_too() -> None:
    watch = CollapseWatch(baseline_step=1, window=1)
    assert not watch.observe(1, spread=0.4, entropy=1.0, return_=0.5)
    assert not watch.observe(2, spread=0.4, entropy=5.0, return_=0.0)  # still telling better from worse
    assert not watch.observe(3, spread=0.0, entropy=5.0, return_=0.5)  # certain and right
    assert watch.observe(4, spread=0.0, entropy=5.0, return_=0.05)


def test_one_unlucky_batch_is_no_alarm() -> None:
    watch = CollapseWatch(baseline_step=1)
    for step in range(1, 6):
        watch.observe(step, spread=0.4, entropy=1.0)
    assert not watch.observe(6, spread=0.0, entropy=0.0)


def test_a_resumed_watch_goes_on() -> None:
    one, two = CollapseWatch(baseline_step=2), CollapseWatch(baseline_step=2)
    for step in range(1, 5):
        one.observe(step, spread=0.4, entropy=1.0)
    two.load(one.state())
    for step in range(5, 9):
        assert one.observe(step, spread=0.0, entropy=0.0) == two.observe(step, spread=0.0, entropy=0.0)
