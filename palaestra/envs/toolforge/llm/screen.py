"""A look at the source of a tool without running it: hygiene, so that a model writes plain functions.

The sandbox is the boundary, not this.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

MODULES = frozenset(
    (
        *(
            "math",
            "cmath",
            "datetime",
            "calendar",
            "re",
            "json",
            "statistics",
            "decimal",
            "fractions",
            "operator",
            "itertools",
        ),
        *("functools", "collections", "string", "unicodedata", "random", "typing"),
    )
)
_CALLS = frozenset(
    (
        *("exec", "eval", "compile", "open", "input", "globals", "locals", "vars", "getattr", "setattr", "delattr"),
        *("breakpoint", "exit", "quit", "help", "print"),
    )
)


def problems_of(source: str, name: str, schema: Mapping[str, Any]) -> list[str]:
    """Return the faults of the source of a tool, one line each.

    Args:
        source: Python.
        name: Name of the function that it has to define.
        schema: Schema of its arguments.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [f"The source is not Python: {error}."]
    found = [*_at_the_top(tree), *_names(tree)]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if len(functions) != 1:
        return [*found, f"The source defines {len(functions)} functions called {name}; expected one."]
    return list(dict.fromkeys([*found, *_parameters(functions[0], schema)]))


def _at_the_top(tree: ast.Module) -> Iterator[str]:
    """Yield what does not belong at the top of a source."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef)):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and _is_literal(node.value):
            continue
        yield f"Line {node.lineno}: only imports, functions and constants stand at the top of the source."


def _names(tree: ast.Module) -> Iterator[str]:
    """Yield imports, names and attributes that are not allowed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." if node.level else str(node.module)]
        else:
            names = []
        for module in names:
            if module.split(".")[0] not in MODULES:
                yield f"The module {module.split('.')[0] or '.'} may not be imported."
        if isinstance(node, ast.Attribute) and node.attr.startswith("__"):
            yield "Names with two underscores are not allowed."
        if isinstance(node, ast.Name) and (node.id.startswith("__") or node.id in _CALLS):
            yield f"{node.id} is not allowed." if node.id in _CALLS else "Names with two underscores are not allowed."
        if isinstance(
            node, (ast.Global, ast.Nonlocal, ast.ClassDef, ast.AsyncFunctionDef, ast.Await, ast.Yield, ast.YieldFrom)
        ):
            yield f"{type(node).__name__} is not allowed; write plain functions."


def _parameters(function: ast.FunctionDef, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield differences between the parameters of a function and its schema."""
    given = function.args
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if given.vararg or given.kwarg or given.posonlyargs:
        yield "The function takes parameters by name only: no *args, no **kwargs, no /."
        return
    pairs: list[tuple[ast.arg, ast.expr | None]] = list(zip(given.kwonlyargs, given.kw_defaults, strict=True))
    padded = [None] * (len(given.args) - len(given.defaults)) + list(given.defaults)
    pairs += list(zip(given.args, padded, strict=True))
    if {arg.arg for arg, _ in pairs} != {*properties}:
        yield f"The parameters of the function are not those of the schema: {', '.join(properties)}."
        return
    for arg, default in pairs:
        if arg.arg in required:
            continue
        if default is None:
            yield f"The parameter {arg.arg} is optional in the schema and has no default in the function."
        elif not _is_literal(default) or ast.literal_eval(default) != properties[arg.arg].get("default"):
            yield f"The default of {arg.arg} is not the one of the schema."


def _is_literal(node: ast.expr) -> bool:
    """Whether an expression is a constant."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


__all__ = ["MODULES", "problems_of"]
