"""Words: counting them, in Chinese and Japanese too, and finding keywords."""

from __future__ import annotations

import re
from functools import lru_cache

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Ranges of a character class: kana and Chinese characters."""

_CJK = re.compile(f"[{CJK}]")
_LETTER = re.compile(r"[^\W\d_]")
_CJK_MARKS = re.compile("[\u3000-\u303f\uff00-\uffef]")


def cjk_count(text: str) -> int:
    """Return the number of kana and Chinese characters."""
    return 0 if text.isascii() else len(_CJK.findall(text))


def word_count(text: str) -> int:
    """Return the number of words.

    Words are separated by blanks. If more than half of the letters are kana or Chinese characters, each of those counts as a
    word, and so does each run of other characters between them that has a letter or a digit.
    """
    cjk = cjk_count(text)
    if cjk and cjk * 2 > len(_LETTER.findall(text)):
        return cjk + len(_words_between(text))
    return len(text.split())


def published_word_count(text: str) -> int:
    """Return the number of words as the published checker counts: Chinese characters alone as soon as there is one."""
    return cjk_count(text) or len(text.split())


def occurrences(keyword: str, text: str) -> int:
    """Return how often a keyword occurs, without regard to case.

    A keyword with kana or Chinese characters is looked for anywhere; another one has no letter, digit or `_` before or after.
    """
    return len(_pattern(keyword).findall(text))


@lru_cache(maxsize=4096)
def _pattern(keyword: str) -> re.Pattern[str]:
    escaped = re.escape(keyword)
    return re.compile(escaped if _CJK.search(keyword) else rf"(?<!\w){escaped}(?!\w)", re.IGNORECASE)


def _words_between(text: str) -> list[str]:
    """Return the words of other scripts in a text with Chinese characters."""
    parts = _CJK_MARKS.sub(" ", _CJK.sub(" ", text)).split()
    return [part for part in parts if re.search(r"\w", part)]
