"""Constraints on JSON and XML: how deep, how many attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from palaestra.envs.instructions.checks.bounds import counted, range_words, within
from palaestra.envs.instructions.kinds import Asked, Verdict, kind
from palaestra.envs.instructions.units import json_of

_OPENING = re.compile(r"<[^\W\d][\w:.-]*+")
_ATTRIBUTE = re.compile(r"\s++[^\W\d][\w:.-]*+\s*+=\s*+(?:\"[^\"<]*+\"|'[^'<]*+')")
_CLOSE = re.compile(r"\s*+/?>")


@kind(
    "format.json_depth",
    family="Format_Json",
    defaults={"lo": None, "hi": None},
    examples=[{"lo": 2}, {"lo": 1, "hi": 3}],
)
def json_depth(asked: Asked) -> Verdict:
    """The JSON of the response is nested so deep; a scalar has depth 0, a container one more than what it holds."""
    try:
        value = json_of(asked.response)
    except ValueError as error:
        return Verdict(False, f"there is no JSON that can be read: {str(error)[:120]}", {})
    depth = depth_of(value, empty=0 if asked.published else 1)
    return counted(depth, asked.params, "levels of nesting")


@kind(
    "format.xml_attributes",
    family="Format_XML",
    defaults={"lo": None, "hi": None},
    examples=[{"hi": 3}, {"lo": 1, "hi": 2}],
)
def xml_attributes(asked: Asked) -> Verdict:
    """Every XML element has a number of attributes in range."""
    lo, hi = asked.params["lo"], asked.params["hi"]
    counts = [count for _, count in elements(asked.response)]
    wrong = [count for count in counts if not within(count, lo, hi)]
    measured: dict[str, Any] = {"elements": len(counts), "most": max(counts, default=0), "least": min(counts, default=0)}
    if not counts:
        return Verdict(not lo, "there is no XML element", measured)
    if wrong:
        return Verdict(False, f"an element has {wrong[0]} attributes, need {range_words(lo, hi)}", measured)
    return Verdict(True, f"each of {len(counts)} elements has as many attributes as asked", measured)


def depth_of(value: Any, empty: int = 1) -> int:
    """Return the depth of a JSON value, without recursion.

    Args:
        value: Any JSON value.
        empty: Depth that an empty list or object adds.
    """
    deepest = 0
    pending = [(value, 0)]
    while pending:
        one, depth = pending.pop()
        if isinstance(one, dict | list):
            inner = one.values() if isinstance(one, dict) else one
            deepest = max(deepest, depth + (1 if one else empty))
            pending += ((child, depth + 1) for child in inner)
    return deepest


def elements(text: str) -> Iterator[tuple[str, int]]:
    """Yield name and number of attributes of every opening or self-closing XML tag."""
    at = 0
    while (match := _OPENING.search(text, at)) is not None:
        at, count = match.end(), 0
        while (attribute := _ATTRIBUTE.match(text, at)) is not None:
            at, count = attribute.end(), count + 1
        if (closing := _CLOSE.match(text, at)) is not None:
            at = closing.end()
            yield match[0][1:], count
