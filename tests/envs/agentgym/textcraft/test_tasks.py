import numpy as np
import pytest

from palaestra.envs.agentgym.textcraft.books import builtin_book
from palaestra.envs.agentgym.textcraft.tasks import (
    BookTasks,
    ListedTasks,
    draw_commands,
    explicit_task,
    split_of,
    task_from_observation,
    variant_generator,
)
from palaestra.envs.agentgym.textcraft.world import TextCraftWorld
from palaestra.envs.core.tasks import Task
from palaestra.errors import UnknownNameError, UsageError
from tests.envs.agentgym.textcraft.books import small_book


def test_every_goal_is_one_task_of_one_split_in_canonical_order() -> None:
    book = builtin_book()
    tasks = BookTasks(book)
    assert tasks.splits == ("train", "test")
    keys = {split: [task.key for task in tasks.split(split)] for split in tasks.splits}
    assert sorted(keys["train"] + keys["test"]) == sorted(book.goals)
    for split, own in keys.items():
        assert own == [goal for goal in book.goals if goal in set(own)]
        assert all(split_of(goal) == split for goal in own)
    assert 0.1 < len(keys["test"]) / len(book.goals) < 0.3


def test_the_split_of_a_goal_never_moves() -> None:
    assert [split_of(g) for g in ("minecraft:bread", "minecraft:crossbow", "workshop:quilt", "workshop:well")] == [
        "train",
        "test",
        "train",
        "test",
    ]


def test_task_types_are_depths() -> None:
    assert BookTasks(small_book()).find("toy:crate").type == "depth-3"


def test_a_variant_key_pins_the_command_list() -> None:
    tasks = BookTasks(small_book())
    task = tasks.find("toy:pick#4")
    assert task.key == "toy:pick#4"
    assert task.data == {"goal": "toy:pick", "variant": 4}
    assert task.split == tasks.find("toy:pick").split
    for wrong in ("toy:pick#", "toy:pick#04", "toy:pick#x", "toy:pick#-1", "toy:nothing#1", "toy:twig", "toy:pick#1#2"):
        with pytest.raises(UnknownNameError):
            tasks.find(wrong)
    with pytest.raises(UnknownNameError, match="Did you mean 'toy:crate'"):
        tasks.find("toy:crates")


def test_a_drawn_list_holds_all_that_is_needed_and_only_related_distractors() -> None:
    book = builtin_book()
    goal = "workshop:chair"
    needed = {book.line(recipe) for recipe in book.needed_recipes(goal)}
    ingredients = {i.id for recipe in book.needed_recipes(goal) for i in recipe.ingredients}
    for seed in range(20):
        lines = draw_commands(book, goal, 5, np.random.default_rng(seed))
        assert len(lines) == len(set(lines)) == len(needed) + 5
        assert needed <= set(lines)
        others = [r for r in book.recipes if book.line(r) in set(lines) - needed]
        assert all({i.id for i in recipe.ingredients} & ingredients for recipe in others)
    assert set(draw_commands(book, goal, 0, np.random.default_rng(0))) == needed


def test_lists_differ_by_seed_and_repeat_with_it() -> None:
    book = builtin_book()
    lists = [draw_commands(book, "workshop:chair", 10, variant_generator("workshop:chair", n)) for n in (0, 1, 0)]
    assert lists[0] == lists[2] != lists[1]


def test_explicit_tasks_show_exactly_what_is_given() -> None:
    book = small_book()
    task = explicit_task(book, "toy:stick", "craft 1 stick using 1 twig\ncraft 9 moon using 1 cheese")
    assert task == explicit_task(book, "toy:stick", ["craft 1 stick using 1 twig", "craft 9 moon using 1 cheese"])
    assert task.key.startswith("toy:stick@")
    assert task.type == "depth-1"
    assert explicit_task(book, "toy:stick", "other").key != task.key
    with pytest.raises(UnknownNameError, match="Did you mean 'toy:stick'"):
        explicit_task(book, "toy:sticks", "")
    with pytest.raises(UnknownNameError):
        explicit_task(book, "toy:plank", "")


def test_a_published_first_observation_gives_its_task_back() -> None:
    book = small_book()
    task = explicit_task(book, "toy:oak_plank", ["craft 4 oak plank using 1 oak log", "craft 1 stick using 1 twig"])
    observation = TextCraftWorld(book, task.data["goal"], task.data["commands"]).observation()
    assert task_from_observation(book, observation + "\n") == task
    for wrong in ("", "Goal: craft oak plank.", "Crafting commands:\n\nGoal: craft"):
        with pytest.raises(UsageError, match="no first observation of TextCraft"):
            task_from_observation(book, wrong)
    with pytest.raises(UnknownNameError):
        task_from_observation(book, observation.replace("Goal: craft oak plank", "Goal: craft moon"))


def test_a_users_list_takes_keys_tasks_and_command_lists() -> None:
    book = small_book()
    own = Task("mine", "train", "", {"goal": "toy:pick"})
    listed = ListedTasks(book, ["toy:stick#1", own, {"goal": "toy:crate", "commands": "x", "split": "train"}])
    assert {task.key.partition("@")[0] for task in listed} == {"toy:stick#1", "mine", "toy:crate"}
    assert listed.find("mine") is own
    with pytest.raises(UsageError, match=r"tasks=\[\] names no task"):
        ListedTasks(book, [])
    with pytest.raises(UsageError, match="A task is 3; expected a key"):
        ListedTasks(book, [3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="commands is 3; expected a text of lines"):
        ListedTasks(book, [{"goal": "toy:crate", "commands": 3}])
