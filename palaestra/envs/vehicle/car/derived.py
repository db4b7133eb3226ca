"""Leaves of the state that follow each other: one amount in several units, a lid and its angle, a flag and its word.

A module's table names its groups under "groups", by a name of their own:

* `scale`: one amount in several units. `leaves`: unit -> [property, lowest, highest]; `lead`: the unit that is exact;
  `rounds`: unit -> "down" or "nearest" for units that hold whole numbers; `through_lead`: every unit is computed from the
  lead, also the one that was moved; `keeps_said`: in `published`, the unit that was moved holds the number as it was said;
  `factors`: convert by one factor instead of by the share of the range (the last digits differ).
* `lid`: a state that is `closed` exactly where an amount is 0. `amount`, `state`; `closed`, `open`: the words; `others`:
  further words of an open lid; `opens_at`: amount where only the word was said ("max" for the most; by word, where they
  differ), limited to the range of `unit`.
* `words`: leaves that say the same in different words. `leaves`, and `rows` of values that go together.
* `same`: leaves that are equal, in any module. `leaves`.

`{seat}` and `{place}` stand for every seat and place. `"fixed": true` marks groups that the published car does not keep in
step. Operations write through these groups, and so do direct writes of properties (`sync`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from palaestra.envs.vehicle.car.call_result import Scalar
from palaestra.envs.vehicle.car.paths import place_paths
from palaestra.envs.vehicle.car.state import CarState
from palaestra.envs.vehicle.car.tables import CarTables, Property
from palaestra.errors import ConfigError

_CLOSE = 1e-9
"""Share of a range within which two numbers are the same."""


class Group(Protocol):
    """Leaves of one car that follow each other.

    Attributes:
        paths: All its leaves.
        followers: Leaves that say nothing of their own.
        fixed_only: Whether the published car does not keep them in step.
    """

    paths: tuple[str, ...]
    followers: tuple[str, ...]
    fixed_only: bool

    def follow(self, state: CarState, path: str, keep: Collection[str]) -> list[str]:
        """Bring the other leaves in step with the one at `path`, except those in `keep`; return what was written."""

    def contradiction(self, values: Mapping[str, Scalar]) -> str:
        """Return the disagreements, to read; empty if all is in step."""


def sync(
    state: CarState, path: str, *, tables: CarTables, as_published: bool = False, keep: Collection[str] = ()
) -> list[str]:
    """Bring into step what follows from the leaf at `path`, which was just written.

    An exact leaf stays as it is where a rounded one was written that agrees with it (gear 3 leaves 55 percent alone). So
    writing every leaf of a consistent state, rounded ones last, gives that state. Call it only if the leaf changed.

    Args:
        state: State, changed in place.
        path: Full path of the leaf.
        tables: The car's description.
        as_published: Leave alone what the published car does not keep in step.
        keep: Leaves that must stay as they are, e.g. others written in the same message.

    Returns:
        Paths of the leaves that changed.
    """
    by_path = _groups(tables)[0]
    if path not in by_path:
        return []
    written: list[str] = []
    done: list[Group] = []
    todo = [path]
    while todo:
        current = todo.pop(0)
        for group in by_path.get(current, ()):
            if group in done or (as_published and group.fixed_only):
                continue
            done.append(group)
            changed = group.follow(state, current, keep)
            written += changed
            todo += changed
    return written


def follows(tables: CarTables, path: str) -> bool:
    """Return whether the leaf at `path` says nothing of its own but follows from others."""
    return path in _groups(tables)[1]


def siblings(tables: CarTables, path: str) -> tuple[str, ...]:
    """Return the leaves that may change when the one at `path` is written, without itself."""
    found: dict[str, None] = {}
    todo = [path]
    while todo:
        for group in _groups(tables)[0].get(todo.pop(), ()):
            for other in group.paths:
                if other not in found:
                    found[other] = None
                    todo.append(other)
    found.pop(path, None)
    return tuple(found)


def contradictions(state: CarState, tables: CarTables) -> list[str]:
    """Return the disagreements in a state, one line each, to read."""
    return [line for group in _groups(tables)[2] if (line := group.contradiction(state.values))]


def scale_of(tables: CarTables, module: str, name: str) -> Scale:
    """Return the one amount in several units that a module's group `name` describes.

    Raises:
        ConfigError: If the module has no such group.
    """
    row = tables.modules[module].settings.get("groups", {}).get(name)
    if row is None or row["kind"] != "scale":
        raise ConfigError(f"Table {module} names the group {name!r}, which is not among its groups of kind 'scale'.")
    (group,) = _make(tables, module, row)
    if not isinstance(group, Scale):
        raise ConfigError(f"Group {name!r} of {module} is not of kind 'scale'.")
    return group


class Scale:
    """One amount that stands in the state in several units."""

    def __init__(self, leaves: Mapping[str, Sequence[Any]], row: Mapping[str, Any]) -> None:
        """Take `leaves` (unit -> path, lowest, highest) and the row of the group."""
        self.leaves = {unit: str(leaf[0]) for unit, leaf in leaves.items()}
        self.ranges: dict[str, tuple[float, float]] = {unit: (leaf[1], leaf[2]) for unit, leaf in leaves.items()}
        self.lead: str = row.get("lead", next(iter(self.leaves)))
        self.through_lead: bool = row.get("through_lead", False)
        self.rounds: Mapping[str, str] = row.get("rounds", {})
        self.factors: bool = row.get("factors", False)
        self.keeps_said: bool = row.get("keeps_said", False)
        self.fixed_only: bool = row.get("fixed", False)
        self.paths = tuple(self.leaves.values())
        self.followers = tuple(path for unit, path in self.leaves.items() if unit != self.lead)
        self._units = {path: unit for unit, path in self.leaves.items()}

    def convert(self, number: float, unit: str, wanted: str) -> float:
        """Return a number of `unit` in the unit wanted, not rounded."""
        if unit == wanted:
            return number
        low, high = self.ranges[unit]
        new_low, new_high = self.ranges[wanted]
        span, new_span = high - low, new_high - new_low
        if not self.factors:
            return new_low + (number - low) / span * new_span
        return new_low + ((number - low) * (new_span / span) if new_span >= span else (number - low) / (span / new_span))

    def fill(self, state: CarState, unit: str, number: float, *, as_published: bool = False) -> None:
        """Write the amount, given in `unit`, in every unit."""
        source, value = unit, number
        if self.through_lead:
            source, value = self.lead, self.convert(number, unit, self.lead)
        for wanted, path in self.leaves.items():
            kept = as_published and self.keeps_said and wanted == unit
            state.set(path, number if kept else self._rounded(self.convert(value, source, wanted), wanted))

    def follow(self, state: CarState, path: str, keep: Collection[str]) -> list[str]:
        """Bring the other units in step with the one written, the lead first."""
        values = state.values
        unit, lead = self._units[path], self.lead
        written: list[str] = []
        number = _number(values[path])
        if unit != lead and self.leaves[lead] not in keep and not self._agree(number, unit, values[self.leaves[lead]], lead):
            state.set(self.leaves[lead], self._rounded(self.convert(number, unit, lead), lead))
            written.append(self.leaves[lead])
        exact = _number(values[self.leaves[lead]])
        for other, place in self.leaves.items():
            if other in (unit, lead) or place in keep:
                continue
            if other not in self.rounds and self._agree(exact, lead, values[place], other):
                continue
            if state.set(place, self._rounded(self.convert(exact, lead, other), other)):
                written.append(place)
        return written

    def contradiction(self, values: Mapping[str, Scalar]) -> str:
        """Return which unit disagrees with the exact one."""
        path = self.leaves[self.lead]
        number = _number(values[path])
        for unit, other in self.leaves.items():
            if unit != self.lead and not self._agree(number, self.lead, values[other], unit):
                wanted = self._rounded(self.convert(number, self.lead, unit), unit)
                return f"{path} is {values[path]!r} but {other} is {values[other]!r}; {wanted:g} would agree."
        return ""

    def _rounded(self, number: float, unit: str) -> float:
        """Return a number as its unit holds it."""
        how = self.rounds.get(unit)
        if how is None:
            return number
        return int(number) if how == "down" else round(number)

    def _agree(self, number: float, unit: str, other: Scalar, other_unit: str) -> bool:
        """Return whether two numbers of two units are the same amount, within what rounding allows."""
        second = _number(other)
        return self._is_near(self.convert(number, unit, other_unit), second, other_unit) or (
            unit in self.rounds and self._is_near(self.convert(second, other_unit, unit), number, unit)
        )

    def _is_near(self, exact: float, held: float, unit: str) -> bool:
        """Return whether a unit may hold a number for an exact one; rounded units may be off by rounding."""
        low, high = self.ranges[unit]
        near = (high - low) * _CLOSE
        how = self.rounds.get(unit)
        if how is None:
            return abs(exact - held) <= near
        return abs(exact - held) < 1.0 + near if how == "down" else abs(exact - held) <= 0.5 + near


class Lid:
    """A state that is closed exactly where an amount is 0."""

    def __init__(self, amount: str, state: str, unit: str, row: Mapping[str, Any], tables: CarTables) -> None:
        """Take the paths of the amount, the state and the amount's unit (or an empty text), and the row of the group."""
        self.amount, self.state, self.unit = amount, state, unit
        self.closed: Scalar = row["closed"]
        self.open: Scalar = row["open"]
        self.opens_at: Any = row["opens_at"]
        self.fixed_only: bool = row.get("fixed", False)
        self.paths: tuple[str, ...] = (amount, state)
        self.followers: tuple[str, ...] = () if row.get("others") else (state,)
        self._row: Property = tables.properties[amount]

    def follow(self, state: CarState, path: str, keep: Collection[str]) -> list[str]:
        """Bring the amount in step with the state, or the state with the amount."""
        values = state.values
        if (_number(values[self.amount]) == 0) is (values[self.state] == self.closed):
            return []
        if path == self.amount:
            if self.state in keep:
                return []
            state.set(self.state, self.closed if values[self.amount] == 0 else self.open)
            return [self.state]
        if self.amount in keep:
            return []
        state.set(self.amount, 0 if values[self.state] == self.closed else self._opening(values))
        return [self.amount]

    def contradiction(self, values: Mapping[str, Scalar]) -> str:
        """Return whether a closed lid is open by some amount, or an open one by none."""
        if (_number(values[self.amount]) == 0) is (values[self.state] == self.closed):
            return ""
        return f"{self.state} is {values[self.state]!r} but {self.amount} is {values[self.amount]!r}."

    def _opening(self, values: Mapping[str, Scalar]) -> float:
        """Return how far a lid opens of which only the word was said."""
        word = values[self.state]
        wanted: Any = self.opens_at.get(str(word), self.opens_at["open"]) if isinstance(self.opens_at, dict) else self.opens_at
        most = self._row.ranges[str(values[self.unit])][1] if self.unit else self._row.high
        if most is None:
            raise ConfigError(f"Property {self._row.path} of {self._row.module} has no highest value, which its lid needs.")
        return float(most if wanted == "max" else min(wanted, most))


class Words:
    """Leaves that say the same in different words."""

    def __init__(self, paths: Sequence[str], row: Mapping[str, Any]) -> None:
        """Take the leaves and the row of the group; its `rows` hold the values that go together."""
        self.paths = tuple(paths)
        self.followers = self.paths[1:]
        self.fixed_only: bool = row.get("fixed", False)
        self.rows = [tuple(values) for values in row["rows"]]

    def follow(self, state: CarState, path: str, keep: Collection[str]) -> list[str]:
        """Write the words that go with the one written."""
        column = self.paths.index(path)
        value = state.values[path]
        found = next((row for row in self.rows if row[column] == value), None)
        if found is None:
            return []
        return [other for other, word in zip(self.paths, found, strict=True) if other not in keep and state.set(other, word)]

    def contradiction(self, values: Mapping[str, Scalar]) -> str:
        """Return which words do not go together."""
        held = tuple(values[path] for path in self.paths)
        if held in self.rows:
            return ""
        return " but ".join(f"{path} is {value!r}" for path, value in zip(self.paths, held, strict=True)) + "."


class Same:
    """Leaves that are equal."""

    def __init__(self, paths: Sequence[str], row: Mapping[str, Any]) -> None:
        """Take the leaves and the row of the group."""
        self.paths = tuple(paths)
        self.followers = self.paths[1:]
        self.fixed_only: bool = row.get("fixed", False)

    def follow(self, state: CarState, path: str, keep: Collection[str]) -> list[str]:
        """Copy the leaf written to the others."""
        value = state.values[path]
        return [other for other in self.paths if other != path and other not in keep and state.set(other, value)]

    def contradiction(self, values: Mapping[str, Scalar]) -> str:
        """Return which leaves differ."""
        first = self.paths[0]
        for other in self.followers:
            if values[other] != values[first]:
                return f"{first} is {values[first]!r} but {other} is {values[other]!r}; they are one setting."
        return ""


@cache
def _groups(tables: CarTables) -> tuple[dict[str, tuple[Group, ...]], frozenset[str], tuple[Group, ...]]:
    """Return the groups by leaf, the leaves that only follow, and all groups."""
    every: list[Group] = []
    for name, module in tables.modules.items():
        for row in module.settings.get("groups", {}).values():
            every += _make(tables, name, row)
    by_path: dict[str, tuple[Group, ...]] = {}
    for group in every:
        for path in group.paths:
            by_path[path] = (*by_path.get(path, ()), group)
    return by_path, frozenset(path for group in every for path in group.followers), tuple(every)


def _make(tables: CarTables, module: str, row: Mapping[str, Any]) -> list[Group]:
    """Return the groups that a row describes, one a place."""
    kind = row["kind"]
    if kind == "scale":
        paths = {unit: place_paths(tables, module, leaf[0]) for unit, leaf in row["leaves"].items()}
        places = next(iter(paths.values()))
        return [
            Scale({unit: (paths[unit][place], *leaf[1:]) for unit, leaf in row["leaves"].items()}, row) for place in places
        ]
    if kind == "lid":
        amounts, states = place_paths(tables, module, row["amount"]), place_paths(tables, module, row["state"])
        units = place_paths(tables, module, row["unit"]) if "unit" in row else {}
        return [Lid(amounts[place], states[place], units.get(place, ""), row, tables) for place in amounts]
    if kind in ("words", "same"):
        columns = [place_paths(tables, module, leaf) for leaf in row["leaves"]]
        make = Words if kind == "words" else Same
        return [make([column[place] for column in columns], row) for place in columns[0]]
    raise ConfigError(f"Table {module} has a group of kind {kind!r}; expected scale, lid, words or same.")


def _number(value: Scalar) -> float:
    """Return a leaf as a number; what is none counts as not a number, which agrees with nothing."""
    return value if isinstance(value, int | float) else math.nan
