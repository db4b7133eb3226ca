"""Numbers that people set: each is a number, finite and in range, or one error before anything starts.

A comparison alone lets `nan` pass, and a limit of 1e300 seconds is refused by no one but the clock that it is given to,
in the middle of a run.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from palaestra.errors import ConfigError

MAX_SECONDS = 10**8
"""Longest time limit: three years; much longer ones are beyond what the clocks of threads and sockets take."""

MAX_THREADS = 4096
"""Most threads of one process."""

MAX_COUNT = 10**15
"""Largest number of anything that is counted: calls, tokens, bytes. A float holds all numbers up to it."""

SHOWN = 200


def check_range(
    name: str,
    value: Any,
    *,
    low: float = 0,
    high: float = MAX_COUNT,
    whole: bool = False,
    above: bool = False,
    optional: str = "",
) -> None:
    """Refuse what is not a number in a range.

    Args:
        name: What it is called, for the message.
        value: What was given.
        low: Smallest value.
        high: Largest value.
        whole: Whether it has to be an integer.
        above: Whether `low` itself is out of the range.
        optional: What None stands for; empty where None is not taken.

    Raises:
        ConfigError: With name, value and range.
    """
    if value is None and optional:
        return
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if is_number and low <= value <= high and not (above and value == low):
        return
    kind, edge = "a whole number" if whole else "a number", "above" if above else "of at least"
    limit = f"{high:,}" if high < 10**9 else str(high)
    text = shortened(value)
    raise ConfigError(
        f"{name} is {text}; expected {kind} {edge} {low} and at most {limit}{f', or None for {optional}' if optional else ''}."
    )


def shortened(value: Any) -> str:
    """Return a value as messages show it; numbers of thousands of digits cannot be written."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 4 :]}"


__all__ = ["MAX_COUNT", "MAX_SECONDS", "MAX_THREADS", "check_range", "shortened"]
