"""The searcher: it wins, and acts on what it has seen alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.goals import wanted_of
from palaestra.envs.agentgym.alfworld.knowledge import Sketch
from palaestra.envs.agentgym.alfworld.rooms import likely_homes
from palaestra.envs.agentgym.alfworld.searcher import Searcher
from palaestra.envs.agentgym.alfworld.tasks import made_game
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from tests.envs.agentgym.alfworld.toys import ALL_TYPES, FACTS, GOAL, made_world, toy_world

LEFT = FACTS.replace("(inReceptacle Book_bar_2 Safe_bar_1)", "(inReceptacle Book_bar_2 Shelf_bar_2)")


def search(world: AlfredWorld, limit: int = 150) -> list[str]:
    """Play the searcher to its end and return what it did."""
    played: list[str] = []
    for move in Searcher(world).moves(world):
        assert move.thought
        assert not world.act(move.command).is_error, (move, played)
        played.append(move.command)
        assert len(played) < limit, played
    return played


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 499), st.sampled_from(("train", "test")))
def test_the_searcher_wins_every_game(number, split):
    world = AlfredWorld(made_game(split, number))
    played = search(world)
    assert world.is_won
    assert len(played) >= len(world.game.file.walkthrough)


@pytest.mark.parametrize("task_type", ALL_TYPES)
def test_it_takes_only_what_an_answer_has_shown(task_type):
    for split in ("train", "test"):
        world = made_world(task_type, split)
        shown = ""
        for move in Searcher(world).moves(world):
            if move.command.startswith("take"):
                assert f"a {move.command.split(' from ')[0].removeprefix('take ')}" in shown
            shown += world.act(move.command).text
        assert world.is_won


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(ALL_TYPES), st.integers(0, 10**6))
def test_its_first_moves_do_not_depend_on_where_things_are(task_type, seed):
    """Whatever lies where it has not looked, it does the same."""
    world = made_world(task_type)
    searcher, other = Searcher(world), world.copy()
    played: list[str] = []
    for move in searcher.moves(world):
        played.append(move.command)
        world.act(move.command)
        if len(played) == 3:
            break
    seen = set(searcher.seen)
    for thing, receptacle in sorted(other.facts.of("inreceptacle")):
        unseen = sorted(place for place in searcher.room.location if place not in seen)
        if receptacle not in seen and unseen:
            other.facts.delete("inreceptacle", (thing, receptacle))
            other.facts.add("inreceptacle", (thing, unseen[seed % len(unseen)]))
    again: list[str] = []
    for move in Searcher(other).moves(other):
        again.append(move.command)
        other.act(move.command)
        if len(again) == len(played):
            break
    assert again[:-1] == played[:-1] or again == played


def test_the_first_of_two_is_delivered_before_the_second_is_searched():
    world = made_world("pick_two_obj_and_place")
    played = search(world)
    verbs = [command.split()[0] for command in played if command.split()[0] in ("take", "move")]
    assert verbs == ["take", "move", "take", "move"]


def test_a_lamp_is_searched_with_the_object_in_the_hand_if_it_was_not_seen_before():
    for split in ("train", "test"):
        world = made_world("look_at_obj_in_light", split)
        played = search(world)
        assert played[-1].startswith(("use", "take", "go"))
        assert sum(command.startswith("take") for command in played) == 1


def test_it_gives_up_when_it_has_looked_everywhere():
    world = toy_world(LEFT, GOAL.replace("SafeType", "FridgeType"))
    assert search(world)
    assert not world.is_won


def test_a_sketch_of_what_was_seen_holds_nothing_else():
    world = made_world("pick_two_obj_and_place")
    room = Searcher(world).room
    assert Sketch.of(world, room, ()).where == {}
    some = set(list(room.location)[:4])
    sketch = Sketch.of(world, room, some)
    assert set(sketch.where.values()) <= some
    assert {thing for thing, _ in sketch.lies_at} <= set(sketch.where)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 499), st.sampled_from(("train", "test")))
def test_where_a_thing_is_to_go_is_looked_into_after_its_other_homes(number, split):
    world = AlfredWorld(made_game(split, number))
    wanted = wanted_of(world.game)[0]
    searcher = Searcher(world)
    homes = {f"{home}type" for home in likely_homes()[wanted.items[0].type.removesuffix("type")]}
    for move in searcher.moves(world):
        unseen = {searcher.room.kind[place] for place in searcher.room.location if place not in searcher.seen}
        found = "I have not found" not in move.thought
        if (
            found
            or wanted.items[0].type.removesuffix("type") not in move.thought
            or not (unseen & homes) - set(wanted.targets)
        ):
            break
        place = searcher._by_name[move.command.partition(" ")[2].removeprefix("to ")]
        assert searcher.room.kind[place] not in wanted.targets
        world.act(move.command)
