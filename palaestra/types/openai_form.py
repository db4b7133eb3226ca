"""Messages as OpenAI's chat completions write them, and as `Message.to_json()` does: plain data both ways."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.errors import UnsupportedMediaError, UsageError
from palaestra.media.items import Media, escape_tags, read_tags, split_tags
from palaestra.types.plain_json import Json, is_deep, is_strict, strict_json, strict_part, text_of

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
PROVIDER = "chat"
"""The key of chat completions in `Message.provider` and `ToolCall.provider`."""
UNREADABLE = "unreadable_call"
"""Stands for a call whose name could not be read: servers refuse an empty one."""
_MESSAGE_FIELDS = frozenset(
    {"role", "content", "tool_calls", "function_call", "refusal", "annotations", "audio", "name", "tool_call_id"}
    | {"reasoning", "reasoning_content"}
)  # everything else is a provider's own
_SAYING = ("content", "tool_calls", "function_call", "refusal", "audio")
_CALL_FIELDS = frozenset({"id", "type", "index", "function"})
_FUNCTION_FIELDS = frozenset({"name", "arguments"})
_SENT_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}  # formats of an `input_audio` part


def from_openai(message: object) -> dict[str, Json]:
    """Return the plain form of a chat message.

    Args:
        message: A mapping, or an object with `model_dump()`, such as the messages of the `openai` SDK.

    Raises:
        UsageError: If it has not the shape of one.
    """
    data = _plain(message)
    role = _ROLES.get(text_of(data.get("role") or "assistant"))
    if role is None:
        raise UsageError(f"The role of a message is {text_of(data['role'])!r}; expected one of {', '.join(_ROLES)}.")
    if not any(key in data for key in _SAYING):
        raise UsageError(f"The message has {', '.join(map(text_of, data)) or 'no keys'}; expected content or tool_calls.")
    content, media = _content(data.get("content"))
    calls = data.get("tool_calls") or ([{"function": data["function_call"]}] if data.get("function_call") else [])
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise UsageError(f"tool_calls is {text_of(calls)!r}; expected a list.")
    reasoning = data.get("reasoning_content") or data.get("reasoning")
    return {
        "role": role,
        "content": content or _text(data.get("refusal")),
        "tool_calls": [_call(call, index) for index, call in enumerate(calls, start=1)],
        "tool_call_id": _text(data.get("tool_call_id")),
        "name": _text(data.get("name")),
        "reasoning": _text(reasoning),
        "media": [item.to_json() for item in media],
        "provider": message_provider(data),
    }


def to_openai(data: Mapping[str, Json], media: Sequence[Media] = ()) -> dict[str, Json]:
    """Return a chat message.

    Args:
        data: The plain form of a message.
        media: What the tags in its content name.

    Raises:
        UnsupportedMediaError: If a user shows a sound that is neither WAV nor MP3.
    """
    role, content = data["role"], data["content"]
    sent: dict[str, Json] = {"role": role, "content": content}
    if media and role == "user":
        sent["content"] = [media_part(piece) for piece in split_tags(content, media)]
    if role == "assistant":
        calls = [_sent_call(call, index) for index, call in enumerate(data.get("tool_calls", ()), start=1)]
        if calls:
            sent["tool_calls"] = calls
        elif data.get("error"):
            sent["content"] = data.get("raw") or content
        if data.get("reasoning"):
            sent["reasoning_content"] = data["reasoning"]
        sent.update(data.get("provider", {}).get(PROVIDER, {}))
    for key in ("tool_call_id", "name"):
        if data.get(key):
            sent[key] = data[key]
    return sent


def text_of_parts(parts: Sequence[Json]) -> str:
    """Return the text form of content parts; the bytes of what they show are put into the current store.

    Raises:
        UsageError: If a part is none of `text`, `image_url` with a data URL, `input_audio`.
    """
    from palaestra.media.store import current_media

    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        shown = part.get(kind) if isinstance(part, Mapping) and isinstance(kind, str) else None
        if kind in ("text", "refusal") and isinstance(shown, str):
            texts.append(escape_tags(shown))
            continue
        encoded: Json = None
        if kind == "image_url" and isinstance(shown, Mapping):
            encoded = str(shown.get("url", "")).partition(";base64,")[2]
        elif kind == "input_audio" and isinstance(shown, Mapping):
            encoded = shown.get("data")
        try:
            texts.append(current_media().put(base64.b64decode(encoded, validate=True)).tag)
        except (binascii.Error, TypeError, ValueError) as error:
            raise UsageError(
                f"A content part is {text_of(part)!r} ({error}); expected a text, an image_url with a data URL in base64, or "
                f"an input_audio with data in base64."
            ) from None
    return "".join(texts)


def media_part(piece: str | Media, data: bytes | None = None) -> dict[str, Any]:
    """Return one content part; a medium whose bytes are not known is its tag, as a text.

    Args:
        piece: Prose, or a medium.
        data: The bytes of the medium; by default those in the current store.

    Raises:
        UnsupportedMediaError: If a sound is neither WAV nor MP3.
    """
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    if data is None:
        from palaestra.media.store import current_media

        data = current_media().find(piece)
    if data is None:
        return {"type": "text", "text": piece.tag}
    encoded = base64.b64encode(data).decode("ascii")
    if piece.kind == "image":
        return {"type": "image_url", "image_url": {"url": f"data:{piece.type};base64,{encoded}"}}
    if piece.type not in _SENT_AUDIO:
        raise UnsupportedMediaError(
            f"The sound {piece.sha256} is {piece.type!r}; chat-completions servers take WAV and MP3. Put it as one of "
            f"them, e.g. with palaestra.media.wav_bytes."
        )
    return {"type": "input_audio", "input_audio": {"data": encoded, "format": _SENT_AUDIO[piece.type]}}


def _plain(message: object) -> Mapping[str, Json]:
    """Return a message as a mapping."""
    if isinstance(message, Mapping):
        return message
    dump = getattr(message, "model_dump", None)
    data = dump() if callable(dump) else None
    if not isinstance(data, Mapping):
        raise UsageError(
            f"The message is a {type(message).__name__}; expected a dict with role and content, or a message object of the "
            f"openai SDK."
        )
    return data


def _content(content: Json) -> tuple[str, tuple[Media, ...]]:
    """Return content and media: a text is prose, parts are texts and what they show."""
    if content is None or isinstance(content, str):
        return content or "", ()
    if not isinstance(content, Sequence):
        raise UsageError(f"content is {text_of(content)!r}; expected a text, a list of parts, or null.")
    return read_tags(text_of_parts(content))


def _call(call: Json, index: int) -> dict[str, Json]:
    """Return a call; one that a model has written wrongly is kept without a name, so that it is told what was wrong."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise UsageError(f"A tool call is {text_of(call)!r}; expected a mapping with id, type and function.")
    name, call_id = function.get("name"), call.get("id")
    call_id = call_id if isinstance(call_id, str) and call_id else f"call_{index}"
    if not isinstance(name, str) or not name:
        return {"id": call_id, "name": "", "arguments": f"(a call without a name) {text_of(dict(function), 200)}"}
    arguments = _arguments(function.get("arguments"))
    return {"id": call_id, "name": name, "arguments": arguments, "provider": call_provider(call, function)}


def _arguments(value: Json) -> Json:
    """Return arguments as an object, or as the text that they are if they are none."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            read = strict_json(value)
        except (ValueError, RecursionError):
            return value
        return read if isinstance(read, dict) and not is_deep(read) else value
    if isinstance(value, Mapping) and is_strict(dict(value)):
        return dict(value)
    return text_of(value, 10_000)


def _sent_call(call: Mapping[str, Json], index: int) -> dict[str, Json]:
    """Return one call, its arguments as a text."""
    arguments = call["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    own = dict(call.get("provider", {}).get(PROVIDER, {}))
    function = {"name": call["name"] or UNREADABLE, "arguments": text, **own.pop("function", {})}
    return {"id": call["id"] or f"call_{index}", "type": "function", "function": function, **own}


def _text(value: Json) -> str:
    """Return a text field, or nothing."""
    return value if isinstance(value, str) else ""


def message_provider(data: Mapping[str, Json]) -> dict[str, Json]:
    """Return `Message.provider` of a chat message: the fields that the API does not have, which go back as they came."""
    own = _attached(data, _MESSAGE_FIELDS)
    return {PROVIDER: own} if own else {}


def call_provider(call: Mapping[str, Json], function: Mapping[str, Json]) -> dict[str, Json]:
    """Return `ToolCall.provider` of a call and its function, as `message_provider` does."""
    own = _attached(call, _CALL_FIELDS)
    if inner := _attached(function, _FUNCTION_FIELDS):
        own = {**own, "function": inner}
    return {PROVIDER: own} if own else {}


def _attached(data: Mapping[str, Json], known: frozenset[str]) -> dict[str, Json]:
    """Return the attachment of a provider for its own use, as far as it says anything and can be sent.

    What cannot be sent within a field (half a surrogate pair, a number that no float is) costs that place, not the field with
    the signature next to it.
    """
    if known.issuperset(data):  # nearly always
        return {}
    own = {key: value for key, value in data.items() if key not in known and value}
    if is_strict(own):
        return own
    return {key: value for key, value in map(_sendable, own.items()) if is_strict([key, value])}


def _sendable(field: tuple[str, Json]) -> tuple[str, Json]:
    """Return a field whose lists and objects hold nothing that cannot be sent; one that is too deep stays as it is."""
    key, value = field
    try:
        return (key, strict_part(value)) if isinstance(value, (dict, list)) else field
    except RecursionError:
        return field


__all__ = [
    "PROVIDER",
    "UNREADABLE",
    "call_provider",
    "from_openai",
    "media_part",
    "message_provider",
    "text_of_parts",
    "to_openai",
]
