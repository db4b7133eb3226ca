"""Tasks of TextCraft from published files, with their integer ids as `MAPPING#N`.

The integers count in the directory order of one machine, so nothing can be computed from them. The goal and the command list
of an item stand in its first observation.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from palaestra.envs.agentgym.published import PublishedItem, read_items
from palaestra.envs.agentgym.textcraft.recipes import RecipeBook
from palaestra.envs.agentgym.textcraft.tasks import task_from_observation
from palaestra.envs.core.tasks import Task
from palaestra.errors import ConfigError, UnknownNameError, UsageError

_HEADER, _GOAL = "Crafting commands:\n", "\n\nGoal: craft "


class Published(NamedTuple):
    """The tasks of published files.

    Attributes:
        tasks: Each once, in the order of the files.
        aliases: Keys by published id; an id that stands for two tasks occurs twice.
    """

    tasks: tuple[Task, ...]
    aliases: tuple[tuple[str, str], ...]


def published_tasks(book: RecipeBook, sources: str | Path | Mapping[str, Any]) -> Published:
    """Return the tasks of published files.

    Args:
        book: The recipes that the files were made with.
        sources: By the name of the mapping that the ids of a file belong to (e.g. "agenttraj"), its path, or
            `{"path": PATH, "split": SPLIT}`; the split is "test" unless given. A path alone names no mapping: the tasks are
            known by their keys only then, and a warning says so.

    Raises:
        MissingDataError: If a file is missing.
        ConfigError: If a file cannot be understood, an item has no first observation, or a task is in two splits.
        UsageError: If the book does not know a goal.
    """
    if isinstance(sources, str | Path):
        items = read_items(sources, "textcraft")
        tasks = [_task(book, item, str(sources), "test") for item in items]
        if any(item.number is not None for item in items):
            warnings.warn(
                f"The items of {sources} have integer ids, which mean other tasks in other files. Name the mapping that they "
                f"belong to: tasks={{'upstream': {str(sources)!r}}} makes them 'upstream#N'. Without it, tasks are known by "
                f"their keys only.",
                stacklevel=4,
            )
        return Published(_each_once(tasks), ())
    found: list[Task] = []
    aliases: list[tuple[str, str]] = []
    for mapping, source in sources.items():
        path, split = _source(mapping, source)
        for item in read_items(path, "textcraft"):
            found.append(task := _task(book, item, str(path), split))
            if item.number is not None:
                aliases.append((f"{mapping}#{item.number}", task.key))
    return Published(_each_once(found), tuple(aliases))


def _source(mapping: object, source: object) -> tuple[str | Path, str]:
    """Return path and split of a source."""
    path, split = source, "test"
    if isinstance(source, Mapping) and set(source) <= {"path", "split"}:
        path, split = source.get("path"), source.get("split", "test")
    if not isinstance(path, str | Path) or split not in ("train", "test"):
        raise ConfigError(
            f"tasks[{mapping!r}] is {source!r}; expected the path of a published file, or {{'path': PATH, 'split': 'train'}} "
            f"with a split 'train' or 'test'."
        )
    return path, split


def _task(book: RecipeBook, item: PublishedItem, path: str, split: str) -> Task:
    """Return the task of an item."""
    opening = next((text for text in item.told if _HEADER in text and _GOAL in text), None)
    if opening is None:
        raise ConfigError(
            f"Item {item.item_id!r} of {path} has no first observation ('Crafting commands:' ...), from which its goal is "
            f"recovered; pass a file with the dialogues, such as AgentTraj-L."
        )
    try:
        return task_from_observation(book, opening, split=split)
    except UnknownNameError as error:
        raise UsageError(
            f"Item {item.item_id!r} of {path}: {error} Pass the recipes that the file was made with: recipes=FOLDER."
        ) from None
    except UsageError as error:
        raise ConfigError(f"Item {item.item_id!r} of {path}: {error}") from None


def _each_once(tasks: list[Task]) -> tuple[Task, ...]:
    """Drop repeated tasks; refuse one that is in two splits."""
    known: dict[str, Task] = {}
    for task in tasks:
        if (first := known.setdefault(task.key, task)).split != task.split:
            raise ConfigError(
                f"The task {task.key!r} is in the files of both splits, {first.split!r} and {task.split!r}; a test task that "
                f"was trained on measures nothing. Take it out of one file."
            )
    return tuple(known.values())


__all__ = ["Published", "published_tasks"]
