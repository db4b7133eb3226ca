"""Intervals by resampling, and the signed-rank test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from palaestra.errors import ConfigError, MissingExtraError
from palaestra.results.statistics.estimates import CONFIDENCE, Estimate, check_confidence, scaled_up
from palaestra.results.statistics.scaling import exponent_of, scaled


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
    check_confidence(confidence)
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan, 0)
    data = np.sort(np.asarray(values, dtype=np.float64))
    if statistic is None and (exponent := exponent_of(values)):
        small = scaled(values, -exponent)
        found_scaled = bootstrap_interval(small, confidence=confidence, num_resamples=num_resamples, seed=seed)
        return scaled_up(found_scaled, exponent)
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
    check_confidence(confidence)
    data = _finite(values)
    if not len(data):
        return Estimate(math.nan, math.nan, math.nan, 0)
    if exponent := exponent_of(data):
        small = bca_interval(scaled(data, -exponent), confidence=confidence, num_resamples=num_resamples, seed=seed)
        return scaled_up(small, exponent)
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


__all__ = ["bca_interval", "bootstrap_interval", "wilcoxon_greater"]
