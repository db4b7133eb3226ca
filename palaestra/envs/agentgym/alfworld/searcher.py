"""The second expert: it knows only what it has seen, and looks for the rest where people would.

It knows the receptacles of the room, which the first text names, and the goal. What lies where it learns by going there and
opening what is closed; places where things of the wanted kind are usually kept come first, less those where they are to go.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from palaestra.envs.agentgym.alfworld.goals import Wanted, wanted_of
from palaestra.envs.agentgym.alfworld.knowledge import KNIVES, Room, Sketch
from palaestra.envs.agentgym.alfworld.planner import best_plan, candidates
from palaestra.envs.agentgym.alfworld.rooms import likely_homes
from palaestra.envs.agentgym.alfworld.world import AlfredWorld

_NUMBER = re.compile(r"(.*?) ?([0-9]*) *")


def reason(command: str) -> str:
    """Return a thought that leads to a step of a plan.

    Args:
        command: The step.
    """
    verb, _, rest = command.partition(" ")
    if verb == "go":
        return f"I know what to do at {rest.removeprefix('to ')}."
    if verb == "take":
        return f"There is the {rest.split(' from ')[0]} that I need."
    return f"Now I {command}."


class Move(NamedTuple):
    """A command, and the thought that leads to it."""

    command: str
    thought: str


class Searcher:
    """Solves a game without knowing where things are.

    Args:
        world: The game.
    """

    def __init__(self, world: AlfredWorld) -> None:
        """Know the room, and nothing of what lies in it."""
        self.room = Room.of(world)
        self.seen: set[str] = set()
        self._by_name = {self.room.names[receptacle]: receptacle for receptacle in self.room.location}

    def moves(self, world: AlfredWorld) -> Iterator[Move]:
        """Yield moves; each has to be played before the next one is asked for. They end when there is no way.

        Args:
            world: The game, in whatever state it is when a move is asked for.
        """
        wanted = next(iter(wanted_of(world.game)), None)
        while wanted is not None and not world.is_won:
            move = self._next_move(world, wanted)
            if move is None:
                return
            yield move
            self._notice(world, move.command)

    def _next_move(self, world: AlfredWorld, wanted: Wanted) -> Move | None:
        """Return the next step of a plan, or of the search."""
        sketch = Sketch.of(world, self.room, self.seen)
        parts = [wanted, *(wanted._replace(items=(item,), lamps=()) for item in wanted.items)]
        for part in parts:  # all of it if everything is found, else what can be done so far
            if commands := best_plan(world, sketch, part):
                return Move(commands[0], reason(commands[0]))
        missing = self._missing(world, sketch, wanted)
        unseen = [receptacle for receptacle in self.room.location if receptacle not in self.seen]
        if not unseen:
            return None
        thing = missing[0] if missing else ""
        targets = {wanted.targets[item.target] for item in wanted.items if item.type == thing and item.target is not None}
        receptacle = min(unseen, key=lambda place: self._order(place, thing, targets))
        return Move(self._look_into(sketch, receptacle), _hope(missing, self.room.names[receptacle]))

    def _look_into(self, sketch: Sketch, receptacle: str) -> str:
        """Return the command that shows what a receptacle holds, or the one that comes before it."""
        name = self.room.names[receptacle]
        if self.room.location[receptacle] != sketch.at:
            return f"go to {name}"
        return f"open {name}" if sketch.needs_opening(receptacle) else f"examine {name}"

    def _notice(self, world: AlfredWorld, command: str) -> None:
        """Remember whose contents a command has shown."""
        verb, _, rest = command.partition(" ")
        receptacle = self._by_name.get(rest.removeprefix("to "))
        if verb not in ("go", "open", "examine") or receptacle is None:
            return
        if receptacle not in self.room.openable or (receptacle,) in world.facts.of("opened"):
            self.seen.add(receptacle)

    def _missing(self, world: AlfredWorld, sketch: Sketch, wanted: Wanted) -> list[str]:
        """Return the types of things that have to be found first."""
        found = []
        for number, item in enumerate(wanted.items):
            so_far = [candidates(world, sketch, other) for other in wanted.items[: number + 1] if other.type == item.type]
            if len(so_far[-1]) < len(so_far):
                found.append(item.type)
            if "issliced" in item.states and not sketch.knives():
                found.append(KNIVES[-1])
        known = {self.room.kind.get(thing) for thing in sketch.where}
        return found + [lamp for lamp in wanted.lamps if lamp not in known]

    def _order(self, receptacle: str, missing: str, targets: Collection[str]) -> tuple[int, int, str, int, str]:
        """Return the place of a receptacle in the search for a type of thing that is to go to the target types."""
        is_target = self.room.kind.get(receptacle) in targets
        kind = self.room.kind.get(receptacle, "").removesuffix("type")
        homes = likely_homes().get(missing.removesuffix("type"), ())
        rank = homes.index(kind) if kind in homes else len(homes)
        can_hold = (self.room.kind.get(receptacle, ""), missing) in self.room.fits
        match = _NUMBER.fullmatch(self.room.names[receptacle])
        name, number = (match[1], int(match[2] or 0)) if match else ("", 0)
        return (0 if kind in homes and not is_target else 1 if can_hold else 2), rank, name, number, receptacle


def _hope(missing: list[str], name: str) -> str:
    """Say what is looked for."""
    thing = missing[0].removesuffix("type") if missing else "what I need"
    return f"I have not found the {thing} yet. I look at {name}."


__all__ = ["Move", "Searcher", "reason"]
