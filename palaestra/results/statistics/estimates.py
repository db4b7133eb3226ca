"""Intervals of means.

Samples of one task are not independent of each other. Every interval therefore takes clusters (the samples of a task)
and widens accordingly; with one sample per task it is the textbook interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from palaestra.errors import ConfigError
from palaestra.results.statistics.distributions import student_t_quantile
from palaestra.results.statistics.scaling import exponent_of, scaled, sum_of, times_power
from palaestra.types import Json
from palaestra.types.plain_json import finite

CONFIDENCE = 0.95


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
        return {**finite(numbers), "n": self.n}


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

    Source: clusters of different sizes have the corrected variance (CR2) and degrees of freedom of Bell & McCaffrey 2002,
    "Bias reduction in standard errors for linear regression with multi-stage samples", Survey Methodology 28, which for a mean
    have closed forms; with clusters of one size it is Student's interval of their means.
    """
    if exponent := exponent_of(chain.from_iterable(clusters)):
        scaled_down = [scaled(cluster, -exponent) for cluster in clusters]
        return scaled_up(mean_interval(scaled_down, confidence, by_cluster=by_cluster), exponent)
    sizes, totals = cluster_sums(clusters, by_cluster)
    n = sum(map(len, clusters))
    if n == 0 or not all(map(math.isfinite, totals)):
        return Estimate(math.nan, math.nan, math.nan, n)
    mean = math.fsum(totals) / n
    if len(sizes) < 2:
        return Estimate(mean, -math.inf, math.inf, n)
    freedom = cluster_freedom(sizes)
    half = student_t_quantile(0.5 + confidence / 2, freedom) * math.sqrt(cluster_variance(sizes, totals, mean))
    return Estimate(mean, mean - half, mean + half, n)


def share_interval(
    clusters: Sequence[Sequence[float]],
    confidence: float = CONFIDENCE,
    *,
    by_cluster: bool = False,
    widens_equal: bool = True,
) -> Estimate:
    """Mean of values from 0 to 1, with the part of its t interval that lies between 0 and 1.

    The mean of such values lies between 0 and 1, so the part outside cannot hold it: leaving that out keeps the coverage.
    Where the means of all clusters are equal, their spread says nothing. Then the ends are those at which the share of
    clusters with another mean may be so large that none is seen: of 20 clusters that are all 1, 86 % to 100 %.

    Args:
        clusters: Values by task, as in `mean_interval`. Where one of them is not a share, it is `mean_interval`.
        confidence: Coverage.
        by_cluster: Give every cluster the same weight, whatever its size.
        widens_equal: Whether clusters that are all equal have an interval. Off for values that are means over many
            episodes already, e.g. one per seed.

    Returns:
        As `mean_interval`; infinite ends, where the spread is not known, stay infinite.

    Source: Mandelkern 2002, "Setting confidence intervals for bounded parameters", Statistical Science 17; for equal
    values Hanley & Lippman-Hand 1983, "If nothing goes wrong, is everything all right?", JAMA 249.
    """
    found = mean_interval(clusters, confidence, by_cluster=by_cluster)
    if not (math.isfinite(found.low) and all(0 <= value <= 1 for cluster in clusters for value in cluster)):
        return found
    means = [math.fsum(cluster) / len(cluster) for cluster in clusters if len(cluster)]
    if widens_equal and max(means) - min(means) < 1e-12:
        unseen = 1 - (1 - confidence) ** (1 / len(means))
        mean = min(1.0, max(0.0, found.mean))
        return Estimate(found.mean, mean * (1 - unseen), mean + (1 - mean) * unseen, found.n)
    return Estimate(found.mean, max(0.0, found.low), min(1.0, found.high), found.n)


def check_confidence(confidence: float) -> None:
    """Refuse a coverage that is none."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence}; expected a number between 0 and 1, e.g. 0.95.")


def cluster_sums(clusters: Sequence[Sequence[float]], by_cluster: bool = False) -> tuple[Sequence[float], list[float]]:
    """Return size and sum of each cluster that is not empty, all of one size if each is to weigh the same."""
    filled = [cluster for cluster in clusters if len(cluster)]
    sizes = list(map(len, filled))
    if len(sizes) == sum(sizes):
        return sizes, [cluster[0] for cluster in filled]
    totals = [sum_of(cluster) for cluster in filled]
    if by_cluster and len(set(sizes)) > 1:
        even = sum(sizes) / len(sizes)
        return [even] * len(sizes), [total / size * even for size, total in zip(sizes, totals, strict=True)]
    return sizes, totals


def cluster_variance(sizes: Sequence[float], totals: Sequence[float], mean: float) -> float:
    """Variance of the overall mean, robust against dependence within clusters (CR2); NaN for a single cluster."""
    if len(sizes) < 2:
        return math.nan
    whole = math.fsum(sizes)
    if len(set(sizes)) == 1:
        expected, left = mean * sizes[0], 1 - sizes[0] / whole
        return math.fsum([(total - expected) ** 2 for total in totals]) / left / whole**2
    residuals = math.fsum((total - mean * size) ** 2 / (1 - size / whole) for size, total in zip(sizes, totals, strict=True))
    return residuals / whole**2


def cluster_freedom(sizes: Sequence[float]) -> float:
    """Degrees of freedom of `cluster_variance`: one less than there are clusters if all have one size, else fewer.

    Source: Bell & McCaffrey 2002, section 4, for a mean: 1 / (sum h^2 + (sum a)^2 - sum a^2) with the shares h of the clusters
    and a = h^2 / (1 - h).
    """
    if len(set(sizes)) == 1:
        return len(sizes) - 1
    whole = math.fsum(sizes)
    shares = [size / whole for size in sizes]
    pulls = [share**2 / (1 - share) for share in shares]
    inverse = math.fsum(share**2 for share in shares) + math.fsum(pulls) ** 2 - math.fsum(pull**2 for pull in pulls)
    return max(1.0, 1 / inverse)


def scaled_up(estimate: Estimate, exponent: int) -> Estimate:
    """Return an estimate times a power of two."""
    mean, low, high = (times_power(value, exponent) for value in (estimate.mean, estimate.low, estimate.high))
    return Estimate(mean, low, high, estimate.n)


__all__ = [
    "CONFIDENCE",
    "Estimate",
    "check_confidence",
    "cluster_freedom",
    "cluster_sums",
    "cluster_variance",
    "mean_interval",
    "scaled_up",
    "share_interval",
]
