"""When an answer is the expected one, by its type: whole values, and values within a text between token boundaries.

Letter case, Unicode forms, surplus spaces and outer punctuation do not count in names and texts; numbers are compared as
numbers, dates as dates, lists as multisets. Within a text a value must stand alone: `12` is not found in `2012` or `-12`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache

from palaestra.types import Json

_NUMBER = re.compile(r"(?<![\w.])(?<!\w[,-])[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w|[.,-]\d)")
_DATE = re.compile(r"(?<![\w-])(\d{1,4})-(\d{1,2})-(\d{1,2})(?![\w-])")
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_TRUE, _FALSE = ("true", "yes"), ("false", "no")
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
_MAX_DIGITS = 300


def plain(text: str) -> str:
    """Return a text as names are compared: NFKC, folded case, single spaces, without outer punctuation."""
    folded = text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    folded = " ".join(folded.split())
    start, end = 0, len(folded)
    while start < end and not (folded[start].isalnum() or folded[start] in "+-"):
        start += 1
    while end > start and not folded[end - 1].isalnum():
        end -= 1
    return folded[start:end] or folded


def number_in(value: Json) -> float | int | None:
    """Return the number that a value is, as a number or as a text with or without commas; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value if isinstance(value, int) or math.isfinite(value) else None
    if not isinstance(value, str) or len(value) > _MAX_DIGITS or not _NUMBER.fullmatch(value.strip()):
        return None
    text = value.strip().replace(",", "")
    number = float(text)
    if not math.isfinite(number):
        return None
    return int(text) if text.lstrip("+-").isdigit() else number


def numbers_in(text: str) -> list[float | int]:
    """Return the numbers that stand alone in a text, in order."""
    found = (number_in(match[0]) for match in _NUMBER.finditer(text))
    return [number for number in found if number is not None]


def same_number(one: float, other: float, *, exact: bool) -> bool:
    """Whether two numbers are equal, exactly or to a millionth of the second."""
    if exact:
        return one == other
    try:
        return abs(one - other) <= max(_ABSOLUTE, _RELATIVE * abs(other))
    except OverflowError:  # an integer that no float holds
        return one == other


def same(value: Json, answer: Json, kind: str) -> bool:
    """Whether a value is the answer under a type of the format.

    Args:
        value: Any JSON value, e.g. what stands at the path of a result.
        answer: The expected answer.
        kind: int, float, date, entity, text, bool or list.
    """
    if kind in ("int", "float"):
        one, other = number_in(value), number_in(answer)
        return one is not None and other is not None and same_number(one, other, exact=kind == "int")
    if kind == "date":
        one_day, other_day = date_in(value), date_in(answer)
        return one_day is not None and one_day == other_day
    if kind == "bool":
        one_truth, other_truth = truth_in(value), truth_in(answer)
        return one_truth is not None and one_truth == other_truth
    if kind == "list":
        if not isinstance(value, list) or not isinstance(answer, list):
            return False
        return Counter(map(_item, value)) == Counter(map(_item, answer))
    return isinstance(value, str) and isinstance(answer, str) and plain(value) == plain(answer)


def date_in(value: Json) -> tuple[int, int, int] | None:
    """Return year, month and day of a text that is a date, padded or not; None if it is none."""
    match = _DATE.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def truth_in(value: Json) -> bool | None:
    """Return the truth that a value is: true, false, or a word for them."""
    if isinstance(value, bool):
        return value
    word = plain(value) if isinstance(value, str) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def occurs(answer: Json, text: str, kind: str = "text") -> bool:
    """Whether an answer stands in a text between token boundaries, every part of it for a list.

    A number is also found where an equal one stands, a date where the same day does.

    Args:
        answer: The expected answer; a text is taken apart at ", ", as the published answers are, if it is of type text.
        text: Where to look.
        kind: Type of the answer.
    """
    parts = (
        answer if isinstance(answer, list) else answer.split(", ") if kind == "text" and isinstance(answer, str) else [answer]
    )
    if len(parts) > 1 and not isinstance(answer, list) and _stands_in(plain(answer), text):
        return True
    return all(_part_occurs(part, text, kind) for part in parts)


def value_at(result: Json, path: str) -> Json:
    """Return the value at a path of a result, keys and positions joined by dots; None if there is none."""
    for step in path.split("."):
        if isinstance(result, Mapping):
            result = result.get(step)
        elif isinstance(result, list) and step.isdecimal() and len(step) < 6 and int(step) < len(result):
            result = result[int(step)]
        else:
            return None
    return result


def leaves(value: Json) -> Iterator[str]:
    """Yield the keys, texts and numbers of a value as texts."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            yield from (str(key) for key in part)
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple)):
            waiting.extend(part)
        elif part is not None and not isinstance(part, bool):
            yield str(part)


def said_answer(text: str) -> tuple[str, bool]:
    """Return the part of a final message that holds its answer, and whether that is the answer alone.

    It is the content of the last `<answer>` tag; without one, the last line that is not empty.
    """
    tagged = _ANSWER.findall(text)
    if tagged:
        return tagged[-1].strip(), True
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else ""), False


def is_right(text: str, answer: Json, kind: str, *, question: str = "", ordered: bool = False) -> bool:
    """Whether a final message gives the final answer.

    Args:
        text: The message.
        answer: The final answer; None is never given.
        kind: Its type.
        question: Numbers of it may stand next to a number that is the answer; others make the message wrong.
        ordered: Whether the order of a list counts.
    """
    said, is_alone = said_answer(text)
    if answer is None or not said:
        return False
    if kind == "bool":
        words = {plain(word) for word in said.split()}
        told = {truth for truth, names in ((True, _TRUE), (False, _FALSE)) if words & set(names)}
        return told == {truth_in(answer)}
    if kind in ("int", "float"):
        number = number_in(answer)
        asked = numbers_in(question)
        rest = [one for one in numbers_in(said) if one not in asked or one == number]
        return number is not None and bool(rest) and all(same_number(one, number, exact=kind == "int") for one in rest)
    if kind == "list" and isinstance(answer, list):
        return _lists(said, answer, is_alone=is_alone, ordered=ordered)
    if is_alone and kind in ("entity", "date"):
        return same(said, answer, kind)
    return occurs(answer, said, kind)


def _lists(said: str, answer: list[Json], *, is_alone: bool, ordered: bool) -> bool:
    """Whether a text lists some values: all of them, as often, and in their order if that counts."""
    if is_alone:
        given = [part for part in re.split(r"[,;\n]", said) if part.strip()]
        found, wanted = [_item(part.strip()) for part in given], [_item(part) for part in answer]
        return found == wanted if ordered else Counter(found) == Counter(wanted)
    text = _searched(said)
    spots = []
    for part, count in Counter(map(_written, answer)).items():
        places = [match.start() for match in _pattern(part).finditer(text)]
        if len(places) < count:
            return False
        spots.append(places[0])
    return not ordered or spots == sorted(spots)


def _item(value: Json) -> Hashable:
    """Return an item of a list as it is counted: numbers as numbers, texts in plain form."""
    if isinstance(value, bool):
        return ("truth", value)
    number = number_in(value)
    if number is not None:
        return float(f"{number:.9g}")
    return plain(value) if isinstance(value, str) else repr(value)


def _part_occurs(part: Json, text: str, kind: str) -> bool:
    """Whether one value stands in a text."""
    number = number_in(part)
    if number is not None and any(same_number(one, number, exact=kind != "float") for one in numbers_in(text)):
        return True
    day = date_in(part)
    if day is not None and any((int(y), int(m), int(d)) == day for y, m, d in _DATE.findall(text)):
        return True
    if number is not None and kind == "int":
        return False
    return _stands_in(_written(part), text)


def _written(part: Json) -> str:
    """Return a value as it is looked for in a text."""
    if isinstance(part, bool):
        return "true" if part else "false"
    return plain(part) if isinstance(part, str) else str(part)


def _stands_in(wanted: str, text: str) -> bool:
    """Whether a plain text stands in a text between token boundaries; an empty one does in none."""
    searched = _searched(text)
    return bool(wanted) and wanted in searched and _pattern(wanted).search(searched) is not None


def _searched(text: str) -> str:
    """Return a text in the form that is searched: like `plain`, with its outer punctuation."""
    folded = text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split())


@lru_cache(maxsize=4096)
def _pattern(wanted: str) -> re.Pattern[str]:
    """Return the pattern of a plain text that stands alone: numbers keep their sign and their decimals."""
    before = r"(?<!\w)(?<!\d[.,])(?<!-)" if wanted[:1].isdigit() else r"(?<!\w)"
    after = r"(?!\w)(?![.,]\d)" if wanted[-1:].isdigit() else r"(?!\w)"
    return re.compile(before + re.escape(wanted) + after)


__all__ = [
    "date_in",
    "is_right",
    "leaves",
    "number_in",
    "numbers_in",
    "occurs",
    "plain",
    "said_answer",
    "same",
    "same_number",
    "truth_in",
    "value_at",
]
