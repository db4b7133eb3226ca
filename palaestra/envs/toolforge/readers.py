"""How the profile `published` reads a message: the tags of Qwen as the published scorer does, JSON, or an OpenAI message."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple, get_args

from palaestra.envs.toolforge.published import CLOSE, MARKS, OPEN, parse_qwen, stripped
from palaestra.types import Json, Message, ToolCall
from palaestra.types.plain_json import is_deep, strict_json

Parser = Literal["auto", "tags", "json", "openai"]
PARSERS: tuple[Parser, ...] = get_args(Parser)


class Reading(NamedTuple):
    """What a message says.

    Attributes:
        content: Its text without calls.
        calls: Its calls.
        errors: What could not be read, one line each.
    """

    content: str
    calls: tuple[ToolCall, ...]
    errors: tuple[str, ...] = ()

    @property
    def is_malformed(self) -> bool:
        """Whether it has marks of calls and no call."""
        return not self.calls and any(mark in self.content for mark in MARKS)


def read_published(action: str | Message, parser: Parser) -> Reading:
    """Read a message.

    Args:
        action: A text, or a message; native calls are taken as they are.
        parser: "tags", "json" (an object with `name` and `arguments`, or a list of them), "openai" (a message as JSON), or
            "auto": tags, which also is how a text without any is read.
    """
    if isinstance(action, Message):
        if action.tool_calls:
            return Reading(action.content, action.tool_calls)
        action = action.content
    text = stripped(action)
    if parser == "json":
        return _of_json(text)
    if parser == "openai":
        return _of_openai(text)
    message = parse_qwen(text)
    calls = tuple(_call(one["function"]["name"], one["function"]["arguments"]) for one in message["tool_calls"] or ())
    tried = text.count(OPEN)
    lost = f"{tried - len(calls)} of {tried} blocks between {OPEN} and {CLOSE} could not be read"
    return Reading(message["content"], calls, (lost,) if tried > len(calls) else ())


def text_of_arguments(call: ToolCall) -> str:
    """Return the arguments of a call as JSON text, as the published scorer gets them."""
    return call.arguments if isinstance(call.arguments, str) else json.dumps(dict(call.arguments), ensure_ascii=False)


def _of_json(text: str) -> Reading:
    """Read an object with name and arguments, or a list of them; anything else is an answer."""
    try:
        value = strict_json(text)
    except (ValueError, RecursionError):
        return Reading(text, ())
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(one, dict) and "name" in one and "arguments" in one for one in found):
        return Reading(text, ())
    return Reading("", tuple(_call(one["name"], one["arguments"]) for one in found))


def _of_openai(text: str) -> Reading:
    """Read a message of OpenAI's chat completions, written as JSON; anything else is an answer."""
    try:
        value: Any = strict_json(text)
        if not isinstance(value, dict) or is_deep(value):
            return Reading(text, ())
        calls = [one["function"] for one in value.get("tool_calls") or ()]
        content = value.get("content") or ""
        return Reading(content if isinstance(content, str) else text, tuple(_call(c["name"], c["arguments"]) for c in calls))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return Reading(text, ())


def _call(name: Json, arguments: Json) -> ToolCall:
    """Return a call; a name of another type is written as JSON, arguments other than an object are kept as text."""
    name = name if isinstance(name, str) else json.dumps(name, ensure_ascii=False)
    if isinstance(arguments, str):
        try:
            value = strict_json(arguments)
        except (ValueError, RecursionError):
            return ToolCall(name, arguments)
        return ToolCall(name, value if isinstance(value, dict) and not is_deep(value) else arguments)
    return ToolCall(name, arguments if isinstance(arguments, dict) else json.dumps(arguments, ensure_ascii=False))


__all__ = ["PARSERS", "Parser", "Reading", "read_published", "text_of_arguments"]
