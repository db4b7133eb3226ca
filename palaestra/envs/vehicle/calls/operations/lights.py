"""Operations of the reading lights: a brightness in one of three units behind a switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.levels import (
    axis_of,
    out_of_range,
    rules_of,
    targets_of,
    unknown_word,
)
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import place_paths
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.calls.amounts import Amount
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState

_STEPS_WHEN_LIT = 4  # a dark light that is switched on gets this many default steps


class _Lamps:
    """The reading lights of an axis.

    Args:
        axis: `property` (brightness), `unit`, `switch` of a light; `units`: name -> `top` and `step` (default step); `steps`
            in points of a percent and `presets` in percent of the top.
        module: Module of the lights.
        tables: The car's tables.
    """

    __slots__ = ("rows", "switch", "unit", "value")

    def __init__(self, axis: Mapping[str, Any], module: str, tables: CarTables) -> None:
        """Find the paths."""
        self.rows: Mapping[str, Any] = axis["units"]
        self.value = place_paths(tables, module, axis["property"])
        self.unit = place_paths(tables, module, axis["unit"])
        self.switch = place_paths(tables, module, axis["switch"])

    def light(self, state: CarState, place: str, switch: Any) -> None:
        """Switch a light: on gives a dark one some brightness, off darkens it."""
        state.set(self.switch[place], switch)
        if not switch:
            state.set(self.value[place], 0)
        elif state.values[self.value[place]] == 0:
            state.set(self.value[place], self.row(state, place)["step"] * _STEPS_WHEN_LIT)

    def row(self, state: CarState, place: str) -> Mapping[str, Any]:
        """Return the row of a light's unit."""
        row: Mapping[str, Any] = self.rows[str(state.values[self.unit[place]])]
        return row

    def told(self, state: CarState, place: str) -> dict[str, Any]:
        """Return how a light stands."""
        values = state.values
        return {
            "is_on": values[self.switch[place]],
            "brightness_value": values[self.value[place]],
            "brightness_unit": values[self.unit[place]],
        }


@operation("lamp_switch")
def lamp_switch(function: Function, tables: CarTables) -> Run:
    """Switch reading lights on or off.

    Row: `axis` (see `lamp_brightness`).
    """
    lamps, targets = _Lamps(axis_of(function, tables), function.module, tables), targets_of(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        places = targets.resolve(car, bound[targets.param])
        for place in places:
            lamps.light(car.state, place, bound["switch"])
        return {"lights": {place: lamps.told(car.state, place) for place in places}}

    return run


@operation("lamp_brightness")
def lamp_brightness(function: Function, tables: CarTables) -> Run:
    """Move or set the brightness of reading lights; up and set switch them on first, down leaves dark ones alone.

    Row: `axis` (see `_Lamps`; `alone` and `both`), `direction`.
    """
    axis, direction = axis_of(function, tables), function["direction"]
    lamps, targets, rules = _Lamps(axis, function.module, tables), targets_of(function, tables), rules_of(axis)
    words: Mapping[str, float] = axis["presets" if direction == "set" else "steps"]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, as_published = car.state, car.as_published
        places = targets.resolve(car, bound[targets.param])
        amount = rules.read(bound)
        if amount.value is not None and amount.unit not in lamps.rows:
            raise unknown_word("unit", amount.unit, lamps.rows)
        if amount.degree is not None and amount.degree not in words:
            raise unknown_word("degree", amount.degree, words)
        told = {}
        for place in places:
            if direction != "down" and not state.values[lamps.switch[place]]:
                lamps.light(state, place, True)
            lit = bool(state.values[lamps.switch[place]])
            if lit and direction == "set":
                _set(state, lamps, place, amount, words, as_published)
            elif lit:
                _move(state, lamps, place, amount, words, 1 if direction == "up" else -1)
            told[place] = {"changed": lit, **lamps.told(state, place)}
        return {"lights": told}

    return run


def _set(state: CarState, lamps: _Lamps, place: str, amount: Amount, presets: Mapping[str, float], as_published: bool) -> None:
    """Set the brightness of one light; the unit said becomes its unit."""
    if amount.is_nothing:  # only now: the published light is already on by then (quirk Q9)
        raise Refusal("missing_argument", "Say how bright: value and unit, or a degree.", "value")
    if amount.value is None:
        new = presets[amount.degree] / 100 * lamps.row(state, place)["top"]
    else:
        top = lamps.rows[amount.unit]["top"]
        if as_published and not isinstance(amount.value, int | float):  # the published light has its unit by then (Q9)
            old: Any = state.values[lamps.value[place]]
            state.set(lamps.value[place], old / lamps.row(state, place)["top"] * 100 / 100 * top)
            state.set(lamps.unit[place], amount.unit)
            raise Refusal("invalid_type", f"value is {amount.value!r}; expected a number.", "value")
        if not as_published and not 0 <= amount.value <= top:
            raise out_of_range(amount.value, amount.unit, 0, top, amount.unit)
        new = max(0, min(top, amount.value))
        state.set(lamps.unit[place], amount.unit)
    state.set(lamps.value[place], new)


def _move(state: CarState, lamps: _Lamps, place: str, amount: Amount, steps: Mapping[str, float], sign: int) -> None:
    """Move the brightness of one light within its own unit."""
    old: Any = state.values[lamps.value[place]]
    row = lamps.row(state, place)
    top = row["top"]
    if amount.degree is not None:
        percent = max(0, min(100, old / top * 100 + sign * steps[amount.degree]))
        new = percent / 100 * top
    else:
        by = row["step"]
        if amount.value is not None:
            by = amount.value
            if lamps.rows[amount.unit] is not row:
                by = by / lamps.rows[amount.unit]["top"] * 100 / 100 * top
        new = max(0, min(top, old + sign * by))
    state.set(lamps.value[place], new)
