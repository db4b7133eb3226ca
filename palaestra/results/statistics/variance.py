"""Where the variance of results comes from, and how many episodes a question needs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from palaestra.errors import ConfigError
from palaestra.results.statistics.distributions import normal_quantile
from palaestra.types import Json


class Observation(NamedTuple):
    """One value with what it was measured on.

    Attributes:
        task: Task.
        world: Seed of the world.
        partner: Who else acted, e.g. a simulated user.
        value: The value.
    """

    task: Hashable
    world: Hashable
    partner: Hashable
    value: float


@dataclass(frozen=True, slots=True)
class VarianceSplit:
    """Parts of the variance of one episode; None where no two episodes differ in that alone.

    Attributes:
        task: Between tasks; with the world's part where that is None, and with all of the model's where that is None.
        world: Between seeds of the world of one task.
        partner: Between partners on one task and world.
        model: Between samples of one task, world and partner: the model's own draws.
        n: Episodes behind it.
    """

    task: float | None
    world: float | None
    partner: float | None
    model: float | None
    n: int

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {name: getattr(self, name) for name in self.__slots__}


def variance_split(observations: Iterable[Observation]) -> VarianceSplit:
    """Split the variance of results by what two episodes have in common.

    Half of the mean squared difference of two episodes is the variance of everything that they do not share; each part is
    the difference of two such means, and 0 where that is negative. Unbiased but for this, for any number of episodes of each.

    Args:
        observations: Values; those that are not finite are left out.

    Source: Koch 1968, "Some further remarks concerning 'A general approach to the estimation of variance components'",
    Technometrics 10; with equal numbers of samples it is the analysis of variance.
    """
    found = [one for one in observations if math.isfinite(one.value)]
    values = [one.value for one in found]
    columns = {name: _numbered([getattr(one, name) for one in found]) for name in ("task", "world", "partner")}
    same = {
        names: _pairs(values, list(zip(*(columns[name] for name in names), strict=True)))
        for names in (("task", "world", "partner"), ("task", "partner"), ("task", "world"), ("partner",))
    }
    model = _mean(same["task", "world", "partner"])
    tasks = _mean(_without(same["partner",], same["task", "partner"]))
    world = _mean(_without(same["task", "partner"], same["task", "world", "partner"]))
    partner = _mean(_without(same["task", "world"], same["task", "world", "partner"]))
    own = model or 0.0
    world, partner = (None if one is None or model is None else max(0.0, one - own) for one in (world, partner))
    task = None if tasks is None else max(0.0, tasks - own - (world or 0.0))
    return VarianceSplit(task, world, partner, model, len(found))


def _numbered(names: Sequence[Hashable]) -> list[int]:
    """Return a number for each name, the same for the same name: numbers are compared faster."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]


def _pairs(values: Sequence[float], keys: Sequence[Hashable]) -> tuple[float, int]:
    """Return the sum of half the squared differences of all pairs of values with equal keys, and their number."""
    if len(set(keys)) == len(keys):
        return 0.0, 0
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        groups[key].append(value)
    total, number = 0.0, 0
    for group in groups.values():
        n = len(group)
        if n == 1:
            continue
        mean = math.fsum(group) / n
        total += n * math.fsum([(value - mean) ** 2 for value in group]) / 2
        number += n * (n - 1) // 2
    return total, number


def _without(some: tuple[float, int], others: tuple[float, int]) -> tuple[float, int]:
    """Return the sum and number of the pairs that are in the first alone."""
    return max(0.0, some[0] - others[0]), some[1] - others[1]


def _mean(pairs: tuple[float, int]) -> float | None:
    """Return the mean over pairs; None without any."""
    return pairs[0] / pairs[1] if pairs[1] else None


def tasks_needed(difference: float, variance: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return how many tasks a paired comparison needs to find a difference.

    Args:
        difference: Mean difference that is to be found, not 0.
        variance: Of the difference of one task.
        power: Chance to find it.
        alpha: Chance of a false alarm, on both sides together.

    Returns:
        Tasks, at least 2.

    Raises:
        ConfigError: If an argument is out of its range.

    Source: Guenther 1981, "Sample size formulas for normal theory t tests", The American Statistician 35.
    """
    _check(difference, variance, power, alpha)
    upper = -normal_quantile(alpha / 2)  # a very small alpha is lost in 1 - alpha
    needed = (upper + normal_quantile(power)) ** 2 * variance / difference**2 + upper**2 / 2
    if needed > 1e15:
        raise ConfigError(f"A difference of {difference} needs more than 10^15 tasks; look for a larger one.")
    return max(2, math.ceil(needed))


def difference_found(tasks: int, variance: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest difference that so many tasks find; infinite for so few that none is found.

    Source: `tasks_needed`, solved for the difference.
    """
    _check(1.0, variance, power, alpha)
    upper = -normal_quantile(alpha / 2)  # a very small alpha is lost in 1 - alpha
    room = tasks - upper**2 / 2
    return (upper + normal_quantile(power)) * math.sqrt(variance / room) if room > 0 else math.inf


def _check(difference: float, variance: float, power: float, alpha: float) -> None:
    """Refuse numbers that no plan can be made from."""
    if not (math.isfinite(difference) and difference != 0):
        raise ConfigError(f"The difference is {difference}; expected a number other than 0, e.g. 0.05.")
    if not (math.isfinite(variance) and variance >= 0):
        raise ConfigError(f"The variance is {variance}; expected a number of at least 0.")
    if not (0 < alpha < 1 and 0.5 <= power < 1):
        raise ConfigError(f"alpha is {alpha} and power {power}; expected 0 < alpha < 1 and 0.5 <= power < 1.")


__all__ = ["Observation", "VarianceSplit", "difference_found", "tasks_needed", "variance_split"]
