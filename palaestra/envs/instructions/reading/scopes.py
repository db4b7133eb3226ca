"""Which part of a response a sentence is about: "each cell", "every paragraph", "all headings"."""

from __future__ import annotations

import re

_PARTS: tuple[tuple[str, str], ...] = (
    ("json_keys", r"\bjson keys?\b|\bkeys? (?:of|in) the json\b"),
    ("json_values", r"\bjson values?\b|\bvalues? (?:of|in) the json\b"),
    ("table_header", r"\btable headers?\b|\bcolumn (?:headers?|names|titles)\b|\bheader row\b"),
    ("cell", r"\bcells?\b|\b(?:entry|entries|items?|words?|text) in the table\b|\btable entries\b"),
    ("headings", r"\bheadings?\b|\bheaders?\b|\b(?:section|chapter) titles?\b"),
)
_EACH: tuple[tuple[str, str], ...] = (
    ("sentence", r"\bsentences?\b"),
    ("para", r"\b(?:paragraphs?|sections?|parts?|scenes?|slides?)\b"),
    ("bullet", r"\b(?:bullet(?: point)?s?|items?|entry|entries|points?|branch(?:es)?|steps?)\b"),
)
_EACH_PHRASE = re.compile(r"\b(?:each|every)\b(?! word\b)([^,.;:]{1,40})")
_FORMED_PARTS = [(scope, re.compile(pattern)) for scope, pattern in _PARTS]
_FORMED_EACH = [(scope, re.compile(pattern)) for scope, pattern in _EACH]


def marked_scope(plain_text: str) -> str:
    """Return the scope that a sentence names by a part with a mark of its own (table, JSON, heading); else "whole"."""
    return next((scope for scope, pattern in _FORMED_PARTS if pattern.search(plain_text)), "whole")


def each_scope(plain_text: str) -> str:
    """Return the scope of a sentence with "each" or "every"; else "whole".

    Parts without a mark of their own ("each definition", "every question") are taken to be lines.
    """
    match = _EACH_PHRASE.search(plain_text)
    if match is None:
        return "whole"
    phrase = re.split(
        r" (?:must|should|to|is|are|has|have|with|contains?|includes?|ends?|concludes?|that|which|consists?)\b", match[1]
    )[0]
    for scope, pattern in (*_FORMED_PARTS, *_FORMED_EACH):
        if pattern.search(phrase) or (scope == "cell" and re.search(r"\btable\b", plain_text) and "entr" in phrase):
            return scope
    return "line"
