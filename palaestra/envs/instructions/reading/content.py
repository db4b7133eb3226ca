"""Sentences about keywords, forbidden words, starts and ends, and punctuation."""

from __future__ import annotations

import re
from itertools import pairwise

from palaestra.envs.instructions.reading.length import Typed
from palaestra.envs.instructions.reading.numbers import bounds, plain
from palaestra.envs.instructions.reading.quotes import Quote, quotes
from palaestra.envs.instructions.reading.scopes import each_scope
from palaestra.types import Json

_MARKS = {
    "exclamation mark": "!",
    "exclamation point": "!",
    "question mark": "?",
    "full stop": ".",
    "semicolon": ";",
    "ellipsis": "...",
    "period": ".",
    "colon": ":",
    "comma": ",",
}
_MARK_NAME = re.compile(rf"\b({'|'.join(_MARKS)})s?\b")
_AVOID = re.compile(
    r"\b(?:avoid(?:s|ing)?|exclud(?:e|es|ing)|without|(?:must|should|do|does|may) not|never|cannot|don't)\b(?! exceed| only)"
)
_ENDS = re.compile(r"\b(?:end(?:s|ing|ed)?|conclud(?:e|es|ing)|finish(?:es|ing)?|terminat(?:e|es|ing))\b")
_STARTS = re.compile(r"\b(?:start|begin)(?:s|ning|ing)?\b")
_EITHER = re.compile(r"\beither\b|\b(?:1|one) of\b|\bany of\b")
_NO_MARKS = re.compile(r"\bno (?:ending |final |closing )?(?:punctuation|commas?|exclamation|question|colons?|semicolons?)\b")
_TIMES = re.compile(r"\bat least (\d{1,4}) times\b|\b(?:at least |)(once|twice|thrice)\b|\b(multiple times|repeatedly)\b")
_COUNTS = {"once": 1, "twice": 2, "thrice": 3}


def keywords(text: str) -> Typed | None:
    """Read a sentence about words that must occur, or must not."""
    found = quotes(text) or _after_colon(text)
    if not found:
        return None
    clear = plain(_blanked(text, found))
    params: dict[str, Json] = {"keywords": [quote.text for quote in found]}
    if _AVOID.search(clear):
        return "content.avoid", params
    if (typed := _counted(clear, found)) is not None:
        return typed
    joined_by_or = any(re.fullmatch(r",? or ", text[one.end : two.start]) for one, two in pairwise(found))
    params["min_count"] = _least(clear)
    params["any_of"] = joined_by_or or _EITHER.search(clear) is not None
    params["scope"] = each_scope(clear)
    return "content.keywords", params


def punctuation(text: str) -> Typed | None:
    """Read a sentence about punctuation at the end, or marks that must not occur."""
    clear = plain(text)
    marks = [_MARKS[name] for name in _MARK_NAME.findall(clear)]
    marks += [quote.text for quote in quotes(text) if re.fullmatch(r"[^\w\s]{1,3}", quote.text)]
    marks = list(dict.fromkeys(marks))
    negate = _AVOID.search(clear) is not None or _NO_MARKS.search(clear) is not None
    ends = _ENDS.search(clear) is not None
    if negate and not ends and marks:
        return "content.exclude_punctuation", {"chars": list(marks)}
    if not marks and "punctuation" in clear:
        if not ends and not negate:
            return None
        marks = ["ANY"]
    if not marks:
        return None
    return "content.ending_punctuation", {"allowed": list(marks), "negate": negate, "scope": each_scope(clear)}


def identifiers(text: str) -> Typed | None:
    """Read a sentence about how the response starts or ends, about delimiters or bullets."""
    clear = plain(text)
    if re.search(r"\b(?:no|without|avoid) bullet", clear):
        return "format.markdown", {"bullets": False}
    if re.search(r"\bbullet points?\b|\bbulleted\b", clear):
        return "format.markdown", {"bullets": True}
    found = quotes(text)
    if not found:
        return None
    scope = each_scope(clear)
    if scope == "whole" and re.search(r"\bname of\b", clear):
        return None
    params: dict[str, Json] = {"text": found[0].text} | ({} if scope == "whole" else {"scope": scope})
    if _STARTS.search(clear):
        return "content.start", params
    if _ENDS.search(clear):
        return "content.end", params
    if re.search(r"\bdelimiter|\bseparat", clear):
        stated = bounds(plain(_blanked(text, found)), "times?")
        return "content.delimiter", {
            "text": found[0].text,
            "lo": stated.lo if stated else 1,
            "hi": stated.hi if stated else None,
        }
    return None


def _counted(clear: str, found: list[Quote]) -> Typed | None:
    """Return a range of occurrences of one keyword, unless it is only a least number."""
    stated = bounds(clear, "times?") if len(found) == 1 else None
    if stated is None or (stated.hi is None and stated.lo is not None):
        return None
    return "content.repeated", {"keyword": found[0].text, "lo": stated.lo, "hi": stated.hi}


def _least(clear: str) -> int:
    match = _TIMES.search(clear)
    if match is None:
        return 1
    if match[1]:
        return max(1, int(match[1]))
    return _COUNTS[match[2]] if match[2] else 2


def _blanked(text: str, found: list[Quote]) -> str:
    """Return a sentence with its quoted texts left out, so that their words say nothing about its sense."""
    kept, at = [], 0
    for quote in found:
        kept += [text[at : quote.start], "''"]
        at = quote.end
    return "".join([*kept, text[at:]])


def _after_colon(text: str) -> list[Quote]:
    """Return the words of "keywords: river, lake and sea", which have no quotation marks."""
    match = re.search(r"\bkeywords?:\s*+(?!must|the|include)([^.;:\"']{1,200})\.?\Z", text, re.IGNORECASE)
    if match is None:
        return []
    parts = re.split(r",\s*(?:and\s+)?|\s+and\s+", match[1])
    return [Quote(part.strip(), match.start(1), match.end(1)) for part in parts if part.strip()]
