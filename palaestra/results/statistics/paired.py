"""Two agents on the same tasks: differences, the tasks that flip, tests, and corrections for many tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm

import numpy as np

from palaestra.errors import ConfigError
from palaestra.results.statistics.distributions import binomial_cdf, student_t_quantile, student_t_tails
from palaestra.results.statistics.estimates import CONFIDENCE, Estimate, check_confidence, mean_interval
from palaestra.results.statistics.rates import rate_estimate
from palaestra.results.statistics.scaling import exponent_of, scaled, times_power
from palaestra.types import Json
from palaestra.types.plain_json import finite

_WIDEST = 1 << 20


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much better the first of two agents did on the same tasks.

    Attributes:
        mean: Mean of the differences, first minus second.
        low: Lower end of its interval.
        high: Upper end.
        n: Pairs.
        p_value: Two-sided p-value of "no difference": of the paired t-test, or of `sign_flips` where it says so.
    """

    mean: float
    low: float
    high: float
    n: int
    p_value: float

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number."""
        numbers = {"mean": self.mean, "low": self.low, "high": self.high, "p_value": self.p_value}
        return {**finite(numbers), "n": self.n}


def paired_difference(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> PairedDifference:
    """Compare two agents on the same tasks: far sharper than comparing two intervals.

    Args:
        first: One value per task (for several samples: their mean).
        second: Values of the other agent on the same tasks, in the same order.
        confidence: Coverage of the interval.

    Returns:
        The mean difference with Student's t interval, and the p-value of the paired t-test. Where all differences are equal
        their spread is not known: the interval is the difference itself, and the p-value that of `sign_flips`.

    Raises:
        ConfigError: If the lengths differ.

    Source: Student 1908, "The probable error of a mean", Biometrika 6.
    """
    if len(first) != len(second):
        raise ConfigError(f"Got {len(first)} values and {len(second)}; expected one pair per task.")
    if exponent := exponent_of((*first, *second)):
        small = paired_difference(scaled(first, -exponent), scaled(second, -exponent), confidence)
        mean, low, high = (times_power(value, exponent) for value in (small.mean, small.low, small.high))
        return PairedDifference(mean, low, high, small.n, small.p_value)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    estimate = mean_interval([[difference] for difference in differences], confidence)
    if estimate.n < 2 or math.isnan(estimate.mean):
        return PairedDifference(estimate.mean, estimate.low, estimate.high, estimate.n, math.nan)
    quantile = student_t_quantile(0.5 + confidence / 2, estimate.n - 1)
    error = (estimate.high - estimate.mean) / quantile
    if error == 0:
        p_value = 1.0 if estimate.mean == 0 else math.ldexp(1.0, 1 - estimate.n)
    else:
        p_value = student_t_tails(estimate.mean / error, estimate.n - 1)
    return PairedDifference(estimate.mean, estimate.low, estimate.high, estimate.n, p_value)


def paired_rates(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], confidence: float = CONFIDENCE
) -> PairedDifference:
    """Compare the shares of solved tasks of two agents on the same tasks, with any number of samples of each.

    The interval joins those of both rates (`rate_estimate`) and the correlation of the tasks' rates; it stays between -1 and 1
    and has a width where no task differs. The correlation of few tasks is taken closer to 0: n tasks shrink it by
    (n - 1) / (n + 1); with one sample each it has Newcombe's own correction. Of two tasks it holds 0 as long as the p-value
    does not exclude it: where both favour one agent Newcombe's does not, and held 82 % of the differences behind such data.

    Args:
        first: Outcomes (0 or 1) of one agent by task, at least one each.
        second: Outcomes of the other on the same tasks, in the same order.
        confidence: Coverage of the interval.

    Returns:
        The difference, every task of the same weight; p-value of `sign_flips`, which is McNemar's with one sample each. NaN
        and the ends -1 and 1 without tasks.

    Raises:
        ConfigError: If the lengths differ, or a task has no outcome.

    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", Statistics in Medicine 17, method 10; for any two intervals: Zou & Donner 2008, "Construction of confidence
    limits about effect measures: a general approach", Statistics in Medicine 27.
    """
    check_confidence(confidence)
    if len(first) != len(second) or not all(map(len, (*first, *second))):
        raise ConfigError(f"Got outcomes of {len(first)} tasks and {len(second)}; expected the same, each with an outcome.")
    if not first:
        return PairedDifference(math.nan, -1.0, 1.0, 0, math.nan)
    one, other = (rate_estimate(outcomes, confidence, by_cluster=True) for outcomes in (first, second))
    means = [np.array([math.fsum(values) / len(values) for values in outcomes]) for outcomes in (first, second)]
    low, high = difference_ends(one, other, _correlation(*means, one_each=max(map(len, (*first, *second))) == 1))
    p_value, _ = sign_flips(means[0] - means[1], lcm(*{len(values) for values in (*first, *second)}))
    if len(first) == 2 and p_value > 1 - confidence:
        low, high = min(low, 0.0), max(high, 0.0)
    return PairedDifference(one.mean - other.mean, max(-1.0, low), min(1.0, high), len(first), p_value)


def difference_ends(first: Estimate, second: Estimate, correlation: float = 0.0) -> tuple[float, float]:
    """Return the ends of the interval of a difference from the intervals of both parts.

    Args:
        first: What is subtracted from.
        second: What is subtracted.
        correlation: Of the two estimates.

    Source: Zou & Donner 2008, as in `paired_rates`; with correlation 0 and Wilson's intervals it is method 10 of Newcombe
    1998, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17.
    """
    difference = first.mean - second.mean

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))

    low = difference - reach(first.mean - first.low, second.high - second.mean)
    return low, difference + reach(first.high - first.mean, second.mean - second.low)


def _correlation(first: np.ndarray, second: np.ndarray, *, one_each: bool) -> float:
    """Return the correlation of the rates of tasks, closer to 0 where they are few."""
    n = len(first)
    spread = first.std() * second.std()
    if n < 2 or not spread > 1e-15:
        return 0.0
    if one_each:  # Newcombe's: of the product of the diagonals half a task per task is taken off
        both, neither = float((first * second).sum()), float(((1 - first) * (1 - second)).sum())
        only_first, only_second = first.sum() - both, second.sum() - both
        excess = both * neither - only_first * only_second
        return float((max(excess - n / 2, 0.0) if excess > 0 else excess) / (n * n * spread))
    found = float(((first - first.mean()) * (second - second.mean())).mean() / spread)
    return found * (n - 1) / (n + 1)


def mcnemar(only_first: int, only_second: int) -> tuple[float, float]:
    """Two-sided p-values of "as many tasks flip one way as the other": exact, and mid-p.

    Args:
        only_first: Tasks that only the first agent solved.
        only_second: Tasks that only the second solved.

    Returns:
        The exact value, whose false alarms are at most as many as it says, and mid-p, which is close to it on average
        and finds more. Both 1 where no task flips.

    Raises:
        ConfigError: If a number is negative.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12; mid-p: Fagerland, Lydersen & Laake 2013, "The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional", BMC Med. Res. Methodol. 13.
    """
    if min(only_first, only_second) < 0:
        raise ConfigError(f"{only_first} and {only_second} flips are impossible; expected numbers of at least 0.")
    flips, fewer = only_first + only_second, min(only_first, only_second)
    exact = min(1.0, 2 * binomial_cdf(fewer, flips, 0.5))
    if only_first == only_second:
        return exact, 1.0 - _chance(fewer, flips) / 2 if flips else 1.0
    return exact, exact - _chance(fewer, flips)


def _chance(successes: int, n: int) -> float:
    """Return the chance of exactly so many heads of n coins."""
    return math.exp(math.lgamma(n + 1) - math.lgamma(successes + 1) - math.lgamma(n - successes + 1) - n * math.log(2))


def sign_flips(differences: Sequence[float] | np.ndarray, parts: int = 1) -> tuple[float, float]:
    """Two-sided p-values of "each task's difference might as well have the other sign": exact, and mid-p.

    That is so where two agents do equally well on every task. No distribution is assumed.

    Args:
        differences: One per task, multiples of 1 / `parts`; with 1, 0 and -1 the test is McNemar's.
        parts: What makes them whole numbers: of rates from 4 and from 6 samples it is 12.

    Returns:
        As `mcnemar`; of more than a million possible sums, and where none is exact, the normal distribution of the sum.

    Source: Fisher 1935, "The Design of Experiments", section 21; Pitman 1937, "Significance tests which may be applied to
    samples from any populations", Supplement to JRSS 4.
    """
    whole = [round(float(difference) * parts) for difference in differences]
    sizes = Counter(abs(number) for number in whole if number)
    if not sizes:
        return 1.0, 1.0
    unit = gcd(*sizes)
    reached = abs(sum(whole)) // unit
    if len(sizes) == 1:
        flips, value = sizes.total(), sum(whole) // unit
        return mcnemar((flips + value) // 2, (flips - value) // 2)
    widest = sum(size * count for size, count in sizes.items()) // unit
    if widest > _WIDEST:
        spread = math.sqrt(sum(size**2 * count for size, count in sizes.items())) / unit
        tail = math.erfc(reached / spread / math.sqrt(2))
        return tail, tail
    chances = np.ones(1)
    for size, count in sizes.items():  # the sum of so many signs of one size, on the places 0, 2 size, 4 size ...
        heads = np.exp([math.log(_chance(i, count)) if _chance(i, count) > 0 else -np.inf for i in range(count + 1)])
        spaced = np.zeros(size // unit * count + 1)
        spaced[:: size // unit] = heads
        chances = np.convolve(chances, spaced)
    sums = 2 * np.arange(len(chances)) - widest
    at = float(chances[np.abs(sums) == reached].sum())
    beyond = float(chances[np.abs(sums) > reached].sum())
    return min(1.0, beyond + at), min(1.0, beyond + at / 2)


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


__all__ = [
    "PairedDifference",
    "difference_ends",
    "holm",
    "mcnemar",
    "paired_difference",
    "paired_rates",
    "sign_flips",
]
