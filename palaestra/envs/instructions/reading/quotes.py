"""Texts in quotation marks in a sentence."""

from __future__ import annotations

import re
from typing import NamedTuple

_PAIRS = {"'": "'", '"': '"', "“": "”", "‘": "’", "「": "」", "『": "』", "`": "`", "«": "»"}
_SHORT = re.compile(r"(?:\b\w\.|\b[A-Z]\w{0,3})\Z")


class Quote(NamedTuple):
    """A quoted text and where it stands.

    Attributes:
        text: Without the quotation marks.
        start: Index of the opening mark.
        end: Index behind the closing mark.
    """

    text: str
    start: int
    end: int


def quotes(sentence: str) -> list[Quote]:
    """Return the quoted texts of a sentence; an apostrophe within a word closes nothing."""
    found: list[Quote] = []
    closers: dict[str, int] = {mark: sentence.rfind(mark) for mark in set(_PAIRS.values())}
    at = 0
    while at < len(sentence):
        closing = _PAIRS.get(sentence[at])
        if closing is None or closers[closing] <= at or _is_in_word(sentence, at):
            at += 1
            continue
        inner = at + 2 if sentence.startswith('""', at) else at + 1
        end = _closing(sentence, inner, closing)
        if end is None:
            closers[closing] = -1
            at += 1
            continue
        text = _without_stop(sentence[inner:end], sentence[end + 1 :])
        after = end + 2 if inner == at + 2 and sentence.startswith('""', end) else end + 1
        if text.strip():
            found.append(Quote(text.strip(), at, after))
        at = after
    return found


def _closing(sentence: str, start: int, mark: str) -> int | None:
    at = sentence.find(mark, start)
    while at != -1 and mark in "'’" and _is_in_word(sentence, at):
        at = sentence.find(mark, at + 1)
    return None if at == -1 else at


def _is_in_word(sentence: str, at: int) -> bool:
    """Whether the mark at an index is an apostrophe: a letter or digit stands on both sides."""
    if sentence[at] not in "'’" or at == 0 or at + 1 == len(sentence):
        return False
    return sentence[at - 1].isalnum() and sentence[at + 1].isalnum() and sentence[at - 1].isascii()


def _without_stop(text: str, rest: str) -> str:
    """Return a quoted text without punctuation that belongs to the sentence: 'principle.' at its end, 'Details,' within it."""
    if text.endswith(","):
        return text[:-1]
    if text.endswith(".") and not text.endswith("..") and not rest.strip(" .") and not _SHORT.search(text[:-1]):
        return text[:-1]
    return text
