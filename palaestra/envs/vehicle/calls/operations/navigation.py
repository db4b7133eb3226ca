"""Operations of the navigation: the route and its stops, the map, what is spoken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.media import SOUND_CHANNEL
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import full_path
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState


@operation("zoom")
def zoom(function: Function, tables: CarTables) -> Run:
    """Zoom the map in or out by value, degree or one level; the unit means nothing.

    Row: `sets` (the level), `signs` (word of `mode` -> 1 or -1), `steps` (degree -> levels), `step` (without an amount).
    """
    path = full_path(function.module, function["sets"])
    row = tables.properties[path]
    low, high = int(row.low or 0), int(row.high or 0)
    signs, steps, step = function["signs"], function["steps"], function["step"]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        mode, value, unit, degree = bound["mode"], bound["value"], bound["unit"], bound["degree"]
        if mode not in signs:
            raise Refusal("invalid_value", f"mode is {mode!r}; expected one of {', '.join(signs)}.", "mode")
        if value is not None and unit is not None and degree is not None:
            raise Refusal("conflicting_arguments", "Give either value or degree.", "degree")
        if degree is not None:
            if degree not in steps:
                raise Refusal("invalid_value", f"degree is {degree!r}; expected one of {', '.join(steps)}.", "degree")
            amount = steps[degree]
        else:
            amount = step if value is None else value
        old: Any = car.state.values[path]
        new = min(high, old + amount) if signs[mode] > 0 else max(low, old - amount)
        if not low <= new <= high:
            raise Refusal("out_of_range", f"value is {value!r}; it would leave the levels {low} to {high}.", "value")
        car.state.set(path, new)
        return {"previous_zoom_level": old, "new_zoom_level": new, "zoom_mode": mode}

    return run


class _Route:
    """The navigation's properties by role."""

    def __init__(self, function: Function, tables: CarTables) -> None:
        """Read the module setting `route`: `active`, `route` and `stops` (properties)."""
        self.module = function.module
        paths = {
            role: full_path(function.module, path) for role, path in tables.modules[function.module].settings["route"].items()
        }
        self.active, self.route, self.stops = paths["active"], paths["route"], paths["stops"]

    def need(self, state: CarState) -> int:
        """Return the number of the active route's record.

        Raises:
            Refusal: If no route is active.
        """
        number = state.refs[self.route]
        if not state.values[self.active] or number is None:
            raise Refusal("precondition_failed", "Navigation is not active; plan a route first.")
        return number

    def told(self, state: CarState) -> dict[str, Any]:
        """Return the route and its stops."""
        route = state.item(self.route)
        return {
            "route": None if route is None else dict(route),
            "waypoints": [stop["location"] for stop in state.items(self.stops)],
        }


def _need_text(value: Any, name: str) -> None:
    """Refuse an empty place."""
    if not value:
        raise Refusal("missing_argument", f"{name} is empty; say where to.", name)


@operation("route_plan")
def route_plan(function: Function, tables: CarTables) -> Run:
    """Start a new route without stops; takes the sound channel."""
    route = _Route(function, tables)
    start = next(param.default for param in function.params if param.name == "placeOfDeparture")

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        _need_text(bound["address"], "address")
        departure = bound["placeOfDeparture"]
        if departure is None or (not departure and not car.as_published):
            departure = start
        state.set_ref(route.route, state.new_record({"departure": departure, "destination": bound["address"]}))
        state.set(route.active, True)
        state.set_list(route.stops, ())
        state.set(SOUND_CHANNEL, route.module)
        return route.told(state)

    return run


@operation("route_change")
def route_change(function: Function, tables: CarTables) -> Run:
    """Give the active route another destination and no stops; takes the sound channel."""
    route = _Route(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        number = route.need(state)
        _need_text(bound["address"], "address")
        old = state.records[number]["destination"]
        state.change_record(number, destination=bound["address"])
        state.set_list(route.stops, ())
        state.set(SOUND_CHANNEL, route.module)
        return {"old_destination": old, **route.told(state)}

    return run


@operation("route_exit")
def route_exit(function: Function, tables: CarTables) -> Run:
    """End navigation: no route, no stops; the sound channel stays."""
    route = _Route(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        if not state.values[route.active]:
            raise Refusal("precondition_failed", "Navigation is not active; there is nothing to end.")
        state.set(route.active, False)
        state.set_ref(route.route, None)
        state.set_list(route.stops, ())
        return {"is_active": False}

    return run


@operation("stops_add")
def stops_add(function: Function, tables: CarTables) -> Run:
    """Put stops behind those of the active route; takes the sound channel."""
    route = _Route(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, places = car.state, bound["midway"]
        route.need(state)
        if not places or not isinstance(places, list):
            raise Refusal("missing_argument", f"midway is {places!r}; expected a list of at least one place.", "midway")
        numbers = list(state.lists[route.stops])
        for place in places:
            numbers.append(state.new_record({"index": len(numbers), "location": place}))
        state.set_list(route.stops, numbers)
        state.set(SOUND_CHANNEL, route.module)
        return {"added_waypoints": list(places), **route.told(state)}

    return run


@operation("stops_delete")
def stops_delete(function: Function, tables: CarTables) -> Run:
    """Take one stop, by name or by position from 0, out of the active route; takes the sound channel."""
    route = _Route(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        route.need(state)
        numbers = state.lists[route.stops]
        if not numbers:
            raise Refusal("precondition_failed", "The route has no stops.")
        position = _position(state, numbers, bound["address"], bound["number"])
        removed = state.records[numbers[position]]["location"]
        left = [*numbers[:position], *numbers[position + 1 :]]
        state.set_list(route.stops, left)
        for index in range(position, len(left)):
            state.change_record(left[index], index=index)
        state.set(SOUND_CHANNEL, route.module)
        return {"removed_waypoint": removed, **route.told(state)}

    return run


def _position(state: CarState, numbers: tuple[int, ...], address: Any, number: Any) -> int:
    """Return the position of the stop meant."""
    if address is not None and number is not None:
        raise Refusal("conflicting_arguments", "Give either address or number.", "number")
    if number is not None:
        if not 0 <= number < len(numbers):
            raise Refusal("not_found", f"number is {number!r}; the route has the stops 0 to {len(numbers) - 1}.", "number")
        return int(number)
    if address is None:
        raise Refusal("missing_argument", "Say which stop: give address or number.", "address")
    for position, stop in enumerate(numbers):
        if state.records[stop]["location"] == address:
            return position
    raise Refusal("not_found", f"{address!r} is no stop of the route.", "address")


@operation("broadcast_mode")
def broadcast_mode(function: Function, tables: CarTables) -> Run:
    """Set how much is spoken; the voice follows: off with the mute word, on with others, which also take the sound channel.

    Module setting `voice`: `mode` and `enabled` (properties), `mute` (the word), `spoken` (the word that replaces it).
    """
    module, voice = function.module, tables.modules[function.module].settings["voice"]
    mode, enabled = full_path(module, voice["mode"]), full_path(module, voice["enabled"])
    words = tables.properties[mode].enum

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        word, state = bound["type"], car.state
        if word not in words:
            raise Refusal("invalid_value", f"type is {word!r}; expected one of {', '.join(words)}.", "type")
        speaks = word != voice["mute"]
        state.set(mode, word)
        state.set(enabled, speaks)
        if speaks:
            state.set(SOUND_CHANNEL, module)
        return {"new_mode": word, "voice_notifications_enabled": speaks}

    return run


@operation("voice_switch")
def voice_switch(function: Function, tables: CarTables) -> Run:
    """Switch the voice; switching it on ends muteness and takes the sound channel.

    Module setting `voice`: as for "broadcast_mode".
    """
    module, voice = function.module, tables.modules[function.module].settings["voice"]
    mode, enabled = full_path(module, voice["mode"]), full_path(module, voice["enabled"])

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state, speaks = car.state, bool(bound["switch"])
        state.set(enabled, speaks)
        if speaks:
            if state.values[mode] == voice["mute"]:
                state.set(mode, voice["spoken"])
            state.set(SOUND_CHANNEL, module)
        return {"voice_notifications_enabled": speaks, "broadcast_mode": state.values[mode]}

    return run
