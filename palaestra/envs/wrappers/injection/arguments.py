"""How right the arguments of a call are: one rule, for injected errors and for the items of CriticTool.

Source: CriticTool (arXiv:2506.13977), sections 3 and 4. Where it leaves something open: an expected optional argument that is
not given scores 0 and counts in the mean, and values other than texts are right or wrong.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache

from palaestra.envs.tools.schema import Schema
from palaestra.envs.wrappers.injection.tool_list import Tool
from palaestra.types import Json

Compare = Callable[[object, object], float]
"""How alike the texts of two values are, from 0 to 1."""

_TOKEN = re.compile(r"\w+")


def similarity(first: object, second: object) -> float:
    """Return the cosine of the word counts of two texts, 0 if either has no words.

    Source: CriticTool's bag-of-words backend (arXiv:2506.13977, similarity of arguments and thoughts).
    """
    (a, length_a), (b, length_b) = _counts(str(first)), _counts(str(second))
    if not a or not b:
        return 0.0
    return sum(count * b[word] for word, count in a.items() if word in b) / math.sqrt(length_a * length_b)


def argument_score(
    given: Mapping[str, Json] | str, gold: Mapping[str, Json] | str, tool: Tool | None, *, compare: Compare = similarity
) -> float:
    """Return how right arguments are: 0 where a required one is missing or an unknown one is there, else the mean over keys.

    Args:
        given: The agent's arguments; a text for a report.
        gold: The right ones.
        tool: The tool, None if it is not known.
        compare: How texts are compared.
    """
    if isinstance(given, str) or isinstance(gold, str):
        return alike(given, gold, compare) if isinstance(given, str) and isinstance(gold, str) else 0.0
    if tool is not None and tool.key_problems(given):
        return 0.0
    declared = {} if tool is None else tool.properties
    missing = sum(key not in given for key in gold)
    values = [_value_score(declared.get(key, {}), value, gold[key], compare) for key, value in given.items() if key in gold]
    return math.fsum(values) / (len(given) + missing) if given or missing else 1.0


def same_json(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal: int and float by value, true and 1 not, lists in order, objects in any order."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return type(one) is type(other) and bool(one == other)


def alike(one: Json, other: Json, compare: Compare = similarity) -> float:
    """Return the similarity of two values, 1 for equal ones, which may hold no word at all."""
    return 1.0 if same_json(one, other) else min(1.0, max(0.0, compare(one, other)))


def _value_score(declared: Schema, value: Json, gold: Json, compare: Compare) -> float:
    """Return how right one value is: 0 for another type, the similarity of texts, 0 or 1 for all other values."""
    kind = declared.get("type")
    if not _has_type(value, kind):
        return 0.0
    if isinstance(value, str) or (kind is None and not isinstance(value, bool | int | float)):
        return alike(value, gold, compare)
    return float(same_json(value, gold))


def _has_type(value: Json, kind: object) -> bool:
    """Whether a value has a JSON type; of several any, and of none every value."""
    if isinstance(kind, list):
        return any(_has_type(value, one) for one in kind)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case None:
            return True
        case "string":
            return isinstance(value, str)
        case "integer":
            return is_number and value == math.floor(value)
        case "number":
            return is_number
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case _:
            return value is None if kind == "null" else True


@lru_cache(maxsize=4096)
def _counts(text: str) -> tuple[Counter[str], int]:
    """Return the counts of the words of a text, and the sum of their squares; right texts are compared again and again."""
    found = Counter(_TOKEN.findall(text.lower()))
    return found, sum(count * count for count in found.values())


__all__ = ["Compare", "alike", "argument_score", "same_json", "similarity"]
