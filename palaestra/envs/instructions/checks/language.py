"""Constraints on language: upper, lower and title case, simplified and traditional Chinese."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from palaestra.envs.instructions.checks.bounds import each
from palaestra.envs.instructions.chinese import SIMPLIFIED, TRADITIONAL
from palaestra.envs.instructions.kinds import Asked, Verdict, kind
from palaestra.envs.instructions.units import json_of, lines_of, units
from palaestra.envs.instructions.words import cjk_count
from palaestra.types import Json

_ADDRESS = re.compile(r"(?i)\W*+(?:https?://|ftp://|mailto:|www\.)")
_TAG = re.compile(r"<[^<>]*+>")
_MARKS = re.compile(r"[\W_]*+")
_LOWER = re.compile(r"[a-z]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")
_WHOLE: dict[str, Any] = {"scope": "whole"}


@kind("language.uppercase", family="Language_English", defaults=_WHOLE, examples=[{}, {"scope": "headings"}])
def uppercase(asked: Asked) -> Verdict:
    """No letter is in lowercase."""
    return _case(asked, lambda part: bool(part) and part == part.upper(), "uppercase")


@kind("language.lowercase", family="Language_English", defaults=_WHOLE, examples=[{}, {"scope": "json_keys"}])
def lowercase(asked: Asked) -> Verdict:
    """No letter is in uppercase."""
    return _case(asked, lambda part: bool(part) and part == part.lower(), "lowercase")


@kind("language.title_case", family="Language_English", defaults=_WHOLE, examples=[{}, {"scope": "cell"}])
def title_case(asked: Asked) -> Verdict:
    """No word starts with a lowercase letter; code, addresses and markup are left out."""
    scope = asked.params["scope"]
    find = _published_small_words if asked.published else _small_words
    if scope != "whole":
        parts = units(asked.response, scope)
        return each(parts, scope, lambda part: not find(part), "must start every word with a capital letter")
    if not asked.response.strip():
        return Verdict(False, "the response is empty", {"small": 0})
    small = find(asked.response)
    if small:
        return Verdict(False, f"{len(small)} words start with a small letter, first {small[0][:40]!r}", {"small": len(small)})
    return Verdict(True, "no word starts with a small letter", {"small": 0})


@kind(
    "language.zh_simplified",
    family="Language_Chinese",
    defaults={"mode": "entire"},
    examples=[{}, {"mode": "contains"}],
)
def zh_simplified(asked: Asked) -> Verdict:
    """The response is in simplified Chinese, or has some."""
    return _chinese(asked, "simplified", SIMPLIFIED, TRADITIONAL)


@kind(
    "language.zh_traditional",
    family="Language_Chinese",
    defaults={"mode": "entire"},
    examples=[{}, {"mode": "contains"}],
)
def zh_traditional(asked: Asked) -> Verdict:
    """The response is in traditional Chinese, or has some."""
    return _chinese(asked, "traditional", TRADITIONAL, SIMPLIFIED)


def _case(asked: Asked, meets: Callable[[str], bool], name: str) -> Verdict:
    scope = asked.params["scope"]
    if scope != "whole":
        return each(units(asked.response, scope), scope, meets, f"must be in {name}")
    if not asked.response:
        return Verdict(False, "the response is empty", {})
    passed = meets(asked.response)
    return Verdict(passed, f"the response is {'' if passed else 'not '}in {name} throughout", {})


def _small_words(text: str) -> list[str]:
    """Return the words that start with a small letter, without code, addresses, markup and JSON."""
    if _is_json(text):
        return []
    prose = "\n".join(line.text for line in lines_of(text) if not line.fenced)
    words = (word for word in _TAG.sub(" ", prose).split() if not _ADDRESS.match(word))
    return [word for word in words if _starts_small(word)]


def _published_small_words(text: str) -> list[str]:
    return [word for word in text.split() if _LOWER.match(word)]


def _starts_small(word: str) -> bool:
    at = _MARKS.match(word).end()  # type: ignore[union-attr]  # matches every word
    return at < len(word) and word[at].islower()


def _is_json(text: str) -> bool:
    stripped = text.strip()
    if stripped[:1] + stripped[-1:] not in ("{}", "[]"):
        return False
    try:
        return isinstance(json_of(text), dict | list)
    except ValueError:
        return False


def _chinese(asked: Asked, name: str, own: frozenset[str], other: frozenset[str]) -> Verdict:
    used = set(asked.response)
    num_own, num_other = len(used & own), len(used & other)
    measured: dict[str, Json] = {"own": num_own, "other": num_other}
    if asked.params["mode"] == "contains":
        return Verdict(num_own > 0, f"found {num_own} characters that are only {name}", measured)
    if _LATIN.search(asked.response):
        return Verdict(False, f"found Latin letters, need {name} Chinese throughout", measured)
    if num_other:
        return Verdict(False, f"found {num_other} characters that are not {name}", measured)
    return Verdict(bool(cjk_count(asked.response)), f"Chinese, and no character that is not {name}", measured)
