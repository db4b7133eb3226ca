"""Fields of the records in which chat data are published: turns with their marks, tool schemas, numbers.

Every function names the field that it cannot read. Forms read here: AgentTraj (`from`, `loss`, `value`), ShareGPT and
LLaMA-Factory (`from` human, gpt, function_call, observation; columns `system` and `tools`), OpenAI's chat messages (`role`,
`content`, `tool_calls`, `weight`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaestra.agents.backends.wire_media import text_of_parts
from palaestra.agents.export.origins import FIELDS, Origin
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.errors import UsageError
from palaestra.results.metrics import is_number
from palaestra.types import EpisodeError, Json, Message, Role, ToolCall
from palaestra.types.plain_json import strict_json

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
"""Who speaks, by the names in use."""

_MARKS = ("loss", "weight", "train", "training", "trained")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a record.

    Attributes:
        message: What was said.
        mark: Whether it is to be trained on; None where the record does not say.
        by_loss: Whether the mark is AgentTraj's `loss`, with which an acknowledgement of the instructions is told.
    """

    message: Message
    mark: bool | None = None
    by_loss: bool = False


def read_turn(turn: Any, field: str) -> Turn:
    """Read one message of a record.

    Args:
        turn: The message as it stands there.
        field: Where it stands, for errors, e.g. "conversations[3]".

    Raises:
        UsageError: If it is not a message; the text names the field.
    """
    if not isinstance(turn, Mapping):
        raise UsageError(f"{field} is {_shown(turn)}; expected an object with 'from' and 'value', or 'role' and 'content'.")
    key = _first_present(turn, "from", "role")
    speaker = turn.get(key)
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise UsageError(f"{field}.{key} is {_shown(speaker)}; expected one of {', '.join(ROLES)}.")
    mark, by_loss = _read_mark(turn, field) if role == "assistant" else (None, False)
    text_key = _first_present(turn, "value", "content")
    text = _read_text(turn.get(text_key), f"{field}.{text_key}")
    if speaker == "function_call":
        return Turn(_read_function_call(text, f"{field}.{text_key}"), mark, by_loss)
    if role == "tool":
        name, call_id = (_optional_text(turn.get(name), f"{field}.{name}") for name in ("name", "tool_call_id"))
        return Turn(Message.of_text(role, text, name=name, tool_call_id=call_id))
    if role != "assistant":
        return Turn(Message.of_text(role, text))
    thought = next((name for name in ("reasoning_content", "reasoning") if turn.get(name)), "reasoning")
    reasoning = _optional_text(turn.get(thought), f"{field}.{thought}")
    calls = _read_calls(turn.get("tool_calls"), f"{field}.tool_calls")
    return Turn(Message.of_text(role, text, tool_calls=calls, reasoning=reasoning), mark, by_loss)


def read_tools(value: Any) -> tuple[Mapping[str, Json], ...]:
    """Read the column `tools`: schemas as objects or as JSON text, in OpenAI's form or the bare functions of LLaMA-Factory.

    Raises:
        UsageError: If it is neither; the text names the field.
    """
    if isinstance(value, str):
        try:
            value = strict_json(value) if value.strip() else []
        except (ValueError, RecursionError) as error:
            raise UsageError(f"tools is a text that is not JSON ({error}); expected a list of function schemas.") from None
    if not isinstance(value or [], list):
        raise UsageError(f"tools is {_shown(value)}; expected a list of function schemas.")
    found: list[Mapping[str, Json]] = []
    for number, tool in enumerate(value or []):
        if isinstance(tool, str):  # one JSON text for each, as data sets keep them
            found += read_tools(f"[{tool}]")
            continue
        function = _function_in(tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise UsageError(f"tools[{number}] is {_shown(tool)}; expected a function schema with a name.")
        found.append(tool if tool.get("function") is not None else {"type": "function", "function": tool})
    return tuple(found)


def read_number(value: Any, field: str) -> float | None:
    """Read a number that may be null.

    Raises:
        UsageError: If it is anything else; the text names the field.
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or not is_finite(value):
        raise UsageError(f"{field} is {_shown(value)}; expected a finite number or null.")
    return float(value)


def read_success(value: Any) -> bool | None:
    """Read whether the task was solved: a truth value, 1 or 0, or null.

    Raises:
        UsageError: If it is anything else.
    """
    if value is not None and value not in (0, 1):
        raise UsageError(f"success is {_shown(value)}; expected true, false, 1, 0 or null.")
    return None if value is None else bool(value)


def read_metrics(value: Any) -> dict[str, float]:
    """Read metrics: numbers by name, as an object or its JSON text; whatever else stands there is left out.

    Raises:
        UsageError: If one is an integer larger than any float; the text names it.
    """
    if isinstance(value, str):
        try:
            value = strict_json(value)
        except (ValueError, RecursionError):
            return {}
    value = value if isinstance(value, Mapping) else {}
    for name, number in value.items():
        if isinstance(number, int) and not is_finite(number):
            raise UsageError(f"metrics[{name!r}] is {_shown(number)}; expected a finite number.")
    return {name: float(number) for name, number in value.items() if is_number(number)}


def read_weight(value: Any, field: str = "weight") -> float | None:
    """Read how much a record counts: a finite number from 0, or null.

    Raises:
        UsageError: If it is anything else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not is_finite(value) or value < 0:
        raise UsageError(f"{field} is {_shown(value)}; expected a finite number from 0, or null.")
    return float(value)


def read_origin(record: Mapping[str, Json]) -> Origin:
    """Read where a record was played; what it does not say is unknown.

    Raises:
        UsageError: If one of the fields is neither a text nor a whole number; the text names it.
    """
    found = {name: record.get(name) for name in FIELDS}
    for name, value in found.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise UsageError(f"{name} is {_shown(value)}; expected a text.")
    return Origin(*("" if value is None else str(value) for value in found.values()))


def _first_present(fields: Mapping[str, Json], key: str, other: str) -> str:
    """Return the key that has a value: a null is what data sets fill in where a row has no such key."""
    if fields.get(key) is not None or (key in fields and fields.get(other) is None):
        return key
    return other


def _function_in(fields: Mapping[str, Json]) -> Json:
    """Return the function of a schema or a call in OpenAI's form, or the bare one that it is."""
    return fields if fields.get("function") is None else fields["function"]


def read_error(value: Any) -> EpisodeError | None:
    """Read the failure that ended an episode, as it is exported: an object, or its JSON text; anything else is none."""
    if isinstance(value, str):
        try:
            value = strict_json(value)
        except (ValueError, RecursionError):
            return None
    names = ("boundary", "type", "message")
    if not isinstance(value, Mapping) or not all(isinstance(value.get(name), str) for name in names):
        return None  # a column of others that has the same name
    return EpisodeError(*(value[name] for name in names))


def is_finite(value: float) -> bool:
    """Whether a number is finite and not larger than any float, as an integer in JSON may be."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _read_mark(turn: Mapping[str, Json], field: str) -> tuple[bool | None, bool]:
    """Return whether a turn is to be trained on, and whether `loss` says so."""
    for name in _MARKS:
        value = turn.get(name)
        if value is None:
            continue
        if value not in (0, 1):  # true and false are as well
            raise UsageError(f"{field}.{name} is {_shown(value)}; expected true, false, 1, 0 or null.")
        return bool(value), name == "loss"
    return None, False


def _read_text(value: Any, field: str) -> str:
    """Read the text of a message, which may be null or a list of content parts."""
    if isinstance(value, list):
        try:
            return text_of_parts(value)
        except UsageError as error:
            raise UsageError(f"{field}: {error}") from error
    return _optional_text(value, field)


def _optional_text(value: Any, field: str) -> str:
    """Read a text that may be null."""
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{field} is {_shown(value)}; expected a text.")
    return value or ""


def _read_function_call(text: str, field: str) -> Message:
    """Read the calls of a `function_call` turn: one JSON object with name and arguments, or a list of them."""
    reasoning, rest = split_reasoning(text)
    try:
        value = strict_json(rest)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{field} is {_shown(text)} ({error}); expected a call as JSON with name and arguments.") from None
    calls = _read_calls(value if isinstance(value, list) else [value], field)
    if not calls:
        raise UsageError(f"{field} is {_shown(text)}; expected at least one call.")
    return Message("assistant", "", calls, reasoning=reasoning)


def _read_calls(value: Any, field: str) -> tuple[ToolCall, ...]:
    """Read tool calls in OpenAI's form, or in ours."""
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UsageError(f"{field} is {_shown(value)}; expected a list of calls.")
    return tuple(_read_call(call, f"{field}[{number}]") for number, call in enumerate(value))


def _read_call(call: Any, field: str) -> ToolCall:
    """Read one call."""
    function = _function_in(call) if isinstance(call, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str):
        raise UsageError(f"{field} is {_shown(call)}; expected a call with a name and arguments.")
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            parsed = strict_json(arguments)
        except (ValueError, RecursionError):
            parsed = None
        arguments = parsed if isinstance(parsed, dict) else arguments
    if not isinstance(arguments, (Mapping, str)):
        raise UsageError(f"{field}.arguments is {_shown(arguments)}; expected an object, or its JSON as a text.")
    return ToolCall(name, arguments, _optional_text(call.get("id"), f"{field}.id"))


def _shown(value: Any) -> str:
    """Return a value for a message, not longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


__all__ = [
    "ROLES",
    "Turn",
    "is_finite",
    "read_error",
    "read_metrics",
    "read_number",
    "read_origin",
    "read_success",
    "read_tools",
    "read_turn",
    "read_weight",
]
