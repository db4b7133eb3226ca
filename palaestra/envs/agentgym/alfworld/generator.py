"""Makes games: a room, things in it and something to do, in the format of `.tw-pddl` files.

A goal (task type, object, receptacle) belongs to one split permanently, and so does a room: train and test share neither. What
a task is about is drawn first, alone from split and number; where everything lies follows from it when the game is played.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import HELP_TEXT, parse_game
from palaestra.envs.agentgym.alfworld.planner import plan
from palaestra.envs.agentgym.alfworld.rooms import LAMPS, OPENING, STATIONS, THINGS, Room, Thing, rooms_of
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from palaestra.errors import EnvironmentFault

TEST_SHARE = 3  # one goal in so many belongs to the test split
MAX_ATTEMPTS = 20
SHARED_PLACES = 0.15  # share of receptacles that stand where the last one does, as in published files


class TaskType(NamedTuple):
    """One of the six types of tasks.

    Attributes:
        ability: What has to be done to the object; empty for nothing.
        number: Objects that are wanted.
        wordings: The task in words.
    """

    ability: str
    number: int
    wordings: tuple[str, ...]


LIGHT = "look_at_obj_in_light"
TASK_TYPES = {
    "pick_and_place_simple": TaskType("", 1, ("put a {o} in {r}", "put some {o} on {r}")),
    LIGHT: TaskType("", 1, ("look at {o} under the {r}", "examine the {o} with the {r}")),
    "pick_clean_then_place_in_recep": TaskType("clean", 1, ("put a clean {o} in {r}", "clean some {o} and put it in {r}")),
    "pick_heat_then_place_in_recep": TaskType("heat", 1, ("put a hot {o} in {r}", "heat some {o} and put it in {r}")),
    "pick_cool_then_place_in_recep": TaskType("cool", 1, ("put a cool {o} in {r}", "cool some {o} and put it in {r}")),
    "pick_two_obj_and_place": TaskType("", 2, ("put two {o} in {r}", "find two {o} and put them in {r}")),
}
"""The task types by name, with the wordings of the published games."""

_ABLE = {"clean": "cleanable", "heat": "heatable", "cool": "coolable", "slice": "sliceable"}
_DONE = {"clean": "isClean", "heat": "isHot", "cool": "isCool"}


class Choice(NamedTuple):
    """What a game is about.

    Attributes:
        task_type: Name of the task type.
        object: Type of the object that is wanted.
        target: Type of the receptacle where it is to be put, or of the lamp.
        room: The room.
    """

    task_type: str
    object: str
    target: str
    room: Room


def split_of(task_type: str, thing: str, target: str) -> str:
    """Return the split of a goal: the same in every version and process."""
    digest = hashlib.blake2b(f"{task_type}/{thing}/{target}".encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % TEST_SHARE == 0 else "train"


@cache
def choices(split: str) -> dict[str, tuple[Choice, ...]]:
    """Return all that games of a split can be about, by task type."""
    found: dict[str, list[Choice]] = {name: [] for name in TASK_TYPES}
    for room in rooms_of(split):
        here = set(room.furniture())
        for task_type, thing in ((name, thing) for name in TASK_TYPES for thing in THINGS if room.kind in thing.rooms):
            ability = TASK_TYPES[task_type].ability
            homes = [home for home in thing.homes if home in here]
            if len(homes) < 2 or (ability and (ability not in thing.abilities or STATIONS[ability] not in here)):
                continue
            lamps = [lamp for lamp, spots in LAMPS.items() if here.intersection(spots)] if room.kind in _LIT else []
            for target in lamps if task_type == LIGHT else homes:
                if split_of(task_type, thing.type, target) == split:
                    found[task_type].append(Choice(task_type, thing.type, target, room))
    return {name: tuple(listed) for name, listed in found.items()}


def choose(split: str, number: int) -> Choice:
    """Draw what game number `number` of a split is about: first the type of the task, then everything else."""
    chance = random.Random(f"alfworld/{split}/{number}/choice")
    return chance.choice(choices(split)[chance.choice(tuple(TASK_TYPES))])


def generate(split: str, number: int) -> dict[str, Any]:
    """Make a game, solvable and not yet won.

    Args:
        split: "train" or "test".
        number: Its number there.

    Returns:
        Contents of a `.tw-pddl` file: `pddl_domain`, `grammar`, `pddl_problem`, `solvable`, `walkthrough` and, to tell it from
        a published game, `meta` with `synthetic`.

    Raises:
        EnvironmentFault: If no game comes about.
    """
    return make(split, number)[0]


def make(split: str, number: int) -> tuple[dict[str, Any], Game]:
    """Make a game as `generate` does, and return the contents of its file and the game itself, as its proof has read it."""
    choice = choose(split, number)
    for attempt in range(MAX_ATTEMPTS):
        chance = random.Random(f"alfworld/{split}/{number}/{attempt}")
        contents = _Scene(choice, chance).contents()
        contents["meta"] |= {"split": split, "number": number}
        game = Game(parse_game(contents))
        world = AlfredWorld(game)
        commands = None if world.is_won else plan(world)
        if commands and all(not world.act(command).is_error for command in commands) and world.is_won:
            contents["walkthrough"] = commands
            game.file = replace(game.file, walkthrough=tuple(commands))
            return contents, game
    raise EnvironmentFault(f"No solvable game came about for {split}/{number} ({choice}) in {MAX_ATTEMPTS} attempts.")


_LIT = ("living", "bedroom")  # kinds of rooms with lamps


class _Scene:
    """A game that is being made."""

    def __init__(self, choice: Choice, chance: random.Random) -> None:
        """Set up the furniture, then put things into it."""
        self.choice, self.chance = choice, chance
        self.kinds = set(choice.room.furniture())
        self.things = [thing for thing in THINGS if choice.room.kind in thing.rooms and self.kinds.intersection(thing.homes)]
        self.objects = ["agent1 - agent", "loc_bar_0 - location"]
        self.facts: list[str] = []
        self.places: list[tuple[str, str, str]] = []  # id, type and location of each receptacle
        self._used: set[int] = set()
        self._furnish()
        self._fill()
        chance.shuffle(self.facts)

    def contents(self) -> dict[str, Any]:
        """Return the game in the format of a file."""
        choice = self.choice
        wording = self.chance.choice(TASK_TYPES[choice.task_type].wordings)
        task = wording.format(o=choice.object.lower(), r=choice.target.lower())
        return {
            "pddl_domain": _data("home.pddl"),
            "grammar": _data("home.grammar").replace("%TASK%", json.dumps(task)).replace("%HELP%", json.dumps(HELP_TEXT)),
            "pddl_problem": self._problem(),
            "solvable": True,
            "walkthrough": [],
            "meta": {
                "synthetic": True,
                "task_type": choice.task_type,
                "object": choice.object,
                "target": choice.target,
                "room": str(choice.room),
            },
        }

    def _furnish(self) -> None:
        """Put the receptacles in their places."""
        for number, kind in enumerate(self.choice.room.furniture(), start=1):
            if not self.places or self.chance.random() >= SHARED_PLACES:
                place = f"loc_bar_{number}"
                self.objects.append(f"{place} - location")
            # the name of a basin is read from two parts of its id
            thing = self._new(kind.removesuffix("Basin"), f"_bar_{kind}" if kind.endswith("Basin") else "")
            self.objects.append(f"{thing} - receptacle")
            self.facts += [f"receptacleType {thing} {kind}Type", f"receptacleAtLocation {thing} {place}"]
            if kind in OPENING:
                self.facts.append(f"openable {thing}")
            self.places.append((thing, kind, place))

    def _fill(self) -> None:
        """Put the objects in their places: enough of the wanted one, none of them where they are to go."""
        choice, chance = self.choice, self.chance
        wanted = next(thing for thing in self.things if thing.type == choice.object)
        least = TASK_TYPES[choice.task_type].number
        for _ in range(chance.randint(least, 3)):
            self._put(wanted, avoid=choice.target)
        for thing in self.things:
            self.facts += [f"canContain {home}Type {thing.type}Type" for home in thing.homes if home in self.kinds]
            if thing is not wanted:
                for _ in range(chance.randint(0, 2)):
                    self._put(thing)
        lamps = [lamp for lamp, spots in LAMPS.items() if self.kinds.intersection(spots)]
        if choice.room.kind in _LIT and lamps:
            lamp = choice.target if choice.task_type == LIGHT else chance.choice(lamps)
            self._put(Thing(lamp, (), (), LAMPS[lamp]), is_fixed=True)

    def _put(self, thing: Thing, *, avoid: str = "", is_fixed: bool = False) -> None:
        """Put an object somewhere."""
        where = [place for place in self.places if place[1] in thing.homes and place[1] != avoid]
        receptacle, _, location = self.chance.choice(where)
        name = self._new(thing.type)
        self.objects.append(f"{name} - object")
        self.facts += [f"objectType {name} {thing.type}Type", f"inReceptacle {name} {receptacle}"]
        self.facts += [f"objectAtLocation {name} {location}", f"{'toggleable' if is_fixed else 'pickupable'} {name}"]
        self.facts += [f"{_ABLE[ability]} {name}" for ability in thing.abilities]

    def _new(self, kind: str, end: str = "") -> str:
        """Return an id; the numbers that players see follow from the order of the ids."""
        code = self.chance.randrange(100_000)
        while code in self._used:
            code = self.chance.randrange(100_000)
        self._used.add(code)
        return f"{kind}_bar_{code:05}{end}"

    def _problem(self) -> str:
        """Return the problem in PDDL."""
        types = [f"{kind}Type - rtype" for kind in sorted(self.kinds.union(STATIONS.values()))]
        things = {thing.type for thing in self.things} | {*LAMPS, "Knife", "ButterKnife"}
        types += [f"{kind}Type - otype" for kind in sorted(things)]
        objects = "\n    ".join(self.objects + types)
        facts = "\n    ".join(f"({fact})" for fact in ["atLocation agent1 loc_bar_0", *self.facts])
        return (
            f"(define (problem chore)\n  (:domain home)\n  (:objects\n    {objects})\n  (:init\n    {facts})\n"
            f"  (:goal\n    {self._goal()}))\n"
        )

    def _goal(self) -> str:
        """Return the goal in PDDL."""
        choice = self.choice
        is_wanted = f"(objectType ?o {choice.object}Type)"
        if choice.task_type == LIGHT:
            return (
                f"(and (exists (?t - object ?r - receptacle ?l - location ?a - agent)\n"
                f"      (and (objectType ?t {choice.target}Type) (toggleable ?t) (isToggled ?t) (inReceptacle ?t ?r)\n"
                f"           (receptacleAtLocation ?r ?l) (atLocation ?a ?l)))\n"
                f"    (exists (?o - object ?a - agent) (and {is_wanted} (holds ?a ?o))))"
            )
        more = ""
        if TASK_TYPES[choice.task_type].number == 2:
            more = (
                f"\n           (exists (?p - object) (and (not (= ?o ?p)) (objectType ?p {choice.object}Type)\n"
                f"                                     (inReceptacle ?p ?r)))"
            )
        elif ability := TASK_TYPES[choice.task_type].ability:
            more = f" ({_ABLE[ability]} ?o) ({_DONE[ability]} ?o)"
        return (
            f"(exists (?r - receptacle ?o - object)\n"
            f"      (and (receptacleType ?r {choice.target}Type) {is_wanted} (inReceptacle ?o ?r){more}))"
        )


@cache
def _data(name: str) -> str:
    """Return a text of this package."""
    return files("palaestra.envs.agentgym.alfworld").joinpath("data", name).read_text(encoding="utf-8")


__all__ = ["LIGHT", "TASK_TYPES", "Choice", "TaskType", "choices", "choose", "generate", "make", "split_of"]
