"""JSON Schema (2020-12): compiled validators of schemas that came as data, and a look at what such schemas hold.

Validators are those of `jsonschema-rs` (extra `tools`), imported when the first one is needed. Nothing is ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from palaestra.errors import MissingExtraError, UsageError
from palaestra.types import Json, is_deep

MAX_SCHEMA_DEPTH = 100
_BACKTRACKS = 100_000  # steps of a regular expression: a tenth of the library's own limit, some milliseconds

MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SINGLE = (
    *("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
KEYWORDS = {
    *(*MAPS, *LISTS, *SINGLE, "$schema", "$id", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary"),
    *("$comment", "type", "enum", "const", "required", "dependentRequired", "dependencies", "format", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems"),
    *("maxItems", "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties", "title", "description"),
    *("default", "examples", "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType"),
}


class Remark(NamedTuple):
    """Something about a schema that its author may not have meant.

    Attributes:
        kind: Equal for remarks of which one is enough, e.g. "keyword optional".
        text: The remark.
    """

    kind: str
    text: str


def schema_text(schema: Mapping[str, Any], where: str) -> str:
    """Return a schema as JSON.

    Args:
        schema: Any mapping.
        where: Whose schema it is, for the message.

    Raises:
        UsageError: If it is not plain JSON: it holds itself as a Python object, NaN, keys that are not texts, ...
    """
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
        if any(not isinstance(key, str) for part in _parts(schema) for key in part):
            raise TypeError("a key is not a text")
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"The schema of {where} is not JSON ({error or 'too deep'}); give plain JSON, and types that hold themselves "
            f"by $ref."
        ) from None
    if is_deep(json.loads(text), MAX_SCHEMA_DEPTH):
        raise UsageError(f"The schema of {where} is nested deeper than {MAX_SCHEMA_DEPTH} levels; use $defs and $ref.")
    return text


@lru_cache(maxsize=1024)
def validator_of(text: str) -> Any:
    """Return the compiled validator of a schema.

    Args:
        text: The schema as JSON.

    Raises:
        MissingExtraError: If `jsonschema-rs` is not installed.
        UsageError: If it is not a schema, or refers to what is not in it.
    """
    try:
        import jsonschema_rs
    except ModuleNotFoundError:
        raise MissingExtraError("A tool from a JSON schema", "tools") from None
    try:
        return jsonschema_rs.Draft202012Validator(
            json.loads(text),
            validate_formats=False,
            retriever=_fetch_nothing,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        path = ".".join(map(str, getattr(error, "instance_path", ())))
        reason = str(getattr(error, "message", error)).splitlines()[0][:300]
        raise UsageError(
            f"{f'At {path!r}: ' if path else ''}{reason}; expected a schema of JSON Schema 2020-12 that refers only to itself."
        ) from None


def remarks_on(schema: Mapping[str, Any]) -> list[Remark]:
    """Return remarks on what may not be meant in a sound schema: unknown keywords, missing `required`, lists of types."""
    return list(_remarks(schema, "parameters"))


def pointed(root: Mapping[str, Any], reference: str) -> Any:
    """Return the part of a schema that a local reference points to (`#`, `#/$defs/x`); None if there is none."""
    part: Any = root
    if reference in ("#", ""):
        return root
    if not reference.startswith("#/"):
        return None
    for step in reference[2:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, Mapping) and key in part:
            part = part[key]
        elif isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        else:
            return None
    return part


def matches(pattern: str, text: str) -> bool:
    """Whether a text holds a match of a pattern, in the dialect of JSON Schema.

    Args:
        pattern: The regular expression. One that takes too long, or cannot be read, matches nothing.
        text: Any text.
    """
    try:
        return bool(validator_of(json.dumps({"pattern": pattern})).is_valid(text))
    except (UsageError, ValueError):
        return False


def _remarks(schema: Json, path: str) -> Iterator[Remark]:
    """Look at a schema and all schemas in it."""
    if not isinstance(schema, Mapping):
        return
    for key in schema:
        if key not in KEYWORDS:
            yield Remark(f"keyword {key}", f"{path} has {key!r}, which is not a keyword of JSON Schema and is ignored")
    if isinstance(schema.get("type"), list):
        yield Remark("types", f"the type of {path} is the list {json.dumps(schema['type'])}")
    properties = schema.get("properties", {})
    if properties and "required" not in schema:
        yield Remark("required", f"{path} does not say what is required, so that everything may be left out")
    if unknown := [name for name in schema.get("required", ()) if name not in properties]:
        yield Remark("undescribed", f"{path} requires {unknown[0]!r}, which it does not describe")
    for name, inner in _inner(schema):
        yield from _remarks(inner, f"{path}.{name}")


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    """Iterate over the schemas directly inside a schema, with their places."""
    for key in MAPS:
        yield from ((name if key == "properties" else f"{key}.{name}", inner) for name, inner in schema.get(key, {}).items())
    for key in LISTS:
        yield from ((f"{key}.{index}", inner) for index, inner in enumerate(schema.get(key, ())))
    yield from ((key, schema[key]) for key in SINGLE if key in schema)


def _parts(value: Json) -> Iterator[Mapping[Any, Any]]:
    """Iterate over a value's maps, at any depth; the value has a JSON form."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            yield part
            waiting += part.values()
        elif isinstance(part, (list, tuple)):
            waiting += part


def _fetch_nothing(uri: str) -> NoReturn:
    """Refuse to fetch a schema from elsewhere."""
    raise ValueError(f"{uri} is not part of the schema, and nothing is fetched")


__all__ = ["KEYWORDS", "LISTS", "MAPS", "SINGLE", "Remark", "matches", "pointed", "remarks_on", "schema_text", "validator_of"]
