"""Constraints on length: words, sentences, paragraphs, characters."""

from __future__ import annotations

import re
from collections.abc import Callable

from palaestra.envs.instructions.checks.bounds import counted, each, range_words, within
from palaestra.envs.instructions.kinds import Asked, Verdict, kind
from palaestra.envs.instructions.units import paragraphs, sentences, units
from palaestra.envs.instructions.words import published_word_count, word_count

_END_MARK = re.compile(r"[.!?]")
_RANGE = {"lo": None, "hi": None, "scope": "whole"}


@kind(
    "length.words",
    family="Length_Words",
    defaults=_RANGE,
    examples=[{"lo": 20, "hi": 50}, {"hi": 10, "scope": "cell"}],
)
def words(asked: Asked) -> Verdict:
    """The number of words lies in a range."""
    return _count(asked, published_word_count if asked.published else word_count, "words")


@kind(
    "length.sentences",
    family="Length_Sentences",
    defaults=_RANGE,
    examples=[{"lo": 3}, {"lo": 1, "hi": 2, "scope": "para"}],
)
def count_sentences(asked: Asked) -> Verdict:
    """The number of sentences lies in a range."""
    return _count(asked, terminated_count if asked.published else lambda part: len(sentences(part)), "sentences")


@kind(
    "length.paragraphs",
    family="Length_Paragraphs",
    defaults=_RANGE,
    examples=[{"lo": 2, "hi": 4}],
)
def count_paragraphs(asked: Asked) -> Verdict:
    """The number of paragraphs lies in a range; blank lines separate them."""
    return _count(asked, lambda part: len(paragraphs(part)), "paragraphs")


@kind(
    "length.characters",
    family="Length_Words",
    defaults=_RANGE,
    examples=[{"hi": 280}, {"hi": 12, "scope": "word"}],
)
def characters(asked: Asked) -> Verdict:
    """The number of characters lies in a range, blanks at both ends aside."""
    return _count(asked, lambda part: len(part.strip()), "characters")


def terminated_count(text: str) -> int:
    """Return the number of sentences as the published checker counts: stretches of text up to one of `.!?`."""
    return sum(1 for stretch in _END_MARK.split(text)[:-1] if stretch)


def _count(asked: Asked, count: Callable[[str], int], noun: str) -> Verdict:
    scope, lo, hi = asked.params["scope"], asked.params["lo"], asked.params["hi"]
    if scope == "whole":
        return counted(count(asked.response), asked.params, noun)
    wanted = f"must have {range_words(lo, hi)} {noun}"
    return each(units(asked.response, scope), scope, lambda part: within(count(part), lo, hi), wanted)
