"""Numbers and bounds in a sentence: "at least three rows", "between 50 and 100 words", "a row limit of 5"."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Sense = Literal["lo", "hi", "above", "below", "exact"]

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
]
_UNITS += ["fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: value for value, word in enumerate(_UNITS)} | {word: 20 + 10 * at for at, word in enumerate(_TENS)}
_VALUES["hundred"] = 100
_NUMBER_WORD = re.compile(rf"\b(?:({'|'.join(_TENS)}) )?({'|'.join(sorted(_VALUES, key=len, reverse=True))})\b( hundred\b)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")

_SENSES: tuple[tuple[Sense, str], ...] = (
    (
        "hi",
        r"(?:not|never|without|n't) (?:to )?exceed(?:ing)?|(?:not|never|n't)\b[^.,;:]{0,25}?\b(?:more|longer|greater) than",
    ),
    ("hi", r"no (?:more|longer|greater|larger) than|not go (?:over|above|beyond)"),
    ("lo", r"no (?:fewer|less|shorter) than|(?:not|never|n't)\b[^.,;:]{0,25}?\b(?:fewer|less|shorter) than|not fall below"),
    ("hi", r"at (?:the )?most|max(?:imum)?|limit(?:s|ed|ing)?|within|up to|capped|cap of"),
    ("lo", r"at (?:the )?least|at a minimum|min(?:imum)?"),
    ("above", r"(?:more|longer|greater) than|exceed(?:s|ing)?|over|above"),
    ("below", r"(?:fewer|less|shorter) than|under|below"),
    ("exact", r"exactly|precisely|only|just"),
)
_OPERATOR = re.compile("|".join(rf"(?P<s{at}>\b(?:{words})\b)" for at, (_, words) in enumerate(_SENSES)))
_AFTER = re.compile(
    r"[ ,(]*(?:or (?P<lo>more|longer)|or (?P<hi>fewer|less|shorter)|(?P<max>at most|maximum)|(?P<min>at least|minimum))\b"
)
_BETWEEN = re.compile(r"\bbetween (\d{1,9})(?: \w+)? (?:and|to) (\d{1,9})\b|\b(\d{1,9})(?: ?(?:to|-|–|—) ?)(\d{1,9})\b")
_OWN_NUMBER = re.compile(r"(?<![\d.])(\d{1,9})(?![\d.]*\d)(?! (?:word|sentence|paragraph|character|row|column)s?\b)")
_ADJECTIVES = (
    r"(?:(?:complete|full|distinct|different|total|separate|individual|unique|main|short|long|single|data|body|content|clear|"
    r"well structured|concise|whole|labeled|heading|header|markdown|html|english) ){0,3}"
)


class Bounds(NamedTuple):
    """A range as a sentence states it.

    Attributes:
        lo: Lower bound, or None.
        hi: Upper bound, or None.
        stated: Whether there was a word for the sense; a bare number is read as exact.
    """

    lo: int | None
    hi: int | None
    stated: bool


def plain(text: str) -> str:
    """Return a sentence in lowercase, with digits for number words and blanks for hyphens in words."""
    lowered = " ".join(text.lower().split())
    spaced = re.sub(r"(?<=\w)[-‑](?=[a-z])", " ", lowered)
    spaced = re.sub(r"\ba single\b|\bsingle\b", "exactly 1", _THOUSANDS.sub("", spaced))
    return _NUMBER_WORD.sub(_digits, spaced)


def bounds(plain_text: str, unit: str) -> Bounds | None:
    """Return the range that a sentence gives for a unit.

    Args:
        plain_text: From `plain`.
        unit: Pattern of the noun, without groups, e.g. "rows?".

    Returns:
        None if the sentence gives no number for it.
    """
    numbered = list(re.finditer(rf"(?<![\d.])(\d{{1,9}}) {_ADJECTIVES}(?:{unit})\b", plain_text))
    before = [_before_unit(plain_text, match) for match in numbered]
    mentions = re.finditer(rf"\b(?:{unit})\b", plain_text)
    after = [_after_unit(plain_text[match.end() : match.end() + 60], plain_text[: match.start()]) for match in mentions]
    found = [one for one in (*before, *after) if one is not None]
    return next((one for one in found if one.stated), found[0] if found else None)


def _digits(match: re.Match[str]) -> str:
    value = (_VALUES[match[1]] if match[1] else 0) + _VALUES[match[2]]
    return str(value * 100 if match[3] else value)


def _before_unit(text: str, match: re.Match[str]) -> Bounds:
    """Return the range that a number in front of a unit gives."""
    if (found := _range_before(text, match)) is not None:
        return found
    if (after := _AFTER.match(text, match.end())) is not None:
        return _of_sense("lo" if after["lo"] or after["min"] else "hi", int(match[1]))
    return _of_sense(_sense_before(text[max(0, match.start() - 80) : match.start()]), int(match[1]))


def _range_before(text: str, match: re.Match[str]) -> Bounds | None:
    """Return the range whose second number stands before the unit."""
    for between in _BETWEEN.finditer(text, max(0, match.start() - 40), match.end()):
        if between.end() == match.start() + len(match[1]):
            lo, hi = sorted(int(number) for number in between.groups() if number is not None)
            return Bounds(lo, hi, True)
    return None


def _sense_before(left: str) -> Sense | None:
    """Return the sense of the last operator before a number, in the same clause."""
    clause = re.split(r"[;]|[.!?] |, (?:and|but|yet|with each) ", left)[-1]
    operators = list(_OPERATOR.finditer(clause))
    last = operators[-1] if operators else None
    if last is None or len(clause) - last.end() > 45:
        return None
    between = clause[last.end() :]
    if re.search(r"\d", between) and not re.fullmatch(r"\D*\d+ (?:\w+ )?(?:and|by|x) ", between):
        return None  # the operator belongs to the number in between
    return _sense_of(last)


def _sense_of(match: re.Match[str]) -> Sense:
    return _SENSES[int((match.lastgroup or "s0")[1:])][0]


def _of_sense(sense: Sense | None, number: int) -> Bounds:
    if sense == "lo":
        return Bounds(number, None, True)
    if sense == "above":
        return Bounds(number + 1, None, True)
    if sense == "hi":
        return Bounds(None, number, True)
    if sense == "below":
        return Bounds(None, max(0, number - 1), True)
    return Bounds(number, number, sense == "exact")


def _after_unit(right: str, left: str) -> Bounds | None:
    """Return the range that follows a unit: "row limit of 5", "number of attributes must be exactly 5"."""
    clause = re.split(r"[;]|[.!?] ", right)[0]
    if (between := _BETWEEN.search(clause)) is not None:
        lo, hi = sorted(int(number) for number in between.groups() if number is not None)
        return Bounds(lo, hi, True)
    number = _OWN_NUMBER.search(clause)
    if number is None:
        return None
    before = clause[: number.start()]
    operators = list(_OPERATOR.finditer(before))
    if operators:
        return _of_sense(_sense_of(operators[-1]), int(number[1]))
    if re.fullmatch(r"\s*(?::|of|is|are|must be|should be|count|=|to|must have)?\s*(?:of|to)?\s*", before):
        return _of_sense(_sense_before(left[-40:]), int(number[1]))
    return None
