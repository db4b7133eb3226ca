"""Texts that match a regular expression, drawn at random.

The expression is read by Python's own parser; what JSON Schema's dialect has and Python's lacks (classes such as
`p{L}`) is not drawn.
Look-arounds and anchors in the middle are passed over, so a drawn text has to be checked against the expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

_CATEGORIES = {
    "CATEGORY_DIGIT": "0123456789",
    "CATEGORY_SPACE": " ",
    "CATEGORY_WORD": "abcxyzABCXYZ019_",
    "CATEGORY_NOT_DIGIT": "abc -",
    "CATEGORY_NOT_SPACE": "abc12-",
    "CATEGORY_NOT_WORD": " -.",
}
_ANY = "abcdefgh 0123-"
_PRINTABLE = tuple(map(chr, range(32, 127)))
_MAX_PARTS = 20_000  # drawn parts of one text, so that repetitions of repetitions end


def draw_match(pattern: str, rng: np.random.Generator, most: int = 3) -> str | None:
    """Draw a text for a regular expression; None if it cannot be read, or asks for too long a text.

    Args:
        pattern: The expression.
        rng: Source of chance.
        most: How often more than asked for an open repetition is drawn at most.
    """
    parser: Any = import_module("re._parser")  # the standard library's own parser, for which there is no public name
    try:
        parsed = parser.parse(pattern)
    except (ValueError, RecursionError, OverflowError, parser.error):
        return None
    try:
        return _Texts(rng, most).of(parsed)
    except (_TooLong, RecursionError):
        return None


class _TooLong(Exception):
    """A text would be too long."""


class _Texts:
    """One draw.

    Args:
        rng: Source of chance.
        most: How often more than asked for an open repetition is drawn at most.
    """

    def __init__(self, rng: np.random.Generator, most: int) -> None:
        """Begin without groups."""
        self.rng = rng
        self.most = most
        self.groups: dict[int, str] = {}
        self.parts_left = _MAX_PARTS

    def of(self, parts: Sequence[tuple[Any, Any]]) -> str:
        """Draw a text for a sequence of parts."""
        return "".join(self._one(str(kind), value) for kind, value in parts)

    def _one(self, kind: str, value: Any) -> str:
        """Draw a text for one part."""
        self.parts_left -= 1
        if self.parts_left < 0:
            raise _TooLong
        if kind == "LITERAL":
            return chr(value)
        if kind == "NOT_LITERAL":
            return self._pick([char for char in _PRINTABLE if char != chr(value)])
        if kind == "ANY":
            return self._pick(_ANY)
        if kind == "IN":
            return self._pick(_members(value))
        if kind == "BRANCH":
            options = value[1]
            return self.of(options[int(self.rng.integers(len(options)))])
        if kind == "SUBPATTERN":
            number, *_, inner = value
            text = self.of(inner)
            self.groups[number] = text
            return text
        if kind == "ATOMIC_GROUP":
            return self.of(value)
        if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, inner = value
            count = int(self.rng.integers(low, min(int(high), low + self.most) + 1))
            return "".join(self.of(inner) for _ in range(min(count, 1000)))
        if kind == "GROUPREF":
            text = self.groups.get(value, "")
            self.parts_left -= len(text)
            return text
        return ""  # anchors and look-arounds

    def _pick(self, chars: Sequence[str]) -> str:
        """Draw one of some characters; nothing if there are none."""
        return chars[int(self.rng.integers(len(chars)))] if chars else ""


def _members(parts: Sequence[tuple[Any, Any]]) -> Sequence[str]:
    """Return characters of a class."""
    named = [(str(kind), value) for kind, value in parts]
    chars: list[str] = []
    for kind, value in named:
        if kind == "LITERAL":
            chars.append(chr(value))
        elif kind == "RANGE":
            chars += map(chr, range(value[0], min(value[1], value[0] + 200) + 1))
        elif kind == "CATEGORY":
            chars += _CATEGORIES.get(str(value), "")
    if named and named[0][0] == "NEGATE":
        return [char for char in _PRINTABLE if char not in chars]
    return chars


__all__ = ["draw_match"]
