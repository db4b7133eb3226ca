"""Values that a question names, and forms of actions to put them into: what an agent can copy without thought."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

MAX_VALUES = 24
MAX_FORMS = 3
_BREAK = re.compile(r"[^\w-]")

_VALUES = (
    re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+([^:\n]{2,60}?)(?::|$)", re.M),  # heads of the items of a list
    re.compile(r"(?<!\w)['\"‘“]([^'\"’”\n]{2,60})['\"’”](?!\w)"),  # what is quoted
    re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+"),  # addresses
    re.compile(r"\b[A-Z]\w+(?: [A-Z]\w+)+\b"),  # names of several words
    re.compile(r"^[^:\n]{1,20}: ([^\n]{2,60}?)\.?$", re.M),  # what follows a key
    re.compile(r"\b\d+(?:[.:-]\d+)*\b"),  # numbers, dates, times
    re.compile(r"\b[A-Z][a-z]{2,}\b"),  # capitalised words
)


def values_in(text: str) -> list[str]:
    """Return values that a text names (items, quotes, names, numbers, dates), at most `MAX_VALUES`, without doubles."""
    found: dict[str, None] = {}
    for pattern in _VALUES:
        for match in pattern.finditer(text):
            found.setdefault((match[1] if pattern.groups else match[0]).strip())
    return list(islice((value for value in found if value), MAX_VALUES))


def templates(examples: Iterable[tuple[str, Sequence[str]]]) -> list[tuple[str, str]]:
    """Return the most frequent forms of actions that hold a value of their question: what stands before and after it.

    Args:
        examples: Questions, and the actions with which each was solved.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for question, actions in examples:
        values = sorted((value for value in values_in(question) if len(value) > 2), key=len, reverse=True)
        for action in actions:
            for value in values:
                before, found, after = action.partition(value)
                if found and not (before[-1:].isalnum() or after[:1].isalnum()):
                    counts[before, after] += 1
                    break
    return [form for form, count in counts.most_common(MAX_FORMS) if count > 1]


def frame(actions: Sequence[str]) -> list[tuple[str, str]]:
    """Return the words that actions share before and after the part in which they differ.

    Args:
        actions: The last ones of several plans, e.g. "say anchor-583" and "say needle-101".

    Returns:
        One form, e.g. [("say ", "")]; none if the actions are equal or begin with different words.
    """
    if len(set(actions)) < 2:
        return []
    before, after = _common(actions), _common([action[::-1] for action in actions])[::-1]
    before = before[: max((match.end() for match in _BREAK.finditer(before)), default=0)]
    after = after[min((match.start() for match in _BREAK.finditer(after)), default=len(after)) :]
    shortest = min(map(len, actions))
    return [(before, after)] if before.strip() and len(before) + len(after) < shortest else []


def _common(texts: Sequence[str]) -> str:
    """Return the longest text that all texts begin with."""
    low, high = min(texts), max(texts)  # all others lie between these two
    return low[: next((i for i, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))]


def fill(forms: Sequence[tuple[str, str]], values: Sequence[str]) -> list[str]:
    """Return the forms with each of the values in them, form by form."""
    return [f"{before}{value}{after}" for before, after in forms for value in values]


__all__ = ["MAX_VALUES", "fill", "frame", "templates", "values_in"]
