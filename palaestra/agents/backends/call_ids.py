"""Ids of calls that are unique over everything a request carries.

Servers, text forms and people number calls as they like: many begin again with every answer, and some servers refuse a request
in which an id comes twice. The trajectory keeps the ids as they came; what is sent gets fresh ones where they repeat.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from palaestra.types import Json, Message, ToolCall

_MAX_CHARS = 40  # the longest id that all known servers take
_LEAST_DIGEST = 8  # ids of letters and digits from this length on are replaced by some of the same length


def read_call_id(value: Json, seen: set[str], fallback: str) -> str:
    """Return the id of a call that a server made: its own where it has one of its own, else another.

    Args:
        value: What the server gave for an id.
        seen: Ids of the answer so far; this one is added.
        fallback: The id where there is none, or one that another call has.
    """
    call_id = value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
    if not call_id or call_id in seen:
        call_id, number = fallback, 2
        while call_id in seen:
            call_id, number = f"{fallback}_{number}", number + 1
    seen.add(call_id)
    return call_id


def unique_call_ids(messages: Sequence[Message], spelled: Callable[[str], str] | None = None) -> Sequence[Message]:
    """Return a dialogue in which no two calls have the same id, and results name the calls that they answer.

    Args:
        messages: The dialogue, in any state; returned as it is if all ids are unique. Calls without ids stay without.
        spelled: Makes an id of characters that a server takes. Ids that it makes alike stay apart.

    Returns:
        The same messages, later calls of a repeated id renamed. A dialogue that grows at its end keeps the names it had.
    """
    messages = _unique(messages)
    return messages if spelled is None else _spelled(messages, spelled)


def _spelled(messages: Sequence[Message], spelled: Callable[[str], str]) -> Sequence[Message]:
    """Return a dialogue with unique ids in another spelling, still unique."""
    names: dict[str, str] = {}
    numbers: dict[str, int] = {}
    taken: set[str] = set()
    for call_id in (call.id for message in messages for call in message.tool_calls if call.id):
        name = start = spelled(call_id)
        number = numbers.get(start, 2)
        while name in taken:
            name, number = _fresh(start, number), number + 1
        numbers[start] = number
        names[call_id] = name
        taken.add(name)
    if all(old == new for old, new in names.items()) and all(m.tool_call_id in names or not m.tool_call_id for m in messages):
        return messages
    return [
        replace(
            message,
            tool_calls=tuple(replace(call, id=names.get(call.id, call.id)) for call in message.tool_calls),
            tool_call_id=names.get(message.tool_call_id) or spelled(message.tool_call_id),
        )
        if message.tool_calls or message.tool_call_id
        else message
        for message in messages
    ]


def _unique(messages: Sequence[Message]) -> Sequence[Message]:
    """Return a dialogue in which later calls of a repeated id are renamed."""
    ids = [call.id for message in messages for call in message.tool_calls if call.id]
    if len(set(ids)) == len(ids):
        return messages
    taken, seen = set(ids), set[str]()
    numbers: dict[str, int] = {}
    waiting: dict[str, deque[str]] = defaultdict(deque)
    result: list[Message] = []
    for message in messages:
        if message.tool_calls:
            calls = tuple(_renamed(call, seen, taken, numbers) for call in message.tool_calls)
            waiting.clear()
            for old, new in zip(message.tool_calls, calls, strict=True):
                waiting[old.id].append(new.id)
            message = replace(message, tool_calls=calls)
        elif message.role == "tool" and (names := waiting.get(message.tool_call_id)):
            # results of calls of one id answer them in their order; the last name stays, should more come than were asked for
            name = names.popleft() if len(names) > 1 else names[0]
            message = replace(message, tool_call_id=name) if name != message.tool_call_id else message
        result.append(message)
    return result


def _renamed(call: ToolCall, seen: set[str], taken: set[str], numbers: dict[str, int]) -> ToolCall:
    """Return a call with an id that none before it has; `numbers` keeps how far the copies of each id are numbered."""
    if not call.id or call.id not in seen:
        seen.add(call.id)
        return call
    stem = call.id if _is_digest(call.id) else call.id[: _MAX_CHARS - 2]  # copies of ids that begin alike look alike
    number = numbers.get(stem, 2)
    while (fresh := _fresh(call.id, number)) in taken:
        number += 1
    numbers[stem] = number + 1
    taken.add(fresh)
    seen.add(fresh)
    return replace(call, id=fresh)


def _is_digest(identifier: str) -> bool:
    """Whether an id is replaced by others of as many letters and digits."""
    return identifier.isascii() and identifier.isalnum() and len(identifier) >= _LEAST_DIGEST


def _fresh(identifier: str, number: int) -> str:
    """Return another id of the same kind: some servers take letters and digits only, and a fixed number of them."""
    if _is_digest(identifier):
        digest = hashlib.blake2b(f"{identifier}|{number}".encode(), digest_size=32).hexdigest()
        return (digest * (len(identifier) // len(digest) + 1))[: len(identifier)]
    ending = f"_{number}"
    return identifier[: _MAX_CHARS - len(ending)] + ending


__all__ = ["read_call_id", "unique_call_ids"]
