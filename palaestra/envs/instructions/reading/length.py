"""Sentences about length."""

from __future__ import annotations

import re

from palaestra.envs.instructions.reading.numbers import Bounds, bounds, plain
from palaestra.envs.instructions.reading.scopes import each_scope
from palaestra.types import Json

Typed = tuple[str, dict[str, Json]]
"""Kind and parameters."""

_UNITS = {
    "length.words": "words?",
    "length.sentences": "sentences?",
    "length.paragraphs": "paragraphs?",
    "length.characters": "characters?(?! (?:description|name))",
}


def words(text: str) -> Typed | None:
    """Read a sentence about the number of words or characters."""
    return _read("length.words", text) or _read("length.characters", text)


def sentences(text: str) -> Typed | None:
    """Read a sentence about the number of sentences."""
    return _read("length.sentences", text)


def paragraphs(text: str) -> Typed | None:
    """Read a sentence about the number of paragraphs."""
    return _read("length.paragraphs", text)


def _read(kind: str, text: str) -> Typed | None:
    clear = plain(text)
    found: Bounds | None = bounds(clear, _UNITS[kind])
    if found is None:
        return None
    scope = each_scope(clear)
    if kind == "length.characters" and (scope == "line" or re.search(r"\b(?:each|every) word\b", clear)):
        scope = "word"
    if kind == "length.sentences" and scope == "sentence":
        scope = "whole"
    return kind, {"lo": found.lo, "hi": found.hi, "scope": scope}
