"""Operations of doors and windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.levels import (
    DIGITS,
    Scale,
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
    from palaestra.envs.vehicle.car.car import Car

_AJAR = 10  # what opening by switch opens a closed door or window to, in its unit


@operation("door_switch")
def door_switch(function: Function, tables: CarTables) -> Run:
    """Open or close doors; a locked door is not opened.

    Row: `axis` (the angle's axis, see `door_angle`), `lock` (the property that refuses to open).
    """
    axis = axis_of(function, tables)
    angles, units, states = (place_paths(tables, function.module, axis[key]) for key in ("property", "unit", "status"))
    locks = place_paths(tables, function.module, function["lock"])
    targets, tops = targets_of(function, tables), axis["units"]
    actions = dict.fromkeys(("open", "close"))

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        action, state = bound["action"], car.state
        if action not in actions:
            raise unknown_word("action", action, actions)
        values = state.values
        places = targets.resolve(car, bound[targets.param])
        for place in places:
            if action == "close":
                state.set(angles[place], 0)
                state.set(states[place], "closed")
                continue
            if values[locks[place]]:
                raise Refusal("precondition_failed", f"The door at {place} is locked; unlock it first.", targets.param)
            state.set(states[place], "open")
            if values[angles[place]] == 0:
                state.set(angles[place], min(_AJAR, tops[str(values[units[place]])]["top"]))
        return {"action": action, "angle": {place: values[angles[place]] for place in places}}

    return run


@operation("door_angle")
def door_angle(function: Function, tables: CarTables) -> Run:
    """Move or set how far doors stand open, in the unit said, which becomes the door's unit.

    In `published` the old number is kept when the unit changes; in `fixed` it is converted (quirk Q8). Locks do not matter.

    Row: `axis` (`property`, `unit` and `status` of a door; `units`: name -> `top` and `steps`; `step`; `presets` in percent of
    the top), `direction`.
    """
    axis = axis_of(function, tables)
    angles, units, states = (place_paths(tables, function.module, axis[key]) for key in ("property", "unit", "status"))
    targets, rules, rows, presets = targets_of(function, tables), rules_of(axis), axis["units"], axis["presets"]
    direction = function["direction"]
    words = presets if direction == "set" else rows[next(iter(rows))]["steps"]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, as_published = car.state, car.as_published
        values = state.values
        amount = rules.read(bound)
        value, unit, degree = amount.value, amount.unit, amount.degree
        if value is not None and unit not in rows:
            raise unknown_word("unit", unit, rows)
        if degree is not None and degree not in words:
            raise unknown_word("degree", degree, words)
        if direction == "set":
            if amount.is_nothing:
                raise Refusal("missing_argument", "Say how far: value and unit, or a degree.", "value")
            if not as_published and value is not None and not 0 <= value <= rows[unit]["top"]:
                raise out_of_range(value, unit, 0, rows[unit]["top"], unit)
        places = targets.resolve(car, bound[targets.param])
        for place in places:
            angle: Any = values[angles[place]]
            if value is not None and unit != values[units[place]]:
                if not as_published:
                    angle = round(angle / rows[values[units[place]]]["top"] * rows[unit]["top"], DIGITS)
                state.set(units[place], unit)
            row = rows[values[units[place]]]
            if direction == "set":
                angle = value if value is not None else presets[degree] * row["top"] / 100
            else:
                by = value if value is not None else row["steps"][degree or axis["step"]]
                angle = angle + by if direction == "up" else angle - by
            angle = max(0, min(row["top"], angle))
            state.set(angles[place], angle)
            state.set(states[place], "open" if angle > 0 else "closed")
        return {"angle": {place: [values[angles[place]], values[units[place]]] for place in places}}

    return run


@operation("window_switch")
def window_switch(function: Function, tables: CarTables) -> Run:
    """Open windows that are closed a little, or close them.

    Row: `axis` (see `window_height`).
    """
    axis = axis_of(function, tables)
    degrees, states = (place_paths(tables, function.module, axis[key]) for key in ("property", "open"))
    targets = targets_of(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        switch, state = bound["switch"], car.state
        if type(switch) is not bool:
            raise Refusal("invalid_type", f"switch is {switch!r}; expected true or false.", "switch")
        places = targets.resolve(car, bound[targets.param])
        for place in places:
            if not switch:
                state.set(degrees[place], 0)
            elif state.values[degrees[place]] == 0:
                state.set(degrees[place], _AJAR)
            state.set(states[place], switch)
        return {"open_degree": {place: state.values[degrees[place]] for place in places}}

    return run


@operation("window_height")
def window_height(function: Function, tables: CarTables) -> Run:
    """Move or set the height of window panes: the higher, the less open.

    Row: `axis` (`property` (percent open) and `open` of a window; the keys of `levels.Scale`, told in percent of height),
    `direction`.
    """
    axis = axis_of(function, tables)
    degrees, states = (place_paths(tables, function.module, axis[key]) for key in ("property", "open"))
    scale, targets, direction = Scale(axis), targets_of(function, tables), function["direction"]
    top = scale.high

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, as_published = car.state, car.as_published
        places = targets.resolve(car, bound[targets.param])
        amount = scale.target(bound, as_published) if direction == "set" else scale.step(bound, as_published)
        for place in places:
            if direction == "set":
                opened = top - amount
            else:
                old = state.values[degrees[place]]
                move = scale.lowered if direction == "up" else scale.raised
                opened = move(old, amount, as_published)
            state.set(degrees[place], opened)
            state.set(states[place], opened > 0)
        return {"open_degree": {place: state.values[degrees[place]] for place in places}}

    return run
