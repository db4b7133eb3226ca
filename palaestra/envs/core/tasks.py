"""Tasks: stable records with stable keys, and the sets they come in.

A `Task` says what is to be done; its `key` names it permanently. A `TaskSet` holds the tasks of an environment in named
splits: a fixed list, or a generator of any length whose item *i* can be made alone. Ids of published data lead to keys by
`TaskSet.aliases` (see `task_aliases`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from palaestra.envs.core.task_aliases import (
    NO_ALIASES,
    bare_number,
    checked_aliases,
    is_bare_number,
    unknown_alias,
    warn_of_bare_number,
    without_aliases,
)
from palaestra.errors import UnknownNameError, UsageError, unknown_name
from palaestra.types import Json

MAX_DIGITS = 18  # of the number in a key


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        key: Stable name, unique within the environment.
        split: Split it belongs to.
        type: Task type for reports (e.g. "depth-2"); empty if there is only one.
        data: What the environment needs to set it up and to score it; plain JSON, never shown to the agent.
    """

    key: str
    split: str
    type: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)

    def public(self) -> dict[str, Json]:
        """Return the public part: key, split and type."""
        return {"key": self.key, "split": self.split, "type": self.type}


class TaskSet(ABC):
    """The tasks of an environment, by split, index and key.

    Attributes:
        splits: Names of the splits.
        aliases: Keys by published id, `MAPPING#N`, e.g. `{"upstream#160": "goal/17"}`.
    """

    splits: tuple[str, ...] = ("train", "test")
    aliases: Mapping[str, str] = NO_ALIASES

    @abstractmethod
    def size(self, split: str) -> int | None:
        """Return the number of tasks in `split`, or None if it is unbounded."""

    @abstractmethod
    def at(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`, made alone and always the same.

        Raises:
            IndexError: If `index` is outside the split.
        """

    @abstractmethod
    def find(self, key: str) -> Task:
        """Return the task with this key.

        Raises:
            UnknownNameError: If there is none.
        """

    def resolve(self, name: str) -> Task:
        """Return the task with this key, or with this published id.

        Args:
            name: A key, or an alias of the form `MAPPING#N`.

        Raises:
            UnknownNameError: If there is none.
            UsageError: If `name` is an integer without a mapping, or an alias that leads nowhere.
        """
        key = self.aliases.get(name)
        try:
            task = self.find(name if key is None else key)
        except UnknownNameError as error:
            if key is not None:
                raise UsageError(f"The published id {name!r} leads to {key!r}, which is not the key of a task here.") from None
            if is_bare_number(name):
                raise bare_number(name, self.aliases) from None
            if not self.aliases and "#" in name:
                raise without_aliases(error) from None
            raise (unknown_alias(name, self.aliases) or error) from None
        if key is None and self.aliases and is_bare_number(name):
            warn_of_bare_number(name, self.aliases)
        return task

    def split(self, name: str) -> Split:
        """Return a view of one split."""
        if name not in self.splits:
            raise unknown_name("split", name, self.splits)
        return Split(self, name)

    def sample(self, rng: np.random.Generator, split: str) -> Task:
        """Draw a task of `split`; unbounded splits draw from their first 2**31 tasks."""
        self.split(split)
        size = self.size(split)
        if size == 0:
            raise UsageError(f"Split {split!r} holds no tasks; choose another of {', '.join(self.splits)}.")
        return self.at(split, int(rng.integers(size if size is not None else 2**31)))

    def checked_index(self, split: str, index: int) -> int:
        """Return a number that a task of `split` has.

        Args:
            split: A split.
            index: Number of a task, from 0.

        Raises:
            IndexError: If the split has no such task.
        """
        size = self.size(split)
        if index < 0 or (size is not None and index >= size):
            raise IndexError(f"Split {split!r} has {size} tasks; there is no number {index}.")
        return index

    def __len__(self) -> int:
        """Return the number of tasks over all splits; a TypeError if one is unbounded."""
        sizes = [self.size(split) for split in self.splits]
        if None in sizes:
            raise TypeError("This task set has no end; ask for size(split), or iterate over split(name).first(n).")
        return sum(size for size in sizes if size is not None)

    def __bool__(self) -> bool:
        """Whether any split holds a task."""
        return any(self.size(split) != 0 for split in self.splits)

    def __iter__(self) -> Iterator[Task]:
        """Iterate over the splits in order; endless if the first unbounded split is."""
        for split in self.splits:
            yield from self.split(split)

    def __contains__(self, key: object) -> bool:
        """Whether a task (or a key, or a published id) belongs to this set."""
        if isinstance(key, Task):
            key = key.key
        if not isinstance(key, str):
            return False
        try:
            self.find(self.aliases.get(key, key))
        except UnknownNameError:
            return False
        return True


@dataclass(frozen=True)
class Split:
    """A view of one split of a task set."""

    tasks: TaskSet
    name: str

    @property
    def is_unbounded(self) -> bool:
        """Whether it is unbounded."""
        return self.tasks.size(self.name) is None

    def __len__(self) -> int:
        """Return the number of tasks; a TypeError if unbounded."""
        size = self.tasks.size(self.name)
        if size is None:
            raise TypeError(f"Split {self.name!r} has no end; take first(n).")
        return size

    def __getitem__(self, index: int) -> Task:
        """Return one task; negative indices count from the end of a finite split."""
        return self.tasks.at(self.name, index + len(self) if index < 0 else index)

    def __iter__(self) -> Iterator[Task]:
        """Iterate in order."""
        size = self.tasks.size(self.name)
        return (self.tasks.at(self.name, i) for i in (count() if size is None else range(size)))

    def first(self, n: int) -> list[Task]:
        """Return the first `n` tasks, fewer if there are not so many."""
        size = self.tasks.size(self.name)
        return [self.tasks.at(self.name, i) for i in range(n if size is None else min(n, size))]


class FixedTasks(TaskSet):
    """A finite list of tasks, grouped by their split in the order given.

    Args:
        tasks: The tasks; keys must be unique.
        splits: Names of the splits; by default those that occur, in order of appearance.
        aliases: Published ids, `MAPPING#N`, and the keys that they lead to.

    Raises:
        UsageError: If a key occurs twice, or an alias is not of that form, clashes, or leads nowhere.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        splits: tuple[str, ...] | None = None,
        *,
        aliases: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        """Index the tasks by split and by key."""
        self._by_key: dict[str, Task] = {}
        self._by_split: dict[str, list[Task]] = {name: [] for name in splits or ()}
        for task in tasks:
            if task.key in self._by_key:
                raise UsageError(f"Task key {task.key!r} occurs twice; keys must be unique.")
            self._by_key[task.key] = task
            self._by_split.setdefault(task.split, []).append(task)
        self.splits = tuple(self._by_split)
        self.aliases = checked_aliases(aliases, self._by_key.__contains__)

    def size(self, split: str) -> int:
        """Return the number of tasks in `split`."""
        return len(self._by_split[split])

    def at(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        return self._by_split[split][self.checked_index(split, index)]

    def find(self, key: str) -> Task:
        """Return the task with this key."""
        try:
            return self._by_key[key]
        except (KeyError, TypeError):
            raise unknown_name("task", key, self._by_key) from None


class GeneratedTasks(TaskSet):
    """Tasks made by a function; item *i* of a split is `make(split, i)`, alone and always the same.

    Args:
        make: Returns the task of `(split, index)`. Its key must be `f"{split}/{index}"`.
        sizes: Number of tasks by split; None for no end.
        aliases: Published ids, `MAPPING#N`, and the keys that they lead to.

    Raises:
        UsageError: If an alias is not of that form, clashes, or leads nowhere.
    """

    def __init__(
        self,
        make: Callable[[str, int], Task],
        sizes: Mapping[str, int | None],
        *,
        aliases: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        """Keep the generator."""
        self._make = make
        self._sizes = dict(sizes)
        self.splits = tuple(self._sizes)
        self.aliases = checked_aliases(aliases, lambda key: self._place(key) is not None)

    def size(self, split: str) -> int | None:
        """Return the number of tasks in `split`, None for no end."""
        return self._sizes[split]

    def at(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        return self._make(split, self.checked_index(split, index))

    def find(self, key: str) -> Task:
        """Return the task with this key."""
        if (place := self._place(str(key))) is not None:
            return self._make(*place)
        raise unknown_name("task", key, [f"{name}/0" for name in self.splits], hint="Keys read 'SPLIT/NUMBER'.")

    def _place(self, key: str) -> tuple[str, int] | None:
        """Return split and number of a key, None if there is no such task."""
        split, _, number = key.rpartition("/")
        if split not in self._sizes or not number.isdecimal() or len(number) > MAX_DIGITS or number != str(int(number)):
            return None
        size = self._sizes[split]
        return (split, int(number)) if size is None or int(number) < size else None


def wanted_task(tasks: TaskSet, options: Mapping[str, Any], default_split: str) -> Task | str:
    """Return the task that `reset(options=...)` names, else the split to draw one from.

    Args:
        tasks: Where keys are looked up.
        options: `task` (a `Task`, its key, a published id, or its public form) and `split`, both optional.
        default_split: The split, if the options name none.

    Raises:
        UsageError: For unknown options and tasks, and for a task of another split.
    """
    if unknown := set(options) - {"task", "split"}:
        raise unknown_name("reset option", sorted(unknown)[0], ["task", "split"])
    wanted, split = options.get("task"), options.get("split")
    if wanted is None:
        if split is not None and not isinstance(split, str):
            raise UsageError(f"options['split'] is {split!r}; expected one of {', '.join(tasks.splits)}.")
        return split or default_split
    if isinstance(wanted, Task):
        return wanted
    if isinstance(wanted, Mapping) and isinstance(wanted.get("key"), str):
        wanted = wanted["key"]
    if isinstance(wanted, (int, np.integer)) and not isinstance(wanted, bool):
        raise bare_number(int(wanted), tasks.aliases)
    if not isinstance(wanted, str):
        raise UsageError(
            f"options['task'] is {wanted!r}; expected a task key. "
            f"The key of a position is env.unwrapped.tasks.split('test')[0].key."
        )
    task = tasks.resolve(wanted)
    if split is not None and task.split != split:
        raise UsageError(f"Task {wanted!r} belongs to split {task.split!r}, not {split!r}; drop one of the options.")
    return task


def task_seed(seed: int, index: int) -> int:
    """Return the seed of task number `index`: below 2**31, the same on every platform, unrelated to its neighbours'."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)
