"""Answers that come as a stream of events though nobody asked for one, put together as they would be without streaming.

Some proxies stream whatever they are asked. Chat completions, Anthropic's messages, Google's content and responses of OpenAI
are known by their events. A stream that stops before its answer does was broken off; the first error among the events counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from palaestra.agents.backends.inside import fault_in
from palaestra.types import Json, is_deep

_Events = Sequence[Mapping[str, Json]]

_COMMENTS_BEFORE = re.compile(rb"\A(?:\s*:[^\r\n]*(?:\r\n?|\n))+")
_COMMENTS_AFTER = re.compile(rb"(?:[\r\n]+:[^\r\n]*)+\s*\Z")
_TAIL = 200  # bytes at the end of a body in which a comment is looked for
_BROKEN = "error"  # the reason of an answer whose end did not come
_ONCE = frozenset({"id", "type", "role", "name", "index", "format", "object"})
"""Fields that are said once or again, and do not grow."""
_PROSE = frozenset({"text", "output_text", "thinking", "reasoning"})
"""Kinds of parts that go on in the next one of their kind."""
_TYPED = ("message_", "content_block_", "response.", "ping", "keepalive")
_FILTERS = ("content_filter_results", "content_filter_result")
_OF_ANSWER = ("prompt_filter_results", "output_sensitive", "input_sensitive")
"""What chunks say of their choice, and of the answer, in addition to its pieces."""
_ENDED = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def is_stream(body: bytes) -> bool:
    """Whether a body is a stream of events."""
    return body.lstrip()[:6].startswith((b"data:", b"event:", b":", b"id:", b"retry:"))


def without_comments(body: bytes) -> bytes:
    """Return a body without the lines that gateways send to keep a connection open while an answer is made.

    They are comments of event streams (": processing") before, and seldom after, an answer that is JSON.
    """
    if body.lstrip()[:1] != b":" and b"\n:" not in body[-_TAIL:]:
        return body
    return _COMMENTS_AFTER.sub(b"", _COMMENTS_BEFORE.sub(b"", body))


def read_stream(body: bytes) -> dict[str, Json] | None:
    """Return a stream of events as the answer that it would be without streaming, or None if its events are of no known kind.

    Args:
        body: The whole stream.
    """
    return _joined(list(_events(body)))


def read_list(items: Sequence[Json]) -> Json:
    """Return the answer that a JSON list stands for: its only item, or Google's stream of several; else the list itself.

    Args:
        items: A decoded body.
    """
    if len(items) == 1 and isinstance(items[0], Mapping):
        return items[0]
    events = [item for item in items if isinstance(item, Mapping)]
    if len(events) == len(items) > 1 and all("candidates" in event or "error" in event for event in events):
        return _joined(events)
    return items


def _events(body: bytes) -> Iterator[Mapping[str, Json]]:
    """Yield the events of a stream that are JSON objects of a sane depth."""
    for line in body.splitlines():
        if line.startswith(b"data:"):
            try:
                event = json.loads(line[5:])
            except (ValueError, RecursionError):
                continue  # [DONE], or a line that is cut
            if isinstance(event, Mapping) and not is_deep(event):
                yield event


def _joined(events: _Events) -> dict[str, Json] | None:
    """Return the answer that some events make."""
    if (fault := next(filter(None, map(_fault, events)), None)) is not None:
        return {"error": fault, "usage": _last(events, "usage"), "usageMetadata": _last(events, "usageMetadata")}
    joins = (_chat, _anthropic, _google, _responses)
    return next((answer for join in joins if (answer := join(events)) is not None), None)


def _fault(event: Mapping[str, Json]) -> Json:
    """Return the error that an event is, or None."""
    kind = event.get("type")
    if isinstance(kind, str) and kind.startswith(_TYPED):  # their messages are not error messages
        return event.get("error") or None
    return fault_in(event)


def _last(events: _Events, key: str) -> dict[str, Json] | None:
    """Return a block of counts, which events repeat as they grow, at the top or inside another object."""
    found: dict[str, Json] = {}
    for event in events:
        for holder in (event.get("message"), event.get("response"), event):
            block = holder.get(key) if isinstance(holder, Mapping) else None
            if isinstance(block, Mapping):
                found.update((name, value) for name, value in block.items() if value is not None)
    return found or None


def _chat(events: _Events) -> dict[str, Json] | None:
    """Return the chat completion that chunks make."""
    choices = [one for event in events if (one := _first(event.get("choices"))) is not None]
    pieces = [piece for one in choices if isinstance(piece := one.get("delta"), Mapping)]
    if not pieces:  # a whole answer as one event
        pieces = [piece for one in choices if isinstance(piece := one.get("message"), Mapping)][-1:]
    if not pieces:
        return None
    message: dict[str, Json] = {}
    for piece in pieces:
        _grow(message, piece)
    for call in message.get("tool_calls") or ():
        if isinstance(call, dict):
            call.pop("index", None)
    reasons = [one["finish_reason"] for one in choices if one.get("finish_reason")]
    choice: dict[str, Json] = {"index": 0, "message": message, "finish_reason": reasons[-1] if reasons else _BROKEN}
    choice |= {key: told for key in _FILTERS if (told := [one[key] for one in choices if one.get(key)])}
    if natives := [one["native_finish_reason"] for one in choices if one.get("native_finish_reason")]:
        choice["native_finish_reason"] = natives[-1]
    whole = {key: event[key] for event in events for key in _OF_ANSWER if event.get(key)}
    return {**whole, "choices": [choice], "usage": _last(events, "usage")}


def _anthropic(events: _Events) -> dict[str, Json] | None:
    """Return the message that the events of Anthropic's API make."""
    if not any(event.get("type") in ("message_start", "content_block_start") for event in events):
        return None
    message: dict[str, Json] = {"type": "message", "role": "assistant"}
    blocks: dict[Json, dict[str, Json]] = {}
    for event in events:
        kind, delta = event.get("type"), event.get("delta")
        if kind == "message_start" and isinstance(event.get("message"), Mapping):
            message |= event["message"]
        elif kind == "content_block_start" and isinstance(event.get("content_block"), Mapping):
            blocks[str(event.get("index"))] = dict(event["content_block"])
        elif kind == "content_block_delta" and isinstance(delta, Mapping):
            _add_to_block(blocks.setdefault(str(event.get("index")), {}), delta)
        elif kind == "message_delta" and isinstance(delta, Mapping):
            message |= delta
    content = [_whole_block(block) for block in blocks.values()]
    reason = message.get("stop_reason") or _BROKEN
    return {**message, "content": content, "stop_reason": reason, "usage": _last(events, "usage")}


def _add_to_block(block: dict[str, Json], delta: Mapping[str, Json]) -> None:
    """Add a piece of a block: text, thinking, its signature, the text of an input, a citation."""
    kinds = {"text_delta": "text", "thinking_delta": "thinking"}
    block.setdefault("type", kinds.get(str(delta.get("type")), "unknown"))
    for key, value in delta.items():
        if key == "citation":
            block["citations"] = [*(block.get("citations") or ()), value]
        elif key != "type" and isinstance(value, str):
            block[key] = str(block.get(key) or "") + value


def _whole_block(block: dict[str, Json]) -> dict[str, Json]:
    """Return a block with the input that its pieces of JSON make; a text that is not JSON stays one."""
    text = block.pop("partial_json", "")
    if text:
        try:
            block["input"] = json.loads(text)
        except (ValueError, RecursionError):
            block["input"] = text
    return block


def _google(events: _Events) -> dict[str, Json] | None:
    """Return the content that Google's chunks make."""
    if not any("candidates" in event or "promptFeedback" in event for event in events):
        return None
    whole: dict[str, Json] = {}
    candidate: dict[str, Json] = {}
    parts: list[Json] = []
    for event in events:
        whole |= event
        first = _first(event.get("candidates"))
        if first is not None:
            candidate |= {key: value for key, value in first.items() if value is not None}
            content = first.get("content")
            more = content.get("parts") if isinstance(content, Mapping) else None
            for part in more if isinstance(more, list) else ():
                _add_part(parts, part)
    usage = _last(events, "usageMetadata")
    if not candidate:
        return {**whole, "usageMetadata": usage}
    reason = candidate.get("finishReason") or _BROKEN
    candidate |= {"content": {"role": "model", "parts": parts}, "finishReason": reason}
    return {**whole, "candidates": [candidate], "usageMetadata": usage}


def _add_part(parts: list[Json], part: Json) -> None:
    """Add a part; a text goes on in the next one, unless either has a signature or the like."""
    last = parts[-1] if parts else None
    plain = ({"text"}, {"text", "thought"})
    if isinstance(part, Mapping) and isinstance(last, Mapping) and set(part) == set(last) and set(part) in plain:
        both = [last["text"], part["text"]]
        if last.get("thought") == part.get("thought") and all(isinstance(text, str) for text in both):
            parts[-1] = {**last, "text": "".join(both)}
            return
    parts.append(part)


def _responses(events: _Events) -> dict[str, Json] | None:
    """Return the response that the events of the Responses API make."""
    if not any(str(event.get("type")).startswith("response.") for event in events):
        return None
    items = [event["item"] for event in events if event.get("type") == "response.output_item.done" and event.get("item")]
    ended = [one["response"] for one in events if one.get("type") in _ENDED and isinstance(one.get("response"), Mapping)]
    if not ended:
        return {"status": _BROKEN, "output": items, "usage": _last(events, "usage")}
    return {**ended[-1], "output": ended[-1].get("output") or items}


def _first(choices: Json) -> Mapping[str, Json] | None:
    """Return the first of the alternatives that an event tells something of, if it does."""
    for one in choices if isinstance(choices, list) else ():
        if isinstance(one, Mapping) and one.get("index", 0) in (0, None):
            return one
    return None


def _grow(whole: dict[str, Json], piece: Mapping[str, Json]) -> None:
    """Add a piece to a message or to a part of one: texts and lists grow, all else is said once."""
    for key, value in piece.items():
        before = whole.get(key)
        if value is None or (value == "" and before is not None):
            whole.setdefault(key, value)
        elif key == "content" and before and isinstance(before, list) != isinstance(value, list):
            whole[key] = _more(_as_parts(before), _as_parts(value), key)
        elif isinstance(value, list):
            whole[key] = _more(before if isinstance(before, list) else [], value, key)
        elif isinstance(value, Mapping):
            inner = dict(before) if isinstance(before, Mapping) else {}
            _grow(inner, value)
            whole[key] = inner
        elif isinstance(value, str) and isinstance(before, str) and key not in _ONCE:
            whole[key] = before + value
        else:
            whole[key] = value


def _as_parts(content: Json) -> list[Json]:
    """Return a content as parts."""
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _more(items: list[Json], pieces: Sequence[Json], key: str) -> list[Json]:
    """Return a list with more items; a piece of one that is there is added to it."""
    items = list(items)
    for piece in pieces:
        place = _place(items, piece, key) if isinstance(piece, Mapping) else None
        if place is None:
            fresh: Json = piece
            if isinstance(piece, Mapping):
                fresh = {}
                _grow(fresh, piece)
            items.append(fresh)
        else:
            _grow(items[place], piece)
    return items


def _place(items: Sequence[Json], piece: Mapping[str, Json], key: str) -> int | None:
    """Return which item a piece belongs to, or None if it is a new one.

    A call goes on under its index or its id; some servers number all calls 0 and tell them apart by id, others leave both out
    of all pieces but the first. A text goes on in the next part of its kind.
    """
    index, name, kind = piece.get("index"), piece.get("id") or None, piece.get("type") or None
    found = [(place, item) for place, item in enumerate(items) if isinstance(item, dict)]
    same_kind = [(place, item) for place, item in found if kind is None or item.get("type") in (None, kind)]
    if index is not None:
        same = [(place, item) for place, item in same_kind if item.get("index") == index]
        if key == "tool_calls" and name is not None:
            return next((place for place, item in same if (item.get("id") or name) == name), None)
        return same[-1][0] if same else None
    if name is not None:
        return next((place for place, item in same_kind if item.get("id") == name), None)
    if not same_kind or same_kind[-1][0] != len(items) - 1:
        return None
    if key == "tool_calls":
        function = piece.get("function")
        return None if isinstance(function, Mapping) and function.get("name") else same_kind[-1][0]
    return same_kind[-1][0] if kind in _PROSE else None


__all__ = ["is_stream", "read_list", "read_stream"]
