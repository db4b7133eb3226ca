"""Means and sums at the ends of what floats can hold."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.results.statistics.scaling import exponent_of, mean_of, scaled, sum_of, times_power

HUGE = 1.5e308
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=8))
def test_a_mean_is_the_nearest_float_or_next_to_it(values: list[float]) -> None:
    exact = sum(map(Fraction, values)) / len(values)
    found = mean_of(values)
    assert abs(Fraction(found) - exact) <= Fraction(math.ulp(found)) + Fraction(math.ulp(max(map(abs, values)))) / 2**40
    assert mean_of(values[::-1]) == found


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([], math.nan),
        ([HUGE, HUGE], HUGE),
        ([HUGE, -HUGE], 0.0),
        ([1.0, 2.0, 4.5], 2.5),
        ([math.inf, 1.0], math.nan),
        ([math.inf, -math.inf], math.nan),
        ([math.nan], math.nan),
        ([-HUGE, -HUGE, -HUGE], -HUGE),
        ([HUGE, HUGE, 0.0], 1e308),
    ],
)
def test_means_of_numbers_at_the_ends(values: list[float], mean: float) -> None:
    assert mean_of(values) == pytest.approx(mean, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "exponent"),
    [
        ([], 0),
        ([0.0], 0),
        ([2.0**399], 0),
        ([2.0**400], 401),
        ([2.0**399] * 2, 0),
        ([-(2.0**500), 1.0], 501),
        ([2.0**1023] * 3, 1024),
        ([math.inf, 3.0], 0),
        ([math.inf, -(2.0**600)], 601),
    ],
)
def test_only_large_numbers_have_an_exponent(values: list[float], exponent: int) -> None:
    assert exponent_of(values) == exponent_of(iter(values)) == exponent


def test_numbers_times_powers_of_two() -> None:
    assert scaled([3.0, -1.0], 2) == [12.0, -4.0]
    assert scaled([3.0], -1) == [1.5]
    assert [times_power(x, 2000) for x in (1.0, -1.0, 0.0)] == [math.inf, -math.inf, 0.0]
    assert times_power(1.5, 3) == 12.0
    assert sum_of([0.1] * 10) == 1.0
    assert math.isnan(sum_of([math.inf, -math.inf]))
    assert sum_of([math.inf, 1.0]) == math.inf
