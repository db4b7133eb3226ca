"""The planner: short plans to the goal from any state, by trying out which objects and receptacles to take in which order.

It reads the goal, not the name of the task, and knows where everything is. Plans are the shortest among the candidates that it
looks at; those of the generator's games are as short as can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product

from palaestra.envs.agentgym.alfworld.goals import Item, Wanted, wanted_of
from palaestra.envs.agentgym.alfworld.knowledge import STATIONS, Room, Sketch, Stuck
from palaestra.envs.agentgym.alfworld.world import AlfredWorld

MAX_TARGETS = 8  # receptacles of a type that are tried, those that may save a command first
MAX_CANDIDATES = 6  # objects of a type


def plan(world: AlfredWorld) -> list[str] | None:
    """Return commands that reach the goal; none if it is reached, None if the planner knows no way."""
    if world.is_won:
        return []
    sketch = Sketch.of(world, Room.of(world))
    plans = [found for wanted in wanted_of(world.game) if (found := best_plan(world, sketch, wanted)) is not None]
    return min(plans, key=len, default=None)


def best_plan(world: AlfredWorld, sketch: Sketch, wanted: Wanted) -> list[str] | None:
    """Return the shortest plan that was found for what is wanted, by what a sketch knows; None if there is none.

    Args:
        world: The game, for facts that never change.
        sketch: The state; it stays as it is.
        wanted: What is to be reached.
    """
    best: list[str] | None = None
    for attempt in _attempts(world, sketch, wanted):
        if best is None or len(attempt) < len(best):
            best = attempt
    return best


def candidates(world: AlfredWorld, sketch: Sketch, item: Item) -> list[str]:
    """Return the known objects that an item may be, in order."""
    facts = world.facts
    return sorted(
        thing
        for thing in {*sketch.where, sketch.held}
        if sketch.room.kind.get(thing) == item.type and all((thing,) in facts.of(trait) for trait in item.traits)
    )


def _attempts(world: AlfredWorld, sketch: Sketch, wanted: Wanted) -> Iterator[list[str]]:
    """Yield plans."""
    items = [_promising(sketch, item, candidates(world, sketch, item)) for item in wanted.items]
    lamps = [sorted(thing for thing in sketch.where if sketch.room.kind.get(thing) == lamp) for lamp in wanted.lamps]
    targets = [_near(sketch, sketch.room.receptacles.get(target, []), items) for target in wanted.targets]
    for places in product(*targets):
        for things in product(*items, *lamps):
            if len(set(things)) == len(things):
                chosen, lit = things[: len(items)], things[len(items) :]
                todo = [
                    (item, thing)
                    for item, thing in zip(wanted.items, chosen, strict=True)
                    if not _is_done(sketch, item, thing, places)
                ]
                for order in permutations(todo):
                    if (commands := _tried(sketch, order, places, lit)) is not None:
                        yield commands


def _tried(sketch: Sketch, order: Sequence[tuple[Item, str]], places: Sequence[str], lamps: Sequence[str]) -> list[str] | None:
    """Return the commands for one choice of things and places, None if it does not work."""
    trial = sketch.copy()
    try:
        for item, thing in order:
            trial.bring_about(thing, item.states)
            trial.take(thing)
            if item.target is not None:
                trial.put(places[item.target])
        for lamp in lamps:
            trial.turn_on(lamp)
    except Stuck:
        return None
    return trial.commands


def _is_done(sketch: Sketch, item: Item, thing: str, places: Sequence[str]) -> bool:
    """Whether an object is where it has to be, as it has to be."""
    is_there = sketch.held == thing if item.target is None else sketch.where.get(thing) == places[item.target]
    return is_there and all((state, thing) in sketch.states for state in item.states)


def _promising(sketch: Sketch, item: Item, things: list[str]) -> list[str]:
    """Return the objects that can be had with the fewest commands."""

    def effort(thing: str) -> tuple[int, str]:
        missing = sum((state, thing) not in sketch.states for state in item.states)
        reach = 0 if thing == sketch.held else 1 + sketch.cost(sketch.where[thing])
        return 2 * missing + reach, thing

    return sorted(things, key=effort)[:MAX_CANDIDATES]


def _near(sketch: Sketch, receptacles: list[str], items: Sequence[Sequence[str]]) -> list[str]:
    """Return the receptacles where the agent may be anyway, then those that are open."""
    location = sketch.room.location
    on_the_way = {sketch.at}
    on_the_way |= {location.get(sketch.where.get(thing, ""), "") for things in items for thing in things}
    on_the_way |= {location[place] for kind, _ in STATIONS.values() for place in sketch.room.receptacles.get(kind, [])}

    def effort(receptacle: str) -> tuple[bool, bool, str]:
        return location[receptacle] not in on_the_way, sketch.needs_opening(receptacle), receptacle

    holding = {sketch.where.get(thing) for things in items for thing in things}
    return sorted(receptacles, key=lambda receptacle: (receptacle not in holding, *effort(receptacle)))[:MAX_TARGETS]


__all__ = ["best_plan", "candidates", "plan"]
