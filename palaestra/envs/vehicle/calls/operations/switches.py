"""Operations that set one thing: a flag, or one of several words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.preconditions import precondition_of
from palaestra.envs.vehicle.calls.targets import Targets
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.derived import siblings, sync
from palaestra.envs.vehicle.car.paths import full_path, place_paths, property_at
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState


@operation("flag")
def flag(function: Function, tables: CarTables) -> Run:
    """Set one boolean, of every place named.

    Row: `sets` (the property), `needs` (see `preconditions`), `needs_on` (needs for switching on), `also` (words that follow
    the flag: property -> value when false, when true), `remembers` (property that keeps the position as it was said), `stamps`
    (property that takes the car's time, in seconds), `coerce` (`published` only, quirk Q24; what becomes of a value that
    is not a boolean: "keep" stores it, "bool" takes its truth value, "refuse" refuses).
    """
    name = next(param.name for param in function.params if param.name != "position")
    coerce = function.arguments.get("coerce", "refuse")
    targets = Targets.of(function, tables.modules[function.module].settings)
    paths = place_paths(tables, function.module, function["sets"])
    precondition = precondition_of(function, tables)
    precondition_on = precondition_of(function, tables, function.arguments.get("needs_on", ()))
    also = {full_path(function.module, path): words for path, words in function.arguments.get("also", {}).items()}
    remembers, stamps = (
        full_path(function.module, function.arguments[key]) if key in function.arguments else ""
        for key in ("remembers", "stamps")
    )
    leads = any(siblings(tables, path) for path in paths.values())

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        value = bound[name]
        if type(value) is not bool and coerce != "keep":
            if coerce == "refuse":
                raise Refusal("invalid_type", f"{name} is {value!r}; expected true or false.", name)
            value = bool(value)
        precondition(car)
        if value:
            precondition_on(car)
        state = car.state
        if targets is None:
            for path in paths.values():
                state.set(path, value)
                if leads:
                    sync(state, path, tables=tables, as_published=car.as_published)
            if stamps:
                _stamp(state, stamps)
            for path, words in also.items():
                state.set(path, words[1] if value else words[0])
            return {name: value}
        places = []
        for place in targets.each(car, bound[targets.param]):
            state.set(paths[place], value)
            places.append(place)
        if remembers:
            state.set(remembers, bound[targets.param])
        return {name: value, "position": places}

    return run


@operation("enum")
def enum(function: Function, tables: CarTables) -> Run:
    """Set one property to a word.

    Row: `sets` (the property), `needs` (see `preconditions`), `stores` (word said -> value stored, where they differ),
    `unchecked` (`published` only, quirk Q10: any word is stored; true, or the value stored for unknown words).
    """
    param = next(param for param in function.params if param.name != "position")
    (path,) = place_paths(tables, function.module, function["sets"]).values()
    row = property_at(tables, function.module, function["sets"])
    stores = {**{word: word for word in param.enum or row.enum}, **function.arguments.get("stores", {})}
    unchecked = function.arguments.get("unchecked", False)
    precondition = precondition_of(function, tables)
    name = param.name
    leads = bool(siblings(tables, path))

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        precondition(car)
        word = bound[name]
        if isinstance(word, str) and word in stores:
            value = stores[word]
        elif unchecked is False or not car.as_published:
            raise Refusal("invalid_value", f"{name} is {word!r}; expected one of {', '.join(stores)}.", name)
        else:
            value = word if unchecked is True else unchecked
        state = car.state
        if state.set(path, car.normal(path, value)) and leads:
            sync(state, path, tables=tables, as_published=car.as_published)
        return {name: word}

    return run


def _stamp(state: CarState, path: str) -> None:
    """Write the car's time as seconds since 1970; a clock that shows no time leaves the last stamp."""
    try:
        now = datetime.fromisoformat(str(state.values["environment.timestamp"]))
    except ValueError:
        return
    state.set(path, now.replace(tzinfo=UTC).timestamp())
