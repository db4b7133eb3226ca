"""Why a source has to run in CPython: whatever is not on the list of what is known to be equal in monty.

Each rule looks at one kind of node and yields fixed words; none of them repeats the source.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from palaestra.envs.sandbox import known_equal as known
from palaestra.envs.sandbox.bindings import asks_for_identity, called_name
from palaestra.envs.sandbox.calls import Calls


class Checker(Calls):
    """Collects the reasons of one tree; arguments as for `Bindings`."""

    def reasons(self) -> Iterator[str]:
        """Yield why the source needs CPython; nothing if all of it is known to be equal."""
        for node in self.nodes:
            if id(node) in self.annotations:
                continue
            check = _CHECKS.get(type(node))
            if check is not None:
                yield from check(self, node)
            elif not isinstance(node, known.NODES):
                yield known.CONSTRUCTS.get(type(node), type(node).__name__)
        if self.odd_annotation:
            yield "an annotation that could fail"
        yield from self._recursion()

    # statements

    def function(self, node: ast.FunctionDef) -> Iterator[str]:
        """A function without decorators, by a name of its own."""
        if node.decorator_list:
            yield "a decorator"
        if node.args.posonlyargs:
            yield "parameters by place only"
        if node.name in known.IS_BUILTIN or node.name in self.values:
            yield "a function by the name of something else"

    def lambda_(self, node: ast.Lambda) -> Iterator[str]:
        """A function as key of an order."""
        parent = self.parent[id(node)]
        if not (isinstance(parent, ast.keyword) and parent.arg == "key") or node.args.defaults or node.args.kw_defaults:
            yield "lambda"

    def parameter(self, node: ast.arg) -> Iterator[str]:
        """A parameter by a plain name."""
        if not node.arg.isascii() or node.arg.startswith("__"):
            yield "dunder names"

    def importing(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """Modules of the list, and names of them."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in known.FUNCTIONS:
                    yield f"import {alias.name.partition('.')[0]}"
            return
        if node.module == "__future__":
            return
        for alias in node.names:
            if node.module == "typing" and alias.name in known.TYPING:
                continue
            named = known.FUNCTIONS.get(node.module or "", frozenset()) | known.CONSTANTS.get(node.module or "", frozenset())
            if node.level or alias.name not in named:
                yield f"{node.module}.{alias.name}"

    def raising(self, node: ast.Raise) -> Iterator[str]:
        """An exception of Python's own with a text, or none."""
        made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if made is not None and not (isinstance(made, ast.Name) and made.id in known.EXCEPTIONS and not self.is_own(made.id)):
            yield "an exception of its own"
        if isinstance(node.exc, ast.Call):
            texts = len(node.exc.args) < 2 and all(self.kind(argument) == "text" for argument in node.exc.args)
            if not texts or node.exc.keywords:
                yield "an exception with something else than a text"
        if node.cause is not None and not isinstance(node.cause, (ast.Name, ast.Constant)):
            yield "an exception of its own"

    def handler(self, node: ast.ExceptHandler) -> Iterator[str]:
        """Exceptions of the list, whose words are not used."""
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if not all(isinstance(kind, ast.Name) and kind.id in known.EXCEPTIONS and not self.is_own(kind.id) for kind in caught):
            yield "other exceptions"

    def loop(self, node: ast.For) -> Iterator[str]:
        """A loop over something that does not change, or that is walked in the same way."""
        if self.calls_builtin(node.iter, ("range",)):
            return
        if isinstance(node.iter, ast.GeneratorExp) or self.calls_builtin(node.iter, ("map",)):
            yield "a lazy loop"
        walked = {part.id for part in self.within(node.iter) if isinstance(part, ast.Name)}
        for part in (part for statement in node.body for part in self.within(statement)):
            if self._changes(part, walked, strict=self.is_lazy(node.iter)):
                yield "a loop that changes what it walks"

    def _changes(self, part: ast.AST, walked: set[str], *, strict: bool) -> bool:
        """Whether a node may change what is walked; strict: whether it may change anything that is not a fresh list."""
        root = ""
        changed: ast.expr | None = None
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in known.MUTATORS:
            changed = part.func.value
        elif isinstance(part, ast.Subscript) and not isinstance(part.ctx, ast.Load):
            changed = part.value
        if changed is not None:
            root = _root_name(changed)
            if strict and not isinstance(changed, ast.Name):
                return True  # what is inside of a fresh list may have other names
        elif isinstance(part, ast.AugAssign) and isinstance(part.target, ast.Name):
            root = part.target.id if self.kind(part.target) not in ("int", "number", "text") else ""
        else:
            return strict and self.calls_builtin(part, self.functions)
        return root in walked or (strict and root != "" and not self._is_fresh(root))

    def _is_fresh(self, name: str) -> bool:
        """Whether a name is a list or dict of the source's own that has no other name."""
        if not all(isinstance(value, (ast.List, ast.Dict, ast.ListComp)) for value in self.values.get(name, [""])):
            return False
        return not any(
            isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) and self._escapes(node)
            for node in self.within(self.nodes[0])
        )

    def _escapes(self, node: ast.AST) -> bool:
        """Whether a value gets a second name."""
        parent = self.parent[id(node)]
        while isinstance(parent, (ast.Dict, ast.List, ast.Tuple, ast.IfExp)):
            parent = self.parent[id(parent)]
        if isinstance(parent, (ast.Return, ast.FormattedValue, ast.Compare, ast.Attribute)):
            return False
        if isinstance(parent, ast.Subscript):
            return False
        return not (isinstance(parent, ast.Call) and self.calls_builtin(parent, known.BUILTINS))

    def target(self, node: ast.AugAssign) -> Iterator[str]:
        """An assignment that adds, takes away, multiplies or divides."""
        left, right = self.kind(node.target), self.kind(node.value)
        if not isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv)):
            yield "other operators"
        elif left in ("int", "number", "text"):
            return
        elif isinstance(node.op, ast.Mult):
            yield "*= of what may be a list"  # which gets longer in CPython, and is replaced in monty
        elif isinstance(node.op, ast.Add) and right not in ("int", "number", "list"):
            yield "+= of something else than a list"  # monty's lists take nothing else in

    def _recursion(self) -> Iterator[str]:
        """Functions that call themselves by some way: how deep they get differs."""
        if not any(self.calls_builtin(node, self.functions) for node in self.nodes):
            return
        calls: dict[str, set[str]] = defaultdict(set)
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef):
                for part in self.within(node):
                    if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in self.functions:
                        calls[node.name].add(part.func.id)
        if self.recurses(calls):
            yield "recursion"

    # expressions

    def constant(self, node: ast.Constant) -> Iterator[str]:
        """Texts, numbers, None and the two truths."""
        if not isinstance(node.value, (str, int, float, type(None))):
            yield known.CONSTRUCTS.get(type(node), type(node).__name__)
        elif isinstance(node.value, str) and not node.value.isascii() and any("\ud800" <= c <= "\udfff" for c in node.value):
            yield "half of a pair of surrogates"

    def name(self, node: ast.Name) -> Iterator[str]:
        """A name that is bound, or a built-in where it may stand."""
        parent = self.parent[id(node)]
        if not node.id.isascii() or node.id.startswith("__"):
            yield "dunder names"
        if not isinstance(node.ctx, ast.Load):
            if node.id in self.functions or node.id in self.modules or node.id in self.imported:
                yield "a name for two things"
            return
        is_called = isinstance(parent, ast.Call) and parent.func is node
        if node.id in self.functions:
            if not is_called:
                yield "a function as a value"
        elif node.id in self.modules or node.id in self.imported:
            full = self.imported.get(node.id, "")
            module, _, rest = full.partition(".")
            is_base = isinstance(parent, ast.Attribute)
            if not (is_base and node.id in self.modules) and not (
                rest in known.CONSTANTS.get(module, ()) or (is_called and rest in known.FUNCTIONS.get(module, ()))
            ):
                yield "a module's name as a value"
        elif node.id in self.values:
            yield from self._variable(node, is_called=is_called)
        elif node.id in known.BUILTINS and is_called:
            return
        elif not (node.id in known.TYPES and self._is_second_of_isinstance(node)) and not (
            node.id in known.EXCEPTIONS and self._is_exception(node)
        ):
            yield node.id if node.id in known.IS_BUILTIN else "a name that is not there"

    def _variable(self, node: ast.Name, *, is_called: bool) -> Iterator[str]:
        """A variable: not called, and not an exception whose words are read."""
        if is_called:
            yield "a call of a value"
        parent = self.parent[id(node)]
        is_cause = isinstance(parent, ast.Raise) and parent.cause is node
        if not is_cause and node.id in self.caught:
            yield "the words of an exception"

    def _is_exception(self, node: ast.Name) -> bool:
        """Whether a name stands where exceptions are raised or caught."""
        parent = self.parent[id(node)]
        if isinstance(parent, (ast.Call, ast.Tuple)):
            parent = self.parent[id(parent)]
        return isinstance(parent, (ast.Raise, ast.ExceptHandler))

    def _is_second_of_isinstance(self, node: ast.AST) -> bool:
        """Whether a name is a type that is asked for."""
        parent = self.parent[id(node)]
        if isinstance(parent, ast.Tuple):
            node, parent = parent, self.parent[id(parent)]
        return (
            isinstance(parent, ast.Call) and called_name(parent) == "isinstance" and node in parent.args[1:]
        ) or self._is_mapped(node)

    def _is_mapped(self, node: ast.AST) -> bool:
        """Whether a type is the function of `map`."""
        parent = self.parent[id(node)]
        return isinstance(parent, ast.Call) and called_name(parent) == "map" and parent.args[0] is node

    def attribute(self, node: ast.Attribute) -> Iterator[str]:
        """A method that is called, a function of a module."""
        parent = self.parent[id(node)]
        is_called = isinstance(parent, ast.Call) and parent.func is node
        if not isinstance(node.ctx, ast.Load):
            yield "attributes that are set"
            return
        full = self.full_name(node)
        if full:
            module, _, rest = full.partition(".")
            on_list = rest in known.FUNCTIONS.get(module, ()) if is_called else rest in known.CONSTANTS.get(module, ())
            if module in known.FUNCTIONS and not on_list:
                yield full
        elif is_called:
            if node.attr not in known.METHODS:
                yield f".{node.attr}()" if not node.attr.startswith("__") else "dunder names"
        else:
            yield f".{node.attr}" if not node.attr.startswith("__") else "dunder names"

    def operation(self, node: ast.BinOp) -> Iterator[str]:
        """Arithmetic but powers and bits; `%` of numbers, not of texts."""
        if isinstance(node.op, ast.Mod) and self.kind(node.left) not in ("int", "number"):
            yield "% of something else than a number"

    def comparison(self, node: ast.Compare) -> Iterator[str]:
        """Comparisons; identity with the constants that exist once."""
        if asks_for_identity(node):
            yield "identity"

    def set_(self, node: ast.Set) -> Iterator[str]:
        """A set of constants in which something is looked for."""
        parent = self.parent[id(node)]
        looked = isinstance(parent, ast.Compare) and parent.left is not node
        looked = looked and all(isinstance(op, (ast.In, ast.NotIn)) for op in getattr(parent, "ops", ()))
        if not looked or not all(isinstance(item, ast.Constant) for item in node.elts):
            yield "the order of a set"

    def dict_(self, node: ast.Dict) -> Iterator[str]:
        """A dict whose keys are texts or whole numbers."""
        if len(node.keys) == 1 and self.has_text_keys_alone():
            return
        if not all(key is None or self.is_key(key) for key in node.keys):
            yield "keys of unknown kind"

    def has_text_keys_alone(self) -> bool:
        """Whether every item that is set later has a text as its key, so that one key of unknown kind has no equal."""
        stores = [node for node in self.nodes if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)]
        self.look(len(self.nodes))
        return all(self.kind(node.slice) == "text" for node in stores) and not any(
            called_name(node) in ("update", "setdefault") or (isinstance(node, ast.Dict) and None in node.keys)
            for node in self.nodes
        )

    def dict_comprehension(self, node: ast.DictComp) -> Iterator[str]:
        """The same in a comprehension."""
        if not self.is_key(node.key):
            yield "keys of unknown kind"

    def subscript(self, node: ast.Subscript) -> Iterator[str]:
        """An item; a slice of a text or a list; an item that is set by a key of known kind."""
        if isinstance(node.slice, ast.Slice):
            if self.kind(node.value) not in ("text", "list") or not isinstance(node.ctx, ast.Load):
                yield "a slice of something else than a text or a list"
        elif not isinstance(node.ctx, ast.Load) and not self.is_key(node.slice):
            yield "keys of unknown kind"

    def formatted(self, node: ast.FormattedValue) -> Iterator[str]:
        """A value in a text: as it is, or a number by a format of digits."""
        if node.conversion not in (-1, 114, 115):
            yield "!a"
        if node.format_spec is None:
            return
        parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        spec = parts[0].value if len(parts) == 1 and isinstance(parts[0], ast.Constant) else ""
        if not (isinstance(spec, str) and known.FORMAT.fullmatch(spec) and self.kind(node.value) in ("int", "number")):
            yield "a format of something else than a number"

    def comprehension(self, node: ast.comprehension) -> Iterator[str]:
        """A walk over something that is there as a whole."""
        if node.is_async:
            yield "async"
        if self.is_lazy(node.iter):
            walked = {part.id for part in self.within(node.iter) if isinstance(part, ast.Name)}
            if any(self._changes(part, walked, strict=True) for part in self.within(self.parent[id(node)])):
                yield "a loop that changes what it walks"
        if isinstance(node.iter, ast.GeneratorExp) or self.calls_builtin(node.iter, ("map",)):
            yield "a lazy loop"

    def generator(self, node: ast.GeneratorExp) -> Iterator[str]:
        """A generator whose items are taken at once: it is a list in monty."""
        parent = self.parent[id(node)]
        if not isinstance(parent, ast.Call) or called_name(parent) not in known.TAKES_ALL or node not in parent.args:
            yield "a generator is kept"
            return
        yield from self.interleaved(parent, node)

    def starred(self, node: ast.Starred) -> Iterator[str]:
        """Items in the place of one."""
        if self.is_lazy(node.value):
            yield "a generator is kept"
        if isinstance(self.parent[id(node)], ast.Call):
            yield "arguments by star"


def _root_name(node: ast.expr) -> str:
    """Return the name at the left of `a.b[c]`; "?" if there is none."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else "?"


_CHECKS: dict[type[ast.AST], Callable[[Checker, Any], Iterator[str]]] = {
    ast.FunctionDef: Checker.function,
    ast.Lambda: Checker.lambda_,
    ast.Import: Checker.importing,
    ast.ImportFrom: Checker.importing,
    ast.Raise: Checker.raising,
    ast.ExceptHandler: Checker.handler,
    ast.For: Checker.loop,
    ast.AugAssign: Checker.target,
    ast.Constant: Checker.constant,
    ast.Name: Checker.name,
    ast.Attribute: Checker.attribute,
    ast.BinOp: Checker.operation,
    ast.Compare: Checker.comparison,
    ast.Set: Checker.set_,
    ast.Dict: Checker.dict_,
    ast.DictComp: Checker.dict_comprehension,
    ast.Subscript: Checker.subscript,
    ast.FormattedValue: Checker.formatted,
    ast.comprehension: Checker.comprehension,
    ast.GeneratorExp: Checker.generator,
    ast.Starred: Checker.starred,
    ast.Call: Checker.call,
    ast.arg: Checker.parameter,
}
