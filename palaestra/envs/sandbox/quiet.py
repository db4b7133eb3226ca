"""Which tests of items raise nothing: then looking at all of them, as monty does, is the same as stopping early."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from palaestra.envs.sandbox.bindings import Bindings, called_name

_QUIET = (ast.Name, ast.Constant, ast.Not, ast.Load, ast.boolop, ast.cmpop, ast.Tuple, ast.List)
_QUIET_METHODS = frozenset(("strip", "lower", "upper", "isdigit", "isalpha", "isalnum", "isspace"))
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def cannot_raise(generator: ast.GeneratorExp, names: Bindings) -> bool:
    """Whether looking at all items is the same as looking at some: tests of types, equality and truth alone.

    After `isinstance(item, str) and`, methods of texts cannot fail, after a type of numbers orders of numbers.
    """
    loop = generator.generators[0]
    if len(generator.generators) > 1 or not isinstance(loop.target, ast.Name):
        return False
    tests = (generator.elt, *loop.ifs)
    quiet: set[int] = set()
    for part in (part for test in tests for part in names.within(test)):
        if isinstance(part, ast.BoolOp) and isinstance(part.op, ast.And):
            quiet |= {id(inner) for inner in _guarded(part)}
    return all(_is_quiet(part, quiet, names) for test in tests for part in names.within(test))


def _is_quiet(part: ast.AST, quiet: set[int], names: Bindings) -> bool:
    """Whether a node of a test raises nothing, whatever the items are."""
    if id(part) in quiet or isinstance(part, _QUIET):
        return True
    if isinstance(part, ast.Call):
        return names.calls_builtin(part, ("isinstance",))
    if isinstance(part, ast.UnaryOp):
        return isinstance(part.op, ast.Not)
    if isinstance(part, ast.Compare):
        return all(
            isinstance(op, (ast.Eq, ast.NotEq, ast.Is, ast.IsNot))
            or (isinstance(op, (ast.In, ast.NotIn)) and names.kind(right) == "list")
            for op, right in zip(part.ops, part.comparators, strict=True)
        )
    return isinstance(part, ast.BoolOp)


def _guarded(node: ast.BoolOp) -> Iterator[ast.AST]:
    """Yield what cannot raise after the first operand, a test of a type."""
    first = node.values[0]
    if not (isinstance(first, ast.Call) and called_name(first) == "isinstance" and len(first.args) == 2):
        return
    name, kinds = first.args
    if not isinstance(name, ast.Name):
        return
    types = {kind.id for kind in (kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]) if isinstance(kind, ast.Name)}
    for value in node.values[1:]:
        left = value.left if isinstance(value, ast.Compare) else value
        if types == {"str"} and _is_method(left, name.id):
            yield from (left, left.func)  # type: ignore[attr-defined]
        if types <= {"int", "float"} and isinstance(value, ast.Compare) and _is_name(value.left, name.id):
            numbers = all(isinstance(right, ast.Constant) and type(right.value) in (int, float) for right in value.comparators)
            if numbers and all(isinstance(op, _ORDERS) for op in value.ops):
                yield value


def _is_name(node: ast.expr, name: str) -> bool:
    """Whether an expression is a variable."""
    return isinstance(node, ast.Name) and node.id == name


def _is_method(node: ast.expr, name: str) -> bool:
    """Whether an expression calls a method of a text variable that cannot fail."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.args:
        return False
    return _is_name(node.func.value, name) and node.func.attr in _QUIET_METHODS
