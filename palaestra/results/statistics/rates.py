"""Rates: shares of solved tasks, and the chance that one or all of k samples are solved."""

from __future__ import annotations

import math
from collections.abc import Sequence

from palaestra.errors import ConfigError
from palaestra.results.statistics.clustered import beta_binomial_interval
from palaestra.results.statistics.distributions import normal_quantile, student_t_quantile
from palaestra.results.statistics.estimates import CONFIDENCE, Estimate, check_confidence, cluster_sums, cluster_variance


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
    check_confidence(confidence)
    if not 0 <= successes <= n:
        raise ConfigError(f"{successes} successes of {n} trials are impossible; expected 0 <= successes <= n.")
    if n == 0:
        return 0.0, 1.0
    z = normal_quantile(0.5 + confidence / 2)
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
    """Rate of successes over clusters of 0/1 outcomes: Wilson's interval, wider where samples share a task.

    With one sample per task it is Wilson's interval. With several, it is that of the mean rate of tasks whose own rates differ
    by an unknown amount (`beta_binomial_interval`), with the rate itself inside. Where tasks of different sizes weigh by their
    size, or outcomes lie between 0 and 1, it is Wilson's interval with the effective number of trials: of independent
    trials with the variance of the cluster-robust estimate, at least the number of clusters, at most that of samples.

    Args:
        clusters: Outcomes (0 or 1) by task; empty clusters are ignored.
        confidence: Coverage.
        by_cluster: Give every cluster the same weight, whatever its size: the mean of the rates of the clusters.

    Source: design effect, Kish 1965, "Survey Sampling", section 8.2; effective size in a Wilson interval: Franco et al.
    2019, "Comparative study of confidence intervals for proportions in complex sample surveys", J. Surv. Stat. Methodol. 7;
    its degrees of freedom: Korn & Graubard 1998, "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data", Survey Methodology 24.
    """
    check_confidence(confidence)
    sizes, totals = cluster_sums(clusters, by_cluster)
    n = sum(map(len, clusters))
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    rate = math.fsum(totals) / n
    if n == len(sizes):
        low, high = wilson_interval(min(math.fsum(totals), n), n, confidence)
    elif len(set(sizes)) == 1 and all(value in (0, 1) for cluster in clusters for value in cluster):
        filled = [cluster for cluster in clusters if len(cluster)]
        solved = [round(math.fsum(cluster)) for cluster in filled]
        low, high = beta_binomial_interval([len(cluster) for cluster in filled], solved, confidence)
        low, high = min(low, rate), max(high, rate)
    else:
        effective = _effective_size(sizes, totals, rate, n, confidence)
        low, high = wilson_interval(min(rate * effective, effective), effective, confidence)
    return Estimate(rate, low, high, n)


def _effective_size(sizes: Sequence[float], totals: Sequence[float], rate: float, n: int, confidence: float) -> float:
    """Return the number of independent trials that say as much about a rate as clusters do."""
    spread = rate * (1 - rate)
    if len(sizes) < 2 or not spread > 0:
        return float(len(sizes))
    variance = cluster_variance(sizes, totals, rate)
    upper = 0.5 + confidence / 2
    few = (normal_quantile(upper) / student_t_quantile(upper, len(sizes) - 1)) ** 2
    effective = spread / variance * few if variance > 0 else n
    return float(min(max(effective, len(sizes)), n))


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


__all__ = ["pass_at_k", "pass_hat_k", "rate_estimate", "wilson_interval"]
