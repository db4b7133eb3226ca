"""What is special about a request, found out from what it did: amounts, other units, couplings C1 to C15.

| kind | coupling |
|---|---|
| C1 | the sound goes to another device |
| C2 | the one volume of all devices changes |
| C3 | heating and cooling exclude each other |
| C4 | the air conditioner changes the temperature of the car |
| C5 | language or time format, shared by the displays |
| C6 | the unit of distances, of the car or of the instrument panel alone |
| C7 | voice guidance and broadcast mode follow each other |
| C8 | it depends on who speaks |
| C9 | a lock forbids it |
| C10 | it needs something that is switched off |
| C11 | properties that follow from others change with them |
| C12, C13 | rules of calls; rules of routes |
| C14, C15 | the radio's history; the music's history and shared tracks |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.car.state import CarState
from palaestra.envs.vehicle.car.tables import car_tables
from palaestra.envs.vehicle.requests.goals import Goal
from palaestra.envs.vehicle.requests.spoken import Quantity

_BY_PATH = {
    "environment.sound_channel": "C1",
    "environment.volume": "C2",
    "environment.temperature": "C4",
    "environment.language": "C5",
    "environment.time_display_format": "C5",
    "environment.unit_system": "C6",
    "instrumentPanel.distance_unit": "C6",
    "conversation.call_state": "C12",
    "conversation.current_contact": "C12",
    "conversation.hands_free": "C12",
    "navigation.is_active": "C13",
}
_BY_START = {
    "navigation.waypoints": "C13",
    "navigation.current_route": "C13",
    "radio._history": "C14",
    "music._history_tracks": "C15",
    "music._favorite_tracks": "C15",
}
_BY_PAIR = {
    ("airConditioner.heat_mode", "airConditioner.cool_mode"): "C3",
    ("navigation.broadcast_mode", "navigation.voice_notifications_enabled"): "C7",
}
_BY_REFUSAL = {
    **dict.fromkeys(("door", "trunk", "frontTrunk", "fuelPort"), "C9"),
    **dict.fromkeys(("HUD", "overheadScreen", "steeringWheel", "airConditioner", "wiper"), "C10"),
    "conversation": "C12",
    "navigation": "C13",
}

COUPLED_MODULES = {
    "C1": ("navigation", "conversation", "music", "radio", "video"),
    "C2": ("navigation", "conversation", "music", "radio", "video"),
    "C3": ("airConditioner",),
    "C4": ("airConditioner",),
    "C5": ("centerInformationDisplay", "instrumentPanel", "overheadScreen"),
    "C6": ("navigation", "instrumentPanel"),
    "C7": ("navigation",),
    "C9": ("door", "trunk", "frontTrunk", "fuelPort"),
    "C10": ("HUD", "overheadScreen", "steeringWheel", "airConditioner", "wiper"),
    "C12": ("conversation",),
    "C13": ("navigation",),
    "C14": ("radio",),
    "C15": ("music",),
}
"""Modules in which a coupling is met."""
KIND_WISHES = {
    "refuse": ("refuse",),
    "C9": ("refuse",),
    "C10": ("refuse",),
    "already": ("already",),
    "inform": ("if", "every"),
    "unmet": ("if",),
    "follow-up": ("follow",),
}
"""Kinds of requests to ask for where one of these labels is wanted."""


def change_kinds(changes: Iterable[Change]) -> set[str]:
    """Return the couplings seen in what changed."""
    paths = {change.path for change in changes}
    kinds = {_BY_PATH[path] for path in paths if path in _BY_PATH}
    kinds |= {kind for path in paths for start, kind in _BY_START.items() if path.startswith(start)}
    kinds |= {kind for pair, kind in _BY_PAIR.items() if paths.issuperset(pair)}
    rows = car_tables().properties
    if any(path in rows and rows[path].derived for path in paths):
        kinds.add("C11")
    return kinds


def refusal_kinds(module: str) -> set[str]:
    """Return the couplings behind the car's refusal of a function of a module."""
    return {_BY_REFUSAL[module]} if module in _BY_REFUSAL else set()


def goal_kinds(goal: Goal, changes: Sequence[Change], after: CarState) -> set[str]:
    """Return the kinds of a goal: "speaker", "degree", "value", "unit".

    Args:
        goal: The goal.
        changes: What it changed.
        after: State after that.
    """
    kinds = set(goal.intent.kinds)
    places = [place for place in (goal.place, goal.other) if place is not None]
    if any(place.depends_on_speaker for place in places):
        kinds |= {"speaker", "C8"}
    if goal.quantity is not None:
        kinds.add("degree" if goal.quantity.degree else "value")
        if goal.quantity.unit and _is_other_unit(goal.quantity, changes, after):
            kinds.add("unit")
    return kinds


def _is_other_unit(quantity: Quantity, changes: Sequence[Change], after: CarState) -> bool:
    """Whether an amount is said in another unit than the car keeps it in."""
    if any(change.path.endswith("unit") for change in changes):
        return True  # the unit that is kept is now the one that was said
    for change in changes:
        if isinstance(change.new, int | float) and not isinstance(change.new, bool):
            stored = _stored_unit(change.path, after)
            if stored:
                return stored != quantity.unit
    return False


def _stored_unit(path: str, state: CarState) -> str:
    """Return the unit in which the car keeps a number; empty if it has none."""
    for unit_path in _unit_paths(path):
        if unit_path in state.values:
            return str(state.values[unit_path])
    row = car_tables().properties.get(path)
    if row is None:
        return ""
    return "percentage" if row.unit.startswith("percent") or "percentage" in path else row.unit


@cache
def _unit_paths(path: str) -> tuple[str, ...]:
    """Return where the unit of a number may stand: beside it."""
    parent = path.rpartition(".")[0]
    rows = car_tables().properties
    return tuple(
        other
        for other in rows
        if other.rpartition(".")[0] == parent and other.endswith("unit") and not rows[other].constant and rows[other].enum
    )
