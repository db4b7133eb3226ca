from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from palaestra.errors import ConfigError
from palaestra.results.statistics import (
    Estimate,
    bca_interval,
    bootstrap_interval,
    holm,
    mean_interval,
    mean_of,
    paired_difference,
    rate_estimate,
    share_interval,
    student_t_cdf,
    student_t_quantile,
    wilcoxon_greater,
    wilson_interval,
)
from palaestra.results.statistics.corrected import above_floor, noise_corrected
from palaestra.results.statistics.paired import paired_rates


@pytest.mark.parametrize(
    ("df", "expected"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (5, 2.57058), (10, 2.22814), (29, 2.04523), (30, 2.04227), (120, 1.97993)],
)
def test_t_quantiles_match_the_printed_table(df: int, expected: float) -> None:
    assert student_t_quantile(0.975, df) == pytest.approx(expected, abs=6e-6 * expected)


def test_t_distribution_has_its_closed_forms() -> None:
    for t in (-7.0, -0.3, 0.0, 1.0, 25.0):
        assert student_t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-14)
        assert student_t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-14)
        assert student_t_cdf(t, 4) == pytest.approx(
            0.5 + 3 / 8 * t / math.sqrt(1 + t * t / 4) * (1 - t * t / (12 * (1 + t * t / 4)))
        )


def test_t_distribution_is_continuous_where_the_series_ends() -> None:
    for t in (-4.0, -1.96, 0.5, 3.0):
        assert student_t_cdf(t, 1000) == pytest.approx(student_t_cdf(t, 1001), abs=1e-6)


def test_wilson_interval_of_a_worked_example() -> None:
    # z = 1.959964: (0.5 +- ...) for 5 of 10, by hand: centre 0.5, half width z/(1+z^2/10)*sqrt(0.025+z^2/400)
    z = 1.959963984540054
    half = z / (1 + z * z / 10) * math.sqrt(0.025 + z * z / 400)
    assert wilson_interval(5, 10) == pytest.approx((0.5 - half, 0.5 + half))
    assert wilson_interval(0, 10) == pytest.approx((0.0, z * z / (10 + z * z)))
    assert wilson_interval(10, 10) == pytest.approx((10 / (10 + z * z), 1.0))
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_interval_of_100_items_is_about_nine_points_wide_each_way() -> None:
    low, high = wilson_interval(70, 100)
    assert 0.085 < (high - low) / 2 < 0.095


@pytest.mark.parametrize("bad", [(-1, 10), (11, 10), (1, 0)])
def test_impossible_counts_are_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="impossible"):
        wilson_interval(*bad)


def test_coverage_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="confidence is 95"):
        wilson_interval(5, 10, confidence=95)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 500), data=st.data())
def test_wilson_interval_holds_the_rate_and_mirrors(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    mirrored = wilson_interval(n - k, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_mean_interval_of_a_worked_example() -> None:
    estimate = mean_interval([[1.0], [2.0], [3.0], [4.0]])
    # sd = sqrt(5/3), standard error sd/2, t(3) = 3.18245
    half = 3.182446305284263 * math.sqrt(5 / 3) / 2
    assert (estimate.mean, estimate.n) == (2.5, 4)
    assert (estimate.low, estimate.high) == pytest.approx((2.5 - half, 2.5 + half))


def test_repeating_each_sample_of_a_task_adds_no_certainty() -> None:
    alone = mean_interval([[0.0], [1.0], [1.0], [0.5]])
    repeated = mean_interval([[value] * 8 for value in (0.0, 1.0, 1.0, 0.5)])
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))
    rate = rate_estimate([[value] for value in (0.0, 1.0, 1.0, 0.0, 1.0)])
    many = rate_estimate([[value] * 8 for value in (0.0, 1.0, 1.0, 0.0, 1.0)])
    assert (many.low, many.high) == pytest.approx((rate.low, rate.high), abs=0.01)
    assert many.n == 40


def test_independent_samples_of_a_task_count_almost_fully() -> None:
    rng = np.random.default_rng(3)
    clusters = rng.integers(0, 2, size=(200, 5)).tolist()
    low, high = wilson_interval(sum(map(sum, clusters)), 1000)
    estimate = rate_estimate(clusters)
    assert high - low <= (estimate.high - estimate.low) * 1.0001
    assert estimate.high - estimate.low < 1.2 * (high - low)


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=4), min_size=2, max_size=6))
def test_a_rate_is_of_samples_or_where_it_is_asked_for_of_the_clusters_rates(clusters: list[list[float]]) -> None:
    samples = [value for cluster in clusters for value in cluster]
    rates = [sum(cluster) / len(cluster) for cluster in clusters]
    for made, mean in (
        ({}, np.mean(samples)),
        ({"by_cluster": False}, np.mean(samples)),
        ({"by_cluster": True}, np.mean(rates)),
    ):
        estimate = rate_estimate(clusters, **made)
        assert estimate.mean == pytest.approx(mean)
        assert estimate.n == len(samples)
        assert estimate.low <= estimate.mean + 1e-12
        assert estimate.mean <= estimate.high + 1e-12


def test_a_rate_of_zero_keeps_the_doubt_of_the_tasks_not_of_the_samples() -> None:
    found = rate_estimate([[0.0] * 10] * 5)
    assert found.low == 0
    assert wilson_interval(0, 50)[1] * 2 < found.high < wilson_interval(0, 5)[1]


@given(st.lists(st.lists(st.floats(0, 1), max_size=3), max_size=6), st.floats(0.5, 0.99))
def test_the_interval_of_a_share_is_the_part_of_the_t_interval_from_0_to_1(clusters: list[list[float]], level: float) -> None:
    share, mean = share_interval(clusters, level), mean_interval(clusters, level)
    if not math.isfinite(mean.low):  # fewer than two tasks
        assert repr(share) == repr(mean)
        return
    means = [math.fsum(cluster) / len(cluster) for cluster in clusters if cluster]
    if max(means) - min(means) < 1e-12:  # their spread says nothing
        assert share.low < share.mean or share.mean <= 1e-9
        assert share.high > share.mean or share.mean >= 1 - 1e-9
        return
    assert 0 <= share.low <= share.high <= 1
    assert (share.mean, share.n) == (mean.mean, mean.n)
    assert (share.low, share.high) == (max(mean.low, 0), min(mean.high, 1))


def test_the_interval_of_a_share_leaves_0_to_1_only_with_its_values() -> None:
    nearly = [[1.0], [1.0], [1.0], [0.8]]
    assert mean_interval(nearly).high > 1
    assert share_interval(nearly).high == 1
    assert share_interval([[0.0], *([1.0 - value] for [value] in nearly)]).low == 0
    assert share_interval([*nearly, [1.5]]) == mean_interval([*nearly, [1.5]])


def test_nothing_observed_is_no_number() -> None:
    for estimate in (rate_estimate([]), mean_interval([[]]), share_interval([]), bootstrap_interval([])):
        assert math.isnan(estimate.mean)
        assert estimate.to_json() == {"mean": None, "low": None, "high": None, "n": 0}


def test_one_cluster_has_no_known_spread() -> None:
    estimate = mean_interval([[0.25, 0.75]])
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, -math.inf, math.inf)


def test_bootstrap_comes_close_to_the_normal_interval_and_repeats() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=400).tolist()
    boot, exact = bootstrap_interval(values), mean_interval([[value] for value in values])
    assert boot.mean == pytest.approx(exact.mean)
    assert (boot.low, boot.high) == pytest.approx((exact.low, exact.high), abs=0.03)
    assert bootstrap_interval(values[::-1]) == boot
    assert bootstrap_interval(values, seed=1) != boot


@pytest.mark.parametrize("interval", [bootstrap_interval, bca_interval])
@pytest.mark.parametrize("scale", [1.0, 2.0**900])  # beyond some size values are scaled down, resampled, and scaled up
def test_resampling_follows_its_settings_at_every_scale(interval: Callable[..., Estimate], scale: float) -> None:
    values = [value * scale for value in (0.0, 1.0, 2.0, 4.0, 8.0, 9.0, 9.5, 11.0, 12.0, 20.0)]

    def ends(**given: Any) -> tuple[float, float]:
        found = interval(values, **given)
        assert found.mean == pytest.approx(math.fsum(value / len(values) for value in values))
        assert found.n == len(values)
        return found.low / scale, found.high / scale

    default = ends()
    assert default == ends(confidence=0.95, num_resamples={bootstrap_interval: 2000, bca_interval: 10_000}[interval], seed=0)
    assert default == pytest.approx(tuple(end for end in _unscaled(interval, values, scale)), rel=1e-9)
    assert len({default, ends(seed=1), ends(num_resamples=333), ends(confidence=0.8)}) == 4
    narrow = ends(confidence=0.5)
    assert default[0] < narrow[0] < narrow[1] < default[1]


def _unscaled(interval: Callable[..., Estimate], values: list[float], scale: float) -> tuple[float, float]:
    found = interval([value / scale for value in values])
    return found.low, found.high


@given(st.integers(0, 2**30), st.sampled_from([1, 2, 3999]))
def test_a_bootstrap_in_blocks_is_one_of_all_resamples(seed: int, count: int) -> None:
    drawn: list[int] = []

    def statistic(rows: np.ndarray) -> np.ndarray:
        drawn.append(len(rows))
        return rows.max(axis=1)

    found = bootstrap_interval([3.0, 1.0, 2.0], statistic, num_resamples=count, seed=seed)
    assert sum(drawn[:-1]) == count  # the last is of the values themselves
    assert drawn[-1] == 1
    assert found.mean == 3.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), st.sampled_from([0.5, 0.9, 0.99]))
def test_two_clusters_are_enough_for_an_interval_and_have_a_closed_form(values: list[float], confidence: float) -> None:
    first, second = values
    found = mean_interval([[first], [second]], confidence)
    half = math.tan(math.pi * confidence / 2) * abs(first - second) / 2  # Student's t with one degree of freedom is Cauchy's
    assert found.low == pytest.approx((first + second) / 2 - half, rel=1e-9, abs=1e-6)
    assert found.high == pytest.approx((first + second) / 2 + half, rel=1e-9, abs=1e-6)
    assert found == mean_interval([[first], [], [second]], confidence)


def test_bootstrap_of_a_median_and_of_a_constant() -> None:
    estimate = bootstrap_interval([1, 2, 3, 4, 100], lambda rows: np.median(rows, axis=1))
    assert estimate.mean == 3
    assert 1 <= estimate.low <= 3 <= estimate.high <= 100
    constant = bootstrap_interval([2.0] * 7)
    assert (constant.mean, constant.low, constant.high) == (2.0, 2.0, 2.0)


def test_paired_difference_of_students_own_sleep_data() -> None:
    # Student 1908, table of additional hours of sleep: t = 4.0621 with 9 degrees of freedom, p = 0.002833
    first = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    second = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert found.p_value == pytest.approx(0.00283289, abs=1e-7)


def test_paired_difference_without_any_spread() -> None:
    assert paired_difference([1, 1, 1], [0, 0, 0]).p_value == 2 / 2**3  # of the signs of three tasks
    assert paired_difference([1, 0, 1], [1, 0, 1]).p_value == 1.0
    assert math.isnan(paired_difference([1], [0]).p_value)
    with pytest.raises(ConfigError, match="one pair per task"):
        paired_difference([1.0], [])


# -- BCa bootstrap, signed ranks, Holm


def test_bca_of_symmetric_values_is_near_the_normal_interval_and_repeats() -> None:
    values = NormalDist(0.5, 2.0).samples(400, seed=1)
    found = bca_interval(values, seed=3)
    half = 1.96 * np.std(values) / 20
    assert found.mean == pytest.approx(np.mean(values))
    assert found.low == pytest.approx(found.mean - half, abs=0.02)
    assert found.high == pytest.approx(found.mean + half, abs=0.02)
    assert bca_interval(values[::-1], seed=3) == found


def test_bca_reaches_further_into_the_long_tail_than_percentiles() -> None:
    values = [0.0] * 20 + [0.1] * 8 + [3.0, 8.0]
    skewed, plain = bca_interval(values), bootstrap_interval(values, num_resamples=10_000)
    assert skewed.high > plain.high
    assert skewed.low > plain.low


def test_bca_covers_the_mean_of_a_skewed_distribution() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(120):
        found = bca_interval(rng.exponential(1.0, 40), num_resamples=1000, seed=seed)
        covered += found.low <= 1.0 <= found.high
    assert covered >= 103  # 92 % expected; five standard errors of a coin that falls so


def test_bca_where_there_is_nothing_to_resample() -> None:
    assert bca_interval([]).n == 0
    assert (bca_interval([2.0]).low, bca_interval([2.0]).high) == (-math.inf, math.inf)
    equal = bca_interval([0.25] * 5)
    assert (equal.mean, equal.low, equal.high) == (0.25, 0.25, 0.25)
    with pytest.raises(ConfigError, match="not finite"):
        bca_interval([1.0, math.nan])


def test_signed_ranks_have_their_exact_probabilities() -> None:
    assert wilcoxon_greater([1, 2, 3, 4, 5]) == pytest.approx(1 / 32)  # all of 2^5 signs, one as good
    assert wilcoxon_greater([-1, 2, 3, 4, 5]) == pytest.approx(2 / 32)
    assert wilcoxon_greater([-1, -2, -3]) == pytest.approx(1.0)
    assert wilcoxon_greater([0.0, 0.0]) == 1.0
    assert wilcoxon_greater([0.0, 1, 2, 3, 4, 5]) == pytest.approx(1 / 32)
    assert math.isnan(wilcoxon_greater([]))


def test_signed_ranks_of_darwins_maize() -> None:
    # heights of crossed minus self-fertilised plants, eighths of an inch; two-sided p = .0413 for R's wilcox.test, exact
    maize = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert wilcoxon_greater(maize) == pytest.approx(0.04126 / 2, abs=1e-4)


def test_holm_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    found = holm([0.02, math.nan, 0.01])
    assert found[0] == pytest.approx(0.02)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.02)
    with pytest.raises(ConfigError, match="is not a p-value"):
        holm([1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_nor_exceeds_bonferroni_nor_changes_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= min(1.0, len(p_values) * p) for p, a in zip(p_values, adjusted, strict=True))
    by_p = [adjusted[i] for i in sorted(range(len(p_values)), key=lambda i: p_values[i])]
    assert by_p == sorted(by_p)


finite = st.floats(allow_nan=False, allow_infinity=False)
huge = st.sampled_from([1e308, -1e308, 1.7976931348623157e308, 1e200, 5e-324, 0.0, 1.0]) | finite


@given(st.lists(st.lists(huge, max_size=5), max_size=5))
@example([[1e308], [1e308], [1e308, -1e308]])
@example([[1e160], [-1e160]])
def test_every_finite_number_has_a_mean_inside_its_range(clusters: list[list[float]]) -> None:
    values = [value for cluster in clusters for value in cluster]
    estimate = mean_interval(clusters)
    assert estimate.n == len(values)
    json.dumps(estimate.to_json(), allow_nan=False)
    if values:
        slack = 1e-9 * max(map(abs, values))
        for mean in (estimate.mean, mean_of(values)):
            assert min(values) - slack <= mean <= max(values) + slack
        assert estimate.low <= estimate.mean <= estimate.high


@given(st.lists(st.tuples(huge, huge), max_size=6))
def test_every_finite_pair_has_a_difference(pairs: list[tuple[float, float]]) -> None:
    found = paired_difference([a for a, _ in pairs], [b for _, b in pairs])
    json.dumps(found.to_json(), allow_nan=False)
    assert math.isnan(found.p_value) or 0 <= found.p_value <= 1


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=3), min_size=2, max_size=5))
def test_intervals_of_large_numbers_are_those_of_small_ones_scaled(clusters: list[list[float]]) -> None:
    small = mean_interval(clusters)
    large = mean_interval([[math.ldexp(value, 1000) for value in cluster] for cluster in clusters])
    ends = [math.ldexp(value, -1000) for value in (large.mean, large.low, large.high)]
    assert ends == pytest.approx([small.mean, small.low, small.high], rel=1e-9, abs=1e-12)


def test_resampled_intervals_survive_the_largest_numbers() -> None:
    values = [1.7e308, 1.6e308, 1.2e308, 1.5e308, 1.1e308]
    for interval in (bootstrap_interval, bca_interval):
        found, small = interval(values), interval([math.ldexp(value, -1000) for value in values])
        ends = [math.ldexp(value, -1000) for value in (found.mean, found.low, found.high)]
        assert ends == pytest.approx([small.mean, small.low, small.high], rel=1e-12)


@pytest.mark.parametrize("clusters", [[[math.inf], [1.0]], [[math.inf, -math.inf]], [[math.nan], [1e308]]])
def test_what_older_runs_hold_beyond_the_floats_has_no_mean(clusters: list[list[float]]) -> None:
    estimate = mean_interval(clusters)
    assert math.isnan(estimate.mean)
    assert estimate.to_json() == {"mean": None, "low": None, "high": None, "n": 2}
    assert math.isnan(mean_of([value for cluster in clusters for value in cluster]))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6))
@example([1.7e308, 1.7e308])
@example([math.inf, -math.inf])
@example([1.7e308, 1.7e308, -1.7e308])
def test_a_mean_is_that_of_exact_numbers(values: list[float]) -> None:
    if not values or not all(map(math.isfinite, values)):
        assert math.isnan(mean_of(values))
    else:
        assert mean_of(values) == pytest.approx(float(sum(map(Fraction, values)) / len(values)), rel=1e-12, abs=1e-320)


def test_where_nothing_was_measured_every_figure_is_none_and_no_other_is_told() -> None:
    none = Estimate(math.nan, math.nan, math.nan, 0)
    nothing = [rate_estimate([]), rate_estimate([[], []]), mean_interval([]), mean_interval([[]]), bootstrap_interval([])]
    nothing += [bca_interval([]), above_floor(none, 0.5), above_floor(none, 0.5, of_room=True)]
    nothing += [noise_corrected(none, (0.9, 50), (0.8, 50))]
    for found in nothing:
        assert [type(figure) for figure in (found.mean, found.low, found.high, found.n)] == [float, float, float, int]
        assert all(map(math.isnan, (found.mean, found.low, found.high)))
        assert found.n == 0
    pair = paired_rates([], [])
    assert (pair.low, pair.high, pair.n) == (-1.0, 1.0, 0)
    assert math.isnan(pair.mean)
    assert math.isnan(pair.p_value)
