"""Whether a call that stands in a text is made there, or only spoken of.

    I look for it.                      As an example:                    I called search_notes(query="x") twice.
    search_notes(query="x")             search_notes(query="x")           There is no such note.
    -> made                             -> in doubt                       -> spoken of

`is_made` judges calls that stand on lines of their own, `manner` one that may stand inside of a sentence. Words decide, those
of English; where a text is written in another language, what its marks of punctuation tell. The doubt goes against acting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from palaestra.envs.formats.call_values import end_of_line

Manner = Literal["free", "announced", "spoken"]

LABELS = frozenset(
    re.findall(
        r"\w+",
        "tool tools function functions functools action actions call calls command name json python xml yaml code assistant "
        "commentary analysis final observation response invoke api to args arguments argument parameters parameter params "
        "input inputs use execute execution run request requests await print return const var result sep role plugin",
    )
)
"""Words that name a call or its parts and say nothing about it."""

_WINDOW = 600  # characters around a call that are looked at
_FRAME = re.compile(r"<[^<>\n]{0,80}>|(?:`{3,}|~{3,})[^\n`]*")
_WORD = re.compile(r"[^\W\d_]+")
_END = re.compile(r"(?<=[.!?…。！？])[\s\"')\]*]+|(?<=[。！？…])|\n+")
_CLOSED = re.compile(r"[.!?…。！？][\s\"')\]*_]*\Z")
_QUOTED = re.compile(r"[`\"'“‘«]\Z")

_EXAMPLE = re.compile(
    r"\b(?:examples?|e\.g|for instance|such as|hypothetical(?:ly)?|illustrat\w+|samples?|templates?|syntax|quot\w+"
    r"|cit(?:e[sd]?|ing)|for reference|placeholders?|imagine|suppos\w+|zum beispiel|beispiel\w*|par exemple"
    r"|por ejemplo|por exemplo|per esempio|например)\b|例|比如|譬如|예를|مثل",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|never|without|instead|rather than|avoid\w*|cannot|neither|nor|refus\w+|refrain\w*|forbidden|wrong)\b|n['’]t\b",
    re.IGNORECASE,
)
_REPORT = re.compile(
    r"\b(?:\w{2,}ed|was|were|been|did|done|had|has|have|ran|made|wrote|written|sent|gave|given|got|found|said|saw|seen|told|took|"
    r"taken|shown|went|began|begun|chose|kept|left|already|previous(?:ly)?|earlier|before|above|you|yours?|would"
    r"|could|might|may|can|if|when|whenever|whether|how|what)\b",
    re.IGNORECASE,
)
_NOW = r"(?:now|first|then|next|also|just|still|therefore|quickly|again)[ ,]+"
_ANNOUNCES = re.compile(
    rf"\bI(?:['’]ll|\s+(?:{_NOW})*(?:will|shall|must|should|need to|have to|want to|am going to|start|begin|look|check|search"
    r"|call|use|try|run|add|get|find|see|make|ask|invoke|execute|query))\b"
    r"|\b(?:I(?:['’]m| am)|we(?:['’]re| are))\s+(?:now\s+|going to\s+)?\w+ing\b|\bwe (?:will|need to|should|must)\b"
    r"|\blet(?:['’]s| me(?! know)| us)\b|\b(?:now|next|first|then|finally)[ ,]+(?:call|use|run|invoke|search|check|look)\b"
    r"|\A\W*(?:calling|using|searching|checking|looking|trying|running|fetching|finding|getting|adding|creating|deleting"
    r"|invoking|executing|step \d+)\b|\bhere (?:is|are) my (?:(?:tool|function) )?calls?\b"
    r"|\bich (?:suche|rufe|werde|sehe|schaue|lese|frage)\b|\blass(?:t|en Sie)? (?:mich|uns)\b|\bje (?:vais|cherche|lance)\b"
    r"|\blaissez-moi\b|\bvoy a\b|\bdéjame\b|\bvou\b|我(?:来|将|会|先|要|需要)|让我|接下来|首先|しましょう|します",
    re.IGNORECASE,
)
_SAYING = re.compile(
    rf"\s*(?:{_NOW})*(?:show|tell|report|summari[sz]e|explain|repeat|recap|describe|mention|say|remind|quote|recall"
    r"|point out)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|once|when|unless|until|after|as soon as) (?:you|they|he|she|Mara)\b", re.IGNORECASE)
_ASKS = re.compile(r"[?？][\s\"')\]*_]*\Z")
_ASIDE = re.compile(
    r"\W*(?:ok(?:ay)?|sure|alright|right|yes|yeah|well|understood|great|of course|certainly|h+m+)\W*", re.IGNORECASE
)
_QUOTES = re.compile(r"(?:<!--|(?<!\S)(?:[\"“„«|]|#{1,6}|'{3}))\s*(?:functions?\s*)?\Z")
_QUOTE_ENDS = frozenset("-\"“„«|#'ns")  # what these begin or end with
_GOES_ON = re.compile(r"\s*[.\[;:)]{1,3}\s?\w{1,60}\(")
_SPOKEN = re.compile(f"{_EXAMPLE.pattern}|{_NEGATION.pattern}|{_REPORT.pattern}", re.IGNORECASE)


def has_words(text: str) -> bool:
    """Return whether a text says anything: tags, fences, punctuation and words like "Action" do not."""
    if "<" in text or "`" in text or "~" in text:
        text = _FRAME.sub(" ", text)
    return any(word[0].lower() not in LABELS for word in _WORD.finditer(text))


def is_made(before: Sequence[str], after: str, *, labelled: bool = False) -> bool:
    """Return whether calls that stand on lines of their own are made.

    Args:
        before: What stands before each of them since the last.
        after: What stands after the last; a call that is made is the last thing that is said.
        labelled: Whether the marks of a syntax or a word like "Action:" say that a call follows.
    """
    return not has_words(after) and all(_introduces(text, labelled=labelled) for text in before)


def speaks_of(before: Sequence[str], after: str) -> bool:
    """Return whether the words around calls in the canonical form quote, deny, exemplify or report them.

    Args:
        before: What stands before each of them since the last.
        after: What stands after the last.
    """
    if after and not after.isspace() and _SPOKEN.search(after) and has_words(after):
        return True
    return not all(_introduces(text, labelled=True) for text in before)


def manner(text: str, start: int, end: int) -> Manner:
    """Return how a part of a text that has the shape of a call is meant.

    Args:
        text: All of it.
        start: Where the call begins.
        end: Where it ends.

    Returns:
        "free" where no words stand in its sentence, "announced" where they announce it or leave it open, and "spoken" where
        they report, deny or quote it or go on after it.
    """
    line = text.rfind("\n", 0, start) + 1
    stop = end_of_line(text, end)
    if text[line:start].lstrip().startswith(">") and has_words(text[stop : stop + _WINDOW]):
        return "spoken"  # a quotation, and words on it
    before = _END.split(_FRAME.sub(" ", text[max(line, start - _WINDOW) : start]))[-1]
    after = _END.split(_FRAME.sub(" ", text[end : min(stop, end + _WINDOW)]), maxsplit=1)[0]
    if not has_words(before) and _GOES_ON.match(text, end):
        return "free"  # code goes on
    announces = _announcement(before)
    if announces is not None:
        return "announced" if announces else "spoken"
    if _SPOKEN.search(before) or has_words(after):
        return "spoken"
    if not has_words(before):
        return "free"
    return "spoken" if _QUOTED.search(before.rstrip("([{*")) else "announced"


def _introduces(text: str, *, labelled: bool) -> bool:
    """Return whether what stands before a call leads to it."""
    if "<" in text or "`" in text or "~" in text:
        text = _FRAME.sub(" ", text)
    if not text or text.isspace():
        return True
    if text.rstrip()[-1] in _QUOTE_ENDS and _QUOTES.search(text[-_WINDOW:]):
        return False
    sentence = next((part for part in reversed(_END.split(text[-_WINDOW:])) if has_words(part)), "")
    if not sentence:
        return True
    if labelled and _CLOSED.search(sentence) and not (_SPOKEN.search(sentence) or _ASKS.search(sentence)):
        return True
    if _EXAMPLE.search(sentence) or _ASKS.search(sentence):
        return False
    announces = _announcement(sentence)
    if announces is not None:
        return announces
    is_closed = _CLOSED.search(sentence) is not None
    if labelled and is_closed:  # a statement, after which the marks say that a call follows
        return True
    if _NEGATION.search(sentence) or _REPORT.search(sentence):
        return False
    # a sentence that goes on into the call is about it
    return (is_closed or _ASIDE.fullmatch(sentence) is not None) and not _EXAMPLE.search(text[-4000:])


def _announcement(sentence: str) -> bool | None:
    """Return whether a sentence announces a call, False where it denies one or announces words; None if it does neither."""
    found = next(reversed(list(_ANNOUNCES.finditer(sentence))), None)
    if found is None:
        return None
    if _EXAMPLE.search(sentence) or _NEGATION.search(sentence, found.start()) or _CONDITION.search(sentence):
        return False
    return _SAYING.match(sentence, found.end()) is None


__all__ = ["LABELS", "Manner", "has_words", "is_made", "manner", "speaks_of"]
