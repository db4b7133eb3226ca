"""What one knows of a room, and a sketch of it in which plans are tried out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from palaestra.envs.agentgym.alfworld.engine.game_file import PUT_COMMANDS
from palaestra.envs.agentgym.alfworld.goals import STATES
from palaestra.envs.agentgym.alfworld.world import AlfredWorld

STATIONS = {"isclean": ("sinkbasintype", "clean"), "ishot": ("microwavetype", "heat"), "iscool": ("fridgetype", "cool")}
"""Type of receptacle and verb by the state that it brings about."""

ABLE = {"isclean": "cleanable", "ishot": "heatable", "iscool": "coolable", "issliced": "sliceable", "istoggled": "toggleable"}
"""Fact without which a state cannot be brought about."""

KNIVES = ("butterknifetype", "knifetype")


class Stuck(Exception):
    """Raised in a sketch where something cannot be done."""


@dataclass(frozen=True)
class Room:
    """What never changes.

    Attributes:
        names: Names of receptacles and objects by id.
        location: Where each receptacle stands.
        receptacles: Ids of the receptacles by type, in order.
        kind: Type of each receptacle and object.
        openable: Receptacles that open and close.
        fits: Types of receptacle and object that go together.
        able: Facts of `ABLE`, and what can be taken, as (predicate, object).
        put: Form of the command that puts an object down.
    """

    names: dict[str, str]
    location: dict[str, str]
    receptacles: dict[str, list[str]]
    kind: dict[str, str]
    openable: frozenset[str]
    fits: frozenset[tuple[str, ...]]
    able: frozenset[tuple[str, str]]
    put: str

    @classmethod
    def of(cls, world: AlfredWorld) -> Room:
        """Look at a world."""
        game, facts = world.game, world.game.start
        location = {thing: place for thing, place in sorted(facts.of("receptacleatlocation"), reverse=True)}
        kind = {thing: of for name in ("receptacletype", "objecttype") for thing, of in sorted(facts.of(name), reverse=True)}
        receptacles: dict[str, list[str]] = {}
        for thing in sorted(location):
            receptacles.setdefault(kind.get(thing, ""), []).append(thing)
        return cls(
            {thing: name.name for thing, name in game.names.items()},
            location,
            receptacles,
            kind,
            frozenset(thing for (thing,) in facts.of("openable")),
            frozenset(facts.of("cancontain")),
            frozenset((name, thing) for name in ("pickupable", *ABLE.values()) for (thing,) in facts.of(name)),
            PUT_COMMANDS[game.file.dialect],
        )

    def can_hold(self, receptacle: str, thing: str) -> bool:
        """Whether an object may be put into a receptacle."""
        return (self.kind.get(receptacle, ""), self.kind.get(thing, "")) in self.fits


@dataclass
class Sketch:
    """What is known of a state, to be changed while a plan is tried out.

    Attributes:
        room: What never changes.
        where: Receptacle of each object that is known.
        lies_at: Objects and the locations where the game has them, which slicing depends on.
        opened: Receptacles that are open.
        states: Known states of objects, as (state, object).
        at: Where the agent is.
        held: What it holds.
        commands: The plan so far.
    """

    room: Room
    where: dict[str, str]
    lies_at: set[tuple[str, ...]]
    opened: set[str]
    states: set[tuple[str, str]]
    at: str
    held: str
    commands: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, world: AlfredWorld, room: Room, seen: Collection[str] | None = None) -> Sketch:
        """Look at a world.

        Args:
            world: The world.
            room: What never changes in it.
            seen: Receptacles whose contents are known; None for all.
        """
        facts = world.facts
        held = min((thing for _, thing in facts.of("holds")), default="")
        where = {
            thing: receptacle
            for thing, receptacle in sorted(facts.of("inreceptacle"), reverse=True)
            if seen is None or receptacle in seen
        }
        known = {*where, held}
        return cls(
            room,
            where,
            {pair for pair in facts.of("objectatlocation") if pair[0] in known},
            {thing for (thing,) in facts.of("opened")},
            {(state, thing) for state in (*STATES, "istoggled") for (thing,) in facts.of(state) if thing in known},
            min((place for _, place in facts.of("atlocation")), default=""),
            held,
        )

    def copy(self) -> Sketch:
        """Return a sketch that changes independently, without commands."""
        return replace(
            self,
            where=dict(self.where),
            lies_at=set(self.lies_at),
            opened=set(self.opened),
            states=set(self.states),
            commands=[],
        )

    def name(self, thing: str) -> str:
        """Return the name of a receptacle or object."""
        return self.room.names[thing]

    def needs_opening(self, receptacle: str) -> bool:
        """Whether a receptacle is closed."""
        return receptacle in self.room.openable and receptacle not in self.opened

    def cost(self, receptacle: str) -> int:
        """Return the number of commands until something can be put into a receptacle."""
        return (self.room.location.get(receptacle) != self.at) + self.needs_opening(receptacle)

    def go(self, receptacle: str) -> None:
        """Go to a receptacle, unless the agent is there."""
        place = self.room.location.get(receptacle)
        if place is None:
            raise Stuck
        if place != self.at:
            self.commands.append(f"go to {self.name(receptacle)}")
            self.at = place

    def reach_into(self, receptacle: str) -> None:
        """Go to a receptacle and open it."""
        self.go(receptacle)
        if self.needs_opening(receptacle):
            self.commands.append(f"open {self.name(receptacle)}")
            self.opened.add(receptacle)

    def put(self, receptacle: str) -> None:
        """Put what is held into a receptacle."""
        if not self.held or not self.room.can_hold(receptacle, self.held):
            raise Stuck
        self.reach_into(receptacle)
        self.commands.append(self.room.put.format(o=self.name(self.held), r=self.name(receptacle)))
        self.where[self.held] = receptacle
        self.lies_at.add((self.held, self.at))
        self.held = ""

    def put_away(self) -> None:
        """Put what is held wherever it goes with the fewest commands."""
        if not self.held:
            return
        spots = [receptacle for receptacle in self.room.location if self.room.can_hold(receptacle, self.held)]
        if not spots:
            raise Stuck
        self.put(min(spots, key=lambda receptacle: (self.cost(receptacle), receptacle)))

    def take(self, thing: str) -> None:
        """Have an object in the hand."""
        if self.held == thing:
            return
        self.put_away()
        receptacle = self.where.get(thing)
        if receptacle is None or ("pickupable", thing) not in self.room.able:
            raise Stuck
        self.reach_into(receptacle)
        self.commands.append(f"take {self.name(thing)} from {self.name(receptacle)}")
        self.held = thing
        del self.where[thing]
        self.lies_at.discard((thing, self.at))

    def bring_about(self, thing: str, states: Collection[str]) -> None:
        """Clean, heat, cool and slice an object as far as that is needed."""
        if "issliced" in states and ("issliced", thing) not in self.states:
            self._slice(thing)
        for state, (kind, verb) in STATIONS.items():
            if state in states and (state, thing) not in self.states:
                stations = self.room.receptacles.get(kind)
                if not stations or (ABLE[state], thing) not in self.room.able:
                    raise Stuck
                self.take(thing)
                station = min(stations, key=lambda receptacle: (self.room.location[receptacle] != self.at, receptacle))
                self.go(station)
                self.commands.append(f"{verb} {self.name(thing)} with {self.name(station)}")
                self.states.add((state, thing))

    def turn_on(self, lamp: str) -> None:
        """Be at a lamp that is on."""
        if lamp not in self.where or (ABLE["istoggled"], lamp) not in self.room.able:
            raise Stuck
        self.go(self.where[lamp])
        if ("istoggled", lamp) not in self.states:
            self.commands.append(f"use {self.name(lamp)}")
            self.states.add(("istoggled", lamp))

    def knives(self) -> list[str]:
        """Return the knives that are known."""
        return sorted(thing for thing in {*self.where, self.held} if self.room.kind.get(thing) in KNIVES)

    def _slice(self, thing: str) -> None:
        """Slice an object where it lies, with a knife in the hand."""
        if (ABLE["issliced"], thing) not in self.room.able:
            raise Stuck
        receptacle = self.where.get(thing, "")
        if self.held == thing:
            self.put_away()
        elif (thing, self.room.location.get(receptacle, "")) not in self.lies_at:
            self.take(thing)  # published games place objects at points of their own, where nobody can be
            self.put_away()
        knives = self.knives()
        if not knives:
            raise Stuck
        self.take(self.held if self.held in knives else knives[0])
        self.go(self.where[thing])
        self.commands.append(f"slice {self.name(thing)} with {self.name(self.held)}")
        self.states.add(("issliced", thing))


__all__ = ["ABLE", "KNIVES", "STATIONS", "Room", "Sketch", "Stuck"]
