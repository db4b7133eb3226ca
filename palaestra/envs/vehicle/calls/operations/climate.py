"""Operations of the air conditioner: units by seat, modes of the whole car, and the cabin temperature that follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.levels import Scale, axis_of, targets_of
from palaestra.envs.vehicle.calls.preconditions import precondition_of
from palaestra.envs.vehicle.calls.targets import Targets
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import full_path, place_paths
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState


class _Units:
    """The units of the air conditioner and what they share, from the module's key `climate`.

    Args:
        function: A function of the module.
        tables: The car's tables; `climate` has `power` and `temperature` of the units, `cool`, `heat` and `shared` (the cabin
            temperature).
    """

    __slots__ = ("_cool", "_heat", "power", "shared", "temperature")

    def __init__(self, function: Function, tables: CarTables) -> None:
        """Find the paths."""
        module = function.module
        row = tables.modules[module].settings["climate"]
        self.power = place_paths(tables, module, row["power"])
        self.temperature = place_paths(tables, module, row["temperature"])
        self._cool, self._heat = full_path(module, row["cool"]), full_path(module, row["heat"])
        self.shared = full_path(module, row["shared"])

    def running(self, car: Car, targets: Targets, given: Any) -> list[str]:
        """Return the units meant that are on.

        Raises:
            Refusal: precondition_failed if none of them is; unknown_target.
        """
        places = targets.resolve(car, given)
        values, power = car.state.values, self.power
        found = [place for place in places if values[power[place]]]
        if not found:
            raise Refusal("precondition_failed", f"No air conditioner is on at {', '.join(places)}; switch one on first.")
        return found

    def follow(self, state: CarState, last: Any = None) -> None:
        """Let the cabin temperature follow the units: the lowest of those on when cooling, the highest when heating.

        Args:
            state: The car's state.
            last: Temperature just set, which counts when neither mode is on; None keeps the cabin temperature.
        """
        values = state.values
        cool, heat = values[self._cool], values[self._heat]
        if cool or heat:
            on = [values[self.temperature[place]] for place, path in self.power.items() if values[path]]
            if on:
                state.set(self.shared, min(on) if cool else max(on))  # type: ignore[type-var]
        elif last is not None:
            state.set(self.shared, last)


@operation("climate_number")
def climate_number(function: Function, tables: CarTables) -> Run:
    """Move or set a number of the units meant that are on.

    Row: `axis` (`property`, `follows` if the cabin temperature does, and the keys of `levels.Scale`), `direction`.
    """
    axis = axis_of(function, tables)
    scale, targets, units = Scale(axis), targets_of(function, tables), _Units(function, tables)
    paths = place_paths(tables, function.module, axis["property"])
    direction, follows = function["direction"], bool(axis.get("follows"))
    name = axis["property"].rsplit(".", 1)[-1]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, as_published = car.state, car.as_published
        places = units.running(car, targets, bound[targets.param])
        to_set = direction == "set"
        amount = scale.target(bound, as_published) if to_set else scale.step(bound, as_published)
        shift = scale.raised if direction == "up" else scale.lowered
        last = None
        for place in places:
            new = amount if to_set else shift(state.values[paths[place]], amount, as_published)
            if new is not None:
                state.set(paths[place], new)
                last = new
        if follows and last is not None:
            units.follow(state, last)
        return {name: {place: state.values[paths[place]] for place in places}}

    return run


@operation("climate_power")
def climate_power(function: Function, tables: CarTables) -> Run:
    """Switch units on or off; the cabin temperature follows in the `fixed` profile (quirk Q18)."""
    targets, units = targets_of(function, tables), _Units(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        places, state = targets.resolve(car, bound[targets.param]), car.state
        for place in places:
            state.set(units.power[place], bound["switch"])
        if not car.as_published:
            units.follow(state)
        return {"switch": bound["switch"], targets.param: places}

    return run


@operation("climate_mode")
def climate_mode(function: Function, tables: CarTables) -> Run:
    """Set a mode of the whole air conditioner; switching it on ends its rival. The cabin temperature follows in `fixed` (Q18).

    Row: `sets` (the mode), `ends` (its rival), `needs` (see `preconditions`).
    """
    mode, rival = full_path(function.module, function["sets"]), full_path(function.module, function["ends"])
    precondition, units = precondition_of(function, tables), _Units(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        precondition(car)
        switch, state = bound["switch"], car.state
        state.set(mode, switch)
        if switch:
            state.set(rival, False)
        if not car.as_published:
            units.follow(state)
        return {function["sets"]: switch}

    return run


@operation("climate_outlet")
def climate_outlet(function: Function, tables: CarTables) -> Run:
    """Open or close an air outlet, or all of them, of the units meant that are on.

    Row: `sets` (the outlet's property, with {mode}), `every` (outlets that the mode "all" means).
    """
    targets, units = targets_of(function, tables), _Units(function, tables)
    every: list[str] = function["every"]
    paths = {name: place_paths(tables, function.module, function["sets"].replace("{mode}", name)) for name in every}

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        places, mode = units.running(car, targets, bound[targets.param]), bound["mode"]
        # only `published` lets unknown outlets through (Q10)
        names = every if mode == "all" else [mode] if mode in paths else []
        for name in names:
            for place in places:
                car.state.set(paths[name][place], bound["switch"])
        return {"mode": mode, "switch": bound["switch"], targets.param: places}

    return run


@operation("climate_word")
def climate_word(function: Function, tables: CarTables) -> Run:
    """Set a property of the units meant that are on to the word given, or to null where `switch` is false; see quirk Q10.

    Row: `sets` (the property).
    """
    targets, units = targets_of(function, tables), _Units(function, tables)
    paths = place_paths(tables, function.module, function["sets"])
    name = next(param.name for param in function.params if param.name not in (targets.param, "switch"))

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        places = units.running(car, targets, bound[targets.param])
        word = bound[name] if bound.get("switch", True) else None
        for place in places:
            car.state.set(paths[place], word)
        return {name: word, targets.param: places}

    return run
