"""The order of what a model wrote: text, calls, and what its provider attached between them.

Some APIs answer with a list of parts whose order has to come back untouched: thinking with its signature, encrypted reasoning,
calls. A `Message` has one text and one tuple of calls; `attached` keeps the rest of the order in `Message.provider`, and
`pieces_of` lays the parts out again as they came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from palaestra.agents.backends.escapes import as_it_came, kept
from palaestra.agents.backends.wire import clean_text
from palaestra.envs.formats.hermes import format_message
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.media.items import Media, split_tags
from palaestra.media.store import MediaStore, current_media
from palaestra.types import Json, Message, ToolCall

_BETWEEN, _MOST_TEXTS = 0xF0000, 65_000  # private characters, which stand between texts while thoughts are found


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of an assistant message.

    Attributes:
        kind: "opaque" is a part that only its provider understands.
        text: Text of a text part.
        call: The call of a call part.
        own: The whole of an opaque part; of the others, fields that the provider attached.
    """

    kind: Literal["opaque", "text", "call"]
    text: str = ""
    call: ToolCall | None = None
    own: Mapping[str, Json] = field(default_factory=dict)


def message_of(pieces: Sequence[Piece], api: str, *, reasoning: str = "") -> Message:
    """Return the assistant message that parts make.

    Args:
        pieces: Its parts, in order; calls have ids.
        api: Key of the API in `Message.provider` and `ToolCall.provider`.
        reasoning: What the model thought, for people.
    """
    pieces, thought = _without_thoughts(pieces)  # of models behind proxies, which think in tags
    texts = [piece.text for piece in pieces if piece.kind == "text"]
    calls: list[ToolCall] = []
    order: list[Json] = []
    for piece in pieces:
        own = kept(piece.own)
        if piece.kind == "call" and piece.call is not None:
            order.append(["call", len(calls)])
            calls.append(replace(piece.call, provider={api: own}) if own else piece.call)
        elif piece.kind == "text":
            order.append(["text", len(piece.text), own] if own else ["text", len(piece.text)])
        elif own:
            order.append(["opaque", own])
    plain = order == [["text", len(text)] for text in texts] + [["call", index] for index in range(len(calls))]
    provider = {} if plain and len(texts) < 2 else {api: order}
    reasoning = "\n\n".join(part for part in (reasoning, thought) if part)
    return Message("assistant", "".join(texts), tuple(calls), reasoning=reasoning, provider=provider)


def _without_thoughts(pieces: Sequence[Piece]) -> tuple[Sequence[Piece], str]:
    """Return parts whose texts hold no reasoning, each in its place, and the reasoning."""
    texts = [piece.text for piece in pieces if piece.kind == "text"]
    reasoning, left = split_reasoning(whole := "".join(texts))
    if left == whole:
        return pieces, ""
    marked = "".join(f"{text}{chr(_BETWEEN + index)}" for index, text in enumerate(texts[:_MOST_TEXTS]))
    rest = split_reasoning(marked + "".join(texts[_MOST_TEXTS:]))[1]
    shares = iter(_shares(left, rest, len(texts)))
    return [replace(piece, text=next(shares)) if piece.kind == "text" else piece for piece in pieces], reasoning


def _shares(left: str, rest: str, number: int) -> list[str]:
    """Cut a text where the marks of another one stand, which is the same but for blanks and marks."""
    places = [0] * number
    count = 0
    for letter in rest:
        if 0 <= (index := ord(letter) - _BETWEEN) < min(number, _MOST_TEXTS):
            places[index] = count
        elif not letter.isspace():
            count += 1
    cuts: list[int] = []
    position = seen = 0
    for place in places[:-1]:  # a mark within a thought is gone: its text ends where the one before it does
        while seen < place and position < len(left):
            seen += not left[position].isspace()
            position += 1
        cuts.append(position)
    return [left[start:end] for start, end in zip([0, *cuts], [*cuts, len(left)], strict=True)]


def pieces_of(message: Message, api: str) -> list[Piece]:
    """Return the parts of an assistant message in the order in which the provider wrote them.

    Where text or calls are no longer those that came, what is opaque goes first, then the text, then the calls. Calls without
    ids were read from text and go back as text.
    """
    content, calls = said(message)
    order = message.provider.get(api)
    order = order if isinstance(order, Sequence) and not isinstance(order, str) else []
    if _fits(order, content, calls):
        pieces: list[Piece] = []
        start = 0
        for kind, value, *rest in order:
            if kind == "opaque":
                pieces.append(Piece("opaque", own=as_it_came(value)))
            elif kind == "text":
                pieces.append(Piece("text", content[start : start + value], own=as_it_came(rest[0]) if rest else {}))
                start += value
            else:
                pieces.append(_call_piece(calls[value], api))
        return pieces
    opaque = [Piece("opaque", own=as_it_came(item[1])) for item in order if _is_opaque(item)]
    text = [Piece("text", content)] if content else []
    return [*opaque, *text, *(_call_piece(call, api) for call in calls)]


def said(message: Message) -> tuple[str, tuple[ToolCall, ...]]:
    """Return text and native calls of an assistant message, as they are sent back."""
    if message.tool_calls and all(call.id for call in message.tool_calls):
        return clean_text(message.content), message.tool_calls
    if message.tool_calls or message.error:
        return clean_text(message.raw or format_message(replace(message, reasoning=""))), ()
    return clean_text(message.content), ()


def shown(message: Message, store: MediaStore | None = None) -> list[str | tuple[Media, bytes]]:
    """Return the texts, and the media with their bytes, that a message shows, in order.

    A tag whose bytes are not in the store stays text, as a model may have made it up; empty texts are left out.
    """
    if not message.media:
        return [clean_text(message.content)] if message.content else []
    store = store or current_media()
    parts: list[str | tuple[Media, bytes]] = []
    for piece in split_tags(message.content, message.media):
        data = None if isinstance(piece, str) else store.find(piece)
        if isinstance(piece, str) or data is None:
            parts.append(clean_text(piece if isinstance(piece, str) else piece.tag))
        else:
            parts.append((piece, data))
    return [part for part in parts if part]


def arguments_object(call: ToolCall) -> dict[str, Json]:
    """Return the arguments of a call as the object that an API insists on; a text that is not one lies under "arguments"."""
    if isinstance(call.arguments, str):
        return {"arguments": clean_text(call.arguments)}
    arguments: dict[str, Json] = json.loads(clean_text(json.dumps(dict(call.arguments), ensure_ascii=False)))
    return arguments


def safe_name(name: str, most: int = 64) -> str:
    """Return a tool's name with the characters that every API takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:most] or "unreadable_call"


def laid_over(body: dict[str, Json], extra: Mapping[str, Json]) -> dict[str, Json]:
    """Return a body with `Sampling.extra` laid over it; None takes a field out."""
    merged = {**body, **extra}
    return {key: value for key, value in merged.items() if value is not None or key not in extra}


def _call_piece(call: ToolCall, api: str) -> Piece:
    """Return the part of a call with what its provider attached."""
    own = call.provider.get(api)
    return Piece("call", call=call, own=as_it_came(own) if isinstance(own, Mapping) else {})


def _fits(order: Sequence[Json], content: str, calls: Sequence[ToolCall]) -> bool:
    """Tell whether an order is one of exactly this text and these calls."""
    length, seen = 0, []
    for item in order:
        if not isinstance(item, Sequence) or len(item) < 2:
            return False
        kind, value = item[0], item[1]
        if kind == "text" and isinstance(value, int) and value >= 0:
            length += value
        elif kind == "call" and isinstance(value, int):
            seen.append(value)
        elif not _is_opaque(item):
            return False
    return bool(order) and length == len(content) and seen == list(range(len(calls)))


def _is_opaque(item: Json) -> bool:
    """Tell whether an item of an order is an opaque part."""
    is_pair = isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 2
    return bool(is_pair and item[0] == "opaque" and isinstance(item[1], Mapping))


__all__ = ["Piece", "arguments_object", "laid_over", "message_of", "pieces_of", "safe_name", "said", "shown"]
