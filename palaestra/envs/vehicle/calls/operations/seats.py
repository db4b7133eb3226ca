"""Operations of the seats: positions in percent, folding, massage modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.levels import Scale, axis_of, targets_of, unknown_word
from palaestra.envs.vehicle.car.paths import place_paths
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car


@operation("place_number")
def place_number(function: Function, tables: CarTables) -> Run:
    """Move or set one number of every place named.

    Row: `axis` (`property` and the keys of `levels.Scale`), `direction` ("up", "down" or "set").
    """
    axis = axis_of(function, tables)
    scale, targets = Scale(axis), targets_of(function, tables)
    paths = place_paths(tables, function.module, axis["property"])
    direction = function["direction"]
    name = axis["property"].rsplit(".", 1)[-1]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, as_published = car.state, car.as_published
        places = targets.resolve(car, bound[targets.param])
        if direction == "set":
            new = scale.target(bound, as_published)
            if new is not None:
                for place in places:
                    state.set(paths[place], new)
        else:
            by = scale.step(bound, as_published)
            shift = scale.raised if direction == "up" else scale.lowered
            for place in places if by is not None else ():
                new = shift(state.values[paths[place]], by, as_published)
                if new is not None:
                    state.set(paths[place], new)
        return {name: {place: state.values[paths[place]] for place in places}}

    return run


@operation("place_word")
def place_word(function: Function, tables: CarTables) -> Run:
    """Set a property of every place named to what a word stands for.

    Row: `sets` (the property), `stores` (word -> value; null leaves the property alone).
    """
    paths = place_paths(tables, function.module, function["sets"])
    stores: dict[str, Any] = function["stores"]
    targets = targets_of(function, tables)
    name = next(param.name for param in function.params if param.name != targets.param)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        word = bound[name]
        if word not in stores:
            raise unknown_word(name, word, stores)
        places = targets.resolve(car, bound[targets.param])
        if stores[word] is not None:
            for place in places:
                car.state.set(paths[place], stores[word])
        return {name: word, targets.param: places}

    return run


@operation("massage_mode")
def massage_mode(function: Function, tables: CarTables) -> Run:
    """Start a massage mode, or stop it where it is the one that runs.

    Row: `sets` (the mode), `power` (the massager's switch).
    """
    modes = place_paths(tables, function.module, function["sets"])
    powers = place_paths(tables, function.module, function["power"])
    targets = targets_of(function, tables)
    words = dict.fromkeys(next(param for param in function.params if param.name == "mode").enum)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        on, mode, state = bool(bound["switch"]), bound["mode"], car.state
        if mode not in words:
            raise unknown_word("mode", mode, words)
        places = targets.resolve(car, bound[targets.param])
        for place in places:
            if on or state.values[modes[place]] == mode:
                state.set(modes[place], mode if on else None)
                state.set(powers[place], on)
        return {"active_mode": {place: state.values[modes[place]] for place in places}}

    return run
