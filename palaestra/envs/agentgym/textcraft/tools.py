"""The three commands of TextCraft as tools, for agents that call functions.

Schemas and refusals are checked by hand and kept word for word, because prompts and stored trajectories of v0 hold them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from palaestra.envs.formats.hermes import explain_malformed
from palaestra.types import Json, ToolCall, ToolResult


class Commands:
    """Turns calls of `craft`, `get` and `inventory` into text commands."""

    def schemas(self) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas."""
        return schemas()

    def call(self, call: ToolCall) -> ToolResult:
        """Return the command that a call stands for, or what is wrong with the call."""
        try:
            return ToolResult(call.name, command_of(call), "ok", call.id)
        except LookupError as error:
            return ToolResult(call.name, str(error.args[0]), "unknown_tool", call.id)
        except ValueError as error:
            return ToolResult(call.name, str(error), "invalid_arguments", call.id)


def schemas() -> list[dict[str, Json]]:
    """Return the OpenAI function schemas of `craft`, `get` and `inventory`."""
    stored: list[dict[str, Json]] = json.loads(_schema_text())
    return stored


def command_of(call: ToolCall) -> str:
    """Return the text command that a tool call stands for.

    Raises:
        LookupError: If there is no such tool; the message is for the agent.
        ValueError: If the arguments do not fit; the message is for the agent.
    """
    if not call.name:
        raise ValueError(explain_malformed(call))
    if call.name not in ("craft", "get", "inventory"):
        raise LookupError(f"Unknown tool '{call.name[:80]}'. Use one of: craft, get, inventory.")
    arguments = call.arguments
    if not isinstance(arguments, Mapping):
        raise ValueError(f"The arguments of {call.name} are not a JSON object. Send an object with its named arguments.")
    known = {"craft": ("item", "ingredients", "count"), "get": ("item", "count"), "inventory": ()}[call.name]
    for key in arguments:
        if key not in known:
            allowed = ", ".join(known) if known else "none"
            raise ValueError(f"{call.name} has no argument '{str(key)[:80]}'. Its arguments: {allowed}.")
    if call.name == "inventory":
        return "inventory"
    item = _name(call.name, arguments, "item")
    if call.name == "get":
        return f"get {_count(call.name, arguments)} {item}"
    ingredients = arguments.get("ingredients")
    if not isinstance(ingredients, list) or not ingredients:
        raise ValueError('craft needs \'ingredients\': a list such as [{"item": "stick", "count": 2}].')
    parts = []
    for ingredient in ingredients:
        if not isinstance(ingredient, Mapping):
            raise ValueError(f'An ingredient is {str(ingredient)[:80]!r}; write {{"item": "stick", "count": 2}}.')
        parts.append(f"{_count('ingredient', ingredient)} {_name('ingredient', ingredient, 'item')}")
    count = f"{_count('craft', arguments)} " if "count" in arguments else ""
    return f"craft {count}{item} using {', '.join(parts)}"


def _name(owner: str, arguments: Mapping[str, Json], key: str) -> str:
    """Return an item name that cannot run into the next part of the command."""
    value = arguments.get(key)
    if not isinstance(value, str) or not value.strip() or "," in value or "\n" in value or " using " in value:
        raise ValueError(f"{owner}: '{key}' is {str(value)[:80]!r}; expected the name of one item, such as 'stick'.")
    return value.strip()


def _count(owner: str, arguments: Mapping[str, Json]) -> int:
    """Return a count of at least 1."""
    value = arguments.get("count")
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10**9:
        raise ValueError(f"{owner}: 'count' is {str(value)[:80]!r}; expected a whole number of at least 1.")
    return value


@cache
def _schema_text() -> str:
    """Return the schemas as they are stored."""
    return (files("palaestra.envs.agentgym.textcraft") / "tools.json").read_text(encoding="utf-8")


__all__ = ["Commands", "command_of", "schemas"]
