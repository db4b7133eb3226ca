"""What texts and plain data hold: words, values, values behind an encoding, and the values that an action names."""

from __future__ import annotations

import base64
import binascii
import codecs
import contextlib
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from palaestra.envs.formats.hermes import parse_message
from palaestra.types import Message, ToolResult

_WORD = re.compile(r"[^\W_]+(?:[.:'@-][^\W_]+)*")
_JOINT = re.compile(r"[\W_]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}\Z")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){4,}\Z")
_QUOTED = re.compile(r"'([^'\n]{1,80})'|\"([^\"\n]{1,80})\"")
_MAX_TEXT = 200_000  # characters that are searched
_MAX_DEPTH = 20
_DECODED, _GUESS = 4, 6
"""Levels that an encoding counts for, and one that any text may be in, so that few are looked for within each other."""
_GUESSES = ("reversed", "rot13")
MAX_COMMAND = 8  # words of a short command


class Leaf(NamedTuple):
    """A value at the end of a path through plain data, e.g. `task.data.answer`; `info.blob (base64)` was decoded first."""

    path: str
    value: str


def words(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case; times, dates and addresses are one word."""
    return _WORD.findall(text[:_MAX_TEXT].casefold())


def normal(text: str) -> str:
    """Return a text without case, punctuation at the ends of words and spacing."""
    return " ".join(words(text))


def contains(text: str, value: str) -> bool:
    """Whether a normal text holds a normal value as a stretch of whole words, whatever joins them."""
    if not value:
        return False
    return f" {value} " in f" {text} " or (value[:3] in text and f" {_apart(value)} " in f" {_apart(text)} ")


@lru_cache(maxsize=256)  # one text is asked for many values in a row
def _apart(text: str) -> str:
    """Return a normal text with all of its words apart."""
    return _JOINT.sub(" ", text)


def leaves(data: Any, path: str = "", depth: int = 0, *, decode: bool = True) -> Iterator[Leaf]:
    """Yield all values in data with their paths, values behind base64, hex, JSON, compression or reversal too.

    Args:
        data: Plain data, messages, tool results, objects with fields, bytes.
        path: Path of `data` itself.
        depth: How deep it lies; what lies too deep is left out.
        decode: Whether to look behind encodings; otherwise texts are taken as they are, and bytes are left out.
    """
    if depth > _MAX_DEPTH or data is None or isinstance(data, bool):
        return
    if isinstance(data, str):
        yield Leaf(path, data)
        for leaf in _behind(data, depth) if decode else ():
            yield Leaf(f"{path}{leaf.path}", leaf.value)
    elif isinstance(data, (bytes, bytearray)):
        if decode:
            yield from _bytes_leaves(bytes(data), path, depth)
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key), depth + 1, decode=decode)
    elif isinstance(data, (list, tuple, set, frozenset)) and not hasattr(data, "_fields"):
        items = sorted(data, key=repr) if isinstance(data, (set, frozenset)) else data
        for index, value in enumerate(items):
            yield from leaves(value, f"{path}.{index}", depth + 1, decode=decode)
    elif isinstance(data, (Message, ToolResult)):
        yield from leaves(data.to_json(), path, depth, decode=decode)
    elif isinstance(data, (int, float)):
        if math.isfinite(data):
            yield Leaf(path, f"{data:g}" if isinstance(data, float) else str(data))
    else:
        fields = getattr(data, "_asdict", None)
        held = fields() if callable(fields) else getattr(data, "__dict__", None)
        yield from leaves(held if isinstance(held, dict) else str(data), path, depth + 2, decode=decode)


def _behind(text: str, depth: int) -> tuple[Leaf, ...]:
    """Return the values behind a text, with their paths from there; short texts come again in every task, and are kept."""
    return _kept_behind(text, depth) if len(text) <= _KEPT else _looked_behind(text, depth)


def _looked_behind(text: str, depth: int) -> tuple[Leaf, ...]:
    """Look behind a text that stands so deep."""
    found = _decoded(text)
    return tuple(
        leaf for how, inner in found for leaf in leaves(inner, f" ({how})", depth + (_GUESS if how in _GUESSES else _DECODED))
    )


_KEPT = 2000  # characters
_kept_behind = lru_cache(maxsize=8192)(_looked_behind)


def _bytes_leaves(data: bytes, path: str, depth: int) -> Iterator[Leaf]:
    """Yield the values in bytes that are a text, perhaps compressed."""
    for inner in (data, _inflated(data)):
        with contextlib.suppress(UnicodeDecodeError):
            if inner:
                yield from leaves(inner.decode(), f"{path} (bytes)", depth + 1)


def _decoded(text: str) -> Iterator[tuple[str, Any]]:
    """Yield what a text stands for where it is an encoding of something readable."""
    stripped = text.strip()
    if not 4 <= len(stripped) <= _MAX_TEXT:
        return
    if stripped[0] in '{["' and stripped[-1] in '}]"':
        with contextlib.suppress(ValueError, RecursionError):
            yield "JSON", json.loads(stripped)
            return
    if _HEX.match(stripped) and (found := _readable(bytes.fromhex(stripped))):
        yield "hex", found
    if _BASE64.match(stripped):
        with contextlib.suppress(ValueError, binascii.Error):
            padded = stripped.rstrip("=").translate(str.maketrans("-_", "+/"))
            if found := _readable(base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)):
                yield "base64", found
    if len(stripped) <= 200 and any(letter.isalpha() for letter in stripped):
        yield "reversed", stripped[::-1]
        yield "rot13", codecs.encode(stripped, "rot13")


def _readable(data: bytes) -> str:
    """Return the printable text that bytes are, perhaps compressed; empty if they are none."""
    for inner in (data, _inflated(data)):
        with contextlib.suppress(UnicodeDecodeError):
            text = inner.decode()
            if len(text) >= 3 and all(letter.isprintable() or letter.isspace() for letter in text):
                return text
    return ""


def _inflated(data: bytes) -> bytes:
    """Return the contents of compressed bytes; nothing if they are not compressed."""
    for bits in (15, 31):
        with contextlib.suppress(zlib.error):
            return zlib.decompressobj(bits).decompress(data, _MAX_TEXT)
    return b""


def values_of(action: Any) -> list[str]:
    """Return the values that an action names, as normal texts: arguments of its calls, else quoted parts and the whole.

    Names of tools are not values: the tools are known to everybody.
    """
    message = action if isinstance(action, Message) else parse_message(str(action))
    found: list[str] = []
    for call in message.tool_calls:
        found += [normal(leaf.value) for leaf in leaves(call.arguments, decode=False)]
    content = message.content.strip()
    if content and not message.tool_calls:
        found.append(normal(content))
        found += [normal(a or b) for a, b in _QUOTED.findall(content)]
        found += _arguments(content)
    return [value for value in dict.fromkeys(found) if value]


def _arguments(content: str) -> list[str]:
    """Return the words after the verb of a short command, and its last word."""
    parts = words(content)
    return [" ".join(parts[1:]), parts[-1]] if 1 < len(parts) <= MAX_COMMAND else []


def excerpt(text: str, value: str = "", *, width: int = 120) -> str:
    """Return a short part of a text, around a value if it is found there."""
    flat = " ".join(text.split())
    at = flat.casefold().find(value.casefold()) if value else 0
    start = max(0, at - width // 2)
    part = flat[start : start + width]
    return ("..." if start else "") + part + ("..." if start + width < len(flat) else "")


__all__ = ["Leaf", "contains", "excerpt", "leaves", "normal", "values_of", "words"]
