"""Tool schemas in the strict form that OpenAI guarantees: every property required, no others, optional ones nullable.

`strict_tools=True` asks for it. A schema that has no strict form (an object of free keys, a value of any type) is offered as
it is. The null with which a model leaves an optional argument out is taken away again before a tool sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from palaestra.errors import UsageError
from palaestra.types import Json, Message

OPENAI_MOST = 128
"""Tools that OpenAI, Azure and Gemini take in one request."""

_NOT_STRICT = ("oneOf", "allOf", "not", "if", "patternProperties", "prefixItems", "dependentRequired", "dependentSchemas")
_NOTES = ("default", "title", "examples")  # say nothing about what is allowed, and strict schemas refuse some of them


def check_number(tools: Sequence[Any], most: int | None, name: str) -> None:
    """Refuse more tools than a server takes, before anything is sent.

    Raises:
        UsageError: If there are more.
    """
    if most is not None and len(tools) > most:
        raise UsageError(
            f"The environment offers {len(tools)} tools, and {name!r} takes at most {most} in a request. Play with "
            f"format='hermes' or 'react', which write the tools into the prompt, offer fewer, or raise max_tools if the "
            f"server takes more."
        )


def strict_parameters(schema: Json, *, nullable: bool = True) -> dict[str, Json] | None:
    """Return the strict form of a JSON schema, or None if it has none.

    Args:
        schema: A schema of an object.
        nullable: Make optional properties required and nullable.
    """
    try:
        return _node(schema, nullable)
    except _FreeForm:
        return None


def strict_function(tool: Mapping[str, Json]) -> dict[str, Json]:
    """Return an OpenAI function schema in strict form where it has one."""
    function = tool.get("function")
    strict = strict_parameters(_parameters(tool)) if isinstance(function, Mapping) else None
    return dict(tool) if strict is None else {**tool, "function": {**tool["function"], "parameters": strict, "strict": True}}


def without_nulls(message: Message, tools: Sequence[Mapping[str, Json]]) -> Message:
    """Return a message whose calls leave out what strict schemas made the model write as null."""
    if not message.tool_calls:
        return message
    schemas = {tool["function"]["name"]: _parameters(tool) for tool in tools if isinstance(tool.get("function"), Mapping)}
    calls = []
    for call in message.tool_calls:
        schema = schemas.get(call.name)
        if schema is not None and not isinstance(call.arguments, str):
            call = replace(call, arguments=_pruned(dict(call.arguments), schema))
        calls.append(call)
    return replace(message, tool_calls=tuple(calls))


class _FreeForm(Exception):
    """A schema has no strict form."""


def _parameters(tool: Mapping[str, Json]) -> Json:
    """Return the schema of a function's arguments."""
    return tool["function"].get("parameters") or {"type": "object", "properties": {}}


def _node(schema: Json, nullable: bool) -> dict[str, Json]:
    """Return one schema in strict form."""
    if not isinstance(schema, Mapping) or any(key in schema for key in _NOT_STRICT):
        raise _FreeForm
    node = {key: value for key, value in schema.items() if key not in _NOTES}
    if not any(key in node for key in ("type", "anyOf", "enum", "const", "$ref")):
        raise _FreeForm
    kinds = node.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds:
        _close_object(node, nullable)
    if "array" in kinds:
        node["items"] = _node(node.get("items"), nullable)
    if "anyOf" in node:
        node["anyOf"] = [_node(item, nullable) for item in node["anyOf"]]
    for key in ("$defs", "definitions"):
        if key in node:
            node[key] = {name: _node(item, nullable) for name, item in node[key].items()}
    return node


def _close_object(node: dict[str, Json], nullable: bool) -> None:
    """Require all properties and refuse others."""
    properties = node.get("properties")
    if not isinstance(properties, Mapping) or node.get("additionalProperties"):
        raise _FreeForm
    required = node.get("required") or ()
    closed = {name: _node(item, nullable) for name, item in properties.items()}
    if nullable:
        closed = {name: item if name in required else _or_null(item) for name, item in closed.items()}
        required = list(closed)
    node.update(properties=closed, required=list(required), additionalProperties=False)


def _or_null(schema: dict[str, Json]) -> dict[str, Json]:
    """Return a schema that takes null as well."""
    kinds = schema.get("type")
    if kinds is None or "const" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = kinds if isinstance(kinds, list) else [kinds]
    taken = {**schema, "type": kinds if "null" in kinds else [*kinds, "null"]}
    if "enum" in schema and None not in schema["enum"]:
        taken["enum"] = [*schema["enum"], None]
    return taken


def _pruned(value: Json, schema: Json) -> Json:
    """Return a value without the nulls of optional properties that do not take null themselves."""
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, dict) and isinstance(schema.get("properties"), Mapping):
        known, required = schema["properties"], schema.get("required") or ()
        kept = {}
        for name, item in value.items():
            inner = known.get(name)
            if item is None and inner is not None and name not in required and not _takes_null(inner):
                continue
            kept[name] = _pruned(item, inner)
        return kept
    if isinstance(value, list):
        return [_pruned(item, schema.get("items")) for item in value]
    return value


def _takes_null(schema: Json) -> bool:
    """Tell whether a schema takes null."""
    if not isinstance(schema, Mapping):
        return True
    kinds = schema.get("type")
    if kinds == "null" or (isinstance(kinds, list) and "null" in kinds):
        return True
    if None in (schema.get("enum") or ()):
        return True
    return any(_takes_null(item) for item in schema.get("anyOf") or schema.get("oneOf") or ())


__all__ = ["OPENAI_MOST", "check_number", "strict_function", "strict_parameters", "without_nulls"]
