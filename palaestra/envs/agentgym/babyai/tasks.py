"""Tasks of BabyAI: a level and a seed.

Keys: `BabyAI-GoToRedBall-v0/17`, the published name of a level and the seed; `GoToRedBall/17` is taken as well. Published ids
are `upstream#N`: level `N % 40 + 1` of `LEVELS`, seed `N // 40`.

Drawn tasks are solved by the expert. A task belongs to the split that the hash of its level and its first observation says,
so that no two tasks of different splits begin alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from palaestra.envs.agentgym.babyai.engine import LEVELS, level_id
from palaestra.envs.agentgym.babyai.expert import Route
from palaestra.envs.agentgym.babyai.world import BabyAIWorld
from palaestra.envs.agentgym.numbered import NumberedAliases
from palaestra.envs.agentgym.published import PublishedItem, published_tasks
from palaestra.envs.core.tasks import FixedTasks, Task, TaskSet
from palaestra.envs.core.typed import fits
from palaestra.errors import ConfigError, UnknownNameError, unknown_name

MAPPING = "upstream"
NUM_PUBLISHED_SEEDS = 1000
NUM_TEST_TASKS = 1000
TEST_SHARE = 5  # one opening in so many belongs to the test split
UNSOLVED = ("OpenDoorsOrderN4Debug", "KeyInBox")
"""Levels that are not drawn unless they are named: see the module `expert`."""

MAX_SEED = 2**31 - 1
_FIRST_DRAWN = 1_000_000  # seeds below are left to published games
_MAX_DRAWS = 2_000


class LevelTasks(TaskSet):
    """Tasks of some levels in turn, with seeds drawn for each.

    Args:
        levels: The levels to draw from, by either name; None for all but `UNSOLVED`.
        num_test_tasks: Number of test tasks; the train split has no end.

    Raises:
        ConfigError: If there is no such level.
    """

    def __init__(self, levels: Iterable[str] | str | None = None, num_test_tasks: int = NUM_TEST_TASKS) -> None:
        """Check the names."""
        if not fits(num_test_tasks, int) or num_test_tasks < 1:
            raise ConfigError(f"num_test_tasks is {num_test_tasks!r}; expected an integer of at least 1.")
        self.levels = _levels(levels)
        self._num_test_tasks = num_test_tasks
        self.aliases = NumberedAliases(MAPPING, len(LEVELS) * NUM_PUBLISHED_SEEDS, published_key)

    def size(self, split: str) -> int | None:
        """Return the number of tasks of a split, None for no end."""
        return self._num_test_tasks if split == "test" else None

    def at(self, split: str, index: int) -> Task:
        """Return task number `index` of a split: level after level, each with a seed of its own."""
        if index < 0 or (split == "test" and index >= self._num_test_tasks):
            raise IndexError(f"Split {split!r} has {self.size(split)} tasks; there is no number {index}.")
        level = self.levels[index % len(self.levels)]
        rng = np.random.Generator(np.random.PCG64([4_040, split == "test", index]))
        for seed in rng.integers(_FIRST_DRAWN, MAX_SEED, size=_MAX_DRAWS).tolist():
            if split_of(level, seed) == split and (level in UNSOLVED or is_solved(level, seed)):
                return level_task(level, seed, split)
        raise ConfigError(f"No task of level {level!r} was found for the {split} split; leave the level out of levels=[...].")

    def find(self, key: str) -> Task:
        """Return the task with this key, of any level.

        Raises:
            UnknownNameError: If there is none.
        """
        name, _, seed = str(key).rpartition("/")
        if not seed.isdecimal() or len(seed) > 10 or seed != str(int(seed)) or int(seed) > MAX_SEED:
            raise unknown_name("task", key, [f"{level_id(self.levels[0])}/0"], hint="Keys read 'LEVEL/SEED'.")
        try:
            level = short_name(name)
        except UnknownNameError:
            known = [f"{level_id(one)}/{seed}" for one in LEVELS]
            raise unknown_name("task", key, known, hint="Keys read 'LEVEL/SEED'.") from None
        return level_task(level, int(seed), split_of(level, int(seed)))


def listed_tasks(sources: str | Path | Mapping[str, Any]) -> FixedTasks:
    """Return the tasks of published files: the integer of an item says its level and seed.

    Args:
        sources: See `palaestra.envs.agentgym.published.published_tasks`.
    """

    def task_of(item: PublishedItem, path: str, split: str) -> Task:
        if item.number is None:
            raise ConfigError(f"Item {item.item_id!r} of {path} has no number; expected 'babyai_N'.")
        return level_task(*published_level(item.number), split)

    found = published_tasks("babyai", sources, task_of)
    return FixedTasks(found.tasks, aliases=found.aliases)


def level_task(level: str, seed: int, split: str) -> Task:
    """Return the task of a level and a seed; its type is the level."""
    return Task(f"{level_id(level)}/{seed}", split, level, {"level": level, "seed": seed})


def published_level(number: int) -> tuple[str, int]:
    """Return level and seed of a published integer."""
    return LEVELS[number % len(LEVELS)], number // len(LEVELS)


def published_key(number: int) -> str:
    """Return the key of a published integer."""
    level, seed = published_level(number)
    return f"{level_id(level)}/{seed}"


def short_name(name: str) -> str:
    """Return the name of a level without `BabyAI-` and `-v0`.

    Raises:
        UnknownNameError: If there is no such level.
    """
    short = name.removeprefix("BabyAI-").removesuffix("-v0")
    if short not in LEVELS:
        raise unknown_name("level", name, LEVELS)
    return short


@lru_cache(maxsize=20_000)
def split_of(level: str, seed: int) -> str:
    """Return the split of a level and a seed: permanently the same."""
    world = BabyAIWorld.begin(level, seed)
    opening = f"{level}\n{world.goal}\n{world.observation()}"
    digest = hashlib.blake2b(opening.encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % TEST_SHARE == 0 else "train"


@lru_cache(maxsize=20_000)
def is_solved(level: str, seed: int) -> bool:
    """Whether the expert has a plan for a level and a seed."""
    return bool(Route(BabyAIWorld.begin(level, seed)).primitives)


def _levels(levels: Iterable[str] | str | None) -> tuple[str, ...]:
    """Return the levels to draw from."""
    if levels is None:
        return tuple(level for level in LEVELS if level not in UNSOLVED)
    names = [levels] if isinstance(levels, str) else levels
    if not fits(names, list[str]) or not names:
        raise ConfigError(f"levels is {levels!r}; expected a list of names, e.g. ['GoToRedBall', 'Pickup'], or None for all.")
    return tuple(dict.fromkeys(short_name(name) for name in names))


__all__ = [
    "MAPPING",
    "UNSOLVED",
    "LevelTasks",
    "level_task",
    "listed_tasks",
    "published_key",
    "published_level",
    "short_name",
    "split_of",
]
