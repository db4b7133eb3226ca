"""Chat data for chat templates, in rows of a Hugging Face data set that come back as they went in.

Templates ask whether a key is there, and take arguments of calls as objects: `tool_calls: []`, nulls and arguments as text
make them refuse a dialogue, or show another one. So every message is free JSON with the keys that it has, rather than a
struct, which would fill it with the nulls of all others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from palaestra.agents.export.conversations import action_text, chat_record
from palaestra.envs.formats.hermes import RESPONSE_CLOSE, RESPONSE_OPEN
from palaestra.spaces import is_unicode
from palaestra.types import Json, Message, Trajectory

Read = Callable[[str], Json]
"""How a data set reads free JSON."""

_DIGITS = 18  # most decimal places that are tried for a number
_NEIGHBOURS = 60  # how far from a float, in its last digits, a number is tried that rounds to it


def chat_columns(trajectory: Trajectory, read: Read) -> dict[str, Json]:
    """Return the columns `messages` and `tools` of an episode.

    Calls whose arguments are not an object, or hold numbers that the data set would change, stand in the text of their
    message, as the model wrote them; the user then shows their results.

    Args:
        trajectory: The episode.
        read: Reads the texts back, e.g. `datasets.Json().decode_example`.

    Returns:
        `messages`, a JSON text for each, and `tools`, a JSON text for each or None where no tools were offered.
    """
    texts = [exact_json(message, read) or _rounded_json(message) for message in _messages(trajectory, read)]
    tools = [exact_json(tool, read) or _rounded_json(tool) for tool in chat_record(trajectory).get("tools", ())]
    return {"messages": texts, "tools": tools or None}


def exact_json(value: Json, read: Read) -> str:
    """Return JSON text that `read` turns into the same value; empty if there is none.

    The fast reader of `datasets` rounds many floats in their last digit, and not alike in all notations: digits are chosen
    that it reads right.

    Args:
        value: Plain JSON data. Halves of surrogate pairs, which no file can hold, become question marks.
        read: Reads the text back.
    """
    try:
        text = _storable("".join(_pieces(value, read)))
        return text if read(text) == json.loads(text) else ""
    except (ValueError, RecursionError):
        return ""


def _pieces(value: Json, read: Read) -> Iterator[str]:
    """Yield the JSON text of a value in pieces.

    Raises:
        ValueError: If no notation of a number is read right.
    """
    if isinstance(value, Mapping):
        for index, (key, item) in enumerate(value.items()):
            yield f"{', ' if index else '{'}{json.dumps(str(key), ensure_ascii=False)}: "
            yield from _pieces(item, read)
        yield "}" if value else "{}"
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield ", " if index else "["
            yield from _pieces(item, read)
        yield "]" if value else "[]"
    elif isinstance(value, float):
        found = next((text for text in _notations(value) if float(text) == value and read(text) == value), None)
        if found is None:
            raise ValueError(f"{value!r} is read as another number")
        yield found
    else:
        yield json.dumps(value, ensure_ascii=False)


def _notations(value: float) -> Iterator[str]:
    """Yield decimal numbers at or next to a float: the shortest one, then longer ones that may round to it."""
    yield repr(value)
    yield from (f"{value:.{places}{kind}}" for places in range(_DIGITS) for kind in "ef")
    sign = "-" if value < 0 else ""
    for step in range(_NEIGHBOURS):
        for digits in (_DIGITS, _DIGITS - 1, _DIGITS - 2):
            mantissa, _, exponent = f"{abs(value):.{digits}e}".partition("e")
            for near in (int(mantissa.replace(".", "")) + step, int(mantissa.replace(".", "")) - step):
                for point in range(0, digits, 3):  # where it stands decides how the number is rounded
                    yield f"{sign}{near // 10**point}.{near % 10**point:0{point or 1}d}e{int(exponent) - digits + point}"


def _rounded_json(value: Json) -> str:
    """Return JSON text in which integers of more than 64 bits are floats."""

    def rounded(item: Json) -> Json:
        if isinstance(item, Mapping):
            return {key: rounded(inner) for key, inner in item.items()}
        if isinstance(item, (list, tuple)):
            return [rounded(inner) for inner in item]
        return float(item) if isinstance(item, int) and not -(2**63) <= item < 2**63 else item

    return _storable(json.dumps(rounded(value), ensure_ascii=False))


def _storable(text: str) -> str:
    """Replace halves of surrogate pairs, which a model may write and no file can hold."""
    return text if is_unicode(text) else text.encode("utf-8", "replace").decode()


def _messages(trajectory: Trajectory, read: Read) -> Iterator[dict[str, Json]]:
    """Yield the messages as chat templates take them: no key without a value, arguments as objects."""
    as_text: set[str] = set()  # ids of calls that stand in a text
    shown: list[str] = []  # their results
    for source, message in zip(trajectory.messages(), chat_record(trajectory)["messages"], strict=True):
        if message["role"] == "tool" and source.tool_call_id in as_text:
            shown.append(f"{RESPONSE_OPEN}\n{source.content}\n{RESPONSE_CLOSE}")
            continue
        if shown:
            yield {"role": "user", "content": "\n".join(shown)}
            shown = []
        if message["role"] == "assistant":
            as_text = set()
        if message.get("tool_calls"):
            calls = _with_objects(source, message["tool_calls"], read)
            if calls is None:
                as_text = {call.id for call in source.tool_calls}
                message = {**message, "content": action_text(source), "tool_calls": [], "reasoning_content": ""}
            else:
                message = {**message, "tool_calls": calls}
        yield {key: value for key, value in message.items() if value or key in ("content", "weight")}
    if shown:
        yield {"role": "user", "content": "\n".join(shown)}


def _with_objects(message: Message, calls: list[dict[str, Any]], read: Read) -> list[Json] | None:
    """Return calls with their arguments as objects; None if one cannot be kept so."""
    found: list[Json] = []
    for source, call in zip(message.tool_calls, calls, strict=True):
        arguments = source.arguments
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                return None
        if not isinstance(arguments, Mapping) or not exact_json(dict(arguments), read):
            return None
        found.append({**call, "function": {**call["function"], "arguments": dict(arguments)}})
    return found


__all__ = ["chat_columns", "exact_json"]
