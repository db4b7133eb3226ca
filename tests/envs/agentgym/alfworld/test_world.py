"""Play: what is said, what can be done, and what belongs to the state."""

import copy
import json
import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.world import NOTHING_HAPPENS, AlfredWorld
from tests.envs.agentgym.alfworld.toys import ALL_TYPES, FACTS, GOAL, made_world, through_json, toy_world


def play(world: AlfredWorld, *commands: str) -> list[str]:
    return [world.act(command).text for command in commands]


def test_a_game_says_what_the_original_says():
    world = toy_world()
    task = world.intro().splitlines()[-1]
    assert world.intro() == (
        "-= Welcome to TextWorld, ALFRED! =-\n\nYou are in the middle of a room. Looking quickly around you, you see "
        f"a safe 1, a shelf 2, and a shelf 1.\n\n{task}"
    )
    assert task.startswith("Your task is to: ")
    assert world.commands() == ["go to safe 1", "go to shelf 1", "go to shelf 2", "help", "inventory", "look"]
    assert play(world, "look", "inventory", "go to shelf 2", "look") == [
        "You are in the middle of a room. Looking quickly around you, you see nothing.",
        "You are not carrying anything.",
        "You arrive at shelf 2. On the shelf 2, you see a book 2.",
        "You are facing the shelf 2. Next to it, you see nothing.",
    ]
    assert play(world, "take book 2 from shelf 2", "inventory", "examine book 2", "go to safe 1", "move book 2 to safe 1") == [
        "You pick up the book 2 from the shelf 2.",
        "You are carrying: a book 2.",
        "There's nothing special about book 2.",
        "You arrive at safe 1. The safe 1 is closed.",
        NOTHING_HAPPENS,
    ]
    assert play(world, "open safe 1", "move book 2 to safe 1", "examine safe 1", "close safe 1") == [
        "You open the safe 1. The safe 1 is open. In it, you see a book 1.",
        "You move the book 2 to the safe 1.",
        "The safe 1 is open. In it, you see a book 2, and a book 1.",
        "You close the safe 1.",
    ]


def test_two_receptacles_of_one_place_are_faced_together_and_not_gone_to_again():
    world = toy_world()
    play(world, "go to safe 1")
    assert "look" in world.commands()
    assert not {"go to safe 1", "go to shelf 1"} & set(world.commands())  # both stand here
    assert play(world, "look")[0].startswith("You are facing the safe 1, and shelf 1. ")


def test_what_was_taken_from_a_place_and_put_beside_it_lies_next_to_it():
    world = toy_world()
    play(world, "go to safe 1", "open safe 1", "take book 1 from safe 1", "move book 1 to shelf 1")
    assert play(world, "look")[0].endswith("Next to it, you see a book 1.")
    assert play(through_json(world), "look") == play(world, "look")  # a deleted fact says so, and is part of the state


def test_a_deleted_fact_is_part_of_the_state():
    plain, touched = toy_world(), toy_world()
    play(plain, "go to safe 1", "open safe 1")
    play(touched, "go to safe 1", "open safe 1", "take book 1 from safe 1", "move book 1 to safe 1")
    assert plain == plain.copy()
    assert touched == through_json(touched)
    assert plain.facts.of("inreceptacle") == touched.facts.of("inreceptacle")
    assert touched.to_json()["deleted"] != plain.to_json()["deleted"]  # that nothing is held was said again, for one


def test_the_end_is_said_with_the_command_that_reaches_it():
    world = toy_world(FACTS.replace("(inReceptacle Book_bar_2 Safe_bar_1)", "(inReceptacle Book_bar_2 Shelf_bar_2)"))
    replies = [
        world.act(command) for command in ("go to shelf 1", "take book 1 from shelf 1", "open safe 1", "move book 1 to safe 1")
    ]
    assert [reply.is_solved for reply in replies] == [False, False, False, True]
    assert world.act("look").is_solved  # play goes on


@pytest.mark.parametrize("command", ["", "go to", "Go to safe 1", "go to safe 1 x", "open safe 1", "take", "go  to safe 1"])
def test_other_texts_change_nothing(command):
    world = toy_world()
    before = world.to_json()
    assert world.act(command)[:2] == (NOTHING_HAPPENS, True)
    assert world.to_json() == before


def test_blanks_around_a_command_do_not_matter():
    assert not toy_world().act("  go to safe 1\n").is_error


def walk(world: AlfredWorld, seed: int, length: int) -> list[str]:
    """Play random commands, rare verbs as often as others, and return all that was said."""
    chance, said = random.Random(seed), []
    for _ in range(length):
        verbs: dict[str, list[str]] = {}
        for command in world.commands():
            verbs.setdefault(command.split()[0], []).append(command)
        said.append(world.act(chance.choice(verbs[chance.choice(sorted(verbs))])).text)
        said += world.commands()
    return said


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ALL_TYPES), st.integers(0, 10**6), st.integers(0, 40))
def test_every_state_travels_and_goes_on_as_before(task_type, seed, length):
    world = made_world(task_type)
    walk(world, seed, length)
    twins = [through_json(world), world.copy(), copy.deepcopy(world), pickle.loads(pickle.dumps(world))]
    before = json.dumps(world.to_json())
    futures = [walk(twin, seed + 1, 15) for twin in twins]
    assert json.dumps(world.to_json()) == before
    assert all(future == walk(world.copy(), seed + 1, 15) for future in futures)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(ALL_TYPES), st.integers(0, 10**6))
def test_states_that_are_reached_again_have_the_same_commands(task_type, seed):
    """What is remembered of commands must not depend on the way to a state."""
    world = made_world(task_type)
    walk(world, seed, 30)
    fresh = AlfredWorld(type(world.game)(world.game.file), through_json(world).facts)
    assert fresh.commands() == world.commands()
    assert fresh.is_won == world.is_won


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"game": "0"}, "another game"),
        ({"names": 3}, "another game"),
        ({"added": [["openable", "safe_bar_1"]]}, "not a fact that changes"),
        ({"added": [["opened"]]}, "not a fact that changes"),
        ({"deleted": [["opened", "nothing"]]}, "not objects of the game"),
    ],
)
def test_a_foreign_state_is_refused(change, problem):
    world = toy_world()
    with pytest.raises(ValueError, match=problem):
        AlfredWorld.from_json(world.to_json() | change, world.game)


def test_worlds_of_other_games_are_not_equal():
    assert toy_world() != toy_world(goal=GOAL.replace("SafeType", "ShelfType"))
    assert toy_world() != "a world"
