"""Tasks of TextCraft: goals of a recipe book, split permanently by the hash of the goal.

Keys: `GOAL` draws a new command list in every episode, `GOAL#N` always shows list number N of that goal, and a task
made from an explicit command list (`explicit_task`) has the key `GOAL@DIGEST`. Published integer ids count in the directory
order of one machine; `task_from_observation` recovers the task of such an item, and `published.published_tasks` those of a
whole file, with its ids as `MAPPING#N`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from palaestra.envs.agentgym.textcraft.recipes import RecipeBook
from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.errors import ConfigError, UsageError, unknown_name

TEST_SHARE = 5  # one goal in so many belongs to the test split
GREATEST_DEPTH = 8
MAX_CONSIDERED = 10  # distractor recipes looked at per ingredient; the published lists were drawn so


class BookTasks(FixedTasks):
    """One task per goal of a recipe book, in canonical order, in splits "train" and "test".

    Args:
        book: The recipes.
    """

    def __init__(self, book: RecipeBook) -> None:
        """Make the tasks."""
        self.book = book
        super().__init__((_goal_task(book, goal) for goal in book.goals), splits=("train", "test"))

    def find(self, key: str) -> Task:
        """Return the task with this key, `GOAL` or `GOAL#N`.

        Raises:
            UnknownNameError: If the goal cannot be crafted.
        """
        goal, mark, variant = str(key).partition("#")
        if not mark:
            return super().find(key)
        if not variant.isdecimal() or variant != str(int(variant)) or len(variant) > 9:
            raise unknown_name("task", key, [f"{goal}#0"], hint="Keys read 'GOAL' or 'GOAL#NUMBER'.")
        task = super().find(goal)
        return Task(key, task.split, task.type, {**task.data, "variant": int(variant)})


class ListedTasks(FixedTasks):
    """The tasks that a user listed.

    Args:
        book: The recipes.
        tasks: Keys, `Task`s, or mappings with `goal`, `commands` and perhaps `split` ("test" unless given).
        aliases: Published ids of them.
    """

    def __init__(
        self,
        book: RecipeBook,
        tasks: Iterable[str | Task | Mapping[str, Any]],
        *,
        aliases: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        """Resolve the list."""
        known = book_tasks(book)
        resolved = [_resolve(book, known, task) for task in tasks]
        if not resolved:
            raise UsageError("tasks=[] names no task; give keys, or leave it out for all goals.")
        super().__init__(resolved, aliases=aliases)


@lru_cache(maxsize=8)
def book_tasks(book: RecipeBook) -> BookTasks:
    """Return the tasks of a book; made once, since a task set never changes."""
    return BookTasks(book)


def tasks_of_depth(book: RecipeBook, depth: Any) -> ListedTasks:
    """Return the tasks of those goals of a book that have certain depths, in the splits that they have in the book.

    Args:
        book: The recipes.
        depth: See `depth_range`.

    Raises:
        ConfigError: If `depth` is not a range, or no goal has such a depth.
    """
    least, greatest = depth_range(depth)
    goals = [goal for goal in book.goals if least <= book.depth[goal] <= greatest]
    if not goals:
        known = sorted({book.depth[goal] for goal in book.goals})
        raise ConfigError(f"depth is {depth!r}, and no goal of these recipes has such a depth; they have {known}.")
    return ListedTasks(book, goals)


def depth_range(depth: Any) -> tuple[int, int]:
    """Return the least and the greatest depth that an argument names.

    Args:
        depth: A depth, or the least and the greatest one; 1 to 8.

    Raises:
        ConfigError: If it is neither.
    """
    pair = (depth, depth) if isinstance(depth, int) else depth
    if isinstance(pair, tuple | list) and len(pair) == 2 and all(type(bound) is int for bound in pair):
        least, greatest = pair
        if 1 <= least <= greatest <= GREATEST_DEPTH:
            return least, greatest
    raise ConfigError(f"depth is {depth!r}; expected two integers with 1 <= least <= greatest <= {GREATEST_DEPTH}.")


def split_of(goal: str) -> str:
    """Return the split of a goal: the same in every book, version and process."""
    digest = hashlib.blake2b(goal.encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % TEST_SHARE == 0 else "train"


def explicit_task(book: RecipeBook, goal: str, commands: str | Sequence[str], *, split: str = "test") -> Task:
    """Return the task of a goal with exactly this command list.

    Args:
        book: The recipes; the command list only shows, it does not restrict what works.
        goal: Id of an item of the book, craftable or gettable.
        commands: Lines, or one text of lines.
        split: Split it is filed under.

    Raises:
        UnknownNameError: If the book has no such item.
    """
    if goal not in book.items or goal in book.tags:
        raise unknown_name("goal", goal, book.goals)
    if not isinstance(commands, str | list | tuple) or not all(isinstance(line, str) for line in commands):
        raise UsageError(f"commands is {commands!r}; expected a text of lines, or a list of lines.")
    lines = commands.split("\n") if isinstance(commands, str) else list(commands)
    digest = hashlib.blake2b("\n".join(lines).encode(), digest_size=6).hexdigest()
    return Task(f"{goal}@{digest}", split, f"depth-{book.depth.get(goal, 0)}", {"goal": goal, "commands": lines})


def task_from_observation(book: RecipeBook, observation: str, *, split: str = "test") -> Task:
    """Return the task whose first observation this is, as found in published trajectories.

    Raises:
        UsageError: If the text is not a first observation of TextCraft.
        UnknownNameError: If the book does not know the goal.
    """
    head, mark, rest = observation.rpartition("\n\nGoal: craft ")
    _, header, commands = head.partition("Crafting commands:\n")
    if not mark or not header or not rest.rstrip().endswith("."):
        raise UsageError(
            f"{observation[:60]!r} is no first observation of TextCraft; expected 'Crafting commands:', lines, an empty "
            f"line and 'Goal: craft NAME.'."
        )
    return explicit_task(book, book.id_of(rest.rstrip()[:-1]), commands, split=split)


def draw_commands(book: RecipeBook, goal: str, distractors: int, rng: np.random.Generator) -> list[str]:
    """Draw a command list: every recipe the goal may need and some that share its ingredients, shuffled.

    Args:
        book: The recipes.
        goal: Item id.
        distractors: Most recipes shown in addition to the needed ones.
        rng: Source of chance.
    """
    needed = dict.fromkeys(book.line(recipe) for recipe in book.needed_recipes(goal))
    others: dict[str, None] = {}
    if distractors:
        for recipe in book.needed_recipes(goal):
            for ingredient in recipe.ingredients:
                users = book.recipes_using(ingredient.id)
                if len(users) > MAX_CONSIDERED:
                    users = tuple(users[i] for i in rng.choice(len(users), MAX_CONSIDERED, replace=False))
                others.update(dict.fromkeys(line for line in map(book.line, users) if line not in needed))
    lines = list(others)
    if len(lines) > distractors:
        lines = [lines[i] for i in rng.choice(len(lines), distractors, replace=False)]
    lines = [*needed, *lines]
    return [lines[i] for i in rng.permutation(len(lines))]


def variant_generator(goal: str, variant: int) -> np.random.Generator:
    """Return the source of chance of command list number `variant` of a goal."""
    digest = hashlib.blake2b(f"{goal}#{variant}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def _goal_task(book: RecipeBook, goal: str) -> Task:
    """Return the task of a goal with a command list drawn per episode."""
    return Task(goal, split_of(goal), f"depth-{book.depth[goal]}", {"goal": goal})


def _resolve(book: RecipeBook, known: BookTasks, task: str | Task | Mapping[str, Any]) -> Task:
    """Return the task that an entry of a user's list means."""
    if isinstance(task, Task):
        return task
    if isinstance(task, str):
        return known.resolve(task)
    if isinstance(task, Mapping) and isinstance(task.get("goal"), str) and "commands" in task:
        return explicit_task(book, task["goal"], task["commands"], split=task.get("split", "test"))
    raise UsageError(f"A task is {task!r}; expected a key, a Task, or {{'goal': ID, 'commands': LINES}}.")
