"""Values of arguments as the syntaxes of models write them: JSON, bare text, Python literals, Gemma's own notation."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.types import MAX_DEPTH, Json, ToolCall, is_deep
from palaestra.types.plain_json import finite_number, refuse_constant, strict_json

Properties = Mapping[str, Any]
"""JSON schemas of parameters by name."""

MAX_PYTHON_CHARS = 50_000  # Python's parser takes long for long texts
_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder(parse_constant=refuse_constant, parse_float=finite_number)
_NAMES: Mapping[str, Json] = {"true": True, "false": False, "null": None}
_PYTHON_NAMES: Mapping[str, Json] = {"True": True, "False": False, "None": None}


def skip_space(text: str, position: int) -> int:
    """Return the position of the next character that is not white space."""
    return _SPACE.match(text, position).end()  # type: ignore[union-attr]


def end_of_line(text: str, position: int) -> int:
    """Return where the line ends that a position stands on."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def read_json(text: str, position: int) -> tuple[Json, int] | None:
    """Return the JSON value at a position and where it ends; None if there is none, or none of at most 64 levels."""
    try:
        value, end = _DECODER.raw_decode(text, position)
    except (ValueError, RecursionError):
        return None
    return None if is_deep(value, MAX_DEPTH + 2) else (value, end)


def typed_value(text: str, schema: Any) -> Json:
    """Return the value that a bare text stands for.

    A parameter that may be a text is one, except that "null" stands for nothing where that is allowed; everything else is read
    as JSON or as Python writes its constants, and stays a text where that fails.

    Args:
        text: What was written.
        schema: JSON schema of the parameter, None if it is not known.
    """
    types = _types(schema) if isinstance(schema, Mapping) else frozenset()
    word = text.strip()
    if "string" in types and not (word in ("null", "None") and "null" in types):
        return text
    if word in _PYTHON_NAMES:
        return _PYTHON_NAMES[word]
    try:
        value = strict_json(word)
    except (ValueError, RecursionError):
        return text
    return text if is_deep(value, MAX_DEPTH) else value


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON types that a schema allows, as far as it says so at its top."""
    kind = schema.get("type")
    found = (
        {kind}
        if isinstance(kind, str)
        else {item for item in kind if isinstance(item, str)}
        if isinstance(kind, list)
        else set()
    )
    for key in ("anyOf", "oneOf"):
        for part in schema.get(key) or ():
            if isinstance(part, Mapping):
                found |= _types({"type": part.get("type"), "enum": part.get("enum")})
    if not found and isinstance(schema.get("enum"), list):
        found = {"string" if isinstance(item, str) else "other" for item in schema["enum"]}
    return frozenset(found)


def read_python_calls(text: str, position: int, schemas: Mapping[str, Properties]) -> tuple[tuple[ToolCall, ...], int] | None:
    """Return the calls of a Python list of calls, or of one call, that begins at a position, and where it ends.

    Values are literals; `true`, `false` and `null` are taken for what they mean. Values without a name are those of the tool's
    parameters in order, and one object with their names is all of them. The code is parsed, never run.
    """
    begin = skip_space(text, position)
    end = code_end(text, begin)
    if end is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the escapes that a model invents
            node = ast.parse(text[begin:end].strip(), mode="eval").body
        nodes = node.elts if isinstance(node, ast.List) else [node]
        calls = [_python_call(item, schemas) for item in nodes]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, OverflowError):
        return None
    return (tuple(calls), end) if calls else None


def code_end(text: str, begin: int) -> int | None:
    """Return where the brackets that a text opens are closed again, None if they are not."""
    depth = 0
    quote = ""
    position = begin
    stop = min(len(text), begin + MAX_PYTHON_CHARS)
    while position < stop:
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return position + 1
            if depth < 0:
                return None
        position += 1
    return None


def _python_call(node: ast.expr, schemas: Mapping[str, Properties]) -> ToolCall:
    """Return one call.

    Raises:
        ValueError: If it is no call with literal arguments.
    """
    if not isinstance(node, ast.Call):
        raise ValueError("no call")
    name = _dotted(node.func)
    if name not in schemas and name.endswith(".call"):  # Llama's `tool.call(...)`
        name = name.removesuffix(".call")
    properties = schemas.get(name, {})
    order: Sequence[str] = list(properties)
    if len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.Dict):
        value = _python_value(node.args[0])
        if isinstance(value, dict) and value and set(value) <= set(order) and "object" not in _types(properties[order[0]]):
            json.dumps(value, allow_nan=False)
            return ToolCall(name, value)  # its arguments as one object, as JavaScript has them
    if len(node.args) > len(order) or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("arguments without a name")
    pairs = [*zip(order, node.args, strict=False), *((keyword.arg or "", keyword.value) for keyword in node.keywords)]
    arguments = {key: _python_value(value) for key, value in pairs}
    if len(arguments) != len(pairs) or is_deep(arguments, MAX_DEPTH):
        raise ValueError("an argument comes twice, or is too deep")
    json.dumps(arguments, allow_nan=False)
    return ToolCall(name, arguments)


def _dotted(node: ast.expr) -> str:
    """Return a dotted name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise ValueError("no name")
    return ".".join([node.id, *reversed(parts)])


def _python_value(node: ast.expr) -> Json:
    """Return the JSON value that a literal stands for; constants of JSON may stand anywhere in it."""
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_python_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        if len(keys) != len(node.keys) or not all(isinstance(key, str) for key in keys):
            raise ValueError("keys that are no texts")
        return dict(zip(keys, [_python_value(item) for item in node.values], strict=True))
    value = ast.literal_eval(node)
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError("no JSON value")
    return value


_QUOTE = '<|"|>'
_GEMMA_KEY = re.compile(r'\s*(?:<\|"\|>(.*?)<\|"\|>|"([^"]*)"|([^\s:,{}\[\]"]+))\s*:\s*', re.DOTALL)
_GEMMA_BARE = re.compile(r"[^,\]}\n]*")


def read_gemma_object(text: str, position: int) -> tuple[dict[str, Json], int] | None:
    """Return the object in Gemma's notation at a position, and where it ends: bare keys, texts between `<|"|>`."""
    try:
        value, end = _gemma_value(text, position, MAX_DEPTH)
    except ValueError:
        return None
    return (value, end) if isinstance(value, dict) else None


def _gemma_value(text: str, position: int, levels: int) -> tuple[Json, int]:
    """Read one value.

    Raises:
        ValueError: If there is none, or one nested deeper than `levels`.
    """
    position = skip_space(text, position)
    if text.startswith(_QUOTE, position):
        begin = position + len(_QUOTE)
        end = text.index(_QUOTE, begin)
        return text[begin:end], end + len(_QUOTE)
    opening = text[position : position + 1]
    if opening == '"':
        read = read_json(text, position)
        if read is None:
            raise ValueError("an open text")
        return read
    if opening in ("{", "[") and opening:
        if not levels:
            raise ValueError("too deep")
        return _gemma_items(text, position + 1, levels - 1, closing="}" if opening == "{" else "]")
    bare = _GEMMA_BARE.match(text, position)
    word = bare[0].strip() if bare else ""
    if not word or bare is None:
        raise ValueError("no value")
    return typed_value(word, None), bare.end()


def _gemma_items(text: str, position: int, levels: int, closing: str) -> tuple[Json, int]:
    """Read what stands between brackets."""
    items: list[Json] = []
    fields: dict[str, Json] = {}
    position = skip_space(text, position)
    while not text.startswith(closing, position):
        key = None
        if closing == "}":
            found = _GEMMA_KEY.match(text, position)
            if found is None:
                raise ValueError("no key")
            key = next(group for group in found.groups() if group is not None)
            position = found.end()
        value, position = _gemma_value(text, position, levels)
        if key is None:
            items.append(value)
        else:
            fields[key] = value
        position = skip_space(text, position)
        if text.startswith(",", position):
            position = skip_space(text, position + 1)
        elif not text.startswith(closing, position):
            raise ValueError("no comma")
    return (fields if closing == "}" else items), position + 1


__all__ = ["Properties", "code_end", "read_gemma_object", "read_json", "read_python_calls", "skip_space", "typed_value"]
