"""Is there a task that cannot be made? Every registered generator is asked for many tasks of each split, and each is begun.

    python -m experiments.reliability.generators [-n 20000] [--begun N] [--only WORD]

One row a split is added to `generators.jsonl`. A finite split is walked to its end; of an endless one half of the indices are
the first, the others drawn from all that `TaskSet.sample` draws from. `--begun` is for engines that are slow to begin: all
tasks are made, and so many of them, spread evenly, are begun.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from experiments.common.rows import append_row, folder_of
from experiments.reliability.settings import makers, name_of

END = 2**31  # of the indices that `TaskSet.sample` draws from an endless split
FOUND_AGAIN = 50  # of so many tasks one is also looked up by its key
SHOWN = 5


def indices(size: int | None, count: int, seed: int = 0) -> Iterator[int]:
    """Yield which tasks of a split are asked for.

    Args:
        size: Number of tasks of the split, None if there is no end to them.
        count: How many to ask for, at most.
        seed: Draws those of an endless split that are not its first.
    """
    if size is not None:
        yield from range(min(size, count))
        return
    yield from range(count // 2)
    yield from map(int, np.random.default_rng(seed).integers(count // 2, END, size=count - count // 2))


def failures(env: gymnasium.Env[Any, Any], split: str, count: int, most_begun: int | None = None) -> tuple[int, list[str]]:
    """Make tasks of a split and begin an episode with each, or with some of them.

    Args:
        env: The environment, unwrapped.
        split: The split.
        count: How many tasks to make, at most.
        most_begun: How many of them to begin, at most, spread evenly; None for all.

    Returns:
        How many were made, and what went wrong, a line each.
    """
    tasks: Any = env.tasks  # type: ignore[attr-defined]
    made, wrong = 0, []
    asked = list(indices(tasks.size(split), count))
    every = step_of(len(asked), most_begun)
    for index in asked:
        made += 1
        try:
            task = tasks.at(split, index)
            if task.split != split:
                wrong.append(f"{split} {index}: the task {task.key} is of split {task.split}")
            if made % FOUND_AGAIN == 1 and tasks.find(task.key) != task:
                wrong.append(f"{split} {index}: {task.key} finds another task")
            if made % every == 0:
                env.reset(seed=index, options={"task": task})
        except Exception as error:
            wrong.append(f"{split} {index}: {type(error).__name__}: {error}")
    return made, wrong


def step_of(count: int, most_begun: int | None) -> int:
    """Return the distance between tasks that are begun, for at most `most_begun` of `count`; 1 for all if it is None."""
    return 1 if most_begun is None else max(1, -(-count // most_begun))


def main(arguments: list[str] | None = None) -> int:
    """Walk through all generators, print a line and write a row for each split; 1 if any task failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=20_000, help="tasks of each split")
    parser.add_argument("--begun", type=int, help="of them to begin, at most; all if it is not given")
    parser.add_argument("--only", default="", help="settings whose name contains this")
    asked = parser.parse_args(arguments)
    any_failed = False
    for env_id, options in makers():
        name = name_of(env_id, options)
        if asked.only not in name:
            continue
        env = gymnasium.make(env_id, disable_env_checker=True, **options).unwrapped
        for split in env.tasks.splits:  # type: ignore[attr-defined]
            start = time.process_time()
            made, wrong = failures(env, split, asked.n, asked.begun)
            seconds = round(time.process_time() - start, 1)
            any_failed |= bool(wrong)
            row = {
                "setting": name,
                "split": split,
                "made": made,
                "begun": made // step_of(made, asked.begun),
                "failed": len(wrong),
                "first": wrong[:SHOWN],
                "cpu_s": seconds,
            }
            append_row(folder_of("reliability") / "generators.jsonl", row)
            print(
                f"{name} {split}: {made} made, {row['begun']} begun, {len(wrong)} failed, {seconds} s",
                *wrong[:SHOWN],
                sep="\n  ",
            )
        env.close()
    return int(any_failed)


if __name__ == "__main__":
    sys.exit(main())
