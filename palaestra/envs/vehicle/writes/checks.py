"""What a written value must be: the type, words, range and fields that the car's tables tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from palaestra.envs.vehicle.car.call_result import Refusal, Scalar
from palaestra.envs.vehicle.car.layout import car_layout
from palaestra.envs.vehicle.car.tables import CarTables, Property, RecordType

_MAX_TEXT = 10_000
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "enum": "a text",
    "null": "null",
}


def check_value(path: str, row: Property, value: Any) -> None:
    """Refuse a value that a property cannot have."""
    if value is None:
        if not row.nullable:
            raise Refusal("invalid_type", f"{path} cannot be null; expected {_expected(row)}.")
        return
    if not _is_of(row.type, value):
        raise Refusal("invalid_type", f"{path} is {short(value)}; expected {_expected(row)}.")
    if row.enum and value not in row.enum:
        raise Refusal("invalid_value", f"{path} is {short(value)}; expected {_expected(row)}.")
    if row.type in ("int", "float") and not (
        (row.low is None or value >= row.low) and (row.high is None or value <= row.high)
    ):
        raise Refusal("out_of_range", f"{path} is {value!r}; expected {_expected(row)}.")
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise Refusal("limit", f"{path} would have {len(value)} characters; at most {_MAX_TEXT} are allowed.")


def check_field(path: str, types: str, value: Any) -> None:
    """Refuse a value that a field of a record cannot have."""
    kinds = types.split("|")
    if not any(value is None if kind == "null" else _is_of(kind, value) for kind in kinds):
        expected = " or ".join(_WORDS[kind] for kind in kinds)
        raise Refusal("invalid_type", f"{path} is {short(value)}; expected {expected}.")
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise Refusal("limit", f"{path} would have {len(value)} characters; at most {_MAX_TEXT} are allowed.")


def _is_of(kind: str, value: Any) -> bool:
    """Whether a value is of a type; whole numbers count as numbers, truth values do not."""
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return type(value) is int
    if kind == "float":
        return type(value) in (int, float) and math.isfinite(value)
    return isinstance(value, str)


def _expected(row: Property) -> str:
    """Return what a property can be, in words."""
    if row.enum:
        words = f"one of {', '.join(row.enum)}"
    else:
        words = _WORDS[row.type]
        if row.low is not None:
            words += f" from {row.low:g}"
        if row.high is not None:
            words += f" to {row.high:g}" if row.low is not None else f" of at most {row.high:g}"
    return f"{words} or null" if row.nullable else words


def complete_record(path: str, kind: RecordType, fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return all fields of a new record; nullable ones may be left out."""
    missing = [name for name, types in kind.fields.items() if name not in fields and "null" not in types.split("|")]
    if missing:
        known = f" (no {kind.name} with this {in_words(kind.identity)} is known)" if kind.identity else ""
        raise Refusal("missing_argument", f"{path}: a new {kind.name}{known} also needs {in_words(missing)}.")
    return {name: fields.get(name) for name in kind.fields}


@lru_cache(maxsize=8)
def measured_by(tables: CarTables) -> dict[str, str]:
    """Return the amount whose range depends on a leaf: of the amount itself and of its unit."""
    found: dict[str, str] = {}
    for node in car_layout(tables).leaves():
        if node.kind == "leaf" and node.prop.ranges:
            found[node.path] = node.path
            found[unit_path(tables, node.path)] = node.path
    return found


@lru_cache(maxsize=512)
def unit_path(tables: CarTables, path: str) -> str:
    """Return the leaf that holds the unit of an amount: the sibling whose words are the units of the amount's ranges."""
    node = car_layout(tables)
    steps = path.split(".")
    for step in steps[:-1]:
        node = node.children[step]
    words = set(tables.properties[path].ranges)
    (found,) = [
        child.path
        for name, child in node.children.items()
        if child.row is not None and name.endswith("unit") and set(child.row.enum) == words
    ]
    return found


def in_words(names: Iterable[str]) -> str:
    """Return names as a list to read."""
    return ", ".join(names)


def short(value: Any) -> str:
    """Return a value as text that fits into a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
