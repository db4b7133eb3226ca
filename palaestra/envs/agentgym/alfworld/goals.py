"""Reads from the goal of a game what is wanted: which objects, in which state, where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from palaestra.envs.agentgym.alfworld.engine.formulas import Clause
from palaestra.envs.agentgym.alfworld.engine.game import Game

STATES = ("isclean", "ishot", "iscool", "issliced")
"""What can be done to an object, as facts."""


class Item(NamedTuple):
    """An object that is wanted.

    Attributes:
        type: Its type.
        states: Those of `STATES` that it has to be in.
        traits: Other facts that have to hold of it, and that nothing changes.
        target: Number of the receptacle, among `Wanted.targets`, where it has to be; None if it has to be in the hand.
    """

    type: str
    states: tuple[str, ...]
    traits: tuple[str, ...]
    target: int | None


class Wanted(NamedTuple):
    """What is wanted.

    Attributes:
        items: The objects.
        targets: Types of the receptacles where they have to be.
        lamps: Types of the lamps that have to be turned on, with the agent next to them.
    """

    items: tuple[Item, ...]
    targets: tuple[str, ...]
    lamps: tuple[str, ...]


def wanted_of(game: Game) -> list[Wanted]:
    """Return the wishes of each way to the goal; without those that ask for something else (objects inside of objects)."""
    found = (_wanted(goal.clause, game) for goal in game.goals)
    return [wanted for wanted in found if wanted is not None]


def _wanted(clause: Clause, game: Game) -> Wanted | None:
    """Read one way to the goal."""
    literals = [literal for literal in clause.literals if literal.is_positive and literal.predicate != "="]
    if any(not literal.is_positive and literal.predicate != "=" for literal in clause.literals):
        return None

    def said(predicate: str) -> list[tuple[str, ...]]:
        return [literal.arguments for literal in literals if literal.predicate == predicate]

    pairs = [*said("objecttype"), *said("receptacletype"), *said("inreceptacle")]
    if any(len(pair) != 2 for pair in pairs) or said("inreceptacleobject"):
        return None
    objects, receptacles, places = (
        {pair[0]: pair[1] for pair in said(name)} for name in ("objecttype", "receptacletype", "inreceptacle")
    )
    held = {arguments[1] for arguments in said("holds")}
    lamps = [thing for (thing,) in said("istoggled")]
    things = [thing for thing in objects if thing not in lamps and (thing in places or thing in held)]
    if any(thing not in objects for thing in {*places, *held, *lamps}) or not (things or lamps):
        return None
    targets = tuple(dict.fromkeys(places[thing] for thing in things if thing in places and thing not in held))
    if any(target not in receptacles for target in targets):
        return None

    def facts_of(thing: str, kinds: Iterable[str]) -> tuple[str, ...]:
        return tuple(literal.predicate for literal in literals if literal.arguments == (thing,) and literal.predicate in kinds)

    fixed = set(game.file.domain.predicates) - game.changing
    items = tuple(
        Item(
            objects[thing],
            facts_of(thing, STATES),
            facts_of(thing, fixed),
            None if thing in held else targets.index(places[thing]),
        )
        for thing in things
    )
    return Wanted(items, tuple(receptacles[target] for target in targets), tuple(objects[lamp] for lamp in lamps))


__all__ = ["STATES", "Item", "Wanted", "wanted_of"]
