import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError
from palaestra.results.statistics import Estimate, above_floor, noise_corrected, rate_estimate


def rate_of(solved: int, n: int) -> Estimate:
    return rate_estimate([[1.0]] * solved + [[0.0]] * (n - solved))


@given(st.integers(0, 50), st.floats(0, 0.99))
def test_a_known_floor_moves_and_stretches_the_interval(solved: int, floor: float) -> None:
    rate = rate_of(solved, 50)
    moved, stretched = above_floor(rate, floor), above_floor(rate, floor, of_room=True)
    assert (moved.mean, moved.low, moved.high) == pytest.approx((rate.mean - floor, rate.low - floor, rate.high - floor))
    expected = tuple((end - floor) / (1 - floor) for end in (rate.mean, rate.low, rate.high))
    assert (stretched.mean, stretched.low, stretched.high) == pytest.approx(expected)


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_measured_floor_adds_its_own_doubt(solved: int, free: int) -> None:
    rate, floor = rate_of(solved, 40), rate_of(free, 40)
    for of_room in (False, True):
        measured = above_floor(rate, floor, of_room=of_room)
        if of_room and free == 40:
            assert math.isnan(measured.mean)
            continue
        known = above_floor(rate, floor.mean, of_room=of_room)
        assert measured.low <= known.low + 1e-9
        assert measured.high >= known.high - 1e-9
        assert measured.low <= measured.mean <= measured.high


def test_what_cannot_be_said_about_floors() -> None:
    unknown = Estimate(math.nan, math.nan, math.nan, 0)
    assert math.isnan(above_floor(unknown, 0.1).mean)
    assert math.isnan(above_floor(rate_of(1, 2), unknown).low)
    assert math.isnan(above_floor(rate_of(1, 2), 1.0, of_room=True).mean)
    bare = Estimate(0.5, math.nan, math.nan, 4)
    for of_room, mean in ((False, 0.25), (True, 1 / 3)):
        found = above_floor(bare, 0.25, of_room=of_room)
        assert found.mean == pytest.approx(mean)
        assert math.isnan(found.low)
        assert math.isnan(found.high)  # an interval that is not known is not one without a width
    with pytest.raises(ConfigError, match="The floor is 8"):
        above_floor(rate_of(1, 2), 8.0)


def test_coverage_above_a_measured_floor() -> None:
    rng = np.random.default_rng(7)
    held = {False: 0, True: 0}
    for _ in range(2000):
        rate, floor = rng.uniform(), rng.uniform(0, 0.5)
        measured = rate_of(rng.binomial(60, rate), 60), rate_of(rng.binomial(100, floor), 100)
        for of_room in held:
            found = above_floor(*measured, of_room=of_room)
            true = (rate - floor) / (1 - floor) if of_room else rate - floor
            held[of_room] += found.low <= true <= found.high
    for of_room in held:
        assert held[of_room] / 2000 == pytest.approx(0.95, abs=0.016)


@given(st.integers(0, 30), st.floats(0.6, 1), st.floats(0.6, 1))
def test_a_grader_with_known_errors_is_turned_back(solved: int, sensitivity: float, specificity: float) -> None:
    true = solved / 30
    seen = true * sensitivity + (1 - true) * (1 - specificity)
    found = noise_corrected(Estimate(seen, seen, seen, 30), (sensitivity, math.inf), (specificity, math.inf))
    assert (found.mean, found.low, found.high) == pytest.approx((true, true, true))


def test_lang_and_reiczigels_interval_by_hand() -> None:
    seen = rate_of(25, 100)
    found = noise_corrected(seen, (0.9, 50), (0.95, 80))
    z = 1.959963984540054
    n, p = 100 + z * z, (25 + z * z / 2) / (100 + z * z)
    se, sp = (0.9 * 50 + 1) / 52, (0.95 * 80 + 1) / 82
    gain = se + sp - 1
    true = (p + sp - 1) / gain
    shift = 2 * z * z * (true * se * (1 - se) / 50 - (1 - true) * sp * (1 - sp) / 80)
    reach = z * math.sqrt(p * (1 - p) / n + true**2 * se * (1 - se) / 50 + (1 - true) ** 2 * sp * (1 - sp) / 80) / gain
    assert found.mean == pytest.approx((0.25 + 0.95 - 1) / 0.85)
    # their variance of the seen rate is that of Agresti & Coull, ours the half width of Wilson's interval
    assert (found.low, found.high) == pytest.approx((true + shift - reach, true + shift + reach), abs=0.003)


def test_coverage_behind_a_grader_of_measured_errors() -> None:
    rng = np.random.default_rng(9)
    held = 0
    for _ in range(3000):
        true, se, sp = rng.uniform(), rng.uniform(0.75, 1), rng.uniform(0.75, 1)
        seen = rng.binomial(100, true * se + (1 - true) * (1 - sp))
        errors = (rng.binomial(60, se) / 60, 60), (rng.binomial(60, sp) / 60, 60)
        found = noise_corrected(rate_of(seen, 100), *errors)
        held += found.low <= true <= found.high
    assert held / 3000 == pytest.approx(0.955, abs=0.017)


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "message"),
    [((0.4, 10), (0.5, 10), "not better than a coin"), ((1.2, 10), (0.5, 10), "is 1.2 of 10"), ((0.9, 0), (0.9, 9), "of 0")],
)
def test_graders_that_say_nothing_are_refused(sensitivity: tuple, specificity: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        noise_corrected(rate_of(3, 9), sensitivity, specificity)


def test_a_grader_that_may_be_a_coin_leaves_everything_open() -> None:
    found = noise_corrected(rate_of(5, 10), (0.6, 1), (0.5, 1))
    assert (found.low, found.high) == (0.0, 1.0)
