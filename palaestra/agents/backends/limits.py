"""Rate limits and budgets, as plain numbers and the counters behind them.

Nothing here sleeps or belongs to an event loop: a bucket says how long to wait, `reliable.py` waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from palaestra.agents.ranges import check_range
from palaestra.errors import BudgetError
from palaestra.types import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How much a server takes.

    Attributes:
        requests_per_minute: Attempts per minute, retries included; None means no limit.
        tokens_per_minute: Prompt and completion tokens per minute; None means no limit. A request is let in by an estimate,
            which is settled when the server reports the true number.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        _check_positive(self, "requests_per_minute", "tokens_per_minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much a backend may spend in its lifetime.

    A request is refused once one of the numbers is reached. Calls are exact; what is in flight at that moment is still
    paid for, so tokens and money can end above the limit by one round of concurrent requests.

    Attributes:
        calls: Attempts, retries included; None means no limit.
        tokens: Prompt and completion tokens.
        cost: Money, in the currency of the price table.
    """

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        """Refuse budgets that are spent from the start."""
        _check_positive(self, "calls", "tokens", "cost")

    def check(self, attempts: int, usage: Usage) -> None:
        """Refuse another attempt if the budget is spent.

        Args:
            attempts: Attempts made so far.
            usage: Tokens and money spent so far.

        Raises:
            BudgetError: If one of the limits is reached.
        """
        tokens = usage.prompt_tokens + usage.completion_tokens
        for name, spent in (("calls", attempts), ("tokens", tokens), ("cost", usage.cost)):
            limit = getattr(self, name)
            if limit is not None and spent >= limit:
                raise BudgetError(f"The budget is spent: {name} {spent:g} of {limit:g}. Raise budget.{name} to go on.")


class TokenBucket:
    """Lets `rate` units through per second, with bursts of one second's worth.

    Reservations are first come, first served, from any thread: each takes its units at once, driving the level below zero
    if need be, and is told how long to wait until the bucket would have held them.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start full.

        Args:
            rate: Units per second, above 0.
            clock: Seconds that never run backwards.
        """
        self._rate = rate
        self._capacity = max(rate, 1.0)
        self._level = self._capacity
        self._clock = clock
        self._filled_at = clock()
        self._lock = threading.Lock()

    def reserve(self, units: float) -> float:
        """Take `units` and return the seconds to wait before using them."""
        with self._lock:
            now = self._clock()
            self._level = min(self._capacity, self._level + (now - self._filled_at) * self._rate)
            self._filled_at = now
            # more than the bucket can ever hold is let through as soon as it is full, and paid off afterwards
            missing = min(units, self._capacity) - self._level
            self._level -= units
            return max(0.0, missing / self._rate)

    def give_back(self, units: float) -> None:
        """Return units that were not used; a negative number takes more."""
        with self._lock:
            self._level += units


def _check_positive(limits: RateLimit | Budget, *names: str) -> None:
    """Refuse limits that are not numbers above 0."""
    for name in names:
        check_range(f"{type(limits).__name__}.{name}", getattr(limits, name), above=True, optional="no limit")
