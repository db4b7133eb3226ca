"""Files of tasks as AgentGym publishes them: AgentTraj, AgentEval, lists of ids for RL, recorded experience.

Each row names its item by an integer whose meaning depends on the file it comes from; here the rows are only read. What an
item is about, each environment recovers from the dialogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from palaestra.envs.core.data_files import kind_of, place_of, shown
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


__all__ = ["ENVIRONMENTS", "PublishedItem", "read_items"]
