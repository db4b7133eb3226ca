"""Rates that are corrected: for what is solved for free, and for a grader that errs."""

from __future__ import annotations

import math

from palaestra.errors import ConfigError
from palaestra.results.statistics.distributions import normal_quantile
from palaestra.results.statistics.estimates import CONFIDENCE, Estimate, check_confidence
from palaestra.results.statistics.paired import difference_ends


def above_floor(rate: Estimate, floor: Estimate | float, *, of_room: bool = False) -> Estimate:
    """Return how far a rate is above the floor: what an agent solves that knows nothing.

    Args:
        rate: Share of solved tasks, with its interval.
        floor: Share that is solved for free: a number that is known, or an estimate of its own.
        of_room: Whether to give the part of the room above the floor, (rate - floor) / (1 - floor), instead of the
            difference: 1 is everything, 0 the floor.

    Returns:
        The difference with its interval, from -1 to 1, negative where a rate is below the floor. NaN where either is not
        known, or where there is no room (`of_room` with a floor of 1); ends are NaN where an interval is not known.

    Raises:
        ConfigError: If the floor is not between 0 and 1.

    Source: the difference of two independent rates: Newcombe 1998, method 10 (`difference_ends`); the part of the room: Abbott
    1925, "A method of computing the effectiveness of an insecticide", J. Econ. Entomol. 18. Its interval takes both ends of
    the floor as far as they go together with those of the rate: the same method for the ratio of what is left unsolved, Zou
    & Donner 2008.
    """
    known = floor if isinstance(floor, Estimate) else Estimate(float(floor), float(floor), float(floor), 0)
    if math.isnan(rate.mean) or math.isnan(known.mean):
        return Estimate(math.nan, math.nan, math.nan, rate.n)
    if not 0 <= known.mean <= 1:
        raise ConfigError(f"The floor is {known.mean}; expected a share from 0 to 1.")
    if any(map(math.isnan, (rate.low, rate.high, known.low, known.high))):  # a rate without an interval
        mean = rate.mean - known.mean
        return Estimate(
            mean if not of_room else mean / (1 - known.mean) if known.mean < 1 else math.nan, math.nan, math.nan, rate.n
        )
    if not of_room:
        low, high = difference_ends(rate, known)
        return Estimate(rate.mean - known.mean, max(-1.0, low), min(1.0, high), rate.n)
    if known.mean == 1:
        return Estimate(math.nan, math.nan, math.nan, rate.n)
    left, low, high = _ratio(_rest(rate), _rest(known))
    return Estimate(1 - left, 1 - high, min(1.0, 1 - low), rate.n)


def _rest(rate: Estimate) -> Estimate:
    """Return the share that is left."""
    return Estimate(1 - rate.mean, 1 - rate.high, 1 - rate.low, rate.n)


def _ratio(first: Estimate, second: Estimate) -> tuple[float, float, float]:
    """Return the ratio of two independent shares, the second above 0, and its ends; no upper end is infinite.

    Source: Donner & Zou 2012, "Closed-form confidence intervals for functions of the normal mean and standard deviation",
    Stat. Methods Med. Res. 21, equations for a ratio.
    """
    one, other = first.mean, second.mean
    (l1, u1), (l2, u2) = (first.low, first.high), (second.low, second.high)
    below, above = u2 * (2 * other - u2), l2 * (2 * other - l2)
    low = (one * other - math.sqrt(max(0.0, (one * other) ** 2 - l1 * (2 * one - l1) * below))) / below if below > 0 else 0.0
    room = (one * other) ** 2 - u1 * (2 * one - u1) * above
    high = (one * other + math.sqrt(max(0.0, room))) / above if above > 0 else math.inf
    return one / other, low, high


def noise_corrected(
    rate: Estimate,
    sensitivity: tuple[float, float],
    specificity: tuple[float, float],
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the true rate behind the verdicts of a grader whose errors are known.

    Args:
        rate: Share that the grader passed, with its interval of the same confidence, as `rate_estimate` gives it.
        sensitivity: Share of truly solved episodes that the grader passes, and the number of episodes it was measured on
            (`math.inf` if it is known).
        specificity: Share of truly unsolved episodes that it fails, and the number it was measured on.
        confidence: Coverage.

    Returns:
        (rate + specificity - 1) / (sensitivity + specificity - 1), from 0 to 1, with its interval; all of 0 to 1 where
        the grader may be no better than a coin. NaN without a rate.

    Raises:
        ConfigError: If an error rate is impossible, or the grader is not better than a coin.

    Source: Rogan & Gladen 1978, "Estimating prevalence from the results of a screening test", Am. J. Epidemiol. 107; interval:
    Lang & Reiczigel 2014, "Confidence limits for prevalence of disease adjusted for estimated sensitivity and specificity",
    Prev. Vet. Med. 113. With error rates that are known it is the corrected interval of the rate.
    """
    check_confidence(confidence)
    for name, (share, n) in (("sensitivity", sensitivity), ("specificity", specificity)):
        if not (0 <= share <= 1 and n > 0):
            raise ConfigError(f"The {name} is {share} of {n} episodes; expected a share from 0 to 1 of at least one episode.")
    gain = sensitivity[0] + specificity[0] - 1
    if not gain > 0:
        raise ConfigError(
            f"A grader of sensitivity {sensitivity[0]} and specificity {specificity[0]} is not better than a coin; no rate "
            f"follows from its verdicts. Expected a sum above 1."
        )
    if math.isnan(rate.mean):
        return Estimate(math.nan, math.nan, math.nan, rate.n)
    mean = min(1.0, max(0.0, (rate.mean + specificity[0] - 1) / gain))
    if math.isinf(sensitivity[1]) and math.isinf(specificity[1]):
        low, high = ((end + specificity[0] - 1) / gain for end in (rate.low, rate.high))
    else:
        low, high = _lang_reiczigel(rate, sensitivity, specificity, confidence)
    return Estimate(mean, min(mean, max(0.0, low)), max(mean, min(1.0, high)), rate.n)


def _lang_reiczigel(
    rate: Estimate, sensitivity: tuple[float, float], specificity: tuple[float, float], confidence: float
) -> tuple[float, float]:
    """Return the ends for error rates that were measured; (0, 1) where they may be those of a coin."""
    z = normal_quantile(0.5 + confidence / 2)
    middle, half = (rate.low + rate.high) / 2, (rate.high - rate.low) / 2
    (se, n_se), (sp, n_sp) = (_plus_two(*sensitivity), _plus_two(*specificity))
    gain = se + sp - 1
    if not gain > 0:
        return 0.0, 1.0
    true = (middle + sp - 1) / gain
    var_se, var_sp = (se * (1 - se) / n_se, sp * (1 - sp) / n_sp)
    shift = 2 * z * z * (var_se * true - var_sp * (1 - true))
    reach = math.sqrt(half * half + z * z * (true * true * var_se + (1 - true) ** 2 * var_sp)) / gain
    return true + shift - reach, true + shift + reach


def _plus_two(share: float, n: float) -> tuple[float, float]:
    """Return a share with one more success and one more failure, and how many it is of."""
    return (share, n) if math.isinf(n) else ((share * n + 1) / (n + 2), n)


__all__ = ["above_floor", "noise_corrected"]
