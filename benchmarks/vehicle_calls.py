"""Sensible calls for every function of the car, found by trying: what succeeds on one of four cars is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from palaestra.envs.vehicle.car.tables import ENVIRONMENT, Function, Param, car_tables
from palaestra.envs.vehicle.world import VehicleWorld

SEAT = "driver's seat"
MOST_PER_FUNCTION = 6
_WORDS: dict[str, Any] = {
    "address": "Shanghai",
    "placeOfDeparture": "Beijing",
    "midway": ["Nanjing", "Suzhou"],
    "contact": "Default Contact",
    "content": "On my way",
    "radioValue": "98.5 MHz",
    "radioName": "Classic Rock",
    "city": "Los Angeles",
    "appName": "Rock Radio",
    "number": 0,
}


def sensible_calls() -> list[tuple[VehicleWorld, str, str, dict[str, Any]]]:
    """Return calls as (car, module, function, arguments): up to six a function, those that change something first."""
    worlds = list(_worlds())
    found = []
    for module in car_tables().modules.values():
        for function in module.functions.values():
            tried = [(world, arguments) for arguments in _arguments(function) for world in worlds]
            ranked = sorted(tried, key=lambda pair: -_worth(*pair, function))
            kept = [pair for pair in ranked if _worth(*pair, function)][:MOST_PER_FUNCTION] or ranked[:1]
            found += [(world, module.name, function.name, arguments) for world, arguments in kept]
    return found


def _worlds() -> Iterator[VehicleWorld]:
    """Yield the default car, the two presets, and a car in which everything is on and a call and a route are active."""
    for preset in ("default", "init1", "init2"):
        world = VehicleWorld()
        for module in world.tables.modules:
            if module != ENVIRONMENT:
                world.apply_preset(module, preset)
        world.state.forget()
        yield world
    world = VehicleWorld()
    for row in (row for module in world.tables.modules.values() for row in module.properties):
        if row.type == "bool" and row.path.endswith(("is_on", "is_active", "is_enabled", "is_heater_on", "is_playing")):
            for path in row.paths():
                world.state.set(path, True)
    world.state.set("overheadScreen.state", "open")
    world.state.set("conversation.call_state", "active")
    world.state.set("trunk.is_locked", False)
    world.state.forget()
    yield world


def _arguments(function: Function) -> list[dict[str, Any]]:
    """Return ways to call a function: by word, by number and unit, and without what may be left out."""
    params = {param.name: param for param in function.params}
    base = {name: _value(param) for name, param in params.items() if param.name not in ("value", "unit", "degree")}
    required = {name: value for name, value in base.items() if params[name].required}
    ways: list[dict[str, Any]] = [base, required]
    for flag in ("switch", "collect"):
        if flag in base:
            ways.append({**base, flag: not base[flag]})
    for word in ("action", "mode", "type"):
        if word in params:
            ways += [{**base, word: choice} for choice in params[word].enum]
    if "degree" in params:
        ways = [{**base, "degree": choice} for choice in params["degree"].enum] + ways
    if "value" in params:
        units = params["unit"].enum if "unit" in params else ("",)
        ways += [
            {**base, "value": number, **({"unit": unit} if unit else {})}
            for unit in (units or ("",))
            for number in (1, 3, 20, 60)
        ]
    ways += [{"number": 0}] if "number" in params else []
    return [way for i, way in enumerate(ways) if way not in ways[:i]]


def _value(param: Param) -> Any:
    """Return a fitting value of a parameter."""
    if param.type == "targets":
        return [SEAT]
    if param.type == "bool":
        return True
    return param.enum[0] if param.enum else _WORDS.get(param.name, 1)


def _worth(world: VehicleWorld, arguments: dict[str, Any], function: Function) -> int:
    """Return 0 for a refused call, 1 for one that changes nothing, 2 for one that does; the car stays as it is."""
    mark = world.state.mark()
    result = world.call(function.module, function.name, **arguments)
    changed = len(world.state.log) > mark
    world.state.undo(mark)
    return result.ok * (1 + changed)
