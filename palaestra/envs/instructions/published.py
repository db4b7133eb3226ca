"""Published files: tasks in and out.

A file is a JSON list of `{"id", "conversations", "constraints", "constraint_pattern", "difficulty"}`. Constraints
are two labels and a sentence each; a turn is `{"role", "content"}`, or `{"from", "value"}` in the file for training.

Source: Ye et al. 2025, MulDimIF (arXiv:2505.07591), section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from palaestra.envs.core.data_files import kind_of, place_of, read_text, shown
from palaestra.envs.instructions.reading.parse import parse
from palaestra.envs.instructions.tasks import Pattern, Task
from palaestra.errors import MissingDataError, UsageError
from palaestra.types import Json
from palaestra.types.plain_json import strict_json, text_of

MAX_BYTES = 1 << 30
"""Larger files are refused."""

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


class InstructionDataError(UsageError):
    """A file of tasks or answers cannot be used; the message names the file, the item and the field."""


def load_published(path: str | Path) -> list[Task]:
    """Read a published file of tasks.

    Args:
        path: A JSON list of published tasks.

    Returns:
        The tasks in the order of the file, their constraints in typed form where they can be read.

    Raises:
        MissingDataError: If there is no such file.
        ConfigError: If it cannot be read.
        InstructionDataError: If it is not of this form.
    """
    place = place_of(path)
    if kind_of(place) != "file":
        raise MissingDataError(f"There is no file {shown(place)}; expected a JSON list of published tasks.")
    try:
        found = strict_json(read_text(place, max_bytes=MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise InstructionDataError(f"{shown(place)} is not JSON ({error}); expected a list of published tasks.") from None
    if not isinstance(found, list) or not found:
        raise InstructionDataError(f"{shown(place)} holds {type(found).__name__}; expected a list of tasks, at least one.")
    tasks = [task_of(item, f"{shown(place)}, item {number}") for number, item in enumerate(found)]
    ids: set[str] = set()
    for number, task in enumerate(tasks):
        if task.id in ids:
            raise InstructionDataError(f"{shown(place)}, item {number}: the id {task.id!r} stands twice; ids are unique.")
        ids.add(task.id)
    return tasks


def task_of(item: Json, where: str = "The task") -> Task:
    """Return the task of one published item.

    Args:
        item: From a published file.
        where: Named in errors.

    Raises:
        InstructionDataError: If it is not of this form.
    """
    if not isinstance(item, dict):
        raise InstructionDataError(f"{where} is {text_of(item)}; expected an object.")
    pattern = str(item.get("constraint_pattern", "")).lower()
    if pattern not in get_args(Pattern):
        raise _wrong(where, "constraint_pattern", item, "Example, Listing or Incorporation")
    difficulty = str(item.get("difficulty", ""))
    level = difficulty.removeprefix("Level ")
    if level not in ("1", "2", "3", "4"):
        raise _wrong(where, "difficulty", item, "'Level 1' to 'Level 4'")
    if not isinstance(item.get("id"), str) or not item["id"]:
        raise _wrong(where, "id", item, "a text")
    triples = item.get("constraints")
    if not isinstance(triples, list) or not all(map(_is_triple, triples)):
        raise _wrong(where, "constraints", item, "a list of [label, label, sentence]")
    constraints = tuple(parse(text, (first, second)) for first, second, text in triples)
    return Task(item["id"], _messages(item, where), constraints, pattern, int(level))  # type: ignore[arg-type]  # checked above


def to_published(tasks: Iterable[Task]) -> list[dict[str, Json]]:
    """Return tasks as published items; a constraint without published labels is filed under the halves of its family."""
    return [
        {
            "id": task.id,
            "conversations": [dict(message) for message in task.messages],
            "constraints": [[*_labels(one.label, one.family), one.text] for one in task.constraints],
            "constraint_pattern": task.pattern.capitalize(),
            "difficulty": f"Level {task.level}",
        }
        for task in tasks
    ]


def _labels(label: tuple[str, str] | None, family: str) -> tuple[str, str]:
    first, _, second = family.partition("_")
    return label or (first, second)


def _messages(item: Mapping[str, Any], where: str) -> tuple[dict[str, str], ...]:
    """Return the turns of an item."""
    turns = item.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise _wrong(where, "conversations", item, "a list of turns, at least one")
    found = []
    for number, turn in enumerate(turns):
        plain = turn if isinstance(turn, dict) else {}
        role = _ROLES.get(str(plain.get("role", plain.get("from", ""))))
        content = plain.get("content", plain.get("value"))
        if role is None or not isinstance(content, str):
            raise InstructionDataError(
                f"{where}: conversations[{number}] is {text_of(turn)!r}; expected role and content, or from and value."
            )
        found.append({"role": role, "content": content})
    return tuple(found)


def _is_triple(value: Json) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(part, str) for part in value)


def _wrong(where: str, field: str, item: Mapping[str, Any], expected: str) -> InstructionDataError:
    found = text_of(item[field]) if field in item else "missing"
    return InstructionDataError(f"{where}: {field} is {found!r}; expected {expected}.")
