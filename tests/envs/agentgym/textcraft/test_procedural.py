import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.textcraft.planner import Planner
from palaestra.envs.agentgym.textcraft.procedural import ProceduralWorlds
from palaestra.errors import ConfigError, UnknownNameError, UsageError

WORLDS = ProceduralWorlds()


def test_a_task_is_made_alone_and_always_the_same() -> None:
    tasks = WORLDS.tasks()
    first = [tasks.at("train", i) for i in range(20)]
    assert [ProceduralWorlds().tasks().find(f"train/{i}") for i in reversed(range(20))] == first[::-1]
    assert [task.key for task in first] == [f"train/{i}" for i in range(20)]
    assert tasks.at("train", 10**9) == tasks.at("train", 10**9)


def test_the_train_split_has_no_end_and_the_test_split_has() -> None:
    tasks = ProceduralWorlds(num_test_tasks=7).tasks()
    assert tasks.size("train") is None
    assert tasks.size("test") == 7
    with pytest.raises(UnknownNameError):
        tasks.find("test/7")


@pytest.mark.parametrize("options", [{}, {"name_words": 1, "num_names": 64}])
def test_no_test_goal_is_ever_a_train_goal(options: dict[str, Any]) -> None:
    worlds = ProceduralWorlds(**options)
    vocabulary = worlds.vocabulary
    assert set(vocabulary.train_goals) | set(vocabulary.test_goals) == set(vocabulary.names)
    assert not set(vocabulary.train_goals) & set(vocabulary.test_goals)
    tasks = worlds.tasks()
    goals = {split: {task.data["goal"] for task in tasks.split(split).first(300)} for split in ("train", "test")}
    assert not goals["train"] & goals["test"]
    assert {goal.replace("_", " ") for goal in goals["test"]} <= set(vocabulary.test_goals)


def test_test_goals_occur_as_ingredients_in_training_so_that_no_word_is_new() -> None:
    worlds = ProceduralWorlds(name_words=1, num_names=64)
    shown = " ".join(line for task in worlds.tasks().split("train").first(300) for line in task.data["commands"])
    words = set(shown.replace(",", " ").split())
    assert set(worlds.vocabulary.test_goals) <= words


def test_depths_take_turns_and_are_exact() -> None:
    tasks = ProceduralWorlds(depth=(2, 4)).tasks().split("test").first(30)
    assert [task.type for task in tasks[:4]] == ["depth-2", "depth-3", "depth-4", "depth-2"]
    for task in tasks:
        assert task.type == f"depth-{ProceduralWorlds.book_of(task).depth[task.data['goal']]}"


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 8), st.integers(1, 8)).map(sorted),
    st.integers(1, 9),
    st.integers(1, 64),
    st.integers(1, 64),
    st.floats(0, 1),
    st.integers(0, 12),
    st.sampled_from([1, 2]),
    st.integers(0, 2**31 - 1),
)
def test_every_world_of_every_difficulty_can_be_solved(
    depth: list[int], inputs: int, count: int, made: int, branching: float, distractors: int, words: int, index: int
) -> None:
    worlds = ProceduralWorlds(
        depth=(depth[0], depth[1]),
        max_ingredients=inputs,
        max_count=count,
        max_yield=made,
        branching=branching,
        distractors=distractors,
        name_words=words,
        num_names=max(20, 4 * (depth[1] + 2) + distractors),  # of fewer than 20 nouns none may be a test goal
    )
    task = worlds.task("train", index)
    book = ProceduralWorlds.book_of(task)
    assert task.type == f"depth-{book.depth[task.data['goal']]}"
    needed = len(book.needed_recipes(task.data["goal"]))
    assert len(task.data["commands"]) == needed + distractors
    plan = Planner(book).plan(task.data["goal"])
    assert plan is not None
    assert len(plan) <= 4 * needed + 9 * needed


def test_small_settings_give_short_prompts_and_plans() -> None:
    worlds = ProceduralWorlds(depth=(1, 2), max_count=1, branching=0, distractors=2, name_words=1, num_names=64)
    for task in worlds.tasks().split("train").first(200):
        assert len(task.data["commands"]) <= 4
        assert all(len(line.split()) <= 10 for line in task.data["commands"])
        plan = Planner(ProceduralWorlds.book_of(task)).plan(task.data["goal"])
        assert plan is not None
        assert len(plan) <= 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": (0, 2)}, r"depth is \(0, 2\); expected two integers"),
        ({"depth": (3, 2)}, "1 <= least <= greatest <= 8"),
        ({"depth": "deep"}, "depth is 'deep'"),
        ({"max_ingredients": 10}, "max_ingredients is 10; expected an integer from 1 to 9"),
        ({"max_count": 1.5}, "max_count is 1.5"),
        ({"max_yield": True}, "max_yield is True"),
        ({"branching": 2}, "branching is 2; expected a number from 0 to 1"),
        ({"name_words": 3}, "name_words is 3"),
        ({"num_names": 10}, r"num_names is 10; expected an integer from 30 \(for depth 3 and 10 distractors\)"),
        ({"num_names": 10**6}, r"num_names is 1000000"),
        (
            {"depth": [1, 1], "name_words": 1, "num_names": 12, "distractors": 0},
            r"num_names is 12, and none of these names may be a goal of the test split; expected an integer from 20 to 231",
        ),
        ({"num_test_tasks": 0}, "num_test_tasks is 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProceduralWorlds(**options)


def test_unknown_options_are_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="Did you mean 'max_count'"):
        ProceduralWorlds.from_options({"max_counts": 2}, distractors=1)


def test_one_number_is_a_fixed_depth_and_worlds_pickle() -> None:
    worlds = ProceduralWorlds.from_options({"depth": 2}, distractors=1)
    assert {task.type for task in worlds.tasks().split("train").first(5)} == {"depth-2"}
    assert pickle.loads(pickle.dumps(worlds.tasks())).at("test", 3) == worlds.tasks().at("test", 3)
