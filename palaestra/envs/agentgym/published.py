"""Files of tasks as AgentGym publishes them: AgentTraj, AgentEval, lists of ids for RL, recorded experience.

Each row names its item by an integer whose meaning depends on the file it comes from. What an item is about, each environment
says (`task_of`), mostly from the dialogue; here rows are read, ids become `MAPPING#N`, and a task in two splits is refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from palaestra.envs.core.data_files import kind_of, place_of, shown
from palaestra.envs.core.tasks import Task
from palaestra.errors import ConfigError, MissingDataError
from palaestra.types import Json
from palaestra.types.json_records import read_json_records

_NUMBERED = re.compile(r"(?:(?P<name>.*)_)?(?:\[(?P<listed>[0-9]{1,18})\]|(?P<number>[0-9]{1,18}))")
ENVIRONMENTS = (
    *("alfworld", "babyai", "lmrlgym_maze", "lmrlgym_wordle", "sciworld", "searchqa", "sqlgym", "textcraft", "tool_academia"),
    *("tool_movie", "tool_sheet", "tool_todo", "tool_weather", "webarena", "webshop"),
)
"""Names that published ids begin with."""

_PEOPLE = ("human", "user", "system")


@dataclass(frozen=True, slots=True)
class PublishedItem:
    """A row of a published file.

    Attributes:
        item_id: Its name there, e.g. "textcraft_160".
        env: The environment that the name begins with; empty if it has none.
        number: Its integer, None for items that are named otherwise.
        told: What the agent was told, oldest first: instructions and observations; empty for rows without a dialogue.
    """

    item_id: str
    env: str
    number: int | None
    told: tuple[str, ...]


class Published(NamedTuple):
    """The tasks of published files.

    Attributes:
        tasks: Each once, in the order of the files.
        aliases: Keys by published id; an id that stands for two tasks occurs twice.
    """

    tasks: tuple[Task, ...]
    aliases: tuple[tuple[str, str], ...]


TaskOf = Callable[[PublishedItem, str, str], Task]
"""Returns the task of an item, given the path of its file (for messages) and its split."""


def published_tasks(env: str, sources: str | Path | Mapping[str, Any], task_of: TaskOf) -> Published:
    """Return the tasks of published files.

    Args:
        env: Name that the ids of the environment begin with, e.g. "textcraft".
        sources: By the name of the mapping that the ids of a file belong to (e.g. "agenttraj"), its path, or
            `{"path": PATH, "split": SPLIT}`; the split is "test" unless given. A path alone names no mapping: the tasks are
            known by their keys only then, and a warning says so.
        task_of: Makes the task of an item.

    Raises:
        MissingDataError: If a file is missing.
        ConfigError: If a file cannot be understood, or a task is in two splits.
    """
    if isinstance(sources, str | Path):
        items = read_items(sources, env)
        tasks = [task_of(item, str(sources), "test") for item in items]
        if any(item.number is not None for item in items):
            warnings.warn(
                f"The items of {sources} have integer ids, which mean other tasks in other files. Name the mapping that they "
                f"belong to: tasks={{'upstream': {str(sources)!r}}} makes them 'upstream#N'. Without it, tasks are known by "
                f"their keys only.",
                stacklevel=5,
            )
        return Published(_each_once(tasks), ())
    if not isinstance(sources, Mapping):
        raise ConfigError(
            f"tasks is {repr(sources)[:200]}; expected published files by the name of the mapping that their ids belong to, "
            f"e.g. tasks={{'upstream': PATH}}, or one path, whose tasks are then known by their keys only."
        )
    found: list[Task] = []
    aliases: list[tuple[str, str]] = []
    for mapping, source in sources.items():
        path, split = _source(mapping, source)
        for item in read_items(path, env):
            found.append(task := task_of(item, str(path), split))
            if item.number is not None:
                aliases.append((f"{mapping}#{item.number}", task.key))
    return Published(_each_once(found), tuple(aliases))


def read_items(path: str | Path, env: str) -> list[PublishedItem]:
    """Return the rows of a published file that belong to one environment.

    Args:
        path: A JSON array of rows, or one row a line. A row has `item_id`, and perhaps `conversations` of `from` and `value`
            (or `role` and `content`).
        env: Name that the ids of the environment begin with, e.g. "textcraft"; ids without a name belong to it as well.

    Raises:
        MissingDataError: If there is no such file.
        ConfigError: If it cannot be understood; the message names the row.
    """
    path = place_of(path)
    if kind_of(path) != "file":
        raise MissingDataError(
            f"There is no file of published items at {shown(path)}; expected a JSON array, or a row a line, of objects with "
            f"'item_id' and 'conversations', as in AgentTraj-L or AgentEval."
        )
    items = [_item(row, f"{path}, {place}") for place, row in _rows(path)]
    found = [item for item in items if item.env in ("", env)]
    if not found:
        others = ", ".join(sorted({item.env for item in items})) or "nothing"
        raise ConfigError(f"{path} holds no items of {env}, but {others}; pass a file whose ids read '{env}_N'.")
    return found


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


def _rows(path: Path) -> Iterator[tuple[str, Json]]:
    """Yield the rows and where each of them is."""
    for record in read_json_records(path):
        if record.problem:
            raise ConfigError(f"{path}, {record.place} {record.problem}; expected an array of rows, or one row a line.")
        yield record.place, record.value


def _item(row: Json, place: str) -> PublishedItem:
    """Read a row."""
    name = row.get("item_id") if isinstance(row, Mapping) else None
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{place} is {repr(row)[:100]}; expected an object with 'item_id', e.g. 'textcraft_160'.")
    turns = row.get("conversations") or []
    if not isinstance(turns, list):
        raise ConfigError(f"{place}: the conversations of {name!r} are a {type(turns).__name__}; expected a list of messages.")
    told = []
    for turn in turns:
        text = turn.get("value", turn.get("content")) if isinstance(turn, Mapping) else None
        if not isinstance(text, str):
            raise ConfigError(f"{place}: a message of {name!r} is {repr(turn)[:100]}; expected 'from' and a text as 'value'.")
        if turn.get("from", turn.get("role")) in _PEOPLE:
            told.append(text)
    match = _NUMBERED.fullmatch(name)
    if match is None:
        env = next((env for env in ENVIRONMENTS if name.startswith(f"{env}_")), "")
        return PublishedItem(name, env, None, tuple(told))
    return PublishedItem(name, match["name"] or "", int(match["listed"] or match["number"]), tuple(told))


__all__ = ["ENVIRONMENTS", "Published", "PublishedItem", "TaskOf", "published_tasks", "read_items"]
