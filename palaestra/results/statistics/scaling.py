"""Sums and means of numbers as large as floats are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_LARGE_EXPONENT = 400
"""Values from 2**400 on are brought down before they are added or squared: a float ends at 2**1024."""
_LARGE = 2.0**_LARGE_EXPONENT


def mean_of(values: Sequence[float]) -> float:
    """Mean of numbers that may be as large as floats are; NaN without any, or if one is not finite.

    Args:
        values: The numbers; their order does not matter.
    """
    if not len(values):
        return math.nan
    try:
        if math.isfinite(total := math.fsum(values)):
            return total / len(values)
    except (OverflowError, ValueError):  # the sum is beyond the largest float, or infinities of both signs meet
        pass
    if not all(map(math.isfinite, values)):
        return math.nan
    exponent = exponent_of(values)
    return math.ldexp(math.fsum(scaled(values, -exponent) if exponent else values) / len(values), exponent)


def exponent_of(values: Iterable[float]) -> int:
    """Return the power of two that brings the largest value below 1; 0 where all values are of ordinary size."""
    values = tuple(values)
    try:
        if math.fsum(map(abs, values)) < _LARGE:  # none can be larger than all together
            return 0
    except OverflowError:
        pass
    exponent = math.frexp(max((abs(value) for value in values if math.isfinite(value)), default=0.0))[1]
    return exponent if exponent > _LARGE_EXPONENT else 0


def scaled(values: Iterable[float], exponent: int) -> list[float]:
    """Return values times a power of two."""
    return [math.ldexp(value, exponent) for value in values]


def times_power(value: float, exponent: int) -> float:
    """Return a value times a power of two; infinite where that is beyond the largest float."""
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.copysign(math.inf, value)


def sum_of(values: Sequence[float]) -> float:
    """Return the exact sum; NaN where infinities of both signs meet."""
    try:
        return math.fsum(values)
    except ValueError:
        return math.nan


__all__ = ["exponent_of", "mean_of", "scaled", "sum_of", "times_power"]
