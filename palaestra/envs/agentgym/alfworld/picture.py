"""The room as a picture in characters, for `render_mode="ansi"`."""

from __future__ import annotations

from palaestra.envs.agentgym.alfworld.goals import STATES
from palaestra.envs.agentgym.alfworld.world import AlfredWorld

_SEEN_STATES = {state: state.removeprefix("is") for state in STATES} | {"istoggled": "on"}


def draw(world: AlfredWorld) -> str:
    """Return the receptacles with what they hold, where the agent is, and what it carries.

    Args:
        world: The world; everything in it is drawn, whether or not the agent has seen it.
    """
    facts = world.facts
    names = {thing: name.name for thing, name in world.game.names.items()}
    here = {place for _, place in facts.of("atlocation")}
    location = {receptacle: place for receptacle, place in sorted(facts.of("receptacleatlocation"))}
    states = {thing: [word for state, word in _SEEN_STATES.items() if (thing,) in facts.of(state)] for thing in names}

    def label(thing: str) -> str:
        words = ", ".join(states[thing])
        return f"{names[thing]} ({words})" if words else names[thing]

    contents: dict[str, list[str]] = {receptacle: [] for receptacle in location}
    for thing, receptacle in sorted(facts.of("inreceptacle"), key=lambda pair: names[pair[0]]):
        contents.setdefault(receptacle, []).append(label(thing))
    width = max((len(names[receptacle]) for receptacle in location), default=0)
    lines = []
    for receptacle in sorted(location, key=lambda thing: _in_order(names[thing])):
        mark = "@" if location[receptacle] in here else " "
        door = "[open]  " if (receptacle,) in facts.of("opened") else "[closed]"
        door = door if (receptacle,) in facts.of("openable") else " " * 8
        lines.append(f"{mark} {names[receptacle]:<{width}} {door} {', '.join(contents[receptacle])}".rstrip())
    held = ", ".join(label(thing) for _, thing in sorted(facts.of("holds"))) or "nothing"
    place = "" if here.intersection(location.values()) else "@ in the middle of the room\n"
    return f"{place}{chr(10).join(lines)}\nIn hand: {held}"


def _in_order(name: str) -> tuple[str, int]:
    """Return a key that sorts cabinet 10 after cabinet 9."""
    kind, _, number = name.rpartition(" ")
    return kind, int(number) if number.isascii() and number.isdecimal() else 0


__all__ = ["draw"]
