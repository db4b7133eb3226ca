"""One JSON object a message: `{"thought": ..., "function_name": ..., "arguments": {...}}`.

Papers:
    AgentGym (arXiv:2406.04151): the action format `function_calling`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

from palaestra.envs.formats.action_format import (
    ActionFormatError,
    CallFormat,
    ThoughtCall,
    Tools,
    arguments_of,
    prompt,
    schema_lines,
)
from palaestra.envs.formats.reasoning import hide_tags
from palaestra.types import MAX_DEPTH, ToolCall, is_deep
from palaestra.types.plain_json import strict_json


def parse_json_call(text: str) -> ThoughtCall:
    """Read `{"thought", "function_name", "arguments"}` from the first `{` to the last `}` of a text.

    Raises:
        ActionFormatError: If there is no such object.
    """
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ActionFormatError(
            'No JSON object was found. Answer with {"thought": "...", "function_name": "...", "arguments": {...}}.'
        )
    try:
        data = strict_json(text[start : end + 1], once=True)
    except (ValueError, RecursionError) as error:
        raise ActionFormatError(f"The JSON object could not be read: {error}. Send one valid JSON object.") from None
    if is_deep(data, MAX_DEPTH + 1):
        raise ActionFormatError(f"The JSON object is nested deeper than {MAX_DEPTH} levels. Send a flatter one.")
    name = data.get("function_name", data.get("name")) if isinstance(data, dict) else None
    if not isinstance(name, str) or not name:
        raise ActionFormatError('The JSON object has no "function_name" (a string); name the function to call.')
    arguments = data.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ActionFormatError(f'"arguments" is {type(arguments).__name__}; expected an object of argument names and values.')
    thought = data.get("thought", "")
    return ThoughtCall(
        thought if isinstance(thought, str) else json.dumps(thought, ensure_ascii=False), ToolCall(name, arguments)
    )


def format_json_call(thought: str, call: ToolCall) -> str:
    """Write a thought and a call as one JSON object."""
    data = {"thought": thought, "function_name": call.name, "arguments": arguments_of(call)}
    return hide_tags(json.dumps(data, ensure_ascii=False, allow_nan=False))


@dataclass(frozen=True)
class JsonCallFormat(CallFormat):
    """One JSON object a message: thought, function name, arguments.

    Attributes:
        answers: Whether a final answer is the call of `final_answer`; without it all messages are calls of tools.
    """

    name: ClassVar[str] = "json"
    answers: bool = True

    def describe(self, tools: Tools = ()) -> str:
        """List the functions and explain the form."""
        text = prompt("json").format(tools=schema_lines(self.needed(tools)))
        return f"{text}\n\n{prompt('json_answer')}" if self.answers else text

    def read_call(self, text: str, tools: Tools) -> ThoughtCall:
        """Read the object."""
        del tools
        return parse_json_call(text)

    def write_call(self, thought: str, call: ToolCall) -> str:
        """Write the object."""
        return format_json_call(thought, call)


__all__ = ["JsonCallFormat", "format_json_call", "parse_json_call"]
