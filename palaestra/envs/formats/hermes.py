"""The canonical text form of a message: Hermes tags, lossless both ways.

    <think>
    reasoning, if there is any
    </think>

    content
    <tool_call>
    {"name": "find_events", "arguments": {"query": "review"}}
    </tool_call>

`parse_message(format_message(m)) == m` for every assistant message with JSON arguments of at most 64 levels
(its `raw` and `error` are notes of an agent, its `provider` is for one server: they are not written). A tag inside a JSON
string is written with the escape of `<` (backslash u003c), a tag inside prose as `&lt;tool_call>` (and `&lt;` before a tag as
`&amp;lt;`); so are tags between which models think. A call that cannot be read is kept: a `ToolCall` without a name whose
arguments are the source text, which `explain_malformed` turns into advice. Results go back to the agent inside
`<tool_response>` tags. Sounds and pictures are named by tags in the content, read and escaped as `palaestra.media.items`
says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace

from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.envs.formats.thought_marks import ENTITIES, FRONT, FRONTS, escaped_characters, first_characters
from palaestra.errors import UsageError
from palaestra.media.items import MARK, escape_tags, read_tags, unescape_tags, write_tags
from palaestra.spaces import is_unicode
from palaestra.types import MAX_DEPTH, Json, Message, ToolCall, ToolResult, is_deep
from palaestra.types.plain_json import finite_number, object_of_pairs, refuse_constant, strict_json

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
RESPONSE_OPEN, RESPONSE_CLOSE = "<tool_response>", "</tool_response>"
MAX_UNREADABLE = 200  # calls of one message; what stands after them is kept as one more that cannot be read
TOO_DEEP = f"This call is nested too deeply to be read; at most {MAX_DEPTH} levels are."
CALL_EXAMPLE = '<tool_call>\n{"name": "TOOL", "arguments": {"ARGUMENT": "VALUE"}}\n</tool_call>'

_SPACE = re.compile(r"\s*")
_OTHER_TAGS = r"/?(?:tool_call|tool_response)>"
_TAG = re.compile(first_characters(_OTHER_TAGS))
_ENTITY = f"(?:{escaped_characters(_OTHER_TAGS)})"
_TAG_OR_ESCAPED = re.compile(rf"{first_characters(_OTHER_TAGS)}|&(?=(?:amp;)*{_ENTITY})")
_ESCAPED_TAG = re.compile(rf"&((?:amp;)*)({_ENTITY})")
_ESCAPES = {**ENTITIES, "&": "&amp;"}
_CHARACTERS = {entity[1:]: first for first, entity in ENTITIES.items()} | {f.entity[1:]: f.example[0][0] for f in FRONTS}
_RESPONSE_TAG = re.compile(r"<(?=/?tool_response>)")
_CALL_KEYS = frozenset({"name", "arguments", "id"})


def format_message(message: Message) -> str:
    """Write an assistant message as text.

    Args:
        message: Reasoning, content and tool calls in any combination; ids of calls are written where there are any.

    Raises:
        UsageError: If the message is not the assistant's, an argument is not plain JSON, or its media are not those that its
            content names.
    """
    if message.role != "assistant":
        raise UsageError(f"The message has role {message.role!r}; only an assistant message has a tool-call text form.")
    text = write_tags(_escape(message.content), message.media)
    if message.reasoning:
        text = f"{THINK_OPEN}\n{_escape(escape_tags(message.reasoning))}\n{THINK_CLOSE}\n\n{text}"
    if not message.tool_calls:
        return text
    calls = "\n".join([format_call(call) for call in message.tool_calls])
    return f"{text}\n{calls}" if message.content else text + calls


def format_call(call: ToolCall) -> str:
    """Write one call between its tags."""
    arguments = call.arguments if isinstance(call.arguments, str) else dict(call.arguments)
    data: dict[str, Json] = {"name": call.name, "arguments": arguments}
    if call.id:
        data["id"] = call.id
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"The arguments of a call of {call.name!r} are not plain JSON ({error}); give JSON values.") from None
    if "<" in text or "]" in text or "◁" in text:
        text = _TAG.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    if not is_unicode(text):  # a lone surrogate cannot be sent; its escape can
        text = json.dumps(data, allow_nan=False)
    return f"{CALL_OPEN}\n{text}\n{CALL_CLOSE}"


def parse_message(text: str, *, lenient: bool = False) -> Message:
    """Read what an assistant wrote.

    Args:
        text: Any text at all; nothing is raised.
        lenient: Also accept a call whose closing tag is missing though its JSON is complete, `parameters` for
            `arguments`, arguments left out (none) or written as a string of JSON, and further keys next to them.

    Returns:
        The message. Text around the calls is its content, what tags of media in it name is its media; what was thought
        (see `palaestra.envs.formats.reasoning`) is its reasoning. Calls that cannot be read have the name "" and their
        source text as arguments.
    """
    reasoning, text = split_reasoning(text)
    if not reasoning and CALL_OPEN not in text and "&" not in text:
        return Message("assistant", text) if MARK not in text else Message.of_text("assistant", text)
    pieces: list[str] = []
    calls: list[ToolCall] = []
    position = num_unreadable = 0
    while (start := _next_call(text, position)) >= 0:
        _keep_piece(pieces, text[position:start], is_first=not calls)
        call, position = read_block(text, start, lenient)
        num_unreadable += not call.name
        if num_unreadable > MAX_UNREADABLE:
            call, position = ToolCall("", text[start:]), len(text)
        calls.append(call)
    if calls:
        _keep_piece(pieces, text[position:], is_first=False)
    else:
        pieces.append(text)
    content, media = read_tags("\n".join(pieces))
    return Message("assistant", _unescape(content), tuple(calls), reasoning=_unescape(unescape_tags(reasoning)), media=media)


def explain_malformed(call: ToolCall) -> str:
    """Say what is wrong with a call that has no name, and how to write it.

    Args:
        call: A call with an empty name, as `parse_message` keeps what it cannot read.
    """
    problem = _diagnose(call).encode(errors="backslashreplace").decode()  # an escaped lone surrogate must stay escaped
    return f"{problem} Write each call as:\n{CALL_EXAMPLE}"


def format_results(results: Iterable[ToolResult]) -> str:
    """Write tool results for the agent, in the order of the calls, each between `<tool_response>` tags."""
    return "\n".join([f"{RESPONSE_OPEN}\n{_contained(result.content)}\n{RESPONSE_CLOSE}" for result in results])


def ensure_call_ids(message: Message, prefix: str = "call") -> Message:
    """Return the message with an id of its own for every call; ids that are there and unique stay.

    Args:
        message: Any message; returned as it is if nothing is missing.
        prefix: New ids read `PREFIX_1`, `PREFIX_2`, ... by the position of the call.
    """
    given = [call.id for call in message.tool_calls]
    if all(given) and len(set(given)) == len(given):
        return message
    taken, seen, calls = set(given), set[str](), []
    for position, call in enumerate(message.tool_calls, start=1):
        if not call.id or call.id in seen:
            fresh, n = f"{prefix}_{position}", 1
            while fresh in taken:
                fresh, n = f"{prefix}_{position}_{n}", n + 1
            taken.add(fresh)
            call = replace(call, id=fresh)
        seen.add(call.id)
        calls.append(call)
    return replace(message, tool_calls=tuple(calls))


_DECODER = json.JSONDecoder(parse_constant=refuse_constant, parse_float=finite_number, object_pairs_hook=object_of_pairs)


def _escape(text: str) -> str:
    """Make tags in prose unreadable as tags."""
    if "<" in text or "&" in text or "]" in text or "◁" in text:
        text = _TAG_OR_ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)
    if (front := FRONT.match(text)) is not None:
        kind = str(front.lastgroup)
        start = front.start(kind)
        text = f"{text[:start]}{FRONTS[int(kind[6:])].entity}{text[start + 1 :]}"
    return text


def _contained(text: str) -> str:
    """Keep a result from forging the end of its block; tags of calls stay, because advice shows them."""
    return _RESPONSE_TAG.sub("&lt;", text) if "tool_response>" in text else text


def _unescape(text: str) -> str:
    """Undo `_escape`."""
    if "&" not in text:
        return text
    return _ESCAPED_TAG.sub(lambda found: f"&{found[1][4:]}{found[2]}" if found[1] else _CHARACTERS[found[2]], text)


def _next_call(text: str, position: int) -> int:
    """Return where the next opening tag stands that is not named in quotation marks; -1 if there is none."""
    while (start := text.find(CALL_OPEN, position)) >= 0:
        position = start + len(CALL_OPEN)
        if not start or text[start - 1] not in "`\"'" or text[start - 1] != text[position : position + 1]:
            break
    return start


def _keep_piece(pieces: list[str], piece: str, *, is_first: bool) -> None:
    """Add text that stood next to a call; only the line breaks that separate it from the calls go."""
    piece = piece.removesuffix("\n") if is_first else piece.strip("\n")
    if piece and (is_first or not piece.isspace()):
        pieces.append(piece)


def read_block(text: str, start: int, lenient: bool) -> tuple[ToolCall, int]:
    """Read the call whose opening tag stands at `start`; return it and the position after it."""
    begin = _SPACE.match(text, start + len(CALL_OPEN)).end()  # type: ignore[union-attr]
    stop = -1
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        value = None
    else:
        if is_deep(value, MAX_DEPTH + 1):  # the arguments are one level down
            value = None  # reading the JSON first lets its strings hold closing tags
        end = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text.startswith(CALL_CLOSE, end):
            stop = end + len(CALL_CLOSE)
        elif lenient and (end == len(text) or text.startswith(CALL_OPEN, end)):
            stop = end
        if stop >= 0 and (call := _as_call(value, lenient)) is not None:
            return call, stop
    if stop < 0:
        opening = text.find(CALL_OPEN, begin)
        closing = text.find(CALL_CLOSE, begin, opening if opening >= 0 else len(text))  # no further: all in one pass
        stop = closing + len(CALL_CLOSE) if closing >= 0 else opening if opening >= 0 else len(text)
    return ToolCall("", text[start:stop].rstrip()), stop


def _as_call(value: Json, lenient: bool) -> ToolCall | None:
    """Return the call that a JSON value stands for, or None if it stands for none."""
    if not isinstance(value, dict):
        return None
    name, call_id = value.get("name"), value.get("id", "")
    if not isinstance(name, str) or not isinstance(call_id, str):
        return None
    if "arguments" in value:
        arguments = value["arguments"]
    elif lenient:
        arguments = value.get("parameters", {})
    else:
        return None
    if not lenient and not _CALL_KEYS.issuperset(value):
        return None
    if lenient and isinstance(arguments, str):
        arguments = _decoded_object(arguments)
    if not isinstance(arguments, (dict, str)):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(name, arguments, call_id)


def _decoded_object(text: str) -> dict[str, Json] | str:
    """Return the JSON object that a string holds, or the string."""
    try:
        value = strict_json(text, once=True)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) and not is_deep(value) else text


def _diagnose(call: ToolCall) -> str:
    """Name the first thing that is wrong with a call without a name."""
    source = call.arguments
    if not isinstance(source, str) or not source.startswith(CALL_OPEN):
        return "This call names no tool."
    body = source[len(CALL_OPEN) :].removesuffix(CALL_CLOSE).strip()
    if not source.endswith(CALL_CLOSE):
        return f"A call was opened by {CALL_OPEN} and not closed by {CALL_CLOSE}."
    if not body:
        return "This call is empty."
    try:
        value = strict_json(body, once=True)
    except json.JSONDecodeError as error:
        near = body[max(error.pos - 15, 0) : error.pos + 15]
        return f"This call is not valid JSON: {error.msg} at character {error.pos}, near {near!r}."
    except RecursionError:
        return TOO_DEEP
    except ValueError as error:
        return f"This call is not valid JSON: {str(error)[:100]}."
    return TOO_DEEP if is_deep(value, MAX_DEPTH + 1) else _diagnose_value(value)


def _diagnose_value(value: Json) -> str:
    """Name what keeps a JSON value from being a call."""
    if not isinstance(value, dict):
        return f"This call is the JSON {_kind(value)} {json.dumps(value, ensure_ascii=False)[:60]}; expected one JSON object."
    name = value.get("name")
    if "name" not in value:
        return f'This call has no "name"; its keys are {_keys(value)}.'
    if not isinstance(name, str):
        return f'The "name" of this call is a {_kind(name)}; expected the name of a tool as a string.'
    if "arguments" not in value:
        return f'The call of {name!r} has no "arguments"; its keys are {_keys(value)}. Write {{}} for none.'
    if not isinstance(value.get("id", ""), str):
        return f'The "id" of the call of {name!r} is a {_kind(value["id"])}; expected a string, or leave it out.'
    extra = sorted(set(value) - _CALL_KEYS)
    return f'The call of {name!r} has unexpected keys beside "name" and "arguments": {", ".join(extra)[:200]}.'


def _keys(value: dict[str, Json]) -> str:
    """List the keys of an object for a message."""
    return (", ".join(sorted(value)) or "none")[:200]


def _kind(value: Json) -> str:
    """Return JSON's name for the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


__all__ = [
    "CALL_CLOSE",
    "CALL_EXAMPLE",
    "CALL_OPEN",
    "RESPONSE_CLOSE",
    "RESPONSE_OPEN",
    "ensure_call_ids",
    "explain_malformed",
    "format_call",
    "format_message",
    "format_results",
    "parse_message",
    "read_block",
]
