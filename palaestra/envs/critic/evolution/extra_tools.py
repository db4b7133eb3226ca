"""Tools that the item does not need, among its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from palaestra.envs.critic.documents import to_document, to_schema
from palaestra.envs.critic.evolution.parts import Refused, expected_of, said_by, with_tools
from palaestra.envs.critic.made_tools import made
from palaestra.envs.critic.record import Record
from palaestra.envs.critic.similarity import bow
from palaestra.types import Json

LEAST, MOST = 5, 20
TOO_ALIKE = 0.8
"""Similarity of descriptions from which two tools would do the same."""

Schema = Mapping[str, Any]
_PART = re.compile(r"[_./:-]|(?<=[a-z0-9])(?=[A-Z])")


def extra_tools(record: Record, pool: Sequence[Schema], rng: np.random.Generator, *, room: int | None = None) -> Record:
    """Return an item with 5 to 20 further tools at random places of its list.

    Args:
        record: The item.
        pool: OpenAI schemas to choose from, further to those of this package.
        rng: Source of chance.
        room: Characters to come near to; None draws a number of tools.

    Raises:
        Refused: If fewer than 5 tools fit.
    """
    most = MOST if room is not None else int(rng.integers(LEAST, MOST + 1))
    candidates = {tool["function"]["name"]: tool for tool in (*_own_pool(), *pool)}
    names = [*candidates]
    added: list[Schema] = []
    left = room or 0
    for place in rng.permutation(len(names)):
        tool = candidates[names[int(place)]]
        if len(added) >= most or (room is not None and len(added) >= LEAST and left <= 0):
            break
        if not tool_problems(record, [tool]):
            added.append(tool)
            left -= _size(tool)
    if len(added) < LEAST:
        raise Refused("extra_tools:pool")
    tools: list[Schema] = list(record.tools)
    for tool in added:
        tools.insert(int(rng.integers(len(tools) + 1)), tool)
    return with_tools(record, tools)


def tool_problems(record: Record, added: Iterable[Schema]) -> list[str]:
    """Say which further tools would change what is right for an item.

    Args:
        record: The item.
        added: OpenAI schemas of the further tools.
    """
    taken = {tool["function"]["name"] for tool in record.tools} | {action.name for action in said_by(record)}
    expected = {action.name for action in expected_of(record)}
    golden = [tool["function"] for tool in record.tools if tool["function"]["name"] in expected]
    found = []
    for function in (tool["function"] for tool in added):
        name = function["name"]
        if name in taken:
            found.append(f"There is a tool {name!r} already, or the dialogue calls it as one that is not there.")
        taken.add(name)
        for own in golden:
            if bow(function.get("description", ""), own.get("description", "")) >= TOO_ALIKE:
                found.append(f"{name!r} is described as the expected tool {own['name']!r} is.")
            elif _domain(name) == _domain(own["name"]) and _signature(function) == _signature(own):
                found.append(f"{name!r} has the domain and the parameters of the expected tool {own['name']!r}.")
    return found


@cache
def _own_pool() -> tuple[dict[str, Json], ...]:
    """Return the tools of this package."""
    return tuple(to_schema(tool.document()) for tool in made().values())


def _size(tool: Schema) -> int:
    """Return the characters of a tool in a list."""
    return len(json.dumps(to_document(tool), ensure_ascii=False)) + 2


def _domain(name: str) -> str:
    """Return the first word of a name."""
    return next((part.lower() for part in _PART.split(name) if part), "")


def _signature(function: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return names and types of parameters."""
    return {(name, str(one.get("type"))) for name, one in function["parameters"]["properties"].items()}


__all__ = ["LEAST", "MOST", "TOO_ALIKE", "extra_tools", "tool_problems"]
