import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from palaestra.errors import ConfigError
from palaestra.results.statistics.variance import Observation, difference_found, tasks_needed, variance_split


@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=2, max_size=8))
def test_with_equal_samples_it_is_the_analysis_of_variance(values: list[list[float]]) -> None:
    found = variance_split(Observation(i, 0, 0, value) for i, task in enumerate(values) for value in task)
    data = np.array(values)
    within = data.var(axis=1, ddof=1).mean()
    between = data.mean(axis=1).var(ddof=1) - within / 3
    assert found.model == pytest.approx(within, abs=1e-9)
    assert found.task == pytest.approx(max(between, 0), abs=1e-9)
    assert found.world is found.partner is None


def test_four_parts_are_found_again() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for task in range(1500):
        of_task = rng.normal(0, 2)
        worlds, partners = rng.normal(0, 1.5, size=2), rng.normal(0, 1, size=2)
        rows += [
            Observation(task, w, p, of_task + worlds[w] + partners[p] + rng.normal(0, 0.5))
            for w in range(2)
            for p in range(2)
            for _ in range(2)
        ]
    found = variance_split(rows)
    assert [found.task, found.world, found.partner, found.model] == pytest.approx([4 + 1, 2.25, 1, 0.25], rel=0.15)


def test_what_cannot_be_told_apart_is_not() -> None:
    nothing = variance_split([])
    assert (nothing.task, nothing.world, nothing.partner, nothing.model, nothing.n) == (None, None, None, None, 0)
    one = variance_split([Observation("a", 1, "", 1.0), Observation("b", 2, "", 0.0), Observation("c", 3, "", math.nan)])
    assert (one.task, one.world, one.model, one.n) == (0.5, None, None, 2)
    equal = variance_split(Observation(i, 0, 0, 1.0) for i in range(3) for _ in range(2))
    assert (equal.task, equal.model) == (0, 0)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 0.8), st.sampled_from([0.8, 0.9]), st.sampled_from([0.05, 0.01]))
def test_tasks_needed_agree_with_statsmodels(effect: float, power: float, alpha: float) -> None:
    exact = TTestPower().solve_power(effect_size=effect, power=power, alpha=alpha, alternative="two-sided")
    found = tasks_needed(effect / 2, 0.25, power=power, alpha=alpha)
    assert math.ceil(exact) - 1 <= found <= math.ceil(exact) + 1
    assert difference_found(found, 0.25, power=power, alpha=alpha) <= effect / 2 + 1e-12
    assert difference_found(found - 1, 0.25, power=power, alpha=alpha) > effect / 2 - 1e-12


@given(st.floats(1e-300, 0.999), st.floats(0.5, 0.999), st.floats(1e-6, 1))
def test_a_chance_of_a_false_alarm_may_be_as_small_as_a_float(alpha: float, power: float, difference: float) -> None:
    found = tasks_needed(difference, 0.25, power=power, alpha=alpha)
    assert found >= tasks_needed(difference, 0.25, power=power, alpha=min(0.999, 2 * alpha))
    assert difference_found(10**6, 0.25, power=power, alpha=alpha) > 0


@pytest.mark.parametrize(
    "bad", [{"difference": 0.0}, {"difference": math.nan}, {"variance": math.inf}, {"power": 1.0}, {"alpha": 0.0}]
)
def test_impossible_plans_are_refused(bad: dict[str, float]) -> None:
    given_ = {"difference": 0.1, "variance": 0.25, **bad}
    with pytest.raises(ConfigError, match="expected"):
        tasks_needed(given_.pop("difference"), given_.pop("variance"), **given_)
    assert difference_found(1, 0.25) == math.inf
