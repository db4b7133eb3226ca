"""Values that were read from JSON, compared with the types that they are declared with."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_MAX_BITS = 128  # of an integer: no count, seed or amount has more
_SCALARS = (bool, str, type(None))

T = TypeVar("T")


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of a type: a plain one, a Literal, a union, or a list, tuple or dict of such.

    Args:
        value: As read from JSON: lists stand for tuples, and whole numbers may stand for floats.
        hint: The annotation. Types other than those above are those of the value itself.
    """
    if hint is Any:
        return True
    if hint is None:
        return value is None
    if hint in _SCALARS:
        return type(value) is hint
    if hint is int:
        return type(value) is int and value.bit_length() <= _MAX_BITS
    if hint is float:
        return fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inner
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return isinstance(value, (list, tuple)) and len(value) == len(inner) and all(map(fits, value, inner))
    if origin in (list, tuple):
        return isinstance(value, (list, tuple)) and all(fits(item, inner[0]) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(fits(key, inner[0]) and fits(item, inner[1]) for key, item in value.items())
    return isinstance(hint, type) and isinstance(value, hint)


def typed(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a dataclass of values that were read from JSON.

    Args:
        kind: The dataclass.
        values: Its fields by name.

    Raises:
        TypeError: If a field is missing, is unknown, or is not of its type.
    """
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]  # a class is hashable
    for name, value in values.items():
        if name in hints and not fits(value, hints[name]):
            raise TypeError(f"{name} of {kind.__name__} is not of its type")
    return kind(**values)


@lru_cache(256)
def _hints(kind: type) -> dict[str, Any]:
    """Return the types of the fields of a dataclass."""
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(kind)}


__all__ = ["fits", "typed"]
