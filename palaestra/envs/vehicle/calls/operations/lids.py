"""Operations of what opens by degrees: sunroof, trunk, front trunk and sunshades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.amounts import Amount
from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.axes import (
    SIGNS,
    NumberAxis,
    TripleAxis,
    UnitAxis,
    axis_of,
    read_amount,
    rules_of,
)
from palaestra.envs.vehicle.calls.preconditions import precondition_of
from palaestra.envs.vehicle.calls.targets import Targets
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import place_paths
from palaestra.errors import ConfigError

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.tables import CarTables, Function

_Settle = Callable[["Car", str, float, float, int], None]


@operation("lid_switch")
def lid_switch(function: Function, tables: CarTables) -> Run:
    """Open, close, pause or tilt by a word.

    Row: `axis`; `state` (property with the state's word); `actions`: word -> what it does: `from` (states in which it does
    something; any without), `otherwise` ("refuse", or "nothing": a success), `writes` (property -> value), `degree` (how far
    the lid opens, in the leading or the stored unit; "max" for the most), `keeps_degree` (only if it is 0), `needs` (see
    `preconditions`), `stays_at_top` (`published` only: what is written instead if the lid already stands at the highest
    degree). In `published`, `degree` is written only where the row's `published_degree` is not false (quirk Q19).
    """
    param = function.params[0].name
    actions = {word: _Action(word, row, function, tables) for word, row in function["actions"].items()}
    targets = Targets.of(function, tables.modules[function.module].settings)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        word = bound[param]
        if not isinstance(word, str) or word not in actions:
            raise Refusal("invalid_value", f"{param} is {word!r}; expected one of {', '.join(actions)}.", param)
        places = [""] if targets is None else targets.resolve(car, bound[targets.param])
        for place in places:
            actions[word].carry_out(car, place)
        return {param: word} if targets is None else {param: word, "position": places}

    return run


class _Action:
    """What one word of a lid's switch does."""

    def __init__(self, word: str, row: Mapping[str, Any], function: Function, tables: CarTables) -> None:
        """Read the row."""
        module = function.module
        self._word, self._tables = word, tables
        self._states = place_paths(tables, module, function["state"])
        self._from = row.get("from")
        self._refuses = row.get("otherwise", "refuse") == "refuse"
        self._writes = [(place_paths(tables, module, path), value) for path, value in row.get("writes", {}).items()]
        self._degree = row.get("degree")
        self._keeps_degree = row.get("keeps_degree", False)
        self._in_published = function.arguments.get("published_degree", True)
        self._precondition = precondition_of(function, tables, row.get("needs", ()))
        self._axis = axis_of(function, tables)
        self._at_top = [(place_paths(tables, module, path), value) for path, value in row.get("stays_at_top", {}).items()]

    def carry_out(self, car: Car, place: str) -> None:
        """Do it to one place."""
        state = car.state
        held = state.values[self._states[place]]
        self._precondition(car)
        if self._from is not None and held not in self._from:
            if self._refuses:
                raise Refusal("precondition_failed", f"It is {held}; {self._word} needs it {' or '.join(self._from)}.")
            return
        path, most = _degree_of(self._axis, car, place)
        if self._at_top and car.as_published and held == "paused" and state.values[path] == most:
            for paths, value in self._at_top:
                state.set(paths[place], value)
            return
        for paths, value in self._writes:
            state.set(paths[place], value)
        kept = self._keeps_degree and state.values[path] != 0
        if self._degree is None or kept or (car.as_published and not self._in_published):
            return
        degree = most if self._degree == "max" else min(self._degree, most)
        if isinstance(self._axis, TripleAxis):
            self._axis.scale.fill(state, self._axis.scale.lead, degree)
        else:
            state.set(path, degree)


@operation("lid_axis")
def lid_axis(function: Function, tables: CarTables) -> Run:
    """Open further, close further, or set how far a lid is open.

    Row: `axis`, `direction`, `needs` (see `preconditions`), `from` (states in which it moves). Axis: `state`; `settles` (how
    the state follows in `published`: "sunroof", "trunk" or "front trunk"); `opens_first` (set on a closed lid: opens it to
    this degree before the argument is read; in `published` this stays where the call then fails, quirk Q9); `raw` (`published`
    only: a value counts in the stored unit, quirk Q6); `motion` (flag that is cleared). In `fixed` a lid that was moved is
    closed at 0 and open otherwise (quirks Q15, Q19); words in `holds` stay.
    """
    moved = axis_of(function, tables)
    row = tables.modules[function.module].settings["axes"][function["axis"]]
    sign = SIGNS[function["direction"]]
    rules, precondition = rules_of(function, tables), precondition_of(function, tables)
    (state_path,) = place_paths(tables, function.module, row["state"]).values()
    if row["settles"] not in _SETTLES:
        raise ConfigError(f"Axis {function['axis']!r} settles as {row['settles']!r}; expected one of {', '.join(_SETTLES)}.")
    settle, begins = _SETTLES[row["settles"]], function.arguments.get("from")
    motion = "".join(place_paths(tables, function.module, row["motion"]).values()) if "motion" in row else ""
    opens_first, raw, holds = row.get("opens_first"), row.get("raw", False), row.get("holds", ())

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        values = state.values
        precondition(car)
        held = values[state_path]
        if begins is not None and held not in begins:
            raise Refusal("precondition_failed", f"{state_path} is {held!r}; expected {' or '.join(begins)}.")
        if car.as_published and opens_first and not sign and held == "closed" and isinstance(moved, TripleAxis):
            moved.scale.fill(state, moved.scale.lead, opens_first)
            state.set(state_path, "open")
        amount = read_amount(rules, bound, sign)
        if raw and car.as_published and isinstance(moved, UnitAxis):
            data = _move_raw(moved, car, amount, sign)
        else:
            data = moved.move(car, "", amount, sign)
        path, most = _degree_of(moved, car, "")
        degree: Any = values[path]
        if car.as_published:
            state.set(state_path, held)
            settle(car, state_path, degree, most, sign)
        elif degree == 0:
            state.set(state_path, "closed")
        else:
            state.set(state_path, held if held in holds and sign and degree != most else "open")
        if motion and (not sign or degree in (0, most)):
            state.set(motion, False)
        return {**data, "state": values[state_path]}

    return run


@operation("shade_axis")
def shade_axis(function: Function, tables: CarTables) -> Run:
    """Open a sunshade further, close it further, or set how far it is open.

    Row: `axis`, `direction`. Axis: `opened` and `paused` (flags by place). In `published` the flags are written first, and
    setting 0 leaves a shade open (quirk Q19).
    """
    moved = axis_of(function, tables)
    row = tables.modules[function.module].settings["axes"][function["axis"]]
    sign = SIGNS[function["direction"]]
    rules = rules_of(function, tables)
    targets = Targets.of(function, tables.modules[function.module].settings)
    if targets is None:
        raise ConfigError(f"{function.module}.{function.name} has op 'shade_axis', which needs a parameter for places.")
    resolve, param = targets.resolve, targets.param
    opened, paused = place_paths(tables, function.module, row["opened"]), place_paths(tables, function.module, row["paused"])

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        places = resolve(car, bound[param])
        amount = read_amount(rules, bound, sign)
        data = {}
        for place in places:
            if sign >= 0:
                state.set(paused[place], False)
                if car.as_published:
                    state.set(opened[place], True)
            data[place] = moved.move(car, place, amount, sign)
            if car.as_published and sign < 0 and data[place]["current"] == 0:
                state.set(opened[place], False)
        return data

    return run


def _degree_of(axis: NumberAxis | UnitAxis | TripleAxis, car: Car, place: str) -> tuple[str, float]:
    """Return the path of a lid's degree and the highest degree in its unit."""
    if isinstance(axis, TripleAxis):
        return axis.lead, axis.scale.ranges[axis.scale.lead][1]
    if isinstance(axis, UnitAxis):
        return axis.degree(car.state, place)
    raise ConfigError("A lid needs an axis of kind 'unit' or 'triple'; a plain number has no state to follow.")


def _move_raw(axis: UnitAxis, car: Car, amount: Amount, sign: int) -> dict[str, Any]:
    """Move as published, where a value counts in the stored unit whatever unit it came with (quirk Q6)."""
    state = car.state
    path, most = axis.degree(state, "")
    unit_path = axis.unit_paths[""]
    old, unit = state.values[path], str(state.values[unit_path])
    if amount.value is None:
        return axis.move(car, "", amount, sign)
    if amount.unit not in axis.ranges:
        raise Refusal("invalid_value", f"unit is {amount.unit!r}; expected one of {', '.join(axis.ranges)}.", "unit")
    if sign:
        new = max(0, min(most, old + sign * amount.value))
    else:
        low, high = axis.ranges[amount.unit]
        mark = state.mark()
        state.set(path, axis.convert(old, unit, amount.unit, exact=True))
        state.set(unit_path, amount.unit)
        if not low <= amount.value <= high:
            raise Refusal("out_of_range", f"{amount.value!r} {amount.unit} is outside {low:g} to {high:g}.", "value")
        state.undo(mark)
        new = min(most, amount.value)
    state.set(path, new)
    return {"previous": old, "current": state.values[path], "unit": unit}


def _settle_sunroof(car: Car, path: str, degree: float, most: float, sign: int) -> None:
    """Follow the degree as the published sunroof does: on the way it stays opening or closing."""
    state = car.state
    held = state.values[path]
    if degree in (0, most) or not sign:
        state.set(path, "closed" if degree == 0 else "open")
    elif sign > 0 and held in ("closed", "paused"):
        state.set(path, "opening")
    elif sign < 0 and held in ("open", "paused"):
        state.set(path, "closing")
    elif held == "closed":
        state.set(path, "open")


def _settle_trunk(car: Car, path: str, degree: float, most: float, sign: int) -> None:
    """Follow the degree as the published trunk does: anywhere between it counts as paused."""
    is_open, is_closed = degree == most and sign >= 0, degree == 0 and sign <= 0
    car.state.set(path, "open" if is_open else "closed" if is_closed else "paused")


def _settle_front_trunk(car: Car, path: str, degree: float, most: float, sign: int) -> None:
    """Follow the degree as the published front trunk does: only at the ends, and not when opening further."""
    if sign <= 0 and degree == 0:
        car.state.set(path, "closed")
    elif not sign and degree == most:
        car.state.set(path, "open")


_SETTLES: Mapping[str, _Settle] = {"sunroof": _settle_sunroof, "trunk": _settle_trunk, "front trunk": _settle_front_trunk}
