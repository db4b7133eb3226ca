"""Tasks of ALFWorld: games that are made by number, and their keys `SPLIT/NUMBER`. Those of files are in `published`."""

from __future__ import annotations

from functools import lru_cache

from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import Dialect
from palaestra.envs.agentgym.alfworld.generator import choose, make
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.errors import UsageError

NUM_TEST_TASKS = 500
KEPT_GAMES = 128
"""Games that are kept ready, of up to 0.5 MB each: more than the 100 tasks that an audit plays over and over."""


@lru_cache(maxsize=1)
def made_tasks() -> GeneratedTasks:
    """Return the tasks that need no data: "train" without end, and `NUM_TEST_TASKS` of "test"."""
    return GeneratedTasks(_made_task, {"train": None, "test": NUM_TEST_TASKS})


@lru_cache(maxsize=KEPT_GAMES)
def made_game(split: str, number: int, dialect: Dialect | None = None, shuffled: int | None = None) -> Game:
    """Return a game that is made by number, ready to play; made once and kept for a while.

    Args:
        split: "train" or "test".
        number: Its number there.
        dialect: How objects are put down; None for "move".
        shuffled: Seed by which names are shuffled; None for the original's.
    """
    _, game = make(split, number)
    file = game.file if dialect is None else game.file.turned(dialect)
    return game if file is game.file and shuffled is None else Game(file, shuffled)


def place_of_made(task: Task) -> tuple[str, int]:
    """Return split and number of a task whose game is made.

    Raises:
        UsageError: If it is not one.
    """
    split, _, number = task.key.rpartition("/")
    if split not in ("train", "test") or not number.isdecimal() or task.key not in made_tasks():
        raise UsageError(
            f"Task {task.key!r} is not one that can be made; take tasks from env.unwrapped.tasks, or pass games=PATH for "
            f"published ones."
        )
    return split, int(number)


def _made_task(split: str, number: int) -> Task:
    """Return what a game that is made is about."""
    choice = choose(split, number)
    data = {"object": choice.object, "target": choice.target, "room": str(choice.room)}
    return Task(f"{split}/{number}", split, choice.task_type, data)


__all__ = ["KEPT_GAMES", "NUM_TEST_TASKS", "made_game", "made_tasks", "place_of_made"]
