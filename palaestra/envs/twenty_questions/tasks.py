"""Tasks of twenty questions, made by number: which things are in question, and which of them is to be found.

Task *i* of a split is made alone, from (number of things, split, i). A split has things of its own: none is ever in question
in two of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.twenty_questions.things import ontology
from palaestra.errors import ConfigError

NUM_TEST_TASKS = 500
MAX_THINGS = 96
_SEEDS = {"train": 1, "test": 2}


def question_tasks(num_things: int) -> GeneratedTasks:
    """Return the tasks with a number of things: "train" without end, and `NUM_TEST_TASKS` in "test".

    Raises:
        ConfigError: If there are not so many.
    """
    if not isinstance(num_things, int) or isinstance(num_things, bool) or not 2 <= num_things <= MAX_THINGS:
        raise ConfigError(f"things is {num_things!r}; expected an integer from 2 to {MAX_THINGS}.")
    return GeneratedTasks(MakeTask(num_things), {"train": None, "test": NUM_TEST_TASKS})


@dataclass(frozen=True)
class MakeTask:
    """The generator for a number of things, as a value that pickles."""

    num_things: int

    def __call__(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        rng = np.random.default_rng([_SEEDS[split], self.num_things, index])
        pool = ontology().of_split(split)
        things = [pool[int(i)].name for i in rng.choice(len(pool), self.num_things, replace=False)]
        data = {"things": things, "secret": things[int(rng.integers(self.num_things))]}
        return Task(f"{split}/{index}", split, f"{self.num_things} things", data)


__all__ = ["MAX_THINGS", "NUM_TEST_TASKS", "question_tasks"]
