"""Budgets and rates, worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from palaestra.agents.backends.limits import Budget, RateLimit, TokenBucket
from palaestra.errors import BudgetError, ConfigError
from palaestra.types import Usage

USED = Usage(3, 0, 60, 50, 40, cost=2.5)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"calls": 4, "tokens": 101, "cost": 2.6}, ""),
        ({}, ""),
        ({"calls": 3}, "calls 3 of 3. Raise budget.calls"),
        ({"calls": 2}, "calls 3 of 2. Raise budget.calls"),
        ({"tokens": 100}, "tokens 100 of 100. Raise budget.tokens"),
        ({"tokens": 60}, "tokens 100 of 60. Raise budget.tokens"),
        ({"cost": 2.5}, "cost 2.5 of 2.5. Raise budget.cost"),
        ({"calls": 9, "tokens": 10, "cost": 1.0}, "tokens 100 of 10."),
    ],
)
def test_a_budget_is_spent_when_one_of_its_numbers_is_reached(limits: Any, said: str) -> None:
    if not said:
        Budget(**limits).check(3, USED)
        return
    with pytest.raises(BudgetError) as caught:
        Budget(**limits).check(3, USED)
    assert f"The budget is spent: {said}" in str(caught.value)


@pytest.mark.parametrize("value", [0, -1, float("nan"), "3", True])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Budget, "calls"),
        (Budget, "tokens"),
        (Budget, "cost"),
        (RateLimit, "requests_per_minute"),
        (RateLimit, "tokens_per_minute"),
    ],
)
def test_a_limit_that_lets_nothing_through_is_refused_by_name(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{kind.__name__}\.{name} is .* or None for no limit"):
        kind(**{name: value})
    assert getattr(kind(**{name: 1e-9}), name) == 1e-9
    assert getattr(kind(), name) is None


def test_a_bucket_holds_one_second_and_fills_with_time() -> None:
    now = [50.0]
    bucket = TokenBucket(4.0, clock=lambda: now[0])
    assert [bucket.reserve(1) for _ in range(6)] == [0, 0, 0, 0, 0.25, 0.5]
    now[0] += 0.5  # two units back: the level is 0 again
    assert bucket.reserve(1) == 0.25
    now[0] += 100.0
    assert bucket.reserve(4) == 0.0, "it is full"
    assert bucket.reserve(1) == 0.25, "and holds no more than one second's worth"
    bucket.give_back(1)
    bucket.give_back(2)
    assert bucket.reserve(2) == 0.0
    bucket.give_back(-4)
    assert bucket.reserve(1) == 1.25


def test_more_than_a_bucket_holds_is_paid_off_afterwards() -> None:
    now = [0.0]
    bucket = TokenBucket(2.0, clock=lambda: now[0])
    assert bucket.reserve(10) == 0.0
    assert bucket.reserve(2) == 5.0
    now[0] += 5.0
    assert bucket.reserve(1) == 0.5


def test_a_slow_bucket_holds_one_unit() -> None:
    now = [0.0]
    bucket = TokenBucket(0.25, clock=lambda: now[0])
    assert [bucket.reserve(1), bucket.reserve(1)] == [0.0, 4.0]
