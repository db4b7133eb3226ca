"""Whole numbers that were written as floats: JSON Schema takes 2.0 for an integer, Python code that counts does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from palaestra.envs.tools.json_schema import matches, pointed
from palaestra.types import Json

_MAX_PARTS = 20_000  # schemas that are looked at for one call; then the rest stays as it came


def has_integral_float(value: Json) -> bool:
    """Whether a JSON value holds a whole number as a float, at any depth."""
    if isinstance(value, float):
        return value.is_integer()
    if isinstance(value, dict):
        return any(map(has_integral_float, value.values()))
    return isinstance(value, list) and any(map(has_integral_float, value))


def with_integers(arguments: dict[str, Json], schema: Mapping[str, Any]) -> dict[str, Json]:
    """Return right arguments in which whole numbers are ints wherever the schema has integers and no other numbers.

    Args:
        arguments: What the schema allows, as read from JSON.
        schema: Schema of the arguments object.
    """
    changed: dict[str, Json] = _Integers(schema).value(arguments, [schema])
    return changed


class _Integers:
    """One walk through a value and the schemas that hold for its parts.

    Args:
        root: Schema that local references point into.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        """Begin with a budget of schemas, which ends whatever does not end by itself."""
        self.root = root
        self.parts_left = _MAX_PARTS

    def value(self, value: Json, schemas: list[Json]) -> Json:
        """Return a value with ints where they are meant."""
        if not has_integral_float(value):
            return value
        here = list(self.applied(schemas, set()))
        if isinstance(value, dict):
            return {key: self.value(item, list(_of_field(here, key))) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, list(_of_item(here, index))) for index, item in enumerate(value)]
        kinds = {kind for schema in here for kind in _kinds(schema)}
        return int(value) if "integer" in kinds and "number" not in kinds else value

    def applied(self, schemas: list[Json], followed: set[str]) -> Iterator[Mapping[str, Any]]:
        """Iterate over the schemas that hold, or may hold, in one place."""
        for schema in schemas:
            self.parts_left -= 1
            if self.parts_left < 0 or not isinstance(schema, Mapping):
                continue
            yield schema
            reference = schema.get("$ref")
            if isinstance(reference, str) and reference not in followed:
                followed.add(reference)
                yield from self.applied([pointed(self.root, reference)], followed)
            for key in ("allOf", "anyOf", "oneOf"):
                yield from self.applied(schema.get(key, []), followed)
            yield from self.applied([schema[key] for key in ("then", "else") if key in schema], followed)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema names."""
    kinds = schema.get("type", [])
    return kinds if isinstance(kinds, list) else [kinds]


def _of_field(schemas: list[Mapping[str, Any]], key: str) -> Iterator[Json]:
    """Iterate over the schemas of a field."""
    for schema in schemas:
        found = [schema["properties"][key]] if key in schema.get("properties", {}) else []
        found += [inner for pattern, inner in schema.get("patternProperties", {}).items() if matches(pattern, key)]
        yield from found or [schema.get("additionalProperties", schema.get("unevaluatedProperties"))]


def _of_item(schemas: list[Mapping[str, Any]], index: int) -> Iterator[Json]:
    """Iterate over the schemas of an item."""
    for schema in schemas:
        prefix = schema.get("prefixItems", [])
        yield prefix[index] if index < len(prefix) else schema.get("items", schema.get("unevaluatedItems"))


__all__ = ["has_integral_float", "with_integers"]
