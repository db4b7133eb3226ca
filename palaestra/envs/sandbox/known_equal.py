"""What is known to mean the same in monty and in CPython; a source with anything else runs in CPython.

A list of what may stay, not of what must go: a construct, built-in, method or module that is not on it is a reason for
CPython. Everything on it was compared with CPython on random values (`experiments/sandbox`). `meaning` reads it.
"""

from __future__ import annotations

import ast
import builtins
import re
import string
import sys
from collections.abc import Mapping

NODES = (
    ast.Module, ast.arguments, ast.Load, ast.Store, ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, ast.Eq, ast.NotEq, ast.Lt,
    ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod,
    ast.BoolOp, ast.UnaryOp, ast.If, ast.IfExp, ast.Return, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.While,
    ast.List, ast.Tuple, ast.ListComp, ast.Assert, ast.alias, ast.Try, ast.keyword, ast.Slice, ast.AnnAssign, ast.Assign,
    ast.Global, ast.Nonlocal, ast.JoinedStr,
)  # fmt: skip
"""Nodes that mean the same whatever is in them."""

BUILTINS = frozenset(
    ("len", "str", "int", "float", "bool", "abs", "min", "max", "sorted", "sum", "any", "all", "list", "tuple", "isinstance",
     "print", "range", "round", "enumerate", "zip", "reversed", "map", "next", "iter", "repr", "set")
)  # fmt: skip
TYPES = frozenset(("str", "int", "float", "bool", "list", "dict", "tuple", "set"))
EXCEPTIONS = frozenset(
    ("Exception", "ValueError", "TypeError", "KeyError", "IndexError", "LookupError", "ArithmeticError", "ZeroDivisionError",
     "OverflowError", "AttributeError", "RuntimeError", "NotImplementedError", "AssertionError", "PermissionError",
     "FileNotFoundError", "TimeoutError", "NameError", "StopIteration", "OSError")
)  # fmt: skip
TEXT_METHODS = frozenset(
    ("lower", "upper", "strip", "lstrip", "rstrip", "replace", "title", "capitalize", "casefold", "swapcase", "zfill", "ljust",
     "rjust", "center", "removeprefix", "removesuffix", "join", "format")
)  # fmt: skip
LIST_METHODS = frozenset(("split", "rsplit", "splitlines"))
MUTATORS = frozenset(
    ("append", "remove", "pop", "insert", "extend", "clear", "update", "setdefault", "sort", "reverse", "popitem")
)
VIEWS = frozenset(("items", "keys", "values"))
METHODS = TEXT_METHODS | LIST_METHODS | VIEWS | (MUTATORS - {"popitem"})
METHODS |= frozenset(("startswith", "endswith", "find", "rfind", "index", "count", "isdigit", "isalpha", "isalnum", "isspace"))
METHODS |= frozenset(("isdecimal", "partition", "rpartition", "get", "copy"))
COUNTS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("strip", "lstrip", "rstrip", "list", "tuple"), (0, 1)),
    **dict.fromkeys(("split", "rsplit", "pop"), (0, 2)),
    **dict.fromkeys(("join", "zfill", "removeprefix", "removesuffix", "append", "remove", "extend", "update"), (1, 1)),
    **dict.fromkeys(("startswith", "endswith", "find", "rfind", "index", "count", "partition", "rpartition"), (1, 1)),
    **dict.fromkeys(
        ("int", "float", "str", "round", "bool", "repr", "set", "len", "abs", "sum", "any", "all", "sorted"), (1, 1)
    ),
    **dict.fromkeys(("enumerate", "reversed", "iter"), (1, 1)),
    **dict.fromkeys(("floor", "ceil", "sqrt", "isnan", "isinf", "trunc", "fabs", "isqrt", "dumps"), (1, 1)),
    **dict.fromkeys(("ljust", "rjust", "center", "setdefault", "get", "next"), (1, 2)),
    **dict.fromkeys(("isinstance", "map", "insert", "gcd"), (2, 2)),
    **dict.fromkeys(("min", "max", "format", "zip"), (1, 99)),
    **dict.fromkeys(EXCEPTIONS, (0, 1)),
    "replace": (2, 3),
    "range": (1, 3),
    "print": (0, 99),
}
"""How many arguments by place were compared, at least and at most; none of those that are not here."""
FUNCTIONS: Mapping[str, frozenset[str]] = {
    "math": frozenset(("floor", "ceil", "sqrt", "isnan", "isinf", "trunc", "gcd", "fabs", "isqrt")),
    "json": frozenset(("dumps",)),
}
CONSTANTS: Mapping[str, frozenset[str]] = {"math": frozenset(("pi", "e"))}
TYPING = frozenset(("Any", "Dict", "List", "Optional", "Tuple", "Union", "Callable", "Iterable", "Sequence", "Set"))

LAZY = frozenset(("map", "enumerate", "zip", "reversed"))
TAKES_ALL = frozenset(("list", "tuple", "sorted", "sum", "min", "max", "any", "all", "join"))
"""What takes every item before it does anything that could fail or be seen, or is looked at below."""
FORMAT = re.compile(r",?(?:\.\d{1,2})?f|,|0?\dd", re.A)
SUMS_ALIKE = sys.version_info < (3, 12)  # then sums of floats are compensated in CPython
IS_BUILTIN = frozenset(dir(builtins))
CONSTRUCTS: Mapping[type[ast.AST], str] = {
    ast.Yield: "yield", ast.YieldFrom: "yield", ast.AsyncFunctionDef: "async", ast.Await: "async", ast.AsyncFor: "async",
    ast.AsyncWith: "async", ast.Delete: "del", ast.ClassDef: "a class", ast.With: "with", ast.NamedExpr: ":=",
    ast.Match: "match", ast.Constant: "bytes and complex numbers", ast.SetComp: "the order of a set",
    ast.Pow: "other operators",
}  # fmt: skip
"""Words for constructs that are not on the list."""


def format_fields(node: ast.expr) -> list[tuple[str, str, str | None]] | None:
    """Return the fields of a text as `str.format` reads it: names, formats and conversions; None for anything else."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return None
    try:
        parts = list(string.Formatter().parse(node.value))
    except ValueError:
        return None
    return [(name, spec or "", shown) for _, name, spec, shown in parts if name is not None]


def is_plain_format(node: ast.expr) -> bool:
    """Whether a text has only fields without formats."""
    return (fields := format_fields(node)) is not None and all(
        (name == "" or name.isalnum()) and not spec and not shown for name, spec, shown in fields
    )
