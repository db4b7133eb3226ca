"""Near misses of JSON Schema that real data hold, and what is read in their place; each is a remark.

Schemas in data sets and of servers write `null` for what is left out, `"required": true` inside a property, and the type names
of Python. Validators refuse these; what is meant is plain. Everything else is left for the validator to judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from palaestra.envs.tools.json_schema import KEYWORDS, LISTS, MAPS, SINGLE, Remark
from palaestra.types import Json

_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    **dict.fromkeys(("int", "long"), "integer"),
    **dict.fromkeys(("str", "text"), "string"),
    **dict.fromkeys(("dict", "map", "mapping", "struct"), "object"),
    **dict.fromkeys(("list", "tuple", "set"), "array"),
    **{"bool": "boolean", "none": "null", "any": ""},
}
_JSON_TYPES = ("string", "integer", "number", "object", "array", "boolean", "null")
_ANY_VALUE = ("const", "default")  # where null is a value like others


def as_meant(schema: Json, path: str = "parameters") -> tuple[Any, list[Remark]]:
    """Return a schema with near misses read as they are meant, and a remark on each; a sound schema comes back equal.

    Args:
        schema: Any JSON value, of bounded depth.
        path: Its place, for the remarks.
    """
    if not isinstance(schema, Mapping):
        return schema, []
    remarks: list[Remark] = []
    read: dict[str, Any] = {}
    for key, value in schema.items():
        if value is None and key in KEYWORDS and key not in _ANY_VALUE:
            remarks.append(Remark(f"null {key}", f"{key!r} of {path} is null, which is read as left out"))
            continue
        read[key] = _type(value, path, remarks) if key == "type" else _inner(key, value, path, remarks)
    if read.get("type") == "":
        del read["type"]
    named = list(_required_within(read, path, remarks))
    if named and isinstance(read.setdefault("required", []), list):
        read["required"] = list(dict.fromkeys([*read["required"], *named]))
    return read, remarks


def _inner(key: str, value: Json, path: str, remarks: list[Remark]) -> Json:
    """Read the schemas inside a keyword."""
    if key in MAPS and isinstance(value, Mapping):
        read = {}
        for name, one in value.items():
            place = f"{path}.{name}" if key == "properties" else f"{path}.{key}.{name}"
            if one is None:
                remarks.append(Remark("null schema", f"the schema of {place} is null, which is read as any value"))
            read[name] = {} if one is None else _kept(as_meant(one, place), remarks)
        return read
    if key in LISTS and isinstance(value, list):
        return [_kept(as_meant(one, f"{path}.{key}.{index}"), remarks) for index, one in enumerate(value)]
    return _kept(as_meant(value, f"{path}.{key}"), remarks) if key in SINGLE else value


def _kept(found: tuple[Any, list[Remark]], remarks: list[Remark]) -> Any:
    """Return what was read, and keep the remarks."""
    remarks += found[1]
    return found[0]


def _type(value: Json, path: str, remarks: list[Remark]) -> Json:
    """Return the type that is meant; empty for any."""
    if isinstance(value, list):
        kinds = [_type(one, path, remarks) for one in value]
        return "" if "" in kinds else [kind for index, kind in enumerate(kinds) if kind not in kinds[:index]]
    if not isinstance(value, str) or value in _JSON_TYPES:
        return value
    word = value.lower()
    meant = word if word in _JSON_TYPES else _TYPES.get(word)
    if meant is None:
        return value
    remarks.append(Remark(f"type {value}", f"the type of {path} is {value!r}, which is read as {meant or 'any type'}"))
    return meant


def _required_within(read: dict[str, Any], path: str, remarks: list[Remark]) -> Iterator[str]:
    """Take `"required": true` out of properties, and iterate over the names of those that have it."""
    properties = read.get("properties")
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        if isinstance(inner, dict) and isinstance(inner.get("required"), bool):
            meant = "required" if inner["required"] else "not required"
            remarks.append(Remark("required inside", f"'required' stands inside {path}.{name}, which is read as {meant}"))
            if inner.pop("required"):
                yield name


__all__ = ["as_meant"]
