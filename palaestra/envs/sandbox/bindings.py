"""Which names a source binds, and to what kind of value, as far as the tree alone says.

Where a value's kind matters (a key of a dict must not be 1 and True at once, a format of digits needs a number) it is derived
from all places that bind its name, in any scope; where one of them is not known, the kind is not.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from palaestra.envs.sandbox.known_equal import LAZY, LIST_METHODS, TEXT_METHODS, TYPES, TYPING

_DEEPEST = 12
_NOTED = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.arg, ast.ExceptHandler, ast.AnnAssign, ast.Assign, ast.AugAssign, ast.For,
    ast.comprehension, ast.Try,
)  # fmt: skip
_Value = ast.expr | ast.AugAssign | str
_UNKNOWN = ""


class TooNested(Exception):
    """A source is made so that looking at it takes long."""


class Tree(NamedTuple):
    """All nodes of a module, the module first, in the order of `ast.walk`; and by the `id` of a node its parent."""

    nodes: list[ast.AST]
    parent: dict[int, ast.AST]


class Bindings:
    """The names of one tree.

    Args:
        tree: A module's.
        looks: How often nodes may be looked at in addition.
    """

    def __init__(self, tree: Tree, looks: int) -> None:
        """Note what each name is bound to."""
        self.nodes, self.parent, self.looks = tree.nodes, tree.parent, looks
        self.modules: dict[str, str] = {}
        self.imported: dict[str, str] = {}
        self.functions: set[str] = set()
        self.values: dict[str, list[_Value]] = defaultdict(list)
        self.caught: set[str] = set()
        self.annotations: set[int] = set()
        self.postponed = self.odd_annotation = False
        self.has_try = False
        for node in self.nodes:
            if isinstance(node, _NOTED):
                self._note(node)

    def within(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes of a part of the tree, as long as the budget lasts."""
        for part in ast.walk(node):
            self.look()
            yield part

    def look(self, times: int = 1) -> None:
        """Count looks at nodes.

        Raises:
            TooNested: If there have been too many.
        """
        self.looks -= times
        if self.looks < 0:
            raise TooNested

    def recurses(self, calls: Mapping[str, Collection[str]]) -> bool:
        """Whether a function calls itself by some way.

        Args:
            calls: By name of a function, the functions that it calls.
        """
        for name in calls:
            reached: set[str] = set()
            todo = list(calls[name])
            while todo:
                self.look()
                if (one := todo.pop()) not in reached:
                    reached.add(one)
                    todo += calls.get(one, ())
            if name in reached:
                return True
        return False

    def _note(self, node: ast.AST) -> None:
        """Note what binds names, annotations, and whether anything is caught."""
        if isinstance(node, ast.Try):
            self.has_try = True
        elif isinstance(node, ast.Import):
            for alias in node.names:
                self.modules[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom):
            self.postponed |= node.module == "__future__"
            for alias in node.names:
                self.imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.FunctionDef):
            self.functions.add(node.name)
            if node.returns is not None:
                self._annotate(node.returns)
        elif isinstance(node, ast.arg):
            self.values[node.arg].append(_UNKNOWN)
            if node.annotation is not None:
                self._annotate(node.annotation)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            self.values[node.name].append(_UNKNOWN)
            self.caught.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            self._annotate(node.annotation)
            self._bind(node.target, node.value or _UNKNOWN)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, node.value)
        elif isinstance(node, ast.AugAssign):
            self._bind(node.target, node)
        elif isinstance(node, (ast.For, ast.comprehension)):
            self._bind_items(node.target, node.iter)

    def _annotate(self, node: ast.expr) -> None:
        """Note an annotation, which is checked apart."""
        self.annotations |= {id(part) for part in self.within(node)}
        if not self.postponed and not all(self._is_harmless(part) for part in self.within(node)):
            self.odd_annotation = True

    def _is_harmless(self, part: ast.AST) -> bool:
        """Whether CPython evaluates a part of an annotation without an error; monty does not look at it."""
        if isinstance(part, ast.Name):
            return part.id in TYPES or self.imported.get(part.id, "").removeprefix("typing.") in TYPING
        if isinstance(part, ast.Subscript):
            name = part.value.id if isinstance(part.value, ast.Name) else ""
            count = len(part.slice.elts) if isinstance(part.slice, ast.Tuple) else 1
            return (name in ("list", "List", "Optional") and count == 1) or (name in ("dict", "Dict") and count == 2)
        return isinstance(part, (ast.Constant, ast.Load, ast.Tuple))

    def _bind(self, target: ast.expr, value: _Value) -> None:
        """Note what is assigned to the names of a target."""
        if isinstance(target, ast.Name):
            self.values[target.id].append(value)
            return
        for part in self.within(target):
            if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
                self.values[part.id].append(_UNKNOWN)

    def _bind_items(self, target: ast.expr, items: ast.expr) -> None:
        """Note what a loop assigns: keys of dicts, words and whole numbers are known to be that."""
        name = called_name(items)
        if isinstance(target, ast.Name) and name in ("keys", "range", *LIST_METHODS):
            self.values[target.id].append("int" if name == "range" else "key" if name == "keys" else "text")
        elif isinstance(target, ast.Tuple) and len(target.elts) == 2 and name in ("items", "enumerate"):
            first, second = target.elts
            self._bind(first, ("key" if name == "items" else "int") if isinstance(first, ast.Name) else _UNKNOWN)
            self._bind(second, _UNKNOWN)
        else:
            self._bind(target, _UNKNOWN)

    def kind(self, value: _Value, depth: int = 0) -> str:
        """Return "text", "int", "key" (one of these), "number", "list" or "", which is not known."""
        if isinstance(value, str):
            return value
        if depth > _DEEPEST:
            return ""
        self.look()
        if isinstance(value, ast.Constant):
            known: dict[type, str] = {str: "text", int: "int", float: "number"}
            return known.get(type(value.value), "")
        if isinstance(value, ast.JoinedStr):
            return "text"
        if isinstance(value, (ast.List, ast.ListComp)):
            return "list"
        if isinstance(value, ast.Name):
            if value.id in self.functions or value.id in self.modules or value.id in self.imported:
                return ""
            return self._kind_of_name(value.id, depth)
        if isinstance(value, ast.Call):
            return self._kind_of_call(value, depth)
        if isinstance(value, ast.BinOp):
            return _arithmetic(self.kind(value.left, depth + 1), value.op, self.kind(value.right, depth + 1))
        return ""

    def _kind_of_name(self, name: str, depth: int) -> str:
        """Return the kind of all values of a name; what `+=` and the like make of a number or a text is one again."""
        values = self.values.get(name, [_UNKNOWN])
        self.look(len(values))
        kind = _common([self.kind(value, depth + 1) for value in values if not isinstance(value, ast.AugAssign)] or [""])
        for value in values:
            if isinstance(value, ast.AugAssign):
                right = self.kind(value.value, depth + 1)
                if kind in ("int", "number"):
                    kind = "int" if kind == right == "int" and isinstance(value.op, (ast.Add, ast.Sub, ast.Mult)) else "number"
                elif not (isinstance(value.op, ast.Add) and (kind == "text" or kind == right == "list")):
                    return ""
        return kind

    def _kind_of_call(self, call: ast.Call, depth: int) -> str:
        """Return the kind of a result."""
        name = called_name(call)
        if isinstance(call.func, ast.Name):
            if name in self.functions or name in self.values:
                return ""
            known = {"len": "int", "int": "int", "str": "text", "repr": "text", "float": "number", "abs": "number"}
            known.update(sorted="list", list="list", round="number")
            return known.get(name, "")
        return "text" if name in TEXT_METHODS else "list" if name in LIST_METHODS else ""

    def is_own(self, name: str) -> bool:
        """Whether a name is the source's, not a built-in's."""
        return name in self.values or name in self.functions or name in self.modules or name in self.imported

    def calls_builtin(self, node: ast.AST, names: Iterable[str]) -> bool:
        """Whether a node is a call of one of some built-ins, or of a method of such a name."""
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names

    def is_lazy(self, node: ast.AST) -> bool:
        """Whether an expression gives its items one by one in CPython."""
        return isinstance(node, ast.GeneratorExp) or self.calls_builtin(node, LAZY)


def walked(module: ast.Module) -> Tree:
    """Return the nodes of a module and their parents, both in one walk."""
    nodes: list[ast.AST] = [module]
    parent: dict[int, ast.AST] = {}
    for node in nodes:  # which gets longer
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                below = [item for item in value if isinstance(item, ast.AST)]
                parent.update((id(item), node) for item in below)
                nodes += below
            elif isinstance(value, ast.AST):
                parent[id(value)] = node
                nodes.append(value)
    return Tree(nodes, parent)


def asks_for_identity(node: ast.Compare) -> bool:
    """Whether a comparison asks for identity with something else than the constants that exist once."""
    return any(
        isinstance(op, (ast.Is, ast.IsNot))
        and not (isinstance(right, ast.Constant) and (right.value is None or isinstance(right.value, bool)))
        for op, right in zip(node.ops, node.comparators, strict=True)
    )


def _common(kinds: list[str]) -> str:
    """Return the kind that all values have."""
    found = set(kinds)
    if len(found) == 1:
        return found.pop()
    if found <= {"int", "number"}:
        return "number"
    return "key" if found <= {"int", "text", "key"} else ""


def _arithmetic(left: str, op: ast.operator, right: str) -> str:
    """Return the kind of a sum, difference, product or quotient."""
    if left == right == "text" and isinstance(op, ast.Add):
        return "text"
    if not {left, right} <= {"int", "number"}:
        return ""
    return "int" if left == right == "int" and not isinstance(op, ast.Div) else "number"


def called_name(node: ast.AST) -> str:
    """Return the last part of what is called, "" if nothing is."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""
