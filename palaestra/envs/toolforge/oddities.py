"""What is odd about an instance although it can be played: schemas that say less or other than the code does.

Published schemas may lack `required`, hold the keyword `optional`, which JSON Schema does not have, or name arguments that the
function does not take. They are loaded as they are; a builder's own instances should have no warnings.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from palaestra.envs.toolforge.instance import Instance, tool_name
from palaestra.envs.tools import SchemaTool
from palaestra.errors import UsageError
from palaestra.types import Json

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}


def warnings_of(instance: Instance) -> list[str]:
    """Return remarks on odd tools and nodes of an instance, one line each.

    Args:
        instance: Any instance.

    Raises:
        MissingExtraError: If `jsonschema-rs` is not installed.
    """
    found: list[str] = []
    for tool in instance.tools:
        name = tool_name(tool)
        implementation = instance.impl.get(name)
        if implementation is None:
            found.append(f"tool {name!r} has no implementation")
        source = implementation.source if implementation is not None and implementation.kind == "python" else None
        try:
            run = _any_arguments if source is None else stand_in(source, name)
            found += [f"tool {name!r}: {text}" for text in SchemaTool(tool, run, quiet=True).warnings]
        except UsageError as error:
            found.append(f"tool {name!r}: {error}")
        found += [f"tool {name!r}: {text}" for text in _odd_defaults(tool)]
    names = instance.tool_names()
    for node in instance.nodes:
        if node.tool not in names:
            found.append(f"node {node.id!r} asks for the tool {node.tool!r}, which is not shown")
    return list(dict.fromkeys(found))


def stand_in(source: str, name: str) -> Callable[..., object]:
    """Return a callable that takes what a function of a source takes, and does nothing; the source is read, never run.

    Args:
        source: Python source.
        name: The function.

    Raises:
        UsageError: If the source does not parse, or defines no such function.
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"the source does not parse ({type(error).__name__})") from None
    found = [one for one in body if isinstance(one, ast.FunctionDef) and one.name == name]
    if not found:
        raise UsageError("the source defines no function of this name")

    def run(**arguments: object) -> object:
        return arguments

    run.__signature__ = _signature(found[-1].args)  # type: ignore[attr-defined]
    return run


def _signature(arguments: ast.arguments) -> inspect.Signature:
    """Return the signature that the arguments of a definition stand for; defaults are not evaluated."""
    kinds = inspect.Parameter
    parameters = []
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    for index, one in enumerate(positional):
        default = None if index >= first_default else kinds.empty
        parameters.append(kinds(one.arg, kinds.POSITIONAL_OR_KEYWORD, default=default))
    for one, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters.append(kinds(one.arg, kinds.KEYWORD_ONLY, default=kinds.empty if given is None else None))
    if arguments.kwarg is not None:
        parameters.append(kinds(arguments.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(parameters)


def _any_arguments(**arguments: object) -> object:
    """Stand in for a tool whose code says nothing of its arguments."""
    return arguments


def _odd_defaults(tool: Json) -> list[str]:
    """Return remarks on defaults that are not of the type of their parameter."""
    parameters: Any = tool["function"].get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    found = []
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        if not isinstance(schema, Mapping) or schema.get("default") is None:
            continue
        kind, default = schema.get("type"), schema["default"]
        is_flag = isinstance(default, bool) and kind != "boolean"
        if isinstance(kind, str) and kind in _TYPES and (is_flag or not isinstance(default, _TYPES[kind])):
            found.append(f"the default of {name!r} is a {type(default).__name__}, and its type {kind!r}")
    return found


__all__ = ["stand_in", "warnings_of"]
