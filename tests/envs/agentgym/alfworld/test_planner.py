"""The planner: it wins from any state, by short plans."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import parse_game
from palaestra.envs.agentgym.alfworld.goals import wanted_of
from palaestra.envs.agentgym.alfworld.planner import plan
from palaestra.envs.agentgym.alfworld.tasks import made_game
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from tests.envs.agentgym.alfworld.toys import FACTS, GOAL, OBJECTS, contents, made_world, toy_world

LEFT = FACTS.replace("(inReceptacle Book_bar_2 Safe_bar_1)", "(inReceptacle Book_bar_2 Shelf_bar_2)")


def wander(world: AlfredWorld, seed: int, length: int) -> None:
    chance = random.Random(seed)
    for _ in range(length):
        world.act(chance.choice(world.commands()))


def wins(world: AlfredWorld) -> int:
    """Play the plan, whose every command has to work, and return its length."""
    commands = plan(world)
    assert commands is not None
    for number, command in enumerate(commands):
        assert not world.is_won, f"won after {number} of {commands}"
        assert not world.act(command).is_error, command
    assert world.is_won
    return len(commands)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 499), st.sampled_from(("train", "test")), st.integers(0, 10**6), st.integers(0, 80))
def test_the_planner_wins_from_any_state_of_any_game(number, split, seed, length):
    world = AlfredWorld(made_game(split, number))
    wander(world, seed, length)
    if not world.is_won:
        wins(world)


TWO = GOAL.replace(
    "(inReceptacle ?o ?r))",
    "(inReceptacle ?o ?r) (exists (?p - object) (and (not (= ?o ?p)) (objectType ?p BookType) (inReceptacle ?p ?r))))",
)
HELD = "(exists (?o - object ?a - agent) (and (objectType ?o BookType) (holds ?a ?o)))"


def fewest(world: AlfredWorld) -> int:
    """Return the fewest commands to the goal, by breadth-first search."""

    def key(state: AlfredWorld) -> frozenset:
        return frozenset((name, of) for name in state.game.changing for of in state.facts.of(name))

    seen, layer, depth = {key(world)}, [world], 0
    while not any(state.is_won for state in layer):
        following = []
        for state in layer:
            for command in state.commands():
                twin = state.copy()
                twin.act(command)
                if key(twin) not in seen:
                    seen.add(key(twin))
                    following.append(twin)
        layer, depth = following, depth + 1
    return depth


@settings(max_examples=25, deadline=None)
@given(st.sampled_from((GOAL, TWO, HELD)), st.integers(0, 10**6), st.integers(0, 12))
def test_no_way_is_shorter_than_the_plan(goal, seed, length):
    world = toy_world(LEFT, goal)
    wander(world, seed, length)
    assert len(plan(world) or []) == fewest(world)


def test_a_won_game_needs_no_plan():
    world = toy_world()
    assert world.is_won
    assert plan(world) == []


def test_a_wrong_object_in_the_hand_is_put_away_first():
    world = made_world("pick_heat_then_place_in_recep")
    spoon = next(c for r in [c for c in world.commands() if c.startswith("go to counter")] for c in _takes(world, r))
    world.act(spoon)
    wins(world)


def _takes(world: AlfredWorld, go: str) -> list[str]:
    world.act(go)
    return [command for command in world.commands() if command.startswith("take")]


def test_cold_things_are_heated_and_hot_ones_stay():
    world = made_world("pick_heat_then_place_in_recep")
    for command in world.game.file.walkthrough[:-1]:
        world.act(command)
        if command.startswith("heat"):
            assert len(plan(world) or []) <= 3
            cool = [c for c in world.commands() if c.startswith("cool")]
            assert not cool or not world.act(cool[0]).is_error
    wins(world)


def test_a_slice_is_cut_with_a_knife_where_it_lies():
    goal = (
        "(exists (?o - object ?r - receptacle) (and (objectType ?o BookType) (receptacleType ?r SafeType) (sliceable ?o) "
        "(isSliced ?o) (inReceptacle ?o ?r)))"
    )
    knife = (
        "(objectType Knife_bar_1 KnifeType) (pickupable Knife_bar_1) (inReceptacle Knife_bar_1 Shelf_bar_2) "
        "(objectAtLocation Knife_bar_1 loc_bar_2) (canContain ShelfType KnifeType) (sliceable Book_bar_1)"
    )
    objects = OBJECTS.replace("- object", "Knife_bar_1 - object", 1)
    world = AlfredWorld(Game(parse_game(contents(f"{LEFT} {knife}", objects, goal))))
    assert wins(world) == 9
    elsewhere = LEFT.replace("(objectAtLocation Book_bar_1 loc_bar_1)", "(objectAtLocation Book_bar_1 loc_bar_0)")
    world = AlfredWorld(Game(parse_game(contents(f"{elsewhere} {knife}", objects, goal))))
    assert wins(world) == 12  # it has to be taken and put down first


@pytest.mark.parametrize(
    "goal",
    [
        "(exists (?o ?p - object) (and (objectType ?o BookType) (inReceptacleObject ?p ?o)))",
        "(exists (?o - object) (and (objectType ?o BookType) (not (pickupable ?o))))",
        "(opened Safe_bar_1)",
        "(inReceptacle Book_bar_1 Safe_bar_1)",
    ],
)
def test_goals_of_another_form_have_no_plan(goal):
    world = toy_world(LEFT, goal)
    assert wanted_of(world.game) == []
    assert plan(world) is None


def test_what_cannot_be_reached_has_no_plan():
    assert plan(toy_world(LEFT.replace("(canContain SafeType BookType)", ""))) is None
    fixed = LEFT.replace("(pickupable Book_bar_1)", "")
    assert wins(toy_world(fixed)) == 4
    assert plan(toy_world(fixed.replace("(pickupable Book_bar_2)", ""))) is None
    assert plan(toy_world(LEFT, GOAL.replace("SafeType", "FridgeType"))) is None
