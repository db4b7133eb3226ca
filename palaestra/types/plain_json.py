"""Plain JSON data: what every stored thing is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

Json = Any  # None | bool | int | float | str | list[Json] | dict[str, Json]; recursive aliases slow strict checkers down

_SCALARS = frozenset((type(None), bool, int, float, str))

MAX_DEPTH = 64
"""Most levels of lists and maps in what a model wrote: far fewer than Python's own reader and writer of JSON take."""


def is_deep(value: Json, max_depth: int = MAX_DEPTH) -> bool:
    """Whether lists and dicts, as read from JSON, are nested deeper than `max_depth`; never recurses."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        if not level:
            return False
        level = [
            item
            for part in level
            for item in (part.values() if isinstance(part, dict) else part)
            if isinstance(item, (dict, list))
        ]
    return bool(level)


def is_strict(value: Json) -> bool:
    """Whether a value is strict JSON that can be sent: no infinities, no lone surrogates, not too deep."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return not is_deep(value)


def strict_part(value: Json) -> Json:
    """Return the part of a value that can be sent: half surrogate pairs are replaced, infinities and NaN are null.

    Raises:
        RecursionError: If it is nested too deeply.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {strict_part(key): strict_part(item) for key, item in value.items()}
    return [strict_part(item) for item in value] if isinstance(value, (list, tuple)) else value


def text_of(value: object, most: int = 80) -> str:
    """Return the beginning of the text of any value; what is too deep or has too many digits to be written is named."""
    try:
        return str(value)[:most]
    except (ValueError, RecursionError):
        return f"({type(value).__name__}, too deep or too long to be written)"


def strict_json(text: str, *, once: bool = False) -> Json:
    """Return the value that a JSON text stands for.

    Args:
        text: The text.
        once: Refuse objects with a key twice, of which Python's reader keeps the last: nobody can know which one is meant.

    Raises:
        ValueError: If it is not JSON; NaN and the infinities are not, however they are written.
        RecursionError: If it is nested too deeply to be read.
    """
    if once:
        return json.loads(text, parse_constant=refuse_constant, parse_float=finite_number, object_pairs_hook=object_of_pairs)
    return json.loads(text, parse_constant=refuse_constant, parse_float=finite_number)


def strict_text(value: Json, **options: Any) -> str:
    """Return the JSON text of a value, for everything that leaves: numbers that JSON does not have become null.

    Args:
        value: Plain JSON data, in which floats may be infinite or no numbers.
        **options: As of `json.dumps`.

    Raises:
        TypeError: If it holds anything else.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(finite(value), allow_nan=False, **options)


def finite(value: Json) -> Json:
    """Return JSON data in which None stands for every number that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader takes though JSON has neither."""
    raise ValueError(f"{name} is not JSON")


def object_of_pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Return the object of some pairs; one with a key twice is refused."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise ValueError(f"the key {twice[:40]!r} stands twice in one object; write every key once")
    return found


def finite_number(text: str) -> float:
    """Return the number that a JSON text stands for; one that would be infinite is refused."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def plain(value: Any) -> Json:
    """Return `value` as plain JSON data: dataclasses of this module, mappings, sequences and numpy scalars included."""
    kind = type(value)
    if kind in _SCALARS:  # nearly always: every info of every step goes through here, twice
        return value
    if kind is dict:
        return {str(key): item if type(item) in _SCALARS else plain(item) for key, item in value.items()}
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [plain(item) for item in items]
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no plain JSON form; give it to_json() or keep it out of stored data.")
