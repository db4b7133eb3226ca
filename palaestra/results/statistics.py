"""Intervals for what evaluations measure: rates, means, and differences between two agents on the same tasks.

Samples of one task are not independent of each other. Every interval therefore takes clusters (the samples of a task)
and widens accordingly; with one sample per task it is the textbook interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from palaestra.errors import ConfigError, MissingExtraError
from palaestra.types import Json

CONFIDENCE = 0.95

_LARGE_EXPONENT = 400
"""Values from 2**400 on are brought down before they are added or squared: a float ends at 2**1024."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: The mean; NaN if nothing was observed.
        low: Lower end.
        high: Upper end.
        n: Observations behind it.
    """

    mean: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number."""
        numbers = {"mean": self.mean, "low": self.low, "high": self.high}
        return {**{key: value if math.isfinite(value) else None for key, value in numbers.items()}, "n": self.n}


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much better the first of two agents did on the same tasks.

    Attributes:
        mean: Mean of the differences, first minus second.
        low: Lower end of its interval.
        high: Upper end.
        n: Pairs.
        p_value: Two-sided p-value of "no difference" (paired t-test).
    """

    mean: float
    low: float
    high: float
    n: int
    p_value: float

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number."""
        numbers = {"mean": self.mean, "low": self.low, "high": self.high, "p_value": self.p_value}
        return {**{key: value if math.isfinite(value) else None for key, value in numbers.items()}, "n": self.n}


def wilson_interval(successes: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a rate; stays inside 0..1 and is honest at 0 and 1.

    Args:
        successes: Number of successes, 0..n; need not be whole (effective sizes).
        n: Number of trials; 0 gives (0, 1), since nothing is known.
        confidence: Coverage, e.g. 0.95.

    Raises:
        ConfigError: If the numbers are impossible.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.
    """
    _check_confidence(confidence)
    if not 0 <= successes <= n:
        raise ConfigError(f"{successes} successes of {n} trials are impossible; expected 0 <= successes <= n.")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate, weight = successes / n, z * z / n
    middle = (rate + weight / 2) / (1 + weight)
    half = z * math.sqrt(rate * (1 - rate) / n + weight / (4 * n)) / (1 + weight)
    # the ends are exactly 0 and 1 there; keep rounding from moving them
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return low, high


def rate_estimate(
    clusters: Sequence[Sequence[float]], confidence: float = CONFIDENCE, *, by_cluster: bool = False
) -> Estimate:
    """Rate of successes over clusters of 0/1 outcomes, with a Wilson interval.

    With several samples per task the number of trials is replaced by the effective one: the number of independent
    trials that would have the same variance as the cluster-robust estimate, at least the number of clusters, at most
    the number of samples. At a rate of exactly 0 or 1 the variance says nothing, and the number of clusters is taken.

    Args:
        clusters: Outcomes (0 or 1) by task; empty clusters are ignored.
        confidence: Coverage.
        by_cluster: Give every cluster the same weight, whatever its size: the mean of the rates of the clusters.

    Source: design effect, Kish 1965, "Survey Sampling", section 8.2; effective size in a Wilson interval: Franco et al.
    2019, "Comparative study of confidence intervals for proportions in complex sample surveys", J. Surv. Stat. Methodol. 7.
    """
    sizes, totals = _cluster_sums(clusters, by_cluster)
    n = sum(map(len, clusters))
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    rate = math.fsum(totals) / n
    effective = float(n)
    if n > len(sizes):
        variance = _cluster_variance(sizes, totals, rate)
        spread = rate * (1 - rate)
        effective = spread / variance if spread > 0 and variance > 0 else (len(sizes) if spread == 0 else n)
        effective = min(max(effective, len(sizes)), n)
    low, high = wilson_interval(min(rate * effective, effective), effective, confidence)
    return Estimate(rate, low, high, n)


def mean_interval(
    clusters: Sequence[Sequence[float]], confidence: float = CONFIDENCE, *, by_cluster: bool = False
) -> Estimate:
    """Mean of all values, with Student's t interval over clusters.

    Args:
        clusters: Values by task; one value per cluster gives the textbook interval. Empty clusters are ignored.
        confidence: Coverage.
        by_cluster: Give every cluster the same weight, whatever its size: the mean of the means of the clusters.

    Returns:
        The mean; infinite ends if there are fewer than two clusters, since their spread is not known then, and where an
        end is beyond the largest float. NaN if a value is not finite.
    """
    if exponent := _exponent(value for cluster in clusters for value in cluster):
        scaled_down = [_scaled(cluster, -exponent) for cluster in clusters]
        return _scaled_up(mean_interval(scaled_down, confidence, by_cluster=by_cluster), exponent)
    sizes, totals = _cluster_sums(clusters, by_cluster)
    n = sum(map(len, clusters))
    if n == 0 or not all(map(math.isfinite, totals)):
        return Estimate(math.nan, math.nan, math.nan, n)
    mean = math.fsum(totals) / n
    if len(sizes) < 2:
        return Estimate(mean, -math.inf, math.inf, n)
    half = student_t_quantile(0.5 + confidence / 2, len(sizes) - 1) * math.sqrt(_cluster_variance(sizes, totals, mean))
    return Estimate(mean, mean - half, mean + half, n)


def pass_at_k(scored: int, solved: int, k: int) -> float:
    """Unbiased estimate of the chance that at least one of k samples of a task is solved.

    Args:
        scored: Samples of the task that were scored, at least k.
        solved: Those of them that were solved.
        k: Samples drawn.

    Raises:
        ConfigError: If the numbers are impossible.

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1.
    """
    _check_samples(scored, solved, k)
    return 1.0 - math.comb(scored - solved, k) / math.comb(scored, k)


def pass_hat_k(scored: int, solved: int, k: int) -> float:
    """Unbiased estimate of the chance that all of k samples of a task are solved (pass^k).

    Args:
        scored: Samples of the task that were scored, at least k.
        solved: Those of them that were solved.
        k: Samples drawn.

    Raises:
        ConfigError: If the numbers are impossible.

    Source: Yao et al. 2024, "tau-bench: A Benchmark for Tool-Agent-User Interaction in Real-World Domains", section 4.
    """
    _check_samples(scored, solved, k)
    return math.comb(solved, k) / math.comb(scored, k)


def _check_samples(scored: int, solved: int, k: int) -> None:
    """Refuse what cannot be."""
    if not (0 <= solved <= scored and 1 <= k <= scored):
        raise ConfigError(
            f"{solved} solved of {scored} scored samples, k = {k}; expected 0 <= solved <= scored, 1 <= k <= scored."
        )


def share_interval(
    clusters: Sequence[Sequence[float]], confidence: float = CONFIDENCE, *, by_cluster: bool = False
) -> Estimate:
    """Mean of values from 0 to 1, with the part of its t interval that lies between 0 and 1.

    The mean of such values lies between 0 and 1, so the part outside cannot hold it: leaving that out keeps the coverage.

    Args:
        clusters: Values by task, as in `mean_interval`. Where one of them is not a share, nothing is left out.
        confidence: Coverage.
        by_cluster: Give every cluster the same weight, whatever its size.

    Returns:
        As `mean_interval`; infinite ends, where the spread is not known, stay infinite.

    Source: Mandelkern 2002, "Setting confidence intervals for bounded parameters", Statistical Science 17.
    """
    found = mean_interval(clusters, confidence, by_cluster=by_cluster)
    if not (math.isfinite(found.low) and all(0 <= value <= 1 for cluster in clusters for value in cluster)):
        return found
    return Estimate(found.mean, max(0.0, found.low), min(1.0, found.high), found.n)


def bootstrap_interval(
    values: Sequence[float],
    statistic: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    confidence: float = CONFIDENCE,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap interval of any statistic.

    Args:
        values: Independent observations (for several samples per task: the means of the tasks).
        statistic: Maps an array of shape (num_resamples, n) to one number per row; the mean by default.
        confidence: Coverage.
        num_resamples: Resamples drawn.
        seed: Seed of the draw: the same values in any order and the same seed give the same interval.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7.
    """
    _check_confidence(confidence)
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan, 0)
    data = np.sort(np.asarray(values, dtype=np.float64))
    if statistic is None and (exponent := _exponent(values)):
        scaled = _scaled(values, -exponent)
        found_scaled = bootstrap_interval(scaled, confidence=confidence, num_resamples=num_resamples, seed=seed)
        return _scaled_up(found_scaled, exponent)
    apply = statistic or (lambda rows: rows.mean(axis=1))
    rng = np.random.default_rng(seed)
    block = max(1, 4_000_000 // len(data))  # at most 32 MB of resamples at once
    found: list[np.ndarray] = []
    for start in range(0, num_resamples, block):
        picks = rng.integers(len(data), size=(min(block, num_resamples - start), len(data)))
        found.append(np.asarray(apply(data[picks])))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return Estimate(float(np.asarray(apply(data[None, :]))[0]), float(low), float(high), len(data))


def bca_interval(
    values: Sequence[float], *, confidence: float = CONFIDENCE, num_resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Mean with its bias-corrected and accelerated bootstrap interval: nearer to its coverage where values are skewed.

    Args:
        values: Independent observations, e.g. one difference per seed. With fewer than about ten the interval is too narrow.
        confidence: Coverage.
        num_resamples: Resamples drawn.
        seed: Seed of the draw: the same values in any order and the same seed give the same interval.

    Returns:
        The mean; infinite ends for fewer than two values, both ends at the mean if all are equal.

    Raises:
        ConfigError: If a value is not finite.
        MissingExtraError: If scipy is not installed.

    Source: Efron 1987, "Better bootstrap confidence intervals", JASA 82.
    """
    _check_confidence(confidence)
    data = _finite(values)
    if not len(data):
        return Estimate(math.nan, math.nan, math.nan, 0)
    if exponent := _exponent(data):
        scaled = bca_interval(_scaled(data, -exponent), confidence=confidence, num_resamples=num_resamples, seed=seed)
        return _scaled_up(scaled, exponent)
    mean = math.fsum(data) / len(data)
    if len(data) < 2:
        return Estimate(mean, -math.inf, math.inf, len(data))
    if data[0] == data[-1]:
        return Estimate(mean, mean, mean, len(data))
    found = _scipy_stats("BCa intervals").bootstrap(
        (data,),
        np.mean,
        method="BCa",
        confidence_level=confidence,
        n_resamples=num_resamples,
        rng=np.random.default_rng(seed),
    )
    return Estimate(mean, float(found.confidence_interval.low), float(found.confidence_interval.high), len(data))


def wilcoxon_greater(differences: Sequence[float]) -> float:
    """One-sided p-value of "the differences are not above 0" (signed ranks): small where they clearly are.

    Args:
        differences: Paired differences; zeros say nothing and are left out. Exact for up to 50 of them without ties.

    Returns:
        In (0, 1]; 1 if all are 0, NaN if there are none.

    Raises:
        ConfigError: If a value is not finite.
        MissingExtraError: If scipy is not installed.

    Source: Wilcoxon 1945, "Individual comparisons by ranking methods", Biometrics Bulletin 1.
    """
    data = _finite(differences)
    if not len(data):
        return math.nan
    data = data[data != 0]
    if not len(data):
        return 1.0
    return float(_scipy_stats("The signed-rank test").wilcoxon(data, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of several tests so that the chance of any false alarm stays below the level each is compared with.

    Args:
        p_values: One per test; NaN (a test that could not be made) stays NaN and counts as no test.

    Returns:
        Adjusted p-values in the same order, at most 1.

    Raises:
        ConfigError: If a value is not a probability.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    for value in p_values:
        if not (math.isnan(value) or 0 <= value <= 1):
            raise ConfigError(f"{value} is not a p-value; expected a number from 0 to 1.")
    order = sorted((i for i, value in enumerate(p_values) if not math.isnan(value)), key=lambda i: p_values[i])
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def paired_difference(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> PairedDifference:
    """Compare two agents on the same tasks: far sharper than comparing two intervals.

    Args:
        first: One value per task (for several samples: their mean).
        second: Values of the other agent on the same tasks, in the same order.
        confidence: Coverage of the interval.

    Raises:
        ConfigError: If the lengths differ.

    Source: Student 1908, "The probable error of a mean", Biometrika 6.
    """
    if len(first) != len(second):
        raise ConfigError(f"Got {len(first)} values and {len(second)}; expected one pair per task.")
    if exponent := _exponent((*first, *second)):
        scaled = paired_difference(_scaled(first, -exponent), _scaled(second, -exponent), confidence)
        mean, low, high = (_ldexp(value, exponent) for value in (scaled.mean, scaled.low, scaled.high))
        return PairedDifference(mean, low, high, scaled.n, scaled.p_value)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    estimate = mean_interval([[difference] for difference in differences], confidence)
    if estimate.n < 2 or math.isnan(estimate.mean):
        return PairedDifference(estimate.mean, estimate.low, estimate.high, estimate.n, math.nan)
    quantile = student_t_quantile(0.5 + confidence / 2, estimate.n - 1)
    error = (estimate.high - estimate.mean) / quantile
    if error == 0:
        p_value = 1.0 if estimate.mean == 0 else 0.0
    else:
        p_value = 2 * (1 - student_t_cdf(abs(estimate.mean) / error, estimate.n - 1))
    return PairedDifference(estimate.mean, estimate.low, estimate.high, estimate.n, p_value)


def student_t_cdf(t: float, df: int) -> float:
    """Probability that Student's t with `df` degrees of freedom is at most `t`.

    Args:
        t: Any real number.
        df: Degrees of freedom, at least 1; exact series up to 1000, the normal distribution with a correction of order
            1/df above (absolute error below 1e-7).

    Source: Abramowitz & Stegun 1964, formulas 26.7.3, 26.7.4 and 26.7.8.
    """
    if df < 1:
        raise ConfigError(f"df is {df}; expected at least 1.")
    if df > 1000:
        return NormalDist().cdf(t * (1 - 1 / (4 * df)) / math.sqrt(1 + t * t / (2 * df)))
    theta = math.atan(t / math.sqrt(df))
    cos_squared = math.cos(theta) ** 2
    # even df: sin * (1 + 1/2 c^2 + 1*3/(2*4) c^4 ...); odd df: cos * (1 + 2/3 c^2 + 2*4/(3*5) c^4 ...) * sin + theta
    first = df % 2
    term, total = 1.0, 1.0 if df > 1 else 0.0
    for k in range(2 + first, df - 1, 2):
        term *= (k - 1) / k * cos_squared
        total += term
    inner = math.sin(theta) * total
    return 0.5 + (2 / math.pi * (theta + inner * math.cos(theta)) if first else inner) / 2


def student_t_quantile(probability: float, df: int) -> float:
    """Value that Student's t with `df` degrees of freedom stays below with this probability.

    Args:
        probability: Between 0 and 1, both excluded.
        df: Degrees of freedom, at least 1.
    """
    if not 0 < probability < 1:
        raise ConfigError(f"probability is {probability}; expected a number between 0 and 1.")
    if probability < 0.5:
        return -student_t_quantile(1 - probability, df)
    low, high = 0.0, 1.0
    while student_t_cdf(high, df) < probability:
        low, high = high, high * 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if student_t_cdf(middle, df) < probability:
            low = middle
        else:
            high = middle
    return high if probability > 0.5 else 0.0


def _check_confidence(confidence: float) -> None:
    """Refuse a coverage that is none."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence}; expected a number between 0 and 1, e.g. 0.95.")


def _finite(values: Sequence[float]) -> np.ndarray:
    """Return the values in rising order, so that their order cannot matter."""
    data = np.sort(np.asarray(values, dtype=np.float64))
    if not np.isfinite(data).all():
        raise ConfigError("A value is not finite; leave out what was not measured, and say so.")
    return data


def _scipy_stats(feature: str) -> Any:
    """Return scipy's statistics, which only these functions need."""
    try:
        from scipy import stats
    except ImportError as error:
        raise MissingExtraError(feature, "train") from error
    return stats


def mean_of(values: Sequence[float]) -> float:
    """Mean of numbers that may be as large as floats are; NaN without any, or if one is not finite.

    Args:
        values: The numbers; their order does not matter.
    """
    if not len(values) or not all(map(math.isfinite, values)):
        return math.nan
    exponent = _exponent(values)
    return math.ldexp(math.fsum(_scaled(values, -exponent) if exponent else values) / len(values), exponent)


def _exponent(values: Iterable[float]) -> int:
    """Return the power of two that brings the largest value below 1; 0 where all values are of ordinary size."""
    exponent = math.frexp(max((abs(value) for value in values if math.isfinite(value)), default=0.0))[1]
    return exponent if exponent > _LARGE_EXPONENT else 0


def _scaled(values: Iterable[float], exponent: int) -> list[float]:
    """Return values times a power of two."""
    return [math.ldexp(value, exponent) for value in values]


def _scaled_up(estimate: Estimate, exponent: int) -> Estimate:
    """Return an estimate times a power of two."""
    mean, low, high = (_ldexp(value, exponent) for value in (estimate.mean, estimate.low, estimate.high))
    return Estimate(mean, low, high, estimate.n)


def _ldexp(value: float, exponent: int) -> float:
    """Return a value times a power of two; infinite where that is beyond the largest float."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def _cluster_sums(clusters: Sequence[Sequence[float]], by_cluster: bool = False) -> tuple[Sequence[float], list[float]]:
    """Return size and sum of each cluster that is not empty, all of one size if each is to weigh the same."""
    filled = [cluster for cluster in clusters if len(cluster)]
    sizes = [len(cluster) for cluster in filled]
    totals = [_sum(cluster) for cluster in filled]
    if by_cluster and len(set(sizes)) > 1:
        even = sum(sizes) / len(sizes)
        return [even] * len(sizes), [total / size * even for size, total in zip(sizes, totals, strict=True)]
    return sizes, totals


def _sum(values: Sequence[float]) -> float:
    """Return the exact sum; NaN where infinities of both signs meet."""
    try:
        return math.fsum(values)
    except ValueError:
        return math.nan


def _cluster_variance(sizes: Sequence[float], totals: Sequence[float], mean: float) -> float:
    """Variance of the overall mean, robust against dependence within clusters; NaN for a single cluster."""
    count = len(sizes)
    if count < 2:
        return math.nan
    residuals = math.fsum((total - mean * size) ** 2 for size, total in zip(sizes, totals, strict=True))
    return residuals * count / (count - 1) / sum(sizes) ** 2


__all__ = [
    "CONFIDENCE",
    "Estimate",
    "PairedDifference",
    "bca_interval",
    "bootstrap_interval",
    "holm",
    "mean_interval",
    "mean_of",
    "paired_difference",
    "pass_at_k",
    "pass_hat_k",
    "rate_estimate",
    "share_interval",
    "student_t_cdf",
    "student_t_quantile",
    "wilcoxon_greater",
    "wilson_interval",
]
