"""Which sources leave their globals as they are, whatever is called: their session in monty may serve the next call.

The argument is that of two lists and a plain top. All of such a source is known to be equal in monty (`known_equal`: no class,
no attribute that is set, no module but `json` and `math`, no chance, no identity) and to leave no trace (`known_pure`). At its
top are only imports, functions whose defaults are constants, and names of constants; no function binds a global. So nothing
that two calls share can change.
"""

from __future__ import annotations

import ast
from functools import lru_cache

from palaestra.envs.sandbox.routing import MAX_LOOKED_AT_CHARS, read_source, traces


@lru_cache(maxsize=2048)
def leaves_globals_alone(source: str) -> bool:
    """Whether no call of a function of a source can change what another call sees.

    Args:
        source: Python, as `routing.with_plain_lines` gives it; "no" where it is longer than what is remembered.
    """
    if len(source) > MAX_LOOKED_AT_CHARS:
        return False
    facts = read_source(source)
    if facts is None or facts.needs_cpython or traces(source):
        return False
    tree = ast.parse(source)
    return all(_is_plain(statement) for statement in tree.body) and not any(isinstance(n, ast.Global) for n in ast.walk(tree))


def _is_plain(statement: ast.stmt) -> bool:
    """Whether a statement at the top binds nothing that could change."""
    if isinstance(statement, ast.FunctionDef):
        defaults = (*statement.args.defaults, *filter(None, statement.args.kw_defaults))
        return not statement.decorator_list and all(_is_constant(default) for default in defaults)
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name) for target in statement.targets) and _is_constant(statement.value)
    if isinstance(statement, ast.AnnAssign):
        return isinstance(statement.target, ast.Name) and (statement.value is None or _is_constant(statement.value))
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, (ast.Import, ast.ImportFrom))


def _is_constant(node: ast.expr) -> bool:
    """Whether an expression is a number, a text, a truth, None, or a tuple of such."""
    if isinstance(node, ast.Tuple):
        return all(_is_constant(item) for item in node.elts)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, (ast.USub, ast.UAdd)) and _is_constant(node.operand)
    return isinstance(node, ast.Constant)
