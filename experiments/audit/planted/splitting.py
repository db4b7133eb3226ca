"""Environments whose splits meet, or that have hardly any tasks."""

# ruff: noqa: D102, D107  (hooks of the class that each of these changes)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from experiments.audit.planted.bases import Chores, Vaults
from palaestra.envs.agentgym.textcraft.env import TextCraftEnv
from palaestra.envs.core.tasks import FixedTasks, GeneratedTasks, Task
from palaestra.envs.desk.env import DeskEnv
from palaestra.envs.desk.tasks import make_task
from palaestra.envs.vehicle.env import VehicleWorldEnv


def _from_train(make: Callable[[str, int], Task], index: int, **data: Any) -> Task:
    """Return a training task as test task number `index`."""
    task = make("train", index)
    return replace(task, key=f"test/{index}", split="test", data={**task.data, **data})


class DeskSameTasks(DeskEnv):
    """The test tasks are training tasks under other keys."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = GeneratedTasks(_desk_same, {"train": None, "test": 500})


def _desk(split: str, index: int) -> Task:
    return make_task("normal", split, index)


def _desk_same(split: str, index: int) -> Task:
    return _desk(split, index) if split == "train" else _from_train(_desk, index + 40)


class DeskReworded(DeskEnv):
    """A tenth of the test tasks are training tasks in other words."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = GeneratedTasks(_desk_reworded, {"train": None, "test": 500})


_OTHER_WORDS = {
    "Add": "Please write down", "Put": "I would like you to enter", "Cancel": "Kindly drop", "What": "Tell me what",
    "Move": "Could you shift", "When": "I wonder when", "Which": "I want to know which", "note": "memo", "event": "item",
    "calendar": "diary", "from": "starting at", "the": "that", "for": "on behalf of", "Delete": "Throw away", "into": "in",
    "address": "contact data", "should": "is to", "Update": "Correct",
}  # fmt: skip


def _desk_reworded(split: str, index: int) -> Task:
    if split == "train" or index % 10:
        return _desk(split, index)
    request = str(_desk("train", index)["request"] if False else _desk("train", index).data["request"])
    words = [_OTHER_WORDS.get(word, word) for word in request.split(" ")]
    return _from_train(_desk, index, request=" ".join(words))


class CraftSameGoals(TextCraftEnv):
    """Eight goals of the training split are in the test split, too, with lists of their own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        tasks = [*self.tasks.split("train").first(200), *self.tasks.split("test").first(20)]
        more = [self.tasks.find(f"{task.key}#1") for task in tasks[10:18]]
        self.tasks = FixedTasks([*tasks, *(replace(task, split="test") for task in more)])


class ChoresShuffled(Chores):
    """Test tasks are lists of the training split in another order."""

    @staticmethod
    def make_task(split: str, index: int) -> Task:
        if split == "train" or index % 4:
            return Chores.make_task(split, index)
        return _from_train(Chores.make_task, index, wanted=Chores.make_task("train", index).data["wanted"][::-1])

    def expert(self) -> Any:
        if self.task is not None:
            yield from (f"do {chore}" for chore in sorted(self.task.data["wanted"]))
            yield "finished"


class ChoresOneTask(Chores):
    """There is one task in each split."""

    sizes: ClassVar[dict[str, int | None]] = {"train": 1, "test": 1}


class ChoresAllEqual(Chores):
    """All tasks of a split ask for the same."""

    @staticmethod
    def make_task(split: str, index: int) -> Task:
        return replace(Chores.make_task(split, 0), key=f"{split}/{index}")


class ChoresFewGoals(Chores):
    """A hundred test tasks ask for seven different things."""

    @staticmethod
    def make_task(split: str, index: int) -> Task:
        return replace(Chores.make_task(split, index % 7 if split == "test" else index), key=f"{split}/{index}")


class VaultsNumbered(Vaults):
    """Test tasks are training tasks with another number of the vault and a field that differs."""

    @staticmethod
    def make_task(split: str, index: int) -> Task:
        if split == "train" or index % 5:
            return Vaults.make_task(split, index)
        return _from_train(Vaults.make_task, index, vault=f"B{index}")


class VehicleTestIsTrain(VehicleWorldEnv):
    """The generator ignores the split."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        inner = self.tasks

        def make(split: str, index: int) -> Task:
            return replace(inner.at("train", index), key=f"{split}/{index}", split=split)

        self.tasks = GeneratedTasks(make, {"train": None, "test": 1000})


OVERLAP, GOALS = "splits.overlap", "splits.goals"
DEFECTS: dict[str, tuple[str | tuple[str, ...], str]] = {
    "DeskSameTasks": (OVERLAP, "the test tasks are training tasks"),
    "DeskReworded": (OVERLAP, "a tenth of the test tasks are training tasks in other words"),
    "CraftSameGoals": (OVERLAP, "some goals are in both splits, with other lists"),
    "ChoresShuffled": (OVERLAP, "a quarter of the test tasks are training tasks in another order"),
    "ChoresOneTask": (GOALS, "one task in each split"),
    "ChoresAllEqual": (GOALS, "all tasks are equal"),
    "ChoresFewGoals": (GOALS, "seven goals in a hundred tasks"),
    "VaultsNumbered": (OVERLAP, "a fifth of the test tasks are training tasks with another number"),
    "VehicleTestIsTrain": (OVERLAP, "the generator ignores the split"),
}
