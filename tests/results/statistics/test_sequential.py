import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.statistics.run import row
from palaestra.errors import ConfigError
from palaestra.results.statistics.sequential import SequentialComparison


def test_looking_after_every_task_gives_few_false_alarms_and_saves_tasks() -> None:
    null, effect = row(0.1, 0.3, 0.0, 0.9, repeats=300), row(0.1, 0.3, 0.1, 0.9, repeats=300)
    assert null["better"] + null["worse"] <= 0.05
    assert effect["better"] >= 0.9 - 0.035  # two standard errors
    assert (null["saved"] + effect["saved"]) / 2 >= 0.4
    assert min(null["holds"], effect["holds"]) >= 0.95


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_the_interval_turns_over_with_its_arms_and_agrees_with_the_decision(values: list[float]) -> None:
    one, other = SequentialComparison(0.1), SequentialComparison(0.1)
    for value in values:
        decision = one.add(value)
        other.add(-value)
        if decision:
            break
    found, turned = one.interval(), other.interval()
    assert -1 <= found.low <= found.mean <= found.high <= 1
    if one.num_tasks == other.num_tasks:
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-9)
    assert (one.decision != "better") or found.low > -1e-9
    assert (one.decision != "worse") or found.high < 1e-9


def test_decisions_stay_and_the_same_tasks_give_the_same_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([1.0, 0.0], size=100)
    first = SequentialComparison(0.1)
    decided = [first.add(value) for value in values]
    at = decided.index("better")
    assert set(decided[:at]) == {""}
    assert set(decided[at:]) == {"better"}
    again = SequentialComparison(0.1)
    assert [again.add(value) for value in values] == decided


def test_nothing_seen_and_nothing_different() -> None:
    test = SequentialComparison(0.1)
    found = test.interval()
    assert (found.low, found.high, found.n) == (-1, 1, 0)
    assert math.isnan(found.mean)
    while not test.add(0.0):
        assert test.num_tasks < 1000
    assert test.decision == "not better"
    assert test.interval().high < 0.2
    for bad in (1.5, math.nan):
        with pytest.raises(ConfigError, match="from -1 to 1"):
            test.add(bad)
    with pytest.raises(ConfigError, match="expected all above 0"):
        SequentialComparison(0.0)


@pytest.mark.parametrize("name", ["difference", "alpha", "power", "variance"])
def test_settings_are_taken_up_to_their_bounds_and_no_further(name):
    inside, outside = (1e-9, 1.0 if name == "variance" else 1 - 1e-9), (0.0, 1 + 1e-9 if name == "variance" else 1.0)
    for value in inside:
        assert getattr(SequentialComparison(**{"difference": 0.1, name: value}), name) == value
    for value in outside:
        with pytest.raises(ConfigError, match="expected all above 0"):
            SequentialComparison(**{"difference": 0.1, name: value})
