"""Intervals that might be used instead of ours, on the cells where ours hold too often or too rarely.

python -m experiments.statistics.candidates > experiments/statistics/candidates.jsonl
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from palaestra.results.statistics import mean_interval, paired_rates, rate_estimate, wilson_interval

Z = 1.959963984540054
DRAWS = 4_000
Ends = tuple[float, float]


def rates() -> Iterator[dict[str, object]]:
    """Exact: average over rates that are drawn uniformly, and the least over a grid of rates, which shows the worst."""
    methods: dict[str, Callable[[int, int], Ends]] = {
        "Wilson (ours)": lambda k, n: wilson_interval(k, n),
        **{
            name: lambda k, n, method=method: proportion_confint(k, n, method=method)
            for name, method in (("Clopper-Pearson", "beta"), ("Jeffreys", "jeffreys"), ("Agresti-Coull", "agresti_coull"))
        },
        "mid-p": mid_p,
    }
    grid = 1 / (1 + np.exp(-np.linspace(-12, 12, 24_001)))  # dense next to 0 and 1, where the worst rates lie
    for n in (1, 2, 3, 5, 10, 30, 100):
        for name, method in methods.items():
            ends = [method(k, n) for k in range(n + 1)]
            held = np.mean([np.diff(stats.beta.cdf(pair, k + 1, n - k + 1))[0] for k, pair in enumerate(ends)])
            at = sum(stats.binom.pmf(k, n, grid) * ((low <= grid) & (grid <= high)) for k, (low, high) in enumerate(ends))
            width = np.mean([high - low for low, high in ends])
            yield {"what": "rate", "cell": f"{n} tasks", "method": name, "held": held, "least": np.min(at), "width": width}


def clustered_rates() -> Iterator[dict[str, object]]:
    """Rates of tasks with several samples: rate and likeness of samples are drawn uniformly."""
    for tasks, samples in ((1, 4), (2, 4), (3, 16), (5, 4), (10, 16), (30, 4)):
        rng = np.random.default_rng(0)
        held = {"beta-binomial (ours)": 0, "Wilson of the tasks": 0, "t of the tasks": 0, "Wilson of all samples": 0}
        for _ in range(10_000):
            rate, likeness = rng.uniform(size=2)
            total = (1 - likeness) / likeness
            solved = rng.binomial(samples, rng.beta(rate * total, (1 - rate) * total, size=tasks))
            drawn = [[1.0] * k + [0.0] * (samples - k) for k in map(int, solved)]
            ours, plain = rate_estimate(drawn), mean_interval([[sum(values) / samples] for values in drawn])
            mean = solved.sum() / samples
            ends = ((ours.low, ours.high), wilson_interval(mean, tasks), (plain.low, plain.high))
            for name, (low, high) in zip(held, (*ends, wilson_interval(solved.sum(), tasks * samples)), strict=True):
                held[name] += low <= rate <= high
        for name, count in held.items():
            yield {"what": "rate", "cell": f"{tasks} x {samples}", "method": name, "held": count / 10_000}


def mid_p(k: int, n: int) -> Ends:
    """Return the rates that the two one-sided mid-p tests do not refuse."""

    def end(is_low: bool) -> float:
        if k == (0 if is_low else n):
            return 0.0 if is_low else 1.0
        low, high = 0.0, 1.0
        for _ in range(60):
            rate = (low + high) / 2
            beyond = stats.binom.sf(k, n, rate) if is_low else stats.binom.cdf(k - 1, n, rate)
            refused = beyond + stats.binom.pmf(k, n, rate) / 2 < 0.025
            low, high = (rate, high) if refused == is_low else (low, rate)
        return (low + high) / 2

    return end(True), end(False)


def tango(only_first: int, only_second: int, n: int) -> Ends:
    """Return the score interval of a paired difference.

    Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17.
    """

    def score(d: float) -> float:
        b = -only_first - only_second + (2 * n - only_first + only_second) * d
        rate = (math.sqrt(max(0.0, b * b + 8 * n * only_second * d * (1 - d))) - b) / (4 * n)
        spread, excess = n * (2 * rate + d * (1 - d)), only_first - only_second - n * d
        return excess / math.sqrt(spread) if spread > 0 else math.copysign(math.inf, excess) if excess else 0.0

    def solve(low: float, high: float, at: float) -> float:
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > at else (low, middle)
        return (low + high) / 2

    mean = (only_first - only_second) / n
    return solve(-1.0, mean, Z), solve(mean, 1.0, -Z)


def adjusted(only_first: int, only_second: int, n: int, added: float, more: float) -> Ends:
    """Wald's interval of a paired difference with something added to each flip, and to the tasks."""
    first, second, total = only_first + added, only_second + added, n + more
    gap = (first - second) / total
    reach = Z * math.sqrt(((first + second) / total - gap**2) / total)
    return max(-1.0, gap - reach), min(1.0, gap + reach)


def differences() -> Iterator[dict[str, object]]:
    """Average over agents whose four cells are drawn from a flat Dirichlet distribution: each outcome is equally frequent."""
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 10, 20, 30):
        outcomes = [(a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
        if len(outcomes) > 1_000:
            outcomes = [outcomes[i] for i in rng.choice(len(outcomes), 1_000, replace=False)]
        held: dict[str, list[float]] = {name: [] for name in ("Newcombe (ours)", "Tango", "Agresti & Min", "Bonett & Price")}
        width: dict[str, list[float]] = {name: [] for name in held}
        for both, first, second, neither in outcomes:
            true = rng.dirichlet(np.array([both, first, second, neither]) + 1.0, size=DRAWS)
            one = [[1.0]] * (both + first) + [[0.0]] * (second + neither)
            other = [[1.0]] * both + [[0.0]] * first + [[1.0]] * second + [[0.0]] * neither
            ours = paired_rates(one, other)
            ends = (
                (ours.low, ours.high),
                tango(first, second, n),
                adjusted(first, second, n, 0.5, 2),  # half a task in each of four cells
                adjusted(first, second, n, 1, 2),
            )
            for name, (low, high) in zip(held, ends, strict=True):
                gap = true[:, 1] - true[:, 2]
                held[name].append(float(np.mean((gap >= low - 1e-9) & (gap <= high + 1e-9))))
                width[name].append(high - low)
        for name in held:
            row = {"held": np.mean(held[name]), "width": np.mean(width[name])}
            yield {"what": "paired difference", "cell": f"{n} tasks", "method": name, **row}


def means() -> Iterator[dict[str, object]]:
    """Means of normal values in clusters of unequal sizes: of all values, and of the means of the clusters."""
    for sizes in ((1, 2, 3, 4), (1, 1, 1, 9), (1,) * 9 + (30,)):
        rng = np.random.default_rng(0)
        held = {"mean of all, CR2 (ours)": 0, "mean of clusters (ours, in summaries)": 0, "mean of all, t of clusters": 0}
        for _ in range(10_000):
            drawn = [(rng.normal() * 0.5 + rng.normal(size=size)).tolist() for size in sizes]
            totals = np.array([sum(values) for values in drawn])
            mean = totals.sum() / sum(sizes)
            plain = np.sqrt(((totals - mean * np.array(sizes)) ** 2).sum() * len(sizes) / (len(sizes) - 1)) / sum(sizes)
            half = stats.t.ppf(0.975, len(sizes) - 1) * plain
            ours, by_cluster = mean_interval(drawn), mean_interval(drawn, by_cluster=True)
            ends = ((ours.low, ours.high), (by_cluster.low, by_cluster.high), (mean - half, mean + half))
            for name, (low, high) in zip(held, ends, strict=True):
                held[name] += low <= 0 <= high
        cell = f"clusters of {' '.join(map(str, sizes))}"
        for name, count in held.items():
            yield {"what": "mean", "cell": cell, "method": name, "held": count / 10_000}


def main() -> None:
    """Print all rows."""
    for rows in (rates, clustered_rates, differences, means):
        for row in rows():
            print(json.dumps({key: round(float(v), 4) if not isinstance(v, str) else v for key, v in row.items()}), flush=True)


if __name__ == "__main__":
    main()
