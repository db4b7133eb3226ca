"""Ids of calls that are unique over everything a request carries.

Servers, text forms and people number calls as they like: many begin again with every answer, and some servers refuse a request
in which an id comes twice. The trajectory keeps the ids as they came; what is sent gets fresh ones where they repeat.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace

from palaestra.types import Message, ToolCall

_MAX_CHARS = 40  # the longest id that all known servers take
_LEAST_DIGEST = 8  # ids of letters and digits from this length on are replaced by some of the same length


def unique_call_ids(messages: Sequence[Message]) -> Sequence[Message]:
    """Return a dialogue in which no two calls have the same id, and results name the calls that they answer.

    Args:
        messages: The dialogue, in any state; returned as it is if all ids are unique. Calls without ids stay without.

    Returns:
        The same messages, later calls of a repeated id renamed. A dialogue that grows at its end keeps the names it had.
    """
    ids = [call.id for message in messages for call in message.tool_calls if call.id]
    if len(set(ids)) == len(ids):
        return messages
    taken, seen = set(ids), set[str]()
    waiting: dict[str, deque[str]] = defaultdict(deque)
    result: list[Message] = []
    for message in messages:
        if message.tool_calls:
            calls = tuple(_renamed(call, seen, taken) for call in message.tool_calls)
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


def _renamed(call: ToolCall, seen: set[str], taken: set[str]) -> ToolCall:
    """Return a call with an id that none before it has."""
    if not call.id or call.id not in seen:
        seen.add(call.id)
        return call
    number = 2
    while (fresh := _fresh(call.id, number)) in taken:
        number += 1
    taken.add(fresh)
    seen.add(fresh)
    return replace(call, id=fresh)


def _fresh(identifier: str, number: int) -> str:
    """Return another id of the same kind: some servers take letters and digits only, and a fixed number of them."""
    if identifier.isascii() and identifier.isalnum() and len(identifier) >= _LEAST_DIGEST:
        digest = hashlib.blake2b(f"{identifier}|{number}".encode(), digest_size=32).hexdigest()
        return (digest * (len(identifier) // len(digest) + 1))[: len(identifier)]
    ending = f"_{number}"
    return identifier[: _MAX_CHARS - len(ending)] + ending


__all__ = ["unique_call_ids"]
