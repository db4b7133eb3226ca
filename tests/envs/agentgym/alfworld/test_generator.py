"""Games that are made: valid, solvable, apart by split, and the same everywhere."""

import hashlib
import json
from collections import Counter

import pytest

from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import parse_game
from palaestra.envs.agentgym.alfworld.generator import TASK_TYPES, choices, choose, generate, split_of
from palaestra.envs.agentgym.alfworld.rooms import LAYOUTS, OPENING, ROOMS, THINGS, rooms_of
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from tests.hash_seeds import outputs

DIGEST = """
import hashlib, json
from palaestra.envs.agentgym.alfworld.generator import generate
made = [generate(split, number) for split in ("train", "test") for number in range(15)]
print(hashlib.sha256(json.dumps(made).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def games() -> list[dict]:
    return [generate(split, number) for split in ("train", "test") for number in range(100)]


def test_made_games_are_valid_and_their_walkthroughs_win(games):
    for made in games:
        world = AlfredWorld(Game(parse_game(json.loads(json.dumps(made)))))
        assert not world.is_won
        for command in made["walkthrough"]:
            assert command in world.commands()
            assert not world.act(command).is_error
        assert world.is_won
        assert made["meta"]["synthetic"]
        assert made["solvable"]
        assert not world.game.file.problem.unknown


def test_all_types_and_kinds_of_rooms_occur(games):
    types = Counter(made["meta"]["task_type"] for made in games)
    assert set(types) == set(TASK_TYPES)
    assert min(types.values()) >= 10
    assert {made["meta"]["room"].partition("-")[0] for made in games} == set(ROOMS)


def test_the_task_in_words_names_the_object_and_the_target(games):
    for made in games:
        task = AlfredWorld(Game(parse_game(made))).intro().rpartition("Your task is to: ")[2]
        assert made["meta"]["object"].lower() in task
        assert made["meta"]["target"].lower() in task


def test_a_game_is_about_what_was_drawn_for_its_number(games):
    for made in games[::10]:
        meta = made["meta"]
        choice = choose(meta["split"], meta["number"])
        assert (choice.task_type, choice.object, choice.target, str(choice.room)) == tuple(
            meta[key] for key in ("task_type", "object", "target", "room")
        )


def test_train_and_test_share_no_goal_and_no_room():
    by_split = {split: [c for listed in choices(split).values() for c in listed] for split in ("train", "test")}
    goals = {split: {choice[:3] for choice in listed} for split, listed in by_split.items()}
    rooms = {split: {choice.room for choice in listed} for split, listed in by_split.items()}
    assert not goals["train"] & goals["test"]
    assert not rooms["train"] & rooms["test"]
    assert all(split_of(*goal) == split for split, listed in goals.items() for goal in listed)
    for split in by_split:
        assert all(len({choice[:3] for choice in listed}) >= 10 for listed in choices(split).values())


def test_there_are_forty_layouts_and_more_of_four_kinds():
    rooms = [*rooms_of("train"), *rooms_of("test")]
    assert len(rooms) == len(ROOMS) * LAYOUTS >= 40
    layouts = [(room.kind, room.furniture()) for room in rooms]
    assert len(set(layouts)) >= 40
    for room in rooms:
        for kind, least, most in ROOMS[room.kind]:
            assert least <= room.furniture().count(kind) <= most


def test_everything_has_a_home_and_every_home_is_furniture():
    furniture = {kind for listed in ROOMS.values() for kind, _, _ in listed}
    assert furniture >= OPENING
    for thing in THINGS:
        assert set(thing.rooms) <= set(ROOMS)
        assert set(thing.homes) <= furniture
        assert set(thing.abilities) <= {"clean", "heat", "cool", "slice"}


def test_games_are_the_same_in_every_process():
    here = [generate(split, number) for split in ("train", "test") for number in range(15)]
    assert outputs(DIGEST) == {hashlib.sha256(json.dumps(here).encode()).hexdigest() + "\n"}
