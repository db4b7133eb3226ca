"""Games as published ones may be: what made games do not have, put into them.

Locations with names of coordinates, several receptacles at one place, objects at points of their own, things in other things,
things that are hot, cold, clean, sliced or can be toggled from the start, an open receptacle, one without a type, objects
named like their class, distances, a metric, and `help` in the form of the files that were patched to 2.1.2.
"""

from __future__ import annotations

import random
import re
from typing import Any

_HELP = 'action help { template :: "help"; feedback :: "#help.feedback#"; }'
_PATCHED_HELP = (
    'action help {\n  template :: "help";\n  feedback :: "'
    "\nAvailable commands:\n  look:      look around\n  go to (receptacle): go\n"
    '";\n}'
)


def published_like(made: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return a game with what published files have; it may not be solvable, and has no walkthrough."""
    chance = random.Random(f"published-like/{seed}")
    problem = str(made["pddl_problem"])
    places = sorted(set(re.findall(r"\bloc_bar_\d+\b", problem)) - {"loc_bar_0"}, key=lambda place: int(place[8:]))
    named = [_coordinates(chance) for _ in range(max(3, len(places) * 7 // 10))]
    new = {place: chance.choice(named) for place in places}
    problem = re.sub(r"\n *loc_bar_[1-9]\d* - location", "", problem)
    objects = "".join(f"\n    {name} - location" for name in sorted(set(named))) + "\n    Candle - object\n    Apple - object"
    problem = problem.replace("loc_bar_0 - location", f"loc_bar_0 - location{objects}")
    problem = re.sub(r"\bloc_bar_\d+\b(?!_)", lambda match: new.get(match[0], match[0]), problem)
    problem = re.sub(
        r"(\(objectAtLocation \S+) \S+\)",
        lambda m: f"{m[1]} {chance.choice(named)})" if chance.random() < 0.5 else m[0],
        problem,
    )
    things = sorted(set(re.findall(r"\(pickupable (\S+)\)", problem)))
    outer = chance.sample(things, min(4, len(things)))
    facts = [f"(isReceptacleObject {thing})" for thing in outer]
    inner = [thing for thing in things if thing not in outer]
    facts += [f"(inReceptacleObject {thing} {chance.choice(outer)})" for thing in chance.sample(inner, min(5, len(inner)))]
    states = ("isCool", "isHot", "isClean", "isSliced", "toggleable", "isOn")
    facts += [f"({chance.choice(states)} {thing})" for thing in chance.sample(things, min(9, len(things)))]
    opening = re.findall(r"\(openable (\S+)\)", problem)
    facts += [f"(opened {chance.choice(opening)})"] if opening else []
    facts += [f"(= (distance {a} {b}) 7)" for a in named[:4] for b in named[:4]]
    problem = problem.replace("(atLocation agent1 loc_bar_0)", "(atLocation agent1 loc_bar_0)\n    " + "\n    ".join(facts))
    untyped = chance.choice(re.findall(r"\(receptacleType \S+ \S+\)", problem))
    problem = problem.replace(untyped, "")
    end = problem.rindex(")")
    problem = f"{problem[:end]}(:metric minimize (total-cost)))\n"
    grammar = str(made["grammar"])
    if seed % 2:
        assert _HELP in grammar
        grammar = grammar.replace(_HELP, _PATCHED_HELP)
    return {**made, "pddl_problem": problem, "grammar": grammar, "walkthrough": []}


def _coordinates(chance: random.Random) -> str:
    """Return the name of a place as published files have them."""

    def number() -> str:
        value = chance.randint(-9, 9)
        return f"_minus_{-value}" if value < 0 else str(value)

    return f"loc_bar_{number()}_bar_{number()}_bar_{chance.randint(0, 3)}_bar_{chance.choice([0, 30, 45, 60])}"
