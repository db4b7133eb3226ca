"""The tasks: items made by number, or those of a file.

A task's key is the id of its item, its data the record as plain JSON. Its type, which agents are shown, does not name the
error of an internal item, since that is to be found out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from palaestra.envs.core.data_files import shown
from palaestra.envs.core.tasks import FixedTasks, GeneratedTasks, Task, TaskSet
from palaestra.envs.critic.blocks import Mode
from palaestra.envs.critic.files import open_items
from palaestra.envs.critic.generate import NUM_TEST, make_record
from palaestra.envs.critic.record import Family, Record
from palaestra.envs.tools import DataWarning
from palaestra.errors import ConfigError

STEP, FAILURE = "step", "failure"
"""Types of tasks of internal items, and of external ones whose file does not say which failure it is."""


def critic_tasks(mode: Mode, cot: bool, items: str | Path | None = None) -> TaskSet:
    """Return the tasks of a mode: "train" without end and 200 tasks of each label in "test", or those of a file.

    Args:
        mode: "internal", "skip" or "finish".
        cot: Whether actions have thoughts; a file gives its items of this kind.
        items: A file or folder (`palaestra.envs.critic.open_items`); None for made ones.

    Raises:
        ConfigError: If the file holds no item of this mode and kind.
    """
    family: Family = "internal" if mode == "internal" else "external"
    if items is None:
        return GeneratedTasks(MakeTask(family, cot), {"train": None, "test": NUM_TEST[family]})
    opened = open_items(items)
    if opened.faults:
        some = "; ".join(list(opened.faults.values())[:3])
        warnings.warn(
            f"{len(opened.faults)} items of {shown(items)} cannot be used and are left out: {some}", DataWarning, stacklevel=3
        )
    fitting = [record for record in opened if record.family == family and record.cot == cot]
    if not fitting:
        other = sum(record.family == family for record in opened)
        raise ConfigError(
            f"{shown(items)} holds no item of mode {mode!r} with cot={cot}; all {other} of this mode have cot={not cot}."
            if other
            else f"{shown(items)} holds no item of mode {mode!r}; its {len(opened)} items are all of the other family."
        )
    return FixedTasks(map(task_of, fitting))


@dataclass(frozen=True)
class MakeTask:
    """The generator of a family, as a value that pickles."""

    family: Family
    cot: bool

    def __call__(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        return task_of(make_record(self.family, split, index, cot=self.cot))


def task_of(record: Record) -> Task:
    """Return the task of an item.

    Args:
        record: The item.
    """
    return Task(record.id, record.split, STEP if record.family == "internal" else record.label or FAILURE, record.to_json())


__all__ = ["FAILURE", "STEP", "MakeTask", "critic_tasks", "task_of"]
