"""JSON schemas of tool arguments: cleaning, the strict form, and words and examples for messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from palaestra.envs.tools.json_schema import pointed
from palaestra.errors import UsageError
from palaestra.types import Json

Schema = dict[str, Any]

FORMAT_EXAMPLES = {
    "date": "2031-03-04",
    "time": "09:30:00Z",
    "date-time": "2031-03-04T09:30:00Z",
    "duration": "PT30M",
    "email": "mara@example.org",
    "uuid": "3f2b8c1e-5d4a-4e6f-8a7b-9c0d1e2f3a4b",
    "uri": "https://example.org/page",
    "binary": "data",
    "path": "folder/file",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
"""A value of each string format that pydantic writes into schemas."""

MAX_WORDS_DEPTH = 3
MAX_NAMES = 40
MAX_WORDS_CHARS = 1_000
"""Most characters, about, of what is said of one value: longer enumerations and alternatives are cut and say so."""

_MAPS_OF_SCHEMAS = ("properties", "$defs", "patternProperties")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE_SCHEMAS = ("items", "additionalProperties", "not")


def plain_schema(schema: Mapping[str, Any]) -> Schema:
    """Return pydantic's schema without generated titles and with references written out.

    References to a type that holds itself cannot be written out; they stay, under `$defs` at the root.
    """
    definitions: dict[str, Schema] = dict(schema.get("$defs", {}))
    recursive = {name for name in definitions if name in _reachable(definitions, name)}
    cleaned = _clean({key: value for key, value in schema.items() if key != "$defs"}, definitions, recursive)
    kept = sorted(recursive & _reached_from(cleaned, definitions))
    if kept:
        cleaned["$defs"] = {name: _clean(definitions[name], definitions, recursive) for name in kept}
    cleaned.setdefault("properties", {})
    return cleaned


def strict_schema(schema: Schema | bool, where: str) -> Schema:
    """Return the form that OpenAI's strict mode asks for.

    Every object lists all its properties as required and allows no others; an optional one also takes null, which means
    "left out". Defaults and examples, which strict mode does not know, go.

    Args:
        schema: A result of `plain_schema`.
        where: The tool, for the message.

    Raises:
        UsageError: If the arguments hold a free mapping or an argument of any type, which strict mode cannot express.
    """
    if not isinstance(schema, dict):
        raise UsageError(
            f"Tool {where} has an argument whose schema is {_shown(schema)}, which strict schemas cannot express; "
            f"use strict=False."
        )
    is_free = "properties" not in schema or schema.get("additionalProperties") not in (None, False)
    if schema.get("type") == "object" and is_free:
        raise UsageError(
            f"Tool {where} takes a mapping with free keys, which strict schemas cannot express; "
            f"use a dataclass with named fields, or strict=False."
        )
    result: Schema = {}
    required = schema.get("required", [])
    for key, value in schema.items():
        if key == "properties":
            result[key] = {
                name: strict_schema(inner, where) if name in required else _nullable(strict_schema(inner, where))
                for name, inner in value.items()
            }
        elif key == "$defs":
            result[key] = {name: strict_schema(inner, where) for name, inner in value.items()}
        elif key in _LISTS_OF_SCHEMAS:
            result[key] = [strict_schema(inner, where) for inner in value]
        elif key in _SINGLE_SCHEMAS and isinstance(value, dict):
            result[key] = strict_schema(value, where)
        elif key not in ("default", "examples"):
            result[key] = value
    if "properties" in result:
        result["required"] = list(result["properties"])
        result["additionalProperties"] = False
    return result


def undrawable_paths(schema: Schema, path: str = "") -> list[str]:
    """Return the paths of texts with a pattern but no examples: nobody, human or sampler, can guess a right one."""
    if "pattern" in schema and "examples" not in schema:
        return [path]
    return [found for name, inner in _inner_schemas(schema) for found in undrawable_paths(inner, f"{path}.{name}".strip("."))]


def resolve(schema: Schema, root: Schema) -> Schema:
    """Follow references inside the root; what they lead to may be anything if they lead nowhere or in a circle."""
    followed: list[str] = []
    while "$ref" in schema:
        reference = schema["$ref"]
        target = pointed(root, reference)
        if reference in followed or not isinstance(target, dict):
            return {}
        followed.append(reference)
        schema = target
    return schema


def example_arguments(root: Schema) -> dict[str, Json]:
    """Return right arguments: the required ones, each the simplest value that says its type."""
    required = root.get("required", [])
    return {name: example_value(inner, root, name) for name, inner in root["properties"].items() if name in required}


def example_value(schema: Schema, root: Schema, name: str = "text") -> Json:
    """Return one right value.

    Args:
        schema: Schema of the value.
        root: Schema that holds the `$defs`.
        name: Used as the value of free texts.
    """
    schema = resolve(schema, root)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example_value(schema[key][0], root, name)
    kind = schema.get("type")
    if kind == "object":
        required = schema.get("required", [])
        return {key: example_value(inner, root, key) for key, inner in schema.get("properties", {}).items() if key in required}
    if kind == "array":
        if "prefixItems" in schema:
            return [example_value(inner, root, name) for inner in schema["prefixItems"]]
        return [example_value(schema.get("items", {}), root, name) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return example_number(schema)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return FORMAT_EXAMPLES.get(
        schema.get("format", ""), name.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
    )


def example_number(schema: Schema) -> int | float:
    """Return the right number next to 1 that is easiest to read."""
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    value: int | float = step
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high if low is None or high >= low else low
    return value


def describe(schema: Schema | bool, root: Schema, depth: int = 0) -> str:
    """Say in words what a value must be, e.g. `an integer of at least 1`."""
    if isinstance(schema, bool):
        return "any JSON value" if schema else "nothing at all"
    if depth > MAX_WORDS_DEPTH:
        return "a value"
    schema = resolve(schema, root)
    if "const" in schema:
        return _shown(schema["const"])
    if "enum" in schema:
        return "one of " + _joined(", ", schema["enum"], _shown)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _joined(" or ", schema[key], lambda inner: describe(inner, root, depth + 1))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(describe({**schema, "type": one}, root, depth + 1) for one in kind)
    words = {"string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false", "null": "null"}
    if kind == "array":
        text = "a list"
        if "items" in schema:
            text += f" of which each is {describe(schema['items'], root, depth + 1)}"
    elif kind == "object":
        fields = schema.get("properties", {})
        text = f"an object with {', '.join([*fields][:MAX_NAMES])}" if fields else "an object"
        text += f" and {len(fields) - MAX_NAMES} more" if len(fields) > MAX_NAMES else ""
    else:
        text = words.get(str(kind), "any JSON value")
    text += "".join(f" {word} {schema[key]}" for key, word in _LIMITS.items() if key in schema)
    if "format" in schema:
        text += f" in the form {_shown(FORMAT_EXAMPLES.get(schema['format'], schema['format']))}"
    elif "pattern" in schema:
        has_example = bool(schema.get("examples"))
        text += f" in the form {_shown(schema['examples'][0])}" if has_example else f" that matches {schema['pattern']}"
    return text


def short_type(schema: Schema | bool) -> str:
    """Return a type in a word or two for signatures, e.g. `string` or `"a"|"b"`."""
    if isinstance(schema, bool):
        return "any"
    if "enum" in schema:
        return _joined("|", schema["enum"], _shown)
    if "const" in schema:
        return _shown(schema["const"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _joined("|", schema[key], short_type)
    if schema.get("type") == "array" and "items" in schema:
        return f"list[{short_type(schema['items'])}]"
    kind = schema.get("type", "any")
    return "|".join(kind) if isinstance(kind, list) else str(kind)


_LIMITS = {
    "minimum": "of at least",
    "maximum": "up to",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
    "multipleOf": "in steps of",
    "minLength": "of at least this many characters:",
    "maxLength": "of at most this many characters:",
    "minItems": "of at least this many items:",
    "maxItems": "of at most this many items:",
    "minProperties": "of at least this many fields:",
    "maxProperties": "of at most this many fields:",
}


def _shown(value: Json) -> str:
    """Return a value as JSON, cut where it is very long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_WORDS_CHARS else f"{text[:MAX_WORDS_CHARS]}... ({len(text)} characters)"


def _joined(between: str, items: Sequence[Any], say: Callable[[Any], str]) -> str:
    """Say alternatives, each once and the first of many, with how many more there are."""
    said: dict[str, None] = {}
    room = MAX_WORDS_CHARS
    for index, item in enumerate(items):
        text = say(item)
        room -= 0 if text in said else len(text) + len(between)
        if room < 0 and said:
            return between.join([*said, f"{len(items) - index} more"])
        said[text] = None
    return between.join(said)


def _nullable(schema: Schema) -> Schema:
    """Return a schema that also takes null; the description stays outside."""
    if any(inner.get("type") == "null" for inner in schema.get("anyOf", [])):
        return schema
    outer = {key: schema[key] for key in ("description",) if key in schema}
    options = schema["anyOf"] if "anyOf" in schema else [{k: v for k, v in schema.items() if k not in outer}]
    return {"anyOf": [*options, {"type": "null"}], **outer}


def _inner_schemas(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Iterate over the schemas directly inside a schema, with a name for messages."""
    for key in _MAPS_OF_SCHEMAS:
        yield from schema.get(key, {}).items()
    for key in _LISTS_OF_SCHEMAS:
        for inner in schema.get(key, []):
            yield "", inner
    for key in _SINGLE_SCHEMAS:
        if isinstance(schema.get(key), dict):
            yield "", schema[key]


def _references(schema: Schema) -> set[str]:
    """Return the names of the definitions that a schema refers to directly."""
    found = {schema["$ref"].rpartition("/")[2]} if "$ref" in schema else set()
    for _, inner in _inner_schemas(schema):
        found |= _references(inner)
    return found


def _reachable(definitions: Mapping[str, Schema], name: str) -> set[str]:
    """Return the definitions that can be reached from one in one or more steps."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for reference in sorted(_references(definitions[waiting.pop()]) - found):
            found.add(reference)
            waiting.append(reference)
    return found


def _reached_from(schema: Schema, definitions: Mapping[str, Schema]) -> set[str]:
    """Return all definitions that a schema needs."""
    direct = _references(schema)
    return direct.union(*(_reachable(definitions, name) for name in direct))


def _clean(schema: Schema, definitions: Mapping[str, Schema], recursive: set[str]) -> Schema:
    """Drop titles and write references out, at every depth."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in recursive:
            return dict(schema)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _clean({**definitions[name], **beside}, definitions, recursive)
    result: Schema = {}
    for key, value in schema.items():
        if key == "title" or key == "discriminator":
            continue
        if key in _MAPS_OF_SCHEMAS:
            result[key] = {name: _clean(inner, definitions, recursive) for name, inner in value.items()}
        elif key in _LISTS_OF_SCHEMAS:
            result[key] = [_clean(inner, definitions, recursive) for inner in value]
        elif key in _SINGLE_SCHEMAS and isinstance(value, dict):
            result[key] = _clean(value, definitions, recursive)
        else:
            result[key] = value
    return result
