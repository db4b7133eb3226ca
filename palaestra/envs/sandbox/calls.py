"""Which calls are known to mean the same in monty: the part of the look at a tree that is about calls and their arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from palaestra.envs.sandbox import known_equal as known
from palaestra.envs.sandbox.bindings import Bindings, called_name
from palaestra.envs.sandbox.quiet import cannot_raise


class Calls(Bindings):
    """The rules for calls; `meaning.Checker` has the others. Arguments as for `Bindings`."""

    def call(self, node: ast.Call) -> Iterator[str]:
        """A call of something on the list, with arguments of the kinds that were compared."""
        if any(keyword.arg is None for keyword in node.keywords):
            yield "arguments by star"
        name = called_name(node)
        least, most = known.COUNTS.get(name, (0, 0))
        if name and not self.is_own(name) and not least <= len(node.args) <= most:
            yield f"{name}() with {len(node.args)} arguments"
        if isinstance(node.func, ast.Name):
            if self.is_own(node.func.id):
                if node.func.id not in self.functions:
                    yield from self._of_module(node, self.imported.get(node.func.id, ""))
                elif any(self.is_lazy(argument) for argument in (*node.args, *(k.value for k in node.keywords))):
                    yield "a generator is kept"
            elif node.func.id in known.BUILTINS:
                yield from self._of_builtin(node, node.func.id)
        elif isinstance(node.func, ast.Attribute):
            full = self.full_name(node.func)
            yield from self._of_module(node, full) if full else self._of_method(node, node.func)
        else:
            yield "a call of a value"

    def _of_module(self, node: ast.Call, full: str) -> Iterator[str]:
        """A function of a module."""
        if any(self.is_lazy(argument) for argument in node.args):
            yield "a generator is kept"
        if full == "json.dumps":
            for keyword in node.keywords:
                if keyword.arg not in ("indent", "ensure_ascii") or not isinstance(keyword.value, ast.Constant):
                    yield f"json.dumps({keyword.arg}=)"
        elif node.keywords:
            yield "keyword arguments of a module's function"

    def _of_builtin(self, node: ast.Call, name: str) -> Iterator[str]:
        """A built-in."""
        keywords = {
            "sorted": ("key", "reverse"),
            "min": ("key", "default"),
            "max": ("key", "default"),
            "print": ("sep", "end"),
        }
        if any(keyword.arg not in keywords.get(name, ()) for keyword in node.keywords):
            yield f"{name}() with other keywords"
        for keyword in node.keywords:
            if keyword.arg == "key" and not isinstance(keyword.value, ast.Lambda):
                yield "a function as a value"
            if keyword.arg == "reverse" and not isinstance(keyword.value, ast.Constant):
                yield "an order that is not known"
        parent = self.parent[id(node)]
        if not node.args:
            return
        if name == "float" and self.kind(node.args[0]) not in ("int", "number"):
            yield "float() of something that could be not a number"
        elif name == "sum" and not known.SUMS_ALIKE:
            yield "sum()"
        elif name == "set":
            inside = isinstance(parent, ast.Call) and self.calls_builtin(parent, ("len",))
            if not inside or not isinstance(node.args[0], (ast.Name, ast.Subscript)):
                yield "the order of a set"
        elif name in ("next", "iter"):
            inner = name == "iter" and isinstance(parent, ast.Call) and self.calls_builtin(parent, ("next",))
            outer = name == "next" and bool(node.args) and self.calls_builtin(node.args[0], ("iter",))
            if not (inner or outer) or (inner and (len(node.args) != 1 or self.is_lazy(node.args[0]))):
                yield f"{name}()"
        elif name == "range":
            if not (isinstance(parent, (ast.For, ast.comprehension)) or self.calls_builtin(parent, known.TAKES_ALL)):
                yield "an iterator is kept"
        elif name in known.LAZY:
            yield from self._of_lazy(node, name, parent)
        keeps = name not in known.TAKES_ALL and name not in known.LAZY
        if keeps and any(isinstance(argument, ast.GeneratorExp) for argument in node.args):
            yield "a generator is kept"

    def _of_lazy(self, node: ast.Call, name: str, parent: ast.AST) -> Iterator[str]:
        """`map` of a type, `enumerate`, `zip` and `reversed` of what is there as a whole, all items taken at once."""
        items = node.args[1:] if name == "map" else node.args
        if not items or any(self.is_lazy(item) for item in items) or (name == "map" and len(items) > 1):
            yield "an iterator is kept"
        if name == "map" and not (isinstance(node.args[0], ast.Name) and node.args[0].id in ("str", "int", "float", "bool")):
            yield "map() of a function"
        if name == "map" and isinstance(node.args[0], ast.Name) and node.args[0].id == "float":
            yield "float() of something that could be not a number"
        if isinstance(parent, ast.Call) and called_name(parent) in known.TAKES_ALL and node in parent.args:
            yield from self.interleaved(parent, node)
        elif not isinstance(parent, (ast.For, ast.comprehension)) or parent.iter is not node:
            yield "an iterator is kept"

    def _of_method(self, node: ast.Call, method: ast.Attribute) -> Iterator[str]:
        """A method."""
        name = method.attr
        if any(keyword.arg not in ("key", "reverse") or name != "sort" for keyword in node.keywords):
            yield f".{name}() with keywords"
        if any(keyword.arg == "reverse" and not isinstance(keyword.value, ast.Constant) for keyword in node.keywords):
            yield "an order that is not known"
        if name != "join" and any(self.is_lazy(argument) for argument in node.args):
            yield "a generator is kept"
        if name == "sort" and self.has_try:
            yield "a list that is left half sorted"
        if name in ("setdefault", "insert") and node.args and not self.is_key(node.args[0]):
            yield "keys of unknown kind"
        if name == "update" and not (len(node.args) == 1 and isinstance(node.args[0], ast.Dict)):
            yield "keys of unknown kind"
        if name == "format" and not known.is_plain_format(method.value):
            yield "other formats"
        if name in known.VIEWS:
            parent = self.parent[id(node)]
            walked = isinstance(parent, (ast.For, ast.comprehension)) and parent.iter is node
            taken = isinstance(parent, ast.Call) and self.calls_builtin(parent, known.TAKES_ALL | {"len", "iter", *known.LAZY})
            looked = isinstance(parent, ast.Compare) and parent.left is not node
            if not (walked or taken or looked or (isinstance(parent, ast.Call) and called_name(parent) == "join")):
                yield "a view is kept"

    def interleaved(self, call: ast.Call, lazy: ast.AST) -> Iterator[str]:
        """A function that takes items one by one, and may stop or fail between two of them."""
        name = called_name(call)
        if len(call.args) != 1:
            yield "a generator is kept"
        numbers = self.kind(lazy.elt) in ("int", "number") if isinstance(lazy, ast.GeneratorExp) else False
        numbers |= called_name(lazy) == "map"
        quiet = cannot_raise(lazy, self) if isinstance(lazy, ast.GeneratorExp) else called_name(lazy) != "map"
        if (name in ("any", "all") and not quiet) or (name in ("sum", "min", "max") and not (quiet or numbers)):
            yield f"{name}() of items that could fail"

    def full_name(self, node: ast.expr) -> str:
        """Return "module.name" of what is reached from an import; "" for everything else."""
        if isinstance(node, ast.Name):
            return self.modules.get(node.id) or self.imported.get(node.id, "")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            base = self.full_name(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""

    def is_key(self, node: ast.expr) -> bool:
        """Whether an expression is a text or a whole number, so that no two keys are equal and different."""
        if isinstance(node, ast.Tuple):
            return all(isinstance(part, ast.Constant) and self.kind(part) in ("text", "int") for part in node.elts)
        return self.kind(node) in ("text", "int", "key")
