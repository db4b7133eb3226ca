"""Published text forms of an action, both ways: ReAct, a JSON function call, one Python call.

Each `parse_*` returns the thought and the action read from a model's text; text that holds none raises
`ActionFormatError` with a message the model can act on. Nothing is ever evaluated. The canonical text form of tool
calls (Hermes tags) lives in `tool_calls.py`.

Source: AgentGym action formats (arXiv:2406.04151; WooooDyy/AgentGym), specs/agentgym section 2.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from palaestra.types import Json, ToolCall

_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


class ActionFormatError(ValueError):
    """A text holds no action of the expected form; the message is written for the model."""


class ThoughtAction(NamedTuple):
    """A thought and the action text that follows it."""

    thought: str
    action: str


class ThoughtCall(NamedTuple):
    """A thought and the tool call that follows it."""

    thought: str
    call: ToolCall


def parse_react(text: str) -> ThoughtAction:
    """Split at the last `Action:`; without one all is thought, unless the text holds `search[` or `click[`."""
    before, marker, action = text.rpartition("Action:")
    if not marker:
        if "search[" in text or "click[" in text:
            return ThoughtAction("", text.strip())
        return ThoughtAction(_after_thought(text), "")
    return ThoughtAction(_after_thought(before), action.strip())


def format_react(thought: str, action: str) -> str:
    """Write a thought and an action in ReAct form."""
    return f"Thought:\n{thought}\n\nAction:\n{action}"


def parse_json_call(text: str) -> ThoughtCall:
    """Read `{"thought", "function_name", "arguments"}` from the first `{` to the last `}` of a text.

    Raises:
        ActionFormatError: If there is no such object.
    """
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ActionFormatError(
            'No JSON object was found. Answer with {"thought": "...", "function_name": "...", "arguments": {...}}.'
        )
    try:
        data = json.loads(text[start : end + 1])
    except (ValueError, RecursionError) as error:
        raise ActionFormatError(f"The JSON object could not be read: {error}. Send one valid JSON object.") from None
    name = data.get("function_name", data.get("name")) if isinstance(data, dict) else None
    if not isinstance(name, str) or not name:
        raise ActionFormatError('The JSON object has no "function_name" (a string); name the function to call.')
    arguments = data.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ActionFormatError(f'"arguments" is {type(arguments).__name__}; expected an object of argument names and values.')
    thought = data.get("thought", "")
    return ThoughtCall(
        thought if isinstance(thought, str) else json.dumps(thought, ensure_ascii=False), ToolCall(name, arguments)
    )


def format_json_call(thought: str, call: ToolCall) -> str:
    """Write a thought and a call as one JSON object."""
    data = {"thought": thought, "function_name": call.name, "arguments": _object(call)}
    return json.dumps(data, ensure_ascii=False)


def parse_code_call(text: str, parameters: Mapping[str, Sequence[str]]) -> ThoughtCall:
    """Read exactly one call with literal arguments from a Python fence (or from the bare text); comments are the thought.

    Args:
        text: The model's text.
        parameters: Names of the parameters of every known function, in order.

    Raises:
        ActionFormatError: If the code is anything else than one such call.
    """
    fences = _FENCE.findall(text)
    if len(fences) > 1:
        raise ActionFormatError(f"{len(fences)} code blocks were found; send exactly one, with one call.")
    code = fences[0] if fences else text
    try:
        tree = ast.parse(code.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ActionFormatError(
            f"The code could not be read ({reason}). Send one Python call with literal arguments."
        ) from None
    node = tree.body[0].value if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) else None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ActionFormatError(f"The code has {len(tree.body)} statements; expected exactly one call of a known function.")
    name = node.func.id
    if name not in parameters:
        raise ActionFormatError(f"Unknown function {name!r}. Known: {', '.join(sorted(parameters))}.")
    return ThoughtCall(_comments(code), ToolCall(name, _literal_arguments(node, name, parameters[name])))


def format_code_call(thought: str, call: ToolCall) -> str:
    """Write a thought (as comments) and a call in one Python fence."""
    comments = "".join(f"# {line}\n" for line in thought.splitlines())
    arguments = ", ".join(f"{key}={value!r}" for key, value in _object(call).items())
    return f"```python\n{comments}{call.name}({arguments})\n```"


def signature(tool: Mapping[str, Json]) -> str:
    """Write an OpenAI function schema as a Python signature with its description."""
    function = tool["function"]
    schema = function.get("parameters", {})
    required = schema.get("required", [])
    parts = [
        f"{name}: {_type_name(spec)}" + ("" if name in required else f" = {spec.get('default')!r}")
        for name, spec in schema.get("properties", {}).items()
    ]
    lines = [str(function.get("description", "")).strip()]
    lines += [
        f"{name}: {spec['description']}" for name, spec in schema.get("properties", {}).items() if spec.get("description")
    ]
    doc = "\n    ".join(line for text in lines for line in text.splitlines())
    return f'def {function["name"]}({", ".join(parts)}):\n    """{doc}"""'


def parameter_names(tools: Sequence[Mapping[str, Json]]) -> dict[str, list[str]]:
    """Return the parameter names of every tool, in order."""
    return {tool["function"]["name"]: list(tool["function"].get("parameters", {}).get("properties", {})) for tool in tools}


def _after_thought(text: str) -> str:
    """Return what follows the first `Thought:`, or all of it."""
    before, marker, after = text.partition("Thought:")
    return (after if marker else before).strip()


def _object(call: ToolCall) -> Mapping[str, Json]:
    """Return the arguments as an object."""
    if isinstance(call.arguments, str):
        raise ActionFormatError(f"The arguments of {call.name!r} are unparsed text; only an object can be written.")
    return call.arguments


def _comments(code: str) -> str:
    """Return the comment lines of a piece of code, without their marks."""
    lines = (line.strip() for line in code.splitlines())
    return "\n".join(line.lstrip("# ").rstrip() for line in lines if line.startswith("#"))


def _literal_arguments(node: ast.Call, name: str, parameters: Sequence[str]) -> dict[str, Json]:
    """Bind the literal arguments of a call to parameter names."""
    if len(node.args) > len(parameters):
        raise ActionFormatError(f"{name} takes {len(parameters)} arguments ({', '.join(parameters)}); got {len(node.args)}.")
    pairs = [(parameter, value) for parameter, value in zip(parameters, node.args, strict=False)]
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ActionFormatError("** is not allowed; write every argument by name.")
        pairs.append((keyword.arg, keyword.value))
    arguments: dict[str, Json] = {}
    for key, value in pairs:
        if key in arguments:
            raise ActionFormatError(f"{name} got {key!r} twice.")
        try:
            arguments[key] = ast.literal_eval(value)
            json.dumps(arguments[key])
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise ActionFormatError(f"{key} must be a literal (text, number, list, dict, True, False or None).") from None
    return arguments


def _type_name(spec: Mapping[str, Json]) -> str:
    """Return a short Python type for a JSON schema."""
    if "enum" in spec:
        return "Literal[" + ", ".join(repr(value) for value in spec["enum"]) + "]"
    if "anyOf" in spec:
        return " | ".join(dict.fromkeys(_type_name(option) for option in spec["anyOf"]))
    kinds = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "dict", "null": "None"}
    if spec.get("type") == "array":
        return f"list[{_type_name(spec.get('items', {}))}]"
    return kinds.get(str(spec.get("type")), "object")
