"""Our statistics next to those of scipy and statsmodels, where these have the method."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from palaestra.results.statistics import (
    above_floor,
    bca_interval,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    paired_rates,
    pass_at_k,
    pass_hat_k,
    rate_estimate,
    sign_flips,
    wilson_interval,
)
from palaestra.results.statistics.clustered import beta_binomial_interval
from palaestra.results.statistics.sequential import SequentialComparison

VALUES = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2, max_size=30)


@given(VALUES, st.sampled_from([0.8, 0.95, 0.99]))
def test_a_mean_has_students_interval(values: list[float], confidence: float) -> None:
    assume(np.std(values) > 1e-6)
    ends = stats.t.interval(confidence, len(values) - 1, np.mean(values), stats.sem(values))
    found = mean_interval([[value] for value in values], confidence)
    assert (found.low, found.high) == pytest.approx(ends, rel=1e-7, abs=1e-7)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=20))
def test_a_paired_difference_is_the_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    first, second = ([round(pair[i], 3) for pair in pairs] for i in (0, 1))
    assume(np.std(np.subtract(first, second)) > 1e-6)
    exact = stats.ttest_rel(first, second)
    found = paired_difference(first, second)
    ends = exact.confidence_interval(0.95)
    assert found.p_value == pytest.approx(exact.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-6, abs=1e-9)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_sign_flips_are_the_exact_permutation_test(numbers: list[int]) -> None:
    exact = (
        stats.permutation_test(
            (np.array(numbers, dtype=float),), np.sum, permutation_type="samples", n_resamples=10_000, alternative="two-sided"
        )
        if len(numbers) > 1
        else None
    )
    assume(exact is not None)
    assert sign_flips(numbers)[0] == pytest.approx(min(1.0, exact.pvalue), abs=1e-9)


@given(st.integers(1, 12), st.data())
def test_samples_are_drawn_without_putting_back(n: int, data: st.DataObject) -> None:
    solved, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    drawn = stats.hypergeom(n, solved, k)
    assert pass_at_k(n, solved, k) == pytest.approx(1 - drawn.pmf(0))
    assert pass_hat_k(n, solved, k) == pytest.approx(drawn.pmf(k))


@pytest.mark.parametrize(("solved", "n", "tail"), [(0, 9, "low"), (9, 9, "high"), (3, 40, "both")])
def test_rates_of_single_samples_are_wilsons(solved: int, n: int, tail: str) -> None:
    found = rate_estimate([[1.0]] * solved + [[0.0]] * (n - solved))
    assert (found.low, found.high) == pytest.approx(proportion_confint(solved, n, method="wilson"), abs=1e-12), tail


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_several_samples_have_the_posterior_of_beta_binomial_counts(solved: list[int]) -> None:
    rates, likenesses = (np.arange(400) + 0.5) / 400, (np.arange(60) + 0.5) / 60
    total = (1 - likenesses) / likenesses
    a, b = rates[:, None] * total, (1 - rates)[:, None] * total
    log = sum(stats.betabinom.logpmf(k, 4, a, b) for k in solved)
    mass = np.cumsum(np.exp(log - log.max()).sum(axis=1))
    ends = np.interp([0.025, 0.975], mass / mass[-1], rates)
    assert beta_binomial_interval([4] * len(solved), solved, 0.95) == pytest.approx(ends, abs=0.03)


def test_bootstrap_is_the_percentile_interval_of_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=40)
    exact = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    found = bootstrap_interval(values.tolist(), num_resamples=20_000)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    accelerated = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1))
    found = bca_interval(values.tolist(), num_resamples=20_000)
    ends = accelerated.confidence_interval
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=0.02)


def test_above_a_known_floor_is_the_interval_of_the_rate() -> None:
    low, high = proportion_confint(30, 60, method="wilson")
    rate = rate_estimate([[1.0]] * 30 + [[0.0]] * 30)
    found = above_floor(rate, 0.25)
    assert (found.low, found.high) == pytest.approx((low - 0.25, high - 0.25))
    assert wilson_interval(30, 60) == pytest.approx((low, high))


def test_large_samples_have_the_wald_interval_of_a_paired_difference() -> None:
    n, first, second = 40_000, 9_000, 8_600
    one = [[1.0]] * (10_000 + first) + [[0.0]] * (n - 10_000 - first)
    other = [[1.0]] * 10_000 + [[0.0]] * first + [[1.0]] * second + [[0.0]] * (n - 10_000 - first - second)
    found = paired_rates(one, other)
    gap = (first - second) / n
    half = stats.norm.ppf(0.975) * math.sqrt((first + second) / n - gap**2) / math.sqrt(n)
    assert (found.low, found.high) == pytest.approx((gap - half, gap + half), abs=2e-5)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_the_p_value_of_a_sequence_is_small_where_and_only_where_it_decides(values: list[float]) -> None:
    test = SequentialComparison(0.1)
    smallest = 1.0
    for value in values:
        test.add(value)
        assert 0 < test.p_value <= smallest  # it never grows: what was seen once stays seen
        smallest = test.p_value
        if test.decision != "not better":
            assert (test.p_value <= test.alpha) == (test.decision in ("better", "worse"))
