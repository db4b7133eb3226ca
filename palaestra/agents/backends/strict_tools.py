"""Tool schemas in the strict form that OpenAI guarantees: every property required, no others, optional ones nullable.

`strict_tools=True` asks for it. A schema that has no strict form (an object of free keys, a value of any type) is offered as
it is. The null with which a model leaves an optional argument out is taken away again before a tool sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from palaestra.envs.tools.schema import strict_schema
from palaestra.errors import UsageError
from palaestra.types import Json, Message

OPENAI_MOST = 128
"""Tools that OpenAI, Azure and Gemini take in one request."""

_NOT_STRICT = ("oneOf", "allOf", "not", "if", "patternProperties", "prefixItems", "dependentRequired", "dependentSchemas")


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


def strict_parameters(schema: Mapping[str, Json]) -> dict[str, Json] | None:
    """Return the strict form of the schema of a tool's arguments, or None if it has none."""
    if not _is_expressible(schema):
        return None
    try:
        return dict(strict_schema(dict(schema), "offered"))
    except UsageError:
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


def _parameters(tool: Mapping[str, Json]) -> Json:
    """Return the schema of a function's arguments."""
    return tool["function"].get("parameters") or {"type": "object", "properties": {}}


def _is_expressible(schema: Json) -> bool:
    """Tell whether a schema holds only what servers with strict schemas take: what they do not know they refuse."""
    if not isinstance(schema, Mapping) or any(key in schema for key in _NOT_STRICT):
        return False
    if not any(key in schema for key in ("type", "anyOf", "enum", "const", "$ref")):
        return False  # a value of any type
    kinds = schema.get("type")
    if ("array" in kinds if isinstance(kinds, list) else kinds == "array") and "items" not in schema:
        return False
    inner = [*(schema.get("properties") or {}).values(), *(schema.get("$defs") or {}).values(), *(schema.get("anyOf") or ())]
    return all(map(_is_expressible, [*inner, *([schema["items"]] if "items" in schema else [])]))


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
