"""Words by which a sentence says whether the call after it is made: one entry for each language, one field for each meaning.

A further language is a further entry of `LANGUAGES`. The items are regular expressions without regard to case; in languages
that write spaces they begin and end at words. `~` stands for some words of the same sentence. Each meaning is searched in all
languages, because a model changes its language within a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache

from palaestra.envs.formats.speech_asian import CHINESE, JAPANESE, KOREAN
from palaestra.envs.formats.speech_english import ENGLISH
from palaestra.envs.formats.speech_entry import Words
from palaestra.envs.formats.speech_european import FRENCH, GERMAN, ITALIAN, PORTUGUESE, RUSSIAN, SPANISH

LANGUAGES: Sequence[Words] = (
    ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, PORTUGUESE, CHINESE, JAPANESE, KOREAN, RUSSIAN,
    Words("ar", example=(r"مثل",), is_spaced=False, is_latin=False),
    Words("fa", example=(r"برای مثال",), is_spaced=False, is_latin=False),
)  # fmt: skip
"""All languages whose words are known."""

MEANINGS = tuple(field.name for field in fields(Words) if field.name not in ("language", "is_spaced", "is_latin"))
_SOME = r"(?!\w)[^.!?。！？\n]{0,60}?(?:(?= )|(?<!\w))"


class AnyOf:
    """The words of one meaning in all languages, to be searched like a pattern.

    There is a pattern for each language: Python searches some small ones faster than a large one, and those of other alphabets
    are passed over where a text is plain ASCII.

    Args:
        meaning: One of `MEANINGS`.
    """

    def __init__(self, meaning: str) -> None:
        """Compile the patterns."""
        latin: list[re.Pattern[str]] = []
        others: list[re.Pattern[str]] = []
        for one in LANGUAGES:
            if items := getattr(one, meaning):
                either = "|".join(items).replace("~", _SOME)
                pattern = re.compile(rf"(?<!\w)(?:{either})(?!\w)" if one.is_spaced else either, re.IGNORECASE)
                (latin if one.is_latin else others).append(pattern)
        self._latin, self._all = tuple(latin), (*latin, *others)

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        """Return a match, of the first language that has one."""
        return next(filter(None, (pattern.search(text, start) for pattern in self._patterns(text))), None)

    def match(self, text: str, start: int = 0) -> re.Match[str] | None:
        """Return a match that begins at a position."""
        return next(filter(None, (pattern.match(text, start) for pattern in self._patterns(text))), None)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """Return a match of the whole text."""
        return next(filter(None, (pattern.fullmatch(text) for pattern in self._patterns(text))), None)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Yield all matches, one language after the other."""
        for pattern in self._patterns(text):
            yield from pattern.finditer(text)

    def _patterns(self, text: str) -> tuple[re.Pattern[str], ...]:
        """Return the patterns that can fit a text."""
        return self._latin if text.isascii() else self._all


@lru_cache(maxsize=len(MEANINGS))
def words(meaning: str) -> AnyOf:
    """Return the words of one meaning.

    Args:
        meaning: One of `MEANINGS`.
    """
    return AnyOf(meaning)


__all__ = ["LANGUAGES", "MEANINGS", "AnyOf", "words"]
