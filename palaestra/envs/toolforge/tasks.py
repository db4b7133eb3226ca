"""The tasks of ToolForge: instances of a file, or of the procedural builder, and beginnings of episodes to continue from.

A task's key is the id of its instance, its data is the instance as plain JSON. `with_prefix` makes a task `ID@k` of the first
k messages of an episode: they are played again before the agent takes over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.toolforge.build import build
from palaestra.envs.toolforge.files import InstanceFile, open_instances
from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.instance import Instance
from palaestra.envs.toolforge.stages.presets import PRESETS, preset_of
from palaestra.errors import ConfigError, UsageError, unknown_name
from palaestra.types import Json, Message, Trajectory

NUM_TEST_TASKS = 500
PREFIX = "prefix"
"""Key of `meta` that holds the messages to play again."""
_KEY = re.compile(r"(.*)-(train|test)-(0|[1-9]\d{0,17})")


class ForgeTasks(TaskSet):
    """What both kinds of task sets share: tasks with a prefix are found by their keys once they were made."""

    def __init__(self) -> None:
        """Begin without prefixes."""
        self._prefixed: dict[str, Task] = {}

    def with_prefix(self, trajectory: Trajectory, turns: int) -> Task:
        """Return the task of continuing an episode after its first messages; its key `ID@k` is known here from now on.

        Args:
            trajectory: An episode of one of these tasks.
            turns: How many messages of the agent are played again, at least 1 and fewer than those that it ended with.

        Raises:
            UsageError: If the episode has fewer messages, or ended within them.
        """
        key = str(trajectory.task.get("key", ""))
        task = self.find(key)
        if isinstance(turns, bool) or not isinstance(turns, int) or not 1 <= turns <= len(trajectory.steps):
            raise UsageError(f"turns is {turns!r}; expected 1 to {len(trajectory.steps)}, the messages of the episode.")
        if any(step.terminated for step in trajectory.steps[:turns]):
            raise UsageError(f"The episode ended within its first {turns} messages; there is nothing to continue.")
        meta = {**task.data["meta"], PREFIX: [step.action.to_json() for step in trajectory.steps[:turns]]}
        data = {**task.data, "id": f"{key}@{turns}", "meta": meta}
        made = Task(f"{key}@{turns}", task.split, task.type, data)
        self._prefixed[made.key] = made
        return made


class FileTasks(ForgeTasks):
    """The instances of a file.

    Args:
        path: A file that `open_instances` reads.
        scenario: Only tasks of this scenario.

    Raises:
        ConfigError: If there are none.
    """

    def __init__(self, path: str | Path, *, scenario: str | None = None) -> None:
        """Open the file and index it."""
        super().__init__()
        self.file: InstanceFile = open_instances(path)
        self._places: dict[str, int] = {}
        self._by_split: dict[str, list[int]] = {}
        for place, head in enumerate(self.file.heads):
            if scenario is None or head.scenario == scenario:
                self._places[head.key] = place
                self._by_split.setdefault(head.split, []).append(place)
        if not self._places:
            raise ConfigError(f"{str(path)!r} holds no instance of the scenario {scenario!r}.")
        self.splits = tuple(self._by_split)

    def size(self, split: str) -> int:
        """Return the number of tasks in `split`."""
        return len(self._by_split[split])

    def at(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        return task_of(self.file[self._by_split[split][self.checked_index(split, index)]])

    def find(self, key: str) -> Task:
        """Return the task with this key."""
        if key in self._prefixed:
            return self._prefixed[key]
        if key not in self._places:
            raise unknown_name("task", key, [*self._places][:1000])
        return task_of(self.file[self._places[key]])


@dataclass(frozen=True)
class Recipe:
    """What the builder is asked for.

    Attributes:
        preset: Name of a preset.
        scenario: A scenario; None for those of the preset.
        levels: Levels of complexity that are fixed.
        seed: Names the sequence.
    """

    preset: str = "easy"
    scenario: str | None = None
    levels: tuple[tuple[str, int], ...] = field(default=())
    seed: int = 0


class BuiltTasks(ForgeTasks):
    """Instances of the procedural builder: "train" without end, and `NUM_TEST_TASKS` in "test".

    Args:
        preset: Name of a preset.
        scenario: A scenario; None for those of the preset.
        levels: Levels of complexity to fix.
        seed: Names the sequence of instances.

    Raises:
        UnknownNameError: For an unknown preset, scenario or level.
        ConfigError: For a level out of range.
    """

    splits = ("train", "test")

    def __init__(
        self,
        preset: str = "easy",
        *,
        scenario: str | None = None,
        levels: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        """Check the settings; nothing is built yet."""
        super().__init__()
        if not isinstance(preset, str):
            raise ConfigError(f"preset is {preset!r}; expected the name of one: {', '.join(PRESETS)}.")
        preset_of(preset, levels)
        self.recipe = Recipe(preset, scenario, tuple(sorted((levels or {}).items())), seed)
        self._stem = ""

    def size(self, split: str) -> int | None:
        """Return the number of tasks in `split`, None for no end."""
        return {"train": None, "test": NUM_TEST_TASKS}[split]

    def at(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        return _built(self.recipe, split, self.checked_index(split, index))

    def find(self, key: str) -> Task:
        """Return the task with this key."""
        if key in self._prefixed:
            return self._prefixed[key]
        match = _KEY.fullmatch(key) if isinstance(key, str) else None
        if match is not None and match[1] == self._key_stem():
            size = self.size(match[2])
            if size is None or int(match[3]) < size:
                return self.at(match[2], int(match[3]))
        known = [f"{self._key_stem()}-{split}-0" for split in self.splits]
        raise unknown_name("task", key, known, hint="Keys read 'PRESET-sSEED-SPLIT-NUMBER'.")

    def _key_stem(self) -> str:
        """Return what all keys of this sequence begin with."""
        if not self._stem:
            self._stem = _built(self.recipe, "train", 0).key.removesuffix("-train-0")
        return self._stem


def task_of(instance: Instance) -> Task:
    """Return the task of an instance."""
    return Task(instance.id, instance.split, instance.scenario, instance.to_json())


def prefix_of(instance: Instance) -> list[Message]:
    """Return the messages that an instance asks to play again first.

    Raises:
        UsageError: If `meta["prefix"]` holds something else.
    """
    kept: Any = instance.meta.get(PREFIX, [])
    try:
        messages = [Message.from_json(one) for one in kept]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise UsageError(f"meta.prefix of {instance.id!r} is not a list of messages ({error!r}).") from None
    if any(message.role != "assistant" for message in messages):
        raise UsageError(f"meta.prefix of {instance.id!r} holds messages that are not the assistant's.")
    return messages


def checked_scenario(scenario: str | None) -> str | None:
    """Return a scenario that exists, or None.

    Raises:
        UnknownNameError: If there is none of this name.
    """
    if scenario is not None and scenario not in SCENARIOS:
        raise unknown_name("scenario", scenario, SCENARIOS)
    return scenario


@lru_cache(maxsize=512)
def _built(recipe: Recipe, split: str, index: int) -> Task:
    """Build one task."""
    levels: dict[str, Json] = dict(recipe.levels)
    instance = build(recipe.preset, scenario=recipe.scenario, levels=levels, split=split, index=index, seed=recipe.seed)
    return task_of(instance)


__all__ = [
    "NUM_TEST_TASKS",
    "PREFIX",
    "BuiltTasks",
    "FileTasks",
    "ForgeTasks",
    "Recipe",
    "checked_scenario",
    "prefix_of",
    "task_of",
]
