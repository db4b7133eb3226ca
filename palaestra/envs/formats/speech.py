"""Whether a call that stands in a text is made there, or only spoken of.

    I look for it.                      As an example:                    I called search_notes(query="x") twice.
    search_notes(query="x")             search_notes(query="x")           There is no such note.
    -> made                             -> in doubt                       -> spoken of

The rule, by what the sentences right before a call do:

- A sentence that **asks leave or waits** ("Please confirm the following call:") holds all calls after it, whatever follows it.
- The last sentence that takes a stance decides. One that **refuses** ("I won't run this."), **warns** ("This looks like a
  prompt injection."), gives the call to **somebody else** ("The note tells me to run this.", "The document says:"), reports or
  exemplifies it, asks a question or makes it depend on something means that it is not made. One that **announces** an act
  ("I couldn't find it. Let me try:") means that it is, also after one that refused something else.
- Without a stance, a whole sentence is narration ("The first note is irrelevant.") and the call is made; words that go on into
  the call ("The call in question:") are about it.

`is_made` judges calls that stand on lines of their own, `manner` one that may stand inside of a sentence. Words decide
(`speech_words.py` has them by meaning, for ten languages); in other languages, what marks of punctuation tell. The doubt goes
against acting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from palaestra.envs.formats.call_values import end_of_line
from palaestra.envs.formats.speech_words import words

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
_EXAMPLES = 4000  # characters before a call in which a word says that examples follow
_SENTENCES = 4  # of those before a call, the last that are looked at
_FRAME = re.compile(r"<[^<>\n]{0,80}>|(?:`{3,}|~{3,})[^\n`]*")
_WORD = re.compile(r"[^\W\d_]+")
_END = re.compile(r"(?<=[.!?…。！？])[\s\"')\]*]+|(?<=[。！？…])|\n+")
_CLOSED = re.compile(r"[.!?…。！？][\s\"')\]*_]*\Z")
_QUOTED = re.compile(r"[`\"'“‘«]\Z")
_ASKS = re.compile(r"[?？][\s\"')\]*_]*\Z")

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
_OPEN = re.compile(r"\b(?:you|yours?|would|could|might|may|if|whenever|whether|how)\b", re.IGNORECASE)
_ACTS = re.compile(
    r"\A\W*(?!(?:noth|someth|everyth|anyth|accord|dur|regard|concern|follow|pend|await|wait|hold|paus|refus|declin|ignor|stopp"
    r"|miss|exist|includ|be|warn|mean)ing\b)[a-z]{2,20}ing\b",
    re.IGNORECASE,
)
_GOES_ON_TO = re.compile(
    r"[,;:–—-] (?:so |now |then |and )*(?!(?:accord|includ|hav|be|mean)ing\b)[a-z]{2,20}ing\b", re.IGNORECASE
)
_ASIDE = re.compile(
    r"\W*(?:ok(?:ay)?|sure|alright|right|yes|yeah|well|understood|great|of course|certainly|h+m+|,? ?here (?:you|we) go"
    r"|here(?: is|['’]s) (?:the|my) (?:tool |function )?call)*\W*",
    re.IGNORECASE,
)
_TICK = re.compile(r"(?:[✔✓✅☑🗸✗✘❌]\ufe0f?|\[[xX]\])[ \t]{0,3}[*`_]{0,3}\Z")
_ITEM = re.compile(r"(?:\A|(?<=\s))(?:[-*•+]|\(?\d{1,3}[.)])[ \t]{1,3}[*`_]{0,3}\Z")
_ITEM_LINE = re.compile(r"[ \t]*(?:[-*•+]|\(?\d{1,3}[.)])[ \t]")
_RESULT = re.compile(r"[`*_]{0,3}[ \t]*(?::|=>|->|→|[–—-] )[ \t]*\S")
_DONE = re.compile(r"\b(?:\w{2,}ed|done|made|taken|ran|went|gone|deleted|sent|written|found|gave|got)\b", re.IGNORECASE)
_ASIDE_OPENS = re.compile(r"\w[^\n(]{0,200}\s\(\s*\Z")
_QUOTES = re.compile(r"(?:<!--|(?<!\S)(?:[\"“„«|]|#{1,6}|'{3}))\s*(?:functions?\s*)?\Z")
_QUOTE_ENDS = frozenset("-\"“„«|#'ns")  # what these begin or end with
_GOES_ON = re.compile(r"\s*[.\[;:)]{1,3}\s?\w{1,60}\(")


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
    return not has_words(after) and all(_leads_to_call(text, labelled=labelled) for text in before)


def speaks_of(before: Sequence[str], after: str) -> bool:
    """Return whether the words around calls in the canonical form say that they are not made.

    Args:
        before: What stands before each of them since the last.
        after: What stands after the last.
    """
    if after and not after.isspace() and has_words(after) and _takes_back(after):
        return True
    return not all(_leads_to_call(text, labelled=True) for text in before)


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
    if _TICK.search(text[line:start]):
        return "spoken"  # it is done
    if not has_words(before):
        if _GOES_ON.match(text, end):
            return "free"  # code goes on
        return "spoken" if has_words(after) or _is_in_report(text, line, start, end) else "free"
    announces = False if _holds(before) else _stance(before)
    if announces is not None:
        return "announced" if announces else "spoken"
    if _is_spoken(before) or has_words(after):
        return "spoken"
    return "spoken" if _ASIDE_OPENS.search(before) or _QUOTED.search(before.rstrip("([{*")) else "announced"


def announces(text: str, start: int, end: int) -> bool:
    """Return whether the sentence that a part of a text stands in announces an act of the speaker.

    Args:
        text: All of it.
        start: Where the part begins.
        end: Where it ends.
    """
    line = text.rfind("\n", 0, start) + 1
    before = _END.split(_FRAME.sub(" ", text[max(line, start - _WINDOW) : start]))[-1]
    after = _END.split(_FRAME.sub(" ", text[end : min(end_of_line(text, end), end + _WINDOW)]), maxsplit=1)[0]
    sentence = f"{before}{text[start:end]}{after}"
    if _ASKS.search(sentence) or _holds(sentence) or words("reports").search(sentence):
        return False
    # verbs stand at the end in Japanese and Korean
    return _stance(sentence) is True if not sentence.isascii() else _stance(before) is True and _stance(sentence) is not False


def _is_in_report(text: str, line: int, start: int, end: int) -> bool:
    """Return whether a call is an item of a list that reports what was done: its result, its heading or the end say so."""
    if not _ITEM.search(text[max(line, start - 20) : start]):
        return False
    if _RESULT.match(text, end):
        return True
    above = [
        part for part in text[max(0, line - _WINDOW) : line].split("\n") if has_words(part) and not _ITEM_LINE.match(part)
    ]
    below = [part for part in _END.split(text[end : end + _WINDOW]) if has_words(part) and not _ITEM_LINE.match(part)]
    return any(_is_report(sentence.rpartition(")")[2]) for sentence in (*above[-1:], *below[-1:]))


def _is_report(sentence: str) -> bool:
    """Return whether a sentence says that something was done, and announces nothing."""
    if _holds(sentence) or _stance(sentence) is not None:
        return False
    return _DONE.search(sentence) is not None or words("reports").search(sentence) is not None


def _leads_to_call(text: str, *, labelled: bool) -> bool:
    """Return whether what stands before a call leads to it."""
    if "<" in text or "`" in text or "~" in text:
        text = _FRAME.sub(" ", text)
    text = text.strip()
    if text.rfind("<!--") > text.rfind("-->"):
        return False  # it stands in a comment
    return not text or _introduces(text[-_EXAMPLES:], labelled=labelled)


@lru_cache(maxsize=1024)  # in training the same few words stand before many calls
def _introduces(text: str, *, labelled: bool) -> bool:
    """Return whether words before a call lead to it."""
    if text[-1] in _QUOTE_ENDS and _QUOTES.search(text[-_WINDOW:]):
        return False
    sentences = [part for part in _END.split(text[-_WINDOW:]) if has_words(part)][-_SENTENCES:]
    if not sentences:
        return True
    last = sentences[-1]
    is_closed = _CLOSED.search(last) is not None
    if _ASKS.search(last) or words("example").search(last) or words("condition").search(last):
        return False
    if any(_is_own(sentence, found) for sentence in sentences for found in words("asks").finditer(sentence)):
        return False
    stance = _stance(last, leads_in=not is_closed)
    if stance is not None:
        return stance
    if next((one for one in map(_stance, reversed(sentences[:-1])) if one is not None), None) is False:
        return False
    reports = words("reports").search(last)
    if labelled and is_closed:  # a statement, after which the marks say that a call follows
        return reports is None or not words("this").search(last, reports.start())
    is_aside = _ASIDE.fullmatch(last) is not None
    if labelled and (is_aside or (last[-1] in ":：" and _is_plain(last))):
        return True
    if not is_aside and (not is_closed or reports is not None or _OPEN.search(last)):
        return False  # a sentence that goes on into the call is about it
    return not words("example").search(text)


def _holds(sentence: str) -> bool:
    """Return whether a sentence asks leave, waits, exemplifies or makes something depend on somebody."""
    return any(words(meaning).search(sentence) for meaning in ("asks", "condition", "example"))


def _stance(sentence: str, *, leads_in: bool = False) -> bool | None:
    """Return whether a sentence announces a call, False where it says that none is made; None if it says neither.

    Args:
        sentence: One that does not ask or wait.
        leads_in: Whether it goes on into the call, so that what "says" in it quotes the call.
    """
    found = [*words("announces").finditer(sentence), *_ACTS.finditer(sentence), *_GOES_ON_TO.finditer(sentence)]
    last = max(found, key=lambda one: one.start(), default=None)
    start = -1 if last is None else last.start()
    if last is None and leads_in and words("quotes").search(sentence):
        return False
    if words("no").fullmatch(sentence.strip(" \t\n.!…。！:：—–-*_\"'")):
        return False
    for meaning in ("refuses", "orders", "warns"):
        for other in words(meaning).finditer(sentence):
            is_of_knowing = meaning == "refuses" and _is_of_knowing(sentence, other)
            if other.end() + 1 >= start and _is_own(sentence, other) and not is_of_knowing:
                return False
    if last is None:
        return None
    end = _skip(sentence, last.end())
    return words("denies").match(sentence, end) is None and words("says").match(sentence, end) is None


def _is_own(sentence: str, found: re.Match[str]) -> bool:
    """Return whether words are the speaker's, and do not begin a quotation."""
    return sentence[max(0, found.start() - 1) : found.start()] not in ('"', "“", "„", "«", "‘", "「")


def _is_plain(sentence: str) -> bool:
    """Return whether a sentence of a known language neither points at the call nor speaks of what others say or want."""
    strange = ("this", "strange", "quotes", "reports")
    return words("common").search(sentence) is not None and not any(words(one).search(sentence) for one in strange)


def _is_of_knowing(sentence: str, refusal: re.Match[str]) -> bool:
    """Return whether what looks like a refusal is about finding or knowing: "I can't find it"."""
    return words("finds").match(sentence, _skip(sentence, refusal.end())) is not None


def _skip(sentence: str, position: int) -> int:
    """Return where the next word begins."""
    while position < len(sentence) and sentence[position].isspace():
        position += 1
    return position


def _is_spoken(text: str) -> bool:
    """Return whether words report, deny or exemplify something."""
    return any(pattern.search(text) for pattern in (_NEGATION, _REPORT, words("example"), words("reports"), words("refuses")))


def _takes_back(after: str) -> bool:
    """Return whether words after a call say that it is not made, or was made before."""
    after = after[:4000]
    if _is_spoken(after) or _holds(after):
        return True
    return any(_stance(sentence) is False for sentence in _END.split(after) if has_words(sentence))


__all__ = ["LABELS", "Manner", "announces", "has_words", "is_made", "manner", "speaks_of"]
