"""A paired comparison that may be looked at after every task, and stop early."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from palaestra.errors import ConfigError
from palaestra.results.statistics.estimates import Estimate

Decision = Literal["", "better", "worse", "not better"]

_LARGEST_BET = 0.45
_FIRST_TASKS = 20


class SequentialComparison:
    """Bets on the differences of tasks; decides when a capital says enough, however often one looks.

    The capital against "the mean difference is at most m" is the product of 1 + bet * (difference - m), with bets that know
    earlier tasks only. Where that statement is true it cannot be expected to grow, and exceeds 2 / alpha with a chance of at
    most alpha / 2 ever (Ville's inequality), whatever the distribution of the differences. So it does where tasks are
    independent draws, in any order, or no task favours either agent. Where the mean is as large as the difference to be
    found, "not better" is decided with a chance of at most 1 - power.

    A mean at the moment of a decision is biased away from 0; the interval holds all the same.

    Args:
        difference: Smallest mean difference that matters, above 0.
        alpha: Chance of ever deciding for either agent where there is no difference.
        power: Chance not to decide "not better" where the difference is that large.
        variance: Mean squared difference of a task that is assumed at first; later tasks say it.

    Raises:
        ConfigError: If a number is out of its range.

    Source: Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS B 86, sections 3 and 4;
    Ville 1939, "Etude critique de la notion de collectif"; bets for one alternative: Wald 1945, "Sequential tests of
    statistical hypotheses", Ann. Math. Statist. 16.
    """

    def __init__(self, difference: float, *, alpha: float = 0.05, power: float = 0.9, variance: float = 0.25) -> None:
        """Begin without a task."""
        if not (0 < difference < 1 and 0 < alpha < 1 and 0 < power < 1 and 0 < variance <= 1):
            raise ConfigError(
                f"difference is {difference}, alpha {alpha}, power {power}, variance {variance}; expected all above 0, the "
                f"first three below 1, the last at most 1."
            )
        self.difference, self.alpha, self.power, self.variance = difference, alpha, power, variance
        self._bets: list[float] = []
        self._seen: list[float] = []
        self._squares = 0.0
        self._better = self._worse = self._futile = self._most = 0.0
        self.decision: Decision = ""

    @property
    def num_tasks(self) -> int:
        """Tasks that were taken in."""
        return len(self._seen)

    @property
    def p_value(self) -> float:
        """Two-sided p-value of "no difference" that holds at whatever moment one looks: twice the inverse of the most capital.

        At most `alpha` if and only if it decided for one of the two. 1 without tasks.
        """
        return min(1.0, 2 * math.exp(-self._most))

    def add(self, value: float) -> Decision:
        """Take in the difference of the next task; return the decision, which stays once it is made.

        Args:
            value: First minus second, from -1 to 1.

        Raises:
            ConfigError: If it is not from -1 to 1.
        """
        if not -1 <= value <= 1:
            raise ConfigError(f"The difference of a task is {value}; expected a number from -1 to 1.")
        spread = (_FIRST_TASKS * self.variance + self._squares) / (_FIRST_TASKS + len(self._seen))
        bet = min(_LARGEST_BET, self.difference / spread) if spread > 0 else _LARGEST_BET
        self._bets.append(bet)
        self._seen.append(value)
        self._squares += value * value
        self._better += math.log1p(bet * value)
        self._worse += math.log1p(-bet * value)
        self._futile += math.log1p(-bet * (value - self.difference))
        self._most = max(self._most, self._better, self._worse)
        if not self.decision:
            enough = math.log(2 / self.alpha)
            if self._better >= enough:
                self.decision = "better"
            elif self._worse >= enough:
                self.decision = "worse"
            elif self._futile >= -math.log(1 - self.power):
                self.decision = "not better"
        return self.decision

    def interval(self) -> Estimate:
        """Return the mean difference with the interval that holds at every moment at once, also where one stopped early."""
        if not self._seen:
            return Estimate(math.nan, -1.0, 1.0, 0)
        bets, values = np.array(self._bets), np.array(self._seen)
        mean = float(values.mean())
        low, high = self._end(bets, values), -self._end(bets, -values)
        return Estimate(mean, min(low, mean), max(high, mean), len(values))

    def _end(self, bets: np.ndarray, values: np.ndarray) -> float:
        """Return the largest mean that the capital against smaller ones excludes; -1 if there is none."""
        enough = math.log(2 / self.alpha)
        low, high = -1.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            if float(np.log1p(bets * (values - middle)).sum()) >= enough:
                low = middle
            else:
                high = middle
        return low


__all__ = ["Decision", "SequentialComparison"]
