"""Tool documents, as the published items hold them, and OpenAI function schemas: there and back without loss.

A document is `{"name", "description", "required_parameters", "optional_parameters", "return_data"}`, a parameter
`{"name", "type", "description"}`. What one form can say and the other cannot is kept under a key of its own: `x-document` in a
schema, `schema` in a document. `shown_schema` takes the former away for agents.

The system message of an item holds its documents as JSON: from the first `[` up to `END_OF_TOOLS`.
"""

from __future__ import annotations

import ast
import copy
import json
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from palaestra.errors import UsageError
from palaestra.types import Json
from palaestra.types.plain_json import is_strict, text_of

Profile = Literal["paper", "published"]
"""Which of the two scorers is meant: the one that the paper describes, or the published one, bug for bug."""
PROFILES: tuple[Profile, ...] = ("paper", "published")
JsonType = Literal["string", "integer", "number", "boolean", "array", "object"] | None
"""A type of JSON Schema; None for any."""

END_OF_TOOLS = "\nTo use a tool"
KEPT = "x-document"
"""Key under which a schema keeps what only its document says."""
LISTS = ("required_parameters", "optional_parameters")

_TYPES: dict[str, JsonType] = {
    **dict.fromkeys(("STRING", "string"), "string"),
    **dict.fromkeys(("NUMBER", "integer"), "integer"),
    **dict.fromkeys(("FLOAT", "float"), "number"),
    **dict.fromkeys(("BOOLEAN", "boolean"), "boolean"),
    "array": "array",
    "dict": "object",
    "any": None,
}
_OF_PAPER: dict[str, JsonType] = {"NUMBER": "number", "number": "number", "object": "object"}
_SPELLINGS: dict[str | None, str] = {
    "string": "string",
    "integer": "integer",
    "number": "float",
    "boolean": "boolean",
    "array": "array",
    "object": "dict",
    None: "any",
}


class CriticDataError(UsageError):
    """An item cannot be used; the message names the item and the field."""


def json_type(spelling: str, profile: Profile = "paper") -> JsonType:
    """Return the JSON type of a type of a document; unknown ones are strings.

    Args:
        spelling: The type, e.g. "NUMBER".
        profile: "published" takes NUMBER for integers and knows no other words; "paper" takes NUMBER for numbers, and reads
            `number` and `object` as JSON Schema does.
    """
    if profile == "paper" and spelling in _OF_PAPER:
        return _OF_PAPER[spelling]
    return _TYPES.get(spelling, "string")


def to_schema(document: Mapping[str, Json], profile: Profile = "paper") -> dict[str, Json]:
    """Return the OpenAI function schema of a document.

    Args:
        document: A document; further keys are kept.
        profile: Whose reading of types holds.

    Raises:
        CriticDataError: If it is not a document.
    """
    check_document(document, "the document")
    whole = document.get("schema")
    if isinstance(whole, dict) and whole.get("type") == "function":
        return copy.deepcopy(whole)
    required, optional = (document.get(name, []) for name in LISTS)
    kept = {key: value for key, value in document.items() if key not in ("name", "description", *LISTS)}
    if absent := [name for name in LISTS if name not in document]:
        kept["absent"] = absent
    properties = {one["name"]: _property(one, profile) for one in (*required, *optional)}
    parameters = {"type": "object", "properties": properties, "required": [one["name"] for one in required]}
    function: dict[str, Json] = {"name": document["name"]}
    if "description" in document:
        function["description"] = document["description"]
    function["parameters"] = parameters
    if kept:
        function[KEPT] = copy.deepcopy(kept)
    return {"type": "function", "function": function}


def to_document(schema: Mapping[str, Json]) -> dict[str, Json]:
    """Return the document of an OpenAI function schema.

    Args:
        schema: The schema; one that came from `to_schema` gives its document again.

    Raises:
        CriticDataError: If it is not an OpenAI function schema of an object.
    """
    function = schema.get("function")
    parameters: Any = function.get("parameters") if isinstance(function, Mapping) else None
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(properties, Mapping) or not isinstance(function.get("name"), str):
        raise CriticDataError(f"Not an OpenAI function schema of an object: {text_of(schema, 200)}.")
    needed = [name for name in parameters.get("required", ()) if name in properties]
    document: dict[str, Json] = {"name": function["name"]}
    if "description" in function:
        document["description"] = function["description"]
    document["required_parameters"] = [_parameter(name, properties[name]) for name in needed]
    document["optional_parameters"] = [_parameter(name, found) for name, found in properties.items() if name not in needed]
    kept = copy.deepcopy(dict(function.get(KEPT, {})))
    for name in kept.pop("absent", ()):
        document.pop(name, None)
    document |= kept
    if all(to_schema(document, profile) != schema for profile in PROFILES):
        document["schema"] = copy.deepcopy(dict(schema))
    return document


def shown_schema(schema: Mapping[str, Json]) -> dict[str, Json]:
    """Return a schema without what it keeps for its document, as agents see it."""
    return {key: _without(item) for key, item in schema.items()}


def documents_of(system: str, item: str) -> list[dict[str, Json]]:
    """Return the documents that a system message holds.

    Args:
        system: The text of the message.
        item: Name of the item, for messages.

    Raises:
        CriticDataError: If there is no list of documents in it.
    """
    start = system.find("[")
    if start < 0:
        raise CriticDataError(f"{item}: the system message holds no list of tools; expected one that begins with '['.")
    end = system.find(END_OF_TOOLS, start)
    found = _read_list(system[start:end] if end >= 0 else system[start:], is_open=end < 0)
    if not isinstance(found, list):
        raise CriticDataError(
            f"{item}: the list of tools in the system message is neither JSON nor a Python literal; it begins "
            f"{system[start : start + 60]!r}."
        )
    for number, document in enumerate(found, start=1):
        check_document(document, f"{item}: tool {number}")
    return found


def check_document(document: object, what: str) -> None:
    """Refuse what is not a tool document.

    Args:
        document: Anything.
        what: What it is called in messages.

    Raises:
        CriticDataError: If a field has another type than the format says, or a parameter stands twice.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("name"), str) or not document["name"]:
        raise CriticDataError(f"{what} is {text_of(document)}; expected an object with a name.")
    what = f"{what} ({document['name']!r})"
    if not isinstance(document.get("description", ""), str) or not is_strict(dict(document)):
        raise CriticDataError(f"{what} has a description that is not a text, or values that are not JSON.")
    names = []
    for key in LISTS:
        found = document.get(key, [])
        if not isinstance(found, list) or not all(map(_is_parameter, found)):
            raise CriticDataError(f"{what}: {key} is {text_of(found)}; expected a list of objects with name and type, texts.")
        names += [one["name"] for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CriticDataError(f"{what} has the parameter {twice[0]!r} twice.")


def literal(text: str) -> Any:
    """Return the value of a Python literal, without a warning about its spelling.

    Raises:
        ValueError: If it is not one, whatever the parser raises.
    """
    try:
        if "\\" not in text:
            return ast.literal_eval(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that Python does not know is a backslash
            return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _is_parameter(value: object) -> bool:
    """Whether a value is a parameter of a document."""
    if not isinstance(value, dict) or not isinstance(value.get("schema", {}), dict):
        return False
    return all(isinstance(value.get(key), str) for key in ("name", "type")) and isinstance(value.get("description", ""), str)


def _property(parameter: Mapping[str, Json], profile: Profile) -> dict[str, Json]:
    """Return the property of a parameter."""
    found: dict[str, Json] = {}
    kind = json_type(parameter["type"], profile)
    if kind is not None:
        found["type"] = kind
    if "description" in parameter:
        found["description"] = parameter["description"]
    kept = {key: value for key, value in parameter.items() if key not in ("name", "description", "schema")}
    if _SPELLINGS[kind] == kept["type"]:
        del kept["type"]
    if kept:
        found[KEPT] = kept
    return copy.deepcopy({**found, **parameter.get("schema", {})})


def _parameter(name: str, found: Mapping[str, Json]) -> dict[str, Json]:
    """Return the parameter of a property."""
    kept = found.get(KEPT, {})
    kind = found.get("type")
    spelling = _SPELLINGS.get(kind) if kind is None or isinstance(kind, str) else None
    rest = {key: value for key, value in found.items() if key not in ("type", "description", KEPT)}
    if spelling is None:  # a list of types
        spelling, rest["type"] = "any", kind
    parameter: dict[str, Json] = {"name": name, "type": kept.get("type", spelling)}
    if "description" in found:
        parameter["description"] = found["description"]
    parameter |= {key: value for key, value in kept.items() if key != "type"}
    if rest:
        parameter["schema"] = rest
    return copy.deepcopy(parameter)


def _without(value: Json) -> Json:
    """Return a copy without what is kept for documents."""
    if isinstance(value, Mapping):
        return {key: _without(item) for key, item in value.items() if key != KEPT}
    return [_without(item) for item in value] if isinstance(value, list) else value


def _read_list(text: str, *, is_open: bool) -> Json:
    """Return the value that a text stands for, None for none."""
    try:
        return json.JSONDecoder().raw_decode(text)[0] if is_open else json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return literal(text.strip())
    except ValueError:
        return None


__all__ = [
    "END_OF_TOOLS",
    "KEPT",
    "LISTS",
    "PROFILES",
    "CriticDataError",
    "JsonType",
    "Profile",
    "check_document",
    "documents_of",
    "json_type",
    "literal",
    "shown_schema",
    "to_document",
    "to_schema",
]
