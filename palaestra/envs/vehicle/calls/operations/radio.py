"""Operations of the radio: playing a station keeps the list of stations heard."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.media import SOUND_CHANNEL
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import full_path
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState


class _Radio:
    """The radio's properties by role, and what playing a station does to them."""

    def __init__(self, function: Function, tables: CarTables) -> None:
        """Read the module setting `player`: `current`, `playing`, `history`, `longest` and `collection` (properties)."""
        module = self.module = function.module
        player = tables.modules[module].settings["player"]
        self.current, self.playing, self.history, self.longest = (
            full_path(module, player[key]) for key in ("current", "playing", "history", "longest")
        )
        self.collection = full_path(module, player["collection"])
        self.identity = itemgetter(*tables.record_types[tables.properties[self.history].of].identity)

    def play(self, state: CarState, number: int, *, is_unknown: bool = False) -> dict[str, Any]:
        """Make a station the current one: first in the history, stamped with the car's time; take the sound channel.

        A station that `is_unknown` has no other of its identity in the history.
        """
        state.change_record(number, timestamp=state.values["environment.timestamp"])
        station = state.records[number]
        records, identity = state.records, self.identity
        wanted = identity(station)
        others = state.lists[self.history]
        if not is_unknown:
            others = tuple([other for other in others if other != number and identity(records[other]) != wanted])
        longest = state.values[self.longest]
        state.set_list(self.history, (number, *others)[: longest if isinstance(longest, int) else None])
        state.set_ref(self.current, number)
        state.set(self.playing, True)
        state.set(SOUND_CHANNEL, self.module)
        return {"station": dict(station), "is_playing": True}

    def known(self, state: CarState, station: dict[str, Any]) -> int | None:
        """Return the number of the station of this identity in the history or the collection, or None."""
        records, identity = state.records, self.identity
        wanted = identity(station)
        for number in (*state.lists[self.history], *state.lists[self.collection]):
            if identity(records[number]) == wanted:
                return number
        return None


@operation("play_station")
def play_station(function: Function, tables: CarTables) -> Run:
    """Play the first station of a list.

    Row: `list`, `with` (a field that must not be empty: the first such station is played), `otherwise` (the station played if
    there is none; without it the call is refused).
    """
    radio = _Radio(function, tables)
    source = full_path(function.module, function["list"])
    needed, otherwise = function.arguments.get("with"), function.arguments.get("otherwise")

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        for number in state.lists[source]:
            if needed is None or state.records[number][needed]:
                return radio.play(state, number)
        if otherwise is None:
            raise Refusal("precondition_failed", f"{source} is empty; there is no station to play.")
        return radio.play(state, state.new_record({**otherwise, "timestamp": state.values["environment.timestamp"]}))

    return run


@operation("tune")
def tune(function: Function, tables: CarTables) -> Run:
    """Play the station described by the arguments; without any the current station, else the one heard last.

    Row: `fields` (parameter -> field of the station), `unknown` (fields of a station that is described in part).
    In the `published` profile nothing happens while something plays (quirk Q13), and a station is always a new one; in `fixed`
    a station of the same identity in the history or the collection is that station, with what is known of it.
    """
    radio = _Radio(function, tables)
    fields: dict[str, str] = function["fields"]
    unknown: dict[str, str] = function["unknown"]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        said = {field: bound[name] for name, field in fields.items() if bound[name]}
        number = state.refs[radio.current]
        if number is not None and state.values[radio.playing] and (car.as_published or not said):
            return {"station": dict(state.records[number]), "is_playing": True}
        if said:
            station = {field: said.get(field, unknown[field]) for field in fields.values()}
            number = None if car.as_published else radio.known(state, station)
            if number is None:
                number = state.new_record({**station, "timestamp": state.values["environment.timestamp"]})
                return radio.play(state, number, is_unknown=not car.as_published)
            state.change_record(number, **said)
        elif number is None:
            history = state.lists[radio.history]
            if not history:
                raise Refusal("precondition_failed", "No station was played before; say which one to play.")
            number = history[0]
        return radio.play(state, number)

    return run
