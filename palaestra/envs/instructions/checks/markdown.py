"""Constraints on Markdown: headings and their levels, block quotes, bold text, bullets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from palaestra.envs.instructions.kinds import Asked, Verdict, kind
from palaestra.envs.instructions.units import headings, lines_of

_BULLET = re.compile(r"\s*+[-*+•][ \t]+\S")
_BOLD = re.compile(r"\*\*(?=\S)[^*\n]+\*\*|__(?=\S)[^_\n]+__")
_CONDITIONS = (
    "required_levels",
    "titled_heading",
    "distinct_levels",
    "max_level",
    "first_level",
    "exact_count",
    "any_heading",
    "block_quote",
    "block_quote_all",
    "bold",
    "bullets",
)
Headings = Sequence[tuple[int, str]]


@kind(
    "format.markdown",
    family="Format_Markdown",
    defaults=dict.fromkeys(_CONDITIONS),
    optional=_CONDITIONS,
    examples=[
        {"required_levels": [1, 2]},
        {"titled_heading": [2, "Summary"]},
        {"distinct_levels": [">=", 2]},
        {"max_level": 3, "first_level": 1},
        {"exact_count": [2, 3]},
        {"any_heading": True, "bullets": True, "bold": True},
        {"block_quote": True},
        {"block_quote_all": True},
        {"bullets": False},
    ],
)
def markdown(asked: Asked) -> Verdict:
    """All of the given conditions on headings, block quotes, bold text and bullets hold."""
    found = headings(asked.response, in_fences=asked.published)
    failed = [reason for name, value in asked.params.items() if (reason := _reason(name, value, found, asked.response))]
    measured: dict[str, Any] = {"levels": sorted({level for level, _ in found}), "headings": len(found)}
    return Verdict(not failed, "; ".join(failed) or "every condition on Markdown holds", measured)


def _reason(name: str, value: Any, found: Headings, response: str) -> str:
    """Return why a condition does not hold; empty if it does."""
    if name in _ON_HEADINGS:
        return _ON_HEADINGS[name](value, found)
    holds = _ON_TEXT[name](response)
    return "" if holds == value else f"{'need' if value else 'found'} {_NAMES[name]}"


def _required(levels: list[int], found: Headings) -> str:
    missing = sorted(set(levels) - {level for level, _ in found})
    return f"there is no heading of level {' or '.join(map(str, missing))}" if missing else ""


def _titled(wanted: tuple[int, str], found: Headings) -> str:
    level, title = wanted
    return "" if (level, title.strip()) in found else f"there is no heading of level {level} with the title {title!r}"


def _distinct(wanted: tuple[str, int], found: Headings) -> str:
    comparison, number = wanted
    count = len({level for level, _ in found})
    holds = {"<=": count <= number, "==": count == number, ">=": count >= number}[comparison]
    said = {"<=": "at most", "==": "exactly", ">=": "at least"}[comparison]
    return "" if holds else f"found {count} heading levels, need {said} {number}"


def _deepest(level: int, found: Headings) -> str:
    if not found:
        return f"there is no heading, and headings up to level {level} are asked for"
    deepest = max(one for one, _ in found)
    return "" if deepest <= level else f"found a heading of level {deepest}, need at most {level}"


def _first(level: int, found: Headings) -> str:
    first = found[0][0] if found else None
    return "" if first == level else f"the first heading has level {first}, need {level}"


def _exactly(wanted: tuple[int, int], found: Headings) -> str:
    level, number = wanted
    count = sum(one == level for one, _ in found)
    return "" if count == number else f"found {count} headings of level {level}, need exactly {number}"


def _any(wanted: bool, found: Headings) -> str:
    return "" if bool(found) == wanted else ("there is no heading" if wanted else f"found {len(found)} headings, need none")


def _has_line(response: str, matches: Callable[[str], object]) -> bool:
    return any(matches(line.text) for line in lines_of(response) if not line.fenced)


def _all_quoted(response: str) -> bool:
    lines = [line for line in response.split("\n") if line.strip()]
    return bool(lines) and all(line.lstrip().startswith(">") for line in lines)


_ON_HEADINGS: dict[str, Callable[[Any, Headings], str]] = {
    "required_levels": _required,
    "titled_heading": _titled,
    "distinct_levels": _distinct,
    "max_level": _deepest,
    "first_level": _first,
    "exact_count": _exactly,
    "any_heading": _any,
}
_ON_TEXT: dict[str, Callable[[str], bool]] = {
    "block_quote": lambda response: _has_line(response, lambda line: line.lstrip().startswith(">")),
    "block_quote_all": _all_quoted,
    "bold": lambda response: _has_line(response, _BOLD.search),
    "bullets": lambda response: _has_line(response, _BULLET.match),
}
_NAMES = {
    "block_quote": "a block quote",
    "block_quote_all": "every line in a block quote",
    "bold": "bold text",
    "bullets": "a bullet point",
}
