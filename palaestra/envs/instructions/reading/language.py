"""Sentences about language and letter case."""

from __future__ import annotations

import re

from palaestra.envs.instructions.reading.length import Typed
from palaestra.envs.instructions.reading.numbers import plain
from palaestra.envs.instructions.reading.scopes import marked_scope

_UPPER = re.compile(
    r"\bupper ?case\b|\ball (?:in )?(?:caps|capitals|capital letters|capitalized letters)\b|\bin capitalized form\b"
)
_LOWER = re.compile(r"\blower ?case\b|\bsmall letters\b")
_CAPITAL = re.compile(r"\bcapital|\btitle case\b")


def english(text: str) -> Typed | None:
    """Read a sentence about upper, lower or title case."""
    clear = plain(text)
    for kind, pattern in (
        ("language.uppercase", _UPPER),
        ("language.lowercase", _LOWER),
        ("language.title_case", _CAPITAL),
    ):
        if pattern.search(clear):
            return kind, {"scope": marked_scope(clear)}
    return None


def chinese(text: str) -> Typed | None:
    """Read a sentence about simplified or traditional Chinese."""
    lowered = text.lower()
    mode = "contains" if re.search(r"\b(?:contain|include)\w*\b[^.]{0,40}\bcharacters?\b|包含|含有", lowered) else "entire"
    if re.search(r"simplified|简体|簡體|简化字|簡化字", lowered):
        return "language.zh_simplified", {"mode": mode}
    if re.search(r"traditional|繁體|繁体|正體|正体", lowered):
        return "language.zh_traditional", {"mode": mode}
    return None
