"""Code as action: one Python call with literal arguments, in one fence; its comments are the thought.

Names of tools and arguments that Python does not allow stand in quotes: `tools["get-price"](city="A", **{"from": "B"})`.
The code is parsed and never run. Published servers evaluate it, which is the one thing that is not imitated.

Papers:
    AgentGym (arXiv:2406.04151): the action format `code_as_action`. Left out: evaluating the code.
"""

from __future__ import annotations

import ast
import json
import keyword
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from palaestra.envs.formats.action_format import (
    FINAL_ANSWER,
    ActionFormatError,
    CallFormat,
    ThoughtCall,
    Tools,
    arguments_of,
    prompt,
)
from palaestra.envs.formats.reasoning import hide_tags, spoken_of
from palaestra.types import MAX_DEPTH, Json, ToolCall, is_deep

_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_ANSWER_SIGNATURE = f'def {FINAL_ANSWER}(answer: str):\n    """End the task with this answer."""'


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
    name = _called(node.func) if isinstance(node, ast.Call) else None
    if not isinstance(node, ast.Call) or name is None:
        raise ActionFormatError(f"The code has {len(tree.body)} statements; expected exactly one call of a known function.")
    if name not in parameters:
        raise ActionFormatError(f"Unknown function {name!r}. Known: {', '.join(sorted(parameters))}.")
    return ThoughtCall(_comments(code), ToolCall(name, _literal_arguments(node, name, parameters[name])))


def format_code_call(thought: str, call: ToolCall) -> str:
    """Write a thought (as comments) and a call in one Python fence."""
    comments = "".join(f"# {line}\n" for line in spoken_of(thought).splitlines()).replace(
        "```", "'''"
    )  # a fence would end here
    code = _call_text(call.name, {key: repr(value) for key, value in arguments_of(call).items()})
    code = hide_tags(code).replace("```", r"\x60\x60\x60")
    return f"```python\n{comments}{code}\n```"


def signature(tool: Mapping[str, Json]) -> str:
    """Write an OpenAI function schema as a Python signature with its description; names are quoted as in calls."""
    function = tool["function"]
    schema = function.get("parameters", {})
    required = schema.get("required", [])
    typed = {
        name: _type_name(spec) + ("" if name in required else f" = {_default(spec)!r}")
        for name, spec in schema.get("properties", {}).items()
    }
    lines = [str(function.get("description", "")).strip()]
    lines += [
        f"{name}: {spec['description']}"
        for name, spec in schema.get("properties", {}).items()
        if isinstance(spec, Mapping) and spec.get("description")
    ]
    doc = "\n    ".join(line for text in lines for line in text.splitlines())
    return f'def {_call_text(function["name"], typed, ": ")}:\n    """{doc}"""'


def parameter_names(tools: Sequence[Mapping[str, Json]]) -> dict[str, list[str]]:
    """Return the parameter names of every tool, in order."""
    return {tool["function"]["name"]: list(tool["function"].get("parameters", {}).get("properties", {})) for tool in tools}


@dataclass(frozen=True)
class PythonCallFormat(CallFormat):
    """One Python call a message, with literal arguments; parsed and never run.

    Attributes:
        answers: Whether a final answer is the call of `final_answer`; without it all messages are calls of tools.
    """

    name: ClassVar[str] = "code"
    answers: bool = True

    def describe(self, tools: Tools = ()) -> str:
        """Show the functions as Python signatures and explain the form."""
        example = _example(self.needed(tools)[0])
        signatures = [signature(tool) for tool in tools] + ([_ANSWER_SIGNATURE] if self.answers else [])
        text = prompt("code").format(signatures="\n\n".join(signatures), example=example)
        quoted = next((tool for tool in tools if _has_quoted(tool)), None)
        if quoted is None:
            return text
        return (
            f"{text}\n\nNames that are not Python identifiers stand in quotes, for example `{_example(quoted, every=True)}`."
        )

    def read_call(self, text: str, tools: Tools) -> ThoughtCall:
        """Read the call in the code block."""
        known = parameter_names(tools)
        return parse_code_call(text, {**known, FINAL_ANSWER: ["answer"]} if self.answers else known)

    def write_call(self, thought: str, call: ToolCall) -> str:
        """Write the code block."""
        return format_code_call(thought, call)


def _example(tool: Mapping[str, Json], *, every: bool = False) -> str:
    """Return a call of a tool with dots for its required arguments; `every` adds those whose names are quoted."""
    function = tool["function"]
    parameters = function.get("parameters", {})
    quoted = [name for name in parameters.get("properties", {}) if every and not _is_plain(name)]
    return _call_text(function["name"], dict.fromkeys([*parameters.get("required", []), *quoted], "..."))


def _has_quoted(tool: Mapping[str, Json]) -> bool:
    """Whether a tool or one of its arguments has a name that has to be quoted."""
    names = [tool["function"]["name"], *tool["function"].get("parameters", {}).get("properties", {})]
    return not all(map(_is_plain, names))


def _is_plain(name: str) -> bool:
    """Whether a name may stand in code as it is, and is read as the same name."""
    is_name = name.isidentifier() and not keyword.iskeyword(name) and name != "__debug__"
    return is_name and unicodedata.normalize("NFKC", name) == name


def _call_text(name: str, arguments: Mapping[str, str], sign: str = "=") -> str:
    """Write a call, or the head of a signature, with its names in quotes where Python does not allow them."""
    parts = [f"{key}{sign}{value}" for key, value in arguments.items() if _is_plain(key)]
    quoted = ", ".join(f"{key!r}: {value}" for key, value in arguments.items() if not _is_plain(key))
    parts += [f"**{{{quoted}}}"] if quoted else []
    return f"{name if _is_plain(name) else f'tools[{name!r}]'}({', '.join(parts)})"


def _called(function: ast.expr) -> str | None:
    """Return the name of a called function, plain or as `tools["NAME"]`; None for anything else."""
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Subscript) and isinstance(function.value, ast.Name) and function.value.id == "tools":
        key = function.slice
        return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
    return None


def _quoted_arguments(node: ast.expr) -> list[tuple[str, ast.expr]]:
    """Return the arguments in the literal dict after `**`."""
    if isinstance(node, ast.Dict):
        names = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        if all(isinstance(name, str) for name in names):
            return [(str(name), value) for name, value in zip(names, node.values, strict=True)]
    raise ActionFormatError('** is allowed only before a dict, as in **{"name": value}; write other arguments by name.')


def _comments(code: str) -> str:
    """Return the comment lines of a piece of code, without their marks."""
    lines = (line.strip() for line in code.splitlines())
    return "\n".join(line.lstrip("# ").rstrip() for line in lines if line.startswith("#"))


def _literal_arguments(node: ast.Call, name: str, parameters: Sequence[str]) -> dict[str, Json]:
    """Bind the literal arguments of a call to parameter names."""
    if len(node.args) > len(parameters):
        raise ActionFormatError(f"{name} takes {len(parameters)} arguments ({', '.join(parameters)}); got {len(node.args)}.")
    pairs = [(parameter, value) for parameter, value in zip(parameters, node.args, strict=False)]
    for one in node.keywords:
        if one.arg is None:
            pairs += _quoted_arguments(one.value)
        else:
            pairs.append((one.arg, one.value))
    arguments: dict[str, Json] = {}
    for key, value in pairs:
        if key in arguments:
            raise ActionFormatError(f"{name} got {key!r} twice.")
        try:
            arguments[key] = ast.literal_eval(value)
            json.dumps(arguments[key])
            if is_deep(arguments[key]):
                raise ValueError(key)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise ActionFormatError(
                f"{key} must be a literal (text, number, list, dict, True, False or None) of at most {MAX_DEPTH} levels."
            ) from None
        if fault := _no_json(value, arguments[key]):
            raise ActionFormatError(f"{key} {fault}")
    return arguments


def _no_json(node: ast.expr, value: Json) -> str:
    """Say what keeps a literal from being JSON, and what to write instead; empty if nothing does."""
    for part in ast.walk(node):
        if isinstance(part, ast.Tuple):
            return "holds a tuple; write a list in square brackets."
        if isinstance(part, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else key for key in part.keys]
            if not all(isinstance(key, str) for key in keys):
                return "holds a dict with a key that is not text; write every key in quotes."
            if len(set(keys)) < len(keys):
                return "holds a dict with a key twice; write every key once."
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        return "holds a number that is too large; write a finite one."
    if json.loads(text) != value:
        return "holds a character as two halves of a surrogate pair; write the character."
    return ""


def _default(spec: Mapping[str, Json] | bool) -> Json:
    """Return the default that a JSON schema names, None if it names none."""
    return spec.get("default") if isinstance(spec, Mapping) else None


def _type_name(spec: Mapping[str, Json] | bool) -> str:
    """Return a short Python type for a JSON schema."""
    if isinstance(spec, bool):
        return "object"
    if "enum" in spec:
        return "Literal[" + ", ".join(repr(value) for value in spec["enum"]) + "]"
    if "anyOf" in spec:
        return " | ".join(dict.fromkeys(_type_name(option) for option in spec["anyOf"]))
    kinds = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "dict", "null": "None"}
    if spec.get("type") == "array":
        return f"list[{_type_name(spec.get('items', {}))}]"
    kind = spec.get("type")
    if isinstance(kind, list):
        return " | ".join(_type_name({**spec, "type": one}) for one in kind)
    return kinds.get(str(kind), "object")


__all__ = ["PythonCallFormat", "format_code_call", "parameter_names", "parse_code_call", "signature"]
