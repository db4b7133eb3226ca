"""Recipe worlds made on the spot: each task has a few recipes of its own, over a fixed vocabulary of names.

Task *i* of a split is made from `(split, i)` and the options alone. The names that may be goals are divided between the
splits by hash, so no test goal is ever a goal of the train split; as ingredients all names occur in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from palaestra.envs.agentgym.textcraft.recipes import RecipeBook
from palaestra.envs.agentgym.textcraft.tasks import depth_range, split_of
from palaestra.envs.agentgym.textcraft.text_book import parse_book
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.errors import ConfigError, unknown_name

MAX_CRAFTS_PER_ITEM = 4  # bounds the length of a plan
MAX_CRAFTED = 16  # crafted ingredients from which on only main chains continue; bounds the length of the command list


@dataclass(frozen=True)
class Vocabulary:
    """The names of a procedural world.

    Attributes:
        names: All of them, in a fixed order.
        train_goals: Those that may be goals of the train split.
        test_goals: Those that may be goals of the test split.
    """

    names: tuple[str, ...]
    train_goals: tuple[str, ...]
    test_goals: tuple[str, ...]

    def goals(self, split: str) -> tuple[str, ...]:
        """Return the names that may be goals of a split."""
        return self.train_goals if split == "train" else self.test_goals


@dataclass(frozen=True)
class ProceduralWorlds:
    """Makes recipe worlds, one per task.

    Attributes:
        depth: Least and greatest depth of a goal, 1 to 8; task `i` has depth `least + i % (greatest - least + 1)`.
        max_ingredients: Most different ingredients of a recipe, 1 to 9.
        max_count: Most of one ingredient in a recipe, 1 to 64.
        max_yield: Most items that come out of a recipe, 1 to 64.
        branching: Chance that an ingredient outside the main chain is crafted itself, 0 to 1.
        distractors: Recipes shown that the goal does not need; they share its ingredients.
        num_names: Size of the vocabulary; None for all names there are.
        name_words: 1 for names like "ladder", 2 for "red ladder".
        num_test_tasks: Number of test tasks; the train split has no end.
    """

    depth: tuple[int, int] = (1, 3)
    max_ingredients: int = 2
    max_count: int = 2
    max_yield: int = 1
    branching: float = 0.3
    distractors: int = 10
    num_names: int | None = None
    name_words: int = 2
    num_test_tasks: int = 1000

    def __post_init__(self) -> None:
        """Check the ranges."""
        depth = depth_range(self.depth)
        object.__setattr__(self, "depth", depth)
        for name, low, high in (
            ("max_ingredients", 1, 9),
            ("max_count", 1, 64),
            ("max_yield", 1, 64),
            ("distractors", 0, 200),
            ("name_words", 1, 2),
            ("num_test_tasks", 1, 2**31),
        ):
            value = getattr(self, name)
            if not _is_int(value) or not low <= value <= high:
                raise ConfigError(f"{name} is {value!r}; expected an integer from {low} to {high}.")
        if not isinstance(self.branching, int | float) or not 0 <= self.branching <= 1:
            raise ConfigError(f"branching is {self.branching!r}; expected a number from 0 to 1.")
        least = 4 * (depth[1] + 2) + self.distractors
        known = len(_names(self.name_words))
        if self.num_names is not None and (not _is_int(self.num_names) or not least <= self.num_names <= known):
            raise ConfigError(
                f"num_names is {self.num_names!r}; expected an integer from {least} (for depth {depth[1]} and "
                f"{self.distractors} distractors) to {known} (names of {self.name_words} words)."
            )
        self._check_goals(least, known)

    def _check_goals(self, least: int, known: int) -> None:
        """Refuse a vocabulary so small that a split has no name to make a goal of."""
        names = self.vocabulary
        if names.train_goals and names.test_goals:
            return
        enough = next(n for n in range(least, known + 1) if all(map(_vocabulary(self.name_words, n).goals, ("train", "test"))))
        empty = "test" if names.train_goals else "train"
        raise ConfigError(
            f"num_names is {self.num_names!r}, and none of these names may be a goal of the {empty} split; expected an "
            f"integer from {enough} to {known}."
        )

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of the options other than `distractors`."""
        return [field.name for field in fields(cls) if field.name != "distractors"]

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, distractors: int) -> ProceduralWorlds:
        """Build from keyword arguments.

        Raises:
            UnknownNameError: For an option that does not exist.
            ConfigError: For a value out of range.
        """
        if unknown := sorted(set(options) - set(cls.option_names())):
            raise unknown_name("argument of TextCraft with recipes='procedural'", unknown[0], cls.option_names())
        return cls(distractors=distractors, **options)

    @property
    def vocabulary(self) -> Vocabulary:
        """The names in use."""
        return _vocabulary(self.name_words, self.num_names)

    def tasks(self) -> GeneratedTasks:
        """Return the tasks: an endless train split and `num_test_tasks` test tasks."""
        return GeneratedTasks(self.task, {"train": None, "test": self.num_test_tasks})

    def task(self, split: str, index: int) -> Task:
        """Make one task alone, always the same under the same options."""
        digest = hashlib.blake2b(f"textcraft/{split}/{index}".encode(), digest_size=16).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
        least, greatest = self.depth
        depth = least + index % (greatest - least + 1)
        goal, lines = _Growth(self, rng).grow(split, depth)
        return Task(f"{split}/{index}", split, f"depth-{depth}", {"goal": goal.replace(" ", "_"), "commands": lines})

    @staticmethod
    def book_of(task: Task) -> RecipeBook:
        """Return the recipes of a task: those of its command list.

        Raises:
            ConfigError: If the task has no command list that can be read.
        """
        commands = task.data.get("commands")
        if not isinstance(commands, list) or not all(isinstance(line, str) for line in commands):
            raise ConfigError(f"Task {task.key!r} is no procedural task; take one from env.unwrapped.tasks.")
        return parse_book("\n".join(commands), namespace="", source=f"task {task.key!r}")


class _Growth:
    """One world being made: recipes grown from the goal downward."""

    def __init__(self, worlds: ProceduralWorlds, rng: np.random.Generator) -> None:
        self.worlds = worlds
        self.rng = rng
        self.unused: list[str] = []
        self.promised = 0  # unused names that the chains and distractors still to be made will take
        self.base: list[str] = []
        self.crafted: list[str] = []
        self.lines: list[str] = []

    def grow(self, split: str, depth: int) -> tuple[str, list[str]]:
        """Return the goal and the shuffled command list."""
        vocabulary, rng = self.worlds.vocabulary, self.rng
        goals = vocabulary.goals(split)
        goal = goals[rng.integers(len(goals))]
        num_drawn = min(len(vocabulary.names), 200 + self.worlds.distractors)
        picks = rng.choice(len(vocabulary.names), num_drawn, replace=False)
        self.unused = [vocabulary.names[i] for i in picks if vocabulary.names[i] != goal]
        self.promised = depth + self.worlds.distractors
        self._craft(goal, depth, 1)
        for _ in range(self.worlds.distractors):
            self._distract()
        return goal, [self.lines[i] for i in rng.permutation(len(self.lines))]

    def _craft(self, name: str, depth: int, needed: int) -> None:
        """Add a recipe for an item of exactly this depth, of which `needed` are used in all."""
        made = self._upto(self.worlds.max_yield)
        times = -(-needed // made)
        num_inputs = self._upto(self.worlds.max_ingredients)
        chain = int(self.rng.integers(num_inputs))
        inputs: dict[str, int] = {}
        below: list[tuple[str, int, int]] = []
        for position in range(num_inputs):
            count = self._upto(self.worlds.max_count)
            if position == chain:
                self.promised -= 1
                level = depth - 1
            else:
                level = self._side_level(depth)
            if level == 0:
                if item := self._base_item(inputs):
                    inputs[item] = count
                continue
            count = max(1, min(count, MAX_CRAFTS_PER_ITEM // times))
            item = self.unused.pop()
            inputs[item] = count
            below.append((item, level, count * times))
        listed = ", ".join(f"{count} {item}" for item, count in inputs.items())
        self.lines.append(f"craft {made} {name} using {listed}")
        for item, level, total in below:
            self.crafted.append(item)
            self._craft(item, level, total)

    def _side_level(self, depth: int) -> int:
        """Draw the depth of an ingredient outside the main chain: mostly 0."""
        if depth == 1 or len(self.crafted) >= MAX_CRAFTED or self.rng.random() >= self.worlds.branching:
            return 0
        level = int(self.rng.integers(1, depth))
        if len(self.unused) - self.promised < 1 + level:
            return 0
        self.promised += level
        return level

    def _base_item(self, taken: Mapping[str, int]) -> str | None:
        """Draw something gettable that the recipe does not take yet: now and then one that is in use already."""
        known = [item for item in self.base if item not in taken]
        is_scarce = len(self.unused) <= self.promised
        if known and (is_scarce or self.rng.random() < 0.25):
            return known[self.rng.integers(len(known))]
        if is_scarce:
            return None
        self.base.append(self.unused.pop())
        return self.base[-1]

    def _distract(self) -> None:
        """Add a recipe of a new item that shares an ingredient with the others."""
        known = self.base + self.crafted
        num_inputs = min(self._upto(self.worlds.max_ingredients), len(known))
        picks = self.rng.choice(len(known), num_inputs, replace=False)
        listed = ", ".join(f"{self._upto(self.worlds.max_count)} {known[i]}" for i in picks)
        self.lines.append(f"craft {self._upto(self.worlds.max_yield)} {self.unused.pop()} using {listed}")

    def _upto(self, most: int) -> int:
        """Draw from 1 to `most`."""
        return int(self.rng.integers(1, most + 1)) if most > 1 else 1


@lru_cache(maxsize=8)
def _vocabulary(name_words: int, num_names: int | None) -> Vocabulary:
    """Return the first names in the order of their hashes, divided into goals of the splits."""
    names = _names(name_words)[:num_names]
    by_split: dict[str, list[str]] = {"train": [], "test": []}
    for name in names:
        by_split[split_of(name.replace(" ", "_"))].append(name)
    return Vocabulary(names, tuple(by_split["train"]), tuple(by_split["test"]))


@lru_cache(maxsize=2)
def _names(name_words: int) -> tuple[str, ...]:
    """Return all names of one or two words, in an order that owes nothing to the alphabet."""
    folder = resources.files("palaestra.envs.agentgym.textcraft") / "data"
    names = (folder / "nouns.txt").read_text(encoding="utf-8").split()
    if name_words == 2:
        adjectives = (folder / "adjectives.txt").read_text(encoding="utf-8").split()
        names = [f"{adjective} {noun}" for adjective in adjectives for noun in names]
    return tuple(sorted(names, key=lambda name: hashlib.blake2b(name.encode(), digest_size=8).digest()))


def _is_int(value: object) -> bool:
    """Whether a value is an integer and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)
