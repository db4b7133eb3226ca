"""Small games for tests: made ones by kind, and a hand-written one whose every text is known."""

import json
from functools import cache
from typing import Any

from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import parse_game
from palaestra.envs.agentgym.alfworld.generator import TASK_TYPES, choose, generate
from palaestra.envs.agentgym.alfworld.world import AlfredWorld

FACTS = """
(atLocation agent1 loc_bar_0)
(receptacleType Shelf_bar_1 ShelfType) (receptacleAtLocation Shelf_bar_1 loc_bar_1)
(receptacleType Shelf_bar_2 ShelfType) (receptacleAtLocation Shelf_bar_2 loc_bar_2)
(receptacleType Safe_bar_1 SafeType) (receptacleAtLocation Safe_bar_1 loc_bar_2) (openable Safe_bar_1)
(objectType Book_bar_1 BookType) (pickupable Book_bar_1) (inReceptacle Book_bar_1 Shelf_bar_1)
(objectAtLocation Book_bar_1 loc_bar_1)
(objectType Book_bar_2 BookType) (pickupable Book_bar_2) (inReceptacle Book_bar_2 Safe_bar_1)
(objectAtLocation Book_bar_2 loc_bar_2)
(canContain ShelfType BookType) (canContain SafeType BookType)
"""
OBJECTS = """
agent1 - agent loc_bar_0 loc_bar_1 loc_bar_2 - location Shelf_bar_1 Shelf_bar_2 Safe_bar_1 - receptacle
Book_bar_1 Book_bar_2 - object ShelfType SafeType SinkBasinType MicrowaveType FridgeType - rtype
BookType KnifeType ButterKnifeType - otype
"""
GOAL = (
    "(exists (?o - object ?r - receptacle) (and (objectType ?o BookType) (receptacleType ?r SafeType) (inReceptacle ?o ?r)))"
)


def contents(facts: str = FACTS, objects: str = OBJECTS, goal: str = GOAL, **more: Any) -> dict[str, Any]:
    """Return a game with two shelves, a safe and two books; the second book lies in the safe, which makes it won."""
    made = dict(generate("train", 0))
    made["pddl_problem"] = f"(define (problem toy) (:domain home) (:objects {objects}) (:init {facts}) (:goal {goal}))"
    made["walkthrough"] = []
    return made | more


def toy_world(facts: str = FACTS, goal: str = GOAL, **more: Any) -> AlfredWorld:
    return AlfredWorld(Game(parse_game(contents(facts, goal=goal, **more))))


@cache
def number_of(task_type: str, split: str = "train") -> int:
    """Return the number of the first game of a type."""
    return next(number for number in range(1000) if choose(split, number).task_type == task_type)


@cache
def made_game(task_type: str, split: str = "train") -> Game:
    return Game(parse_game(generate(split, number_of(task_type, split))))


def made_world(task_type: str, split: str = "train") -> AlfredWorld:
    return AlfredWorld(made_game(task_type, split))


def through_json(world: AlfredWorld) -> AlfredWorld:
    return AlfredWorld.from_json(json.loads(json.dumps(world.to_json())), world.game)


ALL_TYPES = tuple(TASK_TYPES)
