"""Sentences about headings and other Markdown."""

from __future__ import annotations

import re

from palaestra.envs.instructions.reading.length import Typed
from palaestra.envs.instructions.reading.numbers import Bounds, bounds, plain
from palaestra.envs.instructions.reading.quotes import quotes
from palaestra.types import Json

# "heading levels 1 and 2" says which levels may be used, not that each must be: only the singular names a level
_LEVEL = re.compile(
    r"\blevel h?([1-6])\b|\bh([1-6])\b|\b([1-6])(?:st|nd|rd|th)? level headings?\b|(?<![#\w])(#{1,6})(?![#\w])"
)
_COUNTED_LEVELS = r"(?:heading|header)? ?levels?(?: of (?:headings?|headers?))?(?! h?\d)"
_OF_HEADINGS = re.compile(r"\b(?:headings?|headers?)\b")
_MAX_LEVEL = re.compile(r"\b(?:not exceed|up to|no deeper than|at most|maximum) (?:heading )?level (?:h)?([1-6])\b")
_FIRST = re.compile(r"\b(?:begin|start)(?:s|ning|ing)? with (?:a|an|the)? ?")
_TITLE = re.compile(r"\b(?:titled|entitled|named|called|labeled)\b\s*\Z", re.IGNORECASE)
_MAIN_AND_SUB = re.compile(r"\bmain headings?\b.*\bsub ?headings?\b")
_SECTIONS = re.compile(r"\binto sections\b")
_QUOTE = re.compile(r"\bblock ?quotes?\b")
_ALL_QUOTED = re.compile(r"\b(?:entire|entirely|whole|all|every line)\b")


def markdown(text: str) -> Typed | None:
    """Read a sentence about headings, block quotes, bold text or bullets."""
    clear = plain(text)
    params: dict[str, Json] = {}
    if _QUOTE.search(clear):
        params["block_quote_all" if _ALL_QUOTED.search(clear) else "block_quote"] = True
    elif _OF_HEADINGS.search(clear) or _LEVEL.search(clear) or _SECTIONS.search(clear):
        params |= _of_headings(text, clear)
    if re.search(r"\bbold\b", clear):
        params["bold"] = True
    if re.search(r"\bbullet points?\b|\bbullets\b", clear):
        params["bullets"] = not re.search(r"\b(?:no|without|avoid) bullet", clear)
    return ("format.markdown", params) if params else None


def _of_headings(text: str, clear: str) -> dict[str, Json]:
    """Return the conditions on headings."""
    if (match := _MAX_LEVEL.search(clear)) is not None:
        return {"max_level": int(match[1])}
    distinct, levels = bounds(clear, _COUNTED_LEVELS), _levels(clear)
    if distinct is not None and (distinct.stated or not levels):
        return {"distinct_levels": _comparison(distinct)}
    if levels:
        return _of_levels(text, clear, levels)
    if _MAIN_AND_SUB.search(clear):
        return {"distinct_levels": [">=", 2]}
    return {"any_heading": True}


def _of_levels(text: str, clear: str, levels: list[int]) -> dict[str, Json]:
    """Return the conditions of a sentence that names levels."""
    titles = [quote.text for quote in quotes(text) if _TITLE.search(text[: quote.start])]
    if titles:
        return {"titled_heading": [levels[0], titles[0]]}
    begins = _FIRST.search(clear)
    if begins is not None and _LEVEL.match(clear, begins.end()):
        return {"first_level": levels[0]}
    exact = re.search(r"\bexactly (\d{1,3}) level [1-6] headings?\b", clear)
    if exact is not None:
        return {"exact_count": [levels[0], int(exact[1])]}
    return {"required_levels": list(levels)}


def _levels(clear: str) -> list[int]:
    found = set()
    for match in _LEVEL.finditer(clear):
        for group in match.groups():
            if group:
                found.add(len(group) if group[0] == "#" else int(group))
    return sorted(found)


def _comparison(found: Bounds) -> list[Json]:
    if found.hi is None:
        return [">=", found.lo]
    if found.lo is None:
        return ["<=", found.hi]
    return ["==", found.lo] if found.lo == found.hi else [">=", found.lo]
