"""From an OpenAI function schema to a Python method with real type hints and a Google docstring.

Trainers that take tools as functions read the schema back from signature and docstring. What Python's types cannot say
(nested objects, patterns, bounds) is kept as words in the description of the argument, so nothing the model needs is lost.
"""

from __future__ import annotations

import inspect
import json
import keyword
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from palaestra.errors import ConfigError
from palaestra.types import Json

_PLAIN: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}
# Words that open a section of a docstring; in a description they would cut it short.
_SECTION = re.compile(r"\b(Args|Returns|Raises|choices):")
_LIMITS = ("minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "pattern")


def make_method(tool: Mapping[str, Json], call: Callable[[Any, str, dict[str, Json]], str]) -> Callable[..., str]:
    """Return a function `(self, **arguments) -> str` that looks like the tool.

    Args:
        tool: OpenAI function schema.
        call: Called with the instance, the tool's name and the arguments that were given; its answer is returned.
            Arguments are checked there, so that a wrong one is an answer to the model rather than an exception.

    Raises:
        ConfigError: If name or arguments cannot be those of a Python method.
    """
    function = tool["function"]
    name = str(function["name"])
    schema = function.get("parameters") or {}
    inner: Mapping[str, Json] = schema.get("properties") or {}
    properties = {key: part if isinstance(part, Mapping) else {} for key, part in inner.items()}  # true: anything
    required = set(schema.get("required") or ())
    for word in (name, *properties):
        if not word.isidentifier() or keyword.iskeyword(word) or word == "self":
            raise ConfigError(f"Tool {name!r} uses the name {word!r}, which no Python function can have; rename it.")
    optional = {key for key in properties if key not in required}

    def method(self: Any, **arguments: Json) -> str:
        # A model that leaves an optional argument out often writes null for it.
        given = {key: value for key, value in arguments.items() if value is not None or key not in optional}
        return call(self, name, given)

    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    # Arguments without a default come first, as Python wants them.
    for key in sorted(properties, key=lambda key: key in optional):
        parameters.append(_parameter(key, properties[key], is_required=key in required))
    method.__name__ = name
    method.__qualname__ = name
    method.__signature__ = inspect.Signature(parameters, return_annotation=str)  # type: ignore[attr-defined]
    method.__annotations__ = {p.name: p.annotation for p in parameters[1:]} | {"return": str}
    method.__doc__ = _docstring(str(function.get("description") or name), properties)
    return method


def type_hint(schema: Mapping[str, Json] | bool) -> Any:
    """Return the Python type of a JSON schema: `str`, `list[int]`, `Literal["a", "b"]`, `dict[str, Any]`, ..."""
    if isinstance(schema, bool):
        return Any
    if "enum" in schema:
        return Literal.__getitem__(tuple(schema["enum"]))
    if "const" in schema:
        return Literal.__getitem__((schema["const"],))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _union([type_hint(part) for part in schema[key]])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([type_hint({**schema, "type": one}) for one in kind])
    if kind == "array":
        return list[type_hint(schema.get("items") or {})]  # type: ignore[misc]
    if kind == "object":
        return dict[str, Any]
    return _PLAIN.get(str(kind), Any)


def _parameter(name: str, schema: Mapping[str, Json], *, is_required: bool) -> inspect.Parameter:
    """Return the parameter of an argument."""
    hint = type_hint(schema)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    if is_required:
        return inspect.Parameter(name, kind, annotation=hint)
    default = schema.get("default")
    return inspect.Parameter(
        name, kind, default=default, annotation=hint if default is not None else _union([hint, type(None)])
    )


def _union(hints: list[Any]) -> Any:
    """Return the union of some types."""
    found = hints[0]
    for hint in hints[1:]:
        found = found | hint if found is not Any and hint is not Any else Any
    return found


def _docstring(description: str, properties: Mapping[str, Json]) -> str:
    """Write description and arguments, one line each."""
    lines = [_one_line(description)]
    if properties:
        lines += ["", "Args:"]
        lines += [f"    {key}: {_describe(key, schema)}" for key, schema in properties.items()]
    return "\n".join([*lines, "", "Returns:", "    What the environment shows."])


def _describe(name: str, schema: Mapping[str, Json]) -> str:
    """Return the description of an argument, with what its type hint does not say."""
    text = _one_line(str(schema.get("description") or name.replace("_", " ")))
    notes = [f"{key} {schema[key]}" for key in _LIMITS if key in schema]
    if schema.get("default") is not None:
        notes.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
    inner = schema.get("items") if schema.get("type") == "array" else schema
    if isinstance(inner, Mapping) and inner.get("type") == "object" and inner.get("properties"):
        what = "items" if inner is not schema else "an object"
        notes.append(f"{what} of the form {json.dumps(_form(inner), ensure_ascii=False)}")
    line = _one_line(f"{text} ({'; '.join(notes)})" if notes else text)
    if "enum" in schema:  # in the order of the schema: Python takes optional Literals of equal members for one and the same
        line += f" (choices: {json.dumps(schema['enum'], ensure_ascii=False)})"
    return line


def _form(schema: Mapping[str, Json]) -> Json:
    """Return a sketch of a schema: keys with the names of their types."""
    if schema.get("type") == "object":
        required = set(schema.get("required") or ())
        properties = schema.get("properties") or {}
        return {key if key in required else f"{key}?": _form(inner) for key, inner in properties.items()}
    if schema.get("type") == "array":
        return [_form(schema.get("items") or {})]
    return "|".join(map(str, schema["enum"])) if "enum" in schema else schema.get("type", "any")


def _one_line(text: str) -> str:
    """Put a text on one line in which nothing looks like a section of a docstring."""
    return _SECTION.sub(r"\1 -", " ".join(text.split()))


__all__ = ["make_method", "type_hint"]
