"""Which sources leave no trace in their interpreter, as their syntax alone shows.

The argument is that of a closed world. Every value that such a source can get hold of is plain data of its own, one of its
own functions, or something from the list of what is known to be pure (`known_pure`): no module, no frame, no class of its
own, nothing of the library that can be changed. No attribute is set or looked up by a computed name, and no text of an object
shows where it lies in memory. So whatever a call changes ends with its namespace, and nothing of it runs afterwards.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from palaestra.envs.sandbox import known_pure as pure
from palaestra.envs.sandbox.bindings import Bindings, asks_for_identity
from palaestra.envs.sandbox.known_equal import IS_BUILTIN, format_fields

_SPECIAL = pure.LAZY | pure.CONSUMERS | {"isinstance", "len"}
_HIDING = _SPECIAL | (IS_BUILTIN - pure.BUILTINS)
"""Names that no function may have: in another scope they are the built-in ones."""


class Traces:
    """Collects the reasons why a source may leave something behind.

    Args:
        names: What the source binds.
    """

    def __init__(self, names: Bindings) -> None:
        """Note which names stand for functions of the source, and what is imported."""
        self._names, self._parent = names, names.parent
        lambdas = {name for name, values in names.values.items() if any(isinstance(value, ast.Lambda) for value in values)}
        self._functions = names.functions | lambdas
        self._has_walrus = any(isinstance(node, ast.NamedExpr) for node in names.nodes)
        self._has_sets = any(isinstance(node, ast.Set) for node in names.nodes)
        self._globals = {name for node in names.nodes if isinstance(node, ast.Global) for name in node.names}
        self._uses_caches = False
        self._imports: dict[str, str] = {}

    def reasons(self) -> Iterator[str]:
        """Yield fixed words; nothing if no call leaves a trace."""
        for node in self._names.nodes:
            if not isinstance(node, pure.NODES):
                yield type(node).__name__
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from self._importing(node)
        for node in self._names.nodes:
            yield from self._bound(node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                yield from self._name(node)
            elif isinstance(node, ast.Attribute):
                yield from self._attribute(node)
            elif isinstance(node, ast.Call):
                yield from self._call(node)
            elif isinstance(node, ast.FunctionDef) and node.decorator_list:
                yield "a decorator"
            elif isinstance(node, ast.Lambda) and not self._is_function_place(node) and not self._is_named(node):
                yield "a function as a value"
            elif isinstance(node, ast.GeneratorExp) and not self._is_used_up(node):
                yield "a generator is kept"
            elif isinstance(node, ast.Compare) and asks_for_identity(node):
                yield "identity"
            elif isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                yield "bytes"
            elif isinstance(node, ast.Set) and not all(isinstance(item, ast.Constant) for item in node.elts):
                yield "a set"
            elif isinstance(node, ast.Delete) and not all(isinstance(target, ast.Subscript) for target in node.targets):
                yield "del of a name"
        if self._uses_caches:
            yield from self._depth()

    def _importing(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """Modules and names of the list, each by one name."""
        for alias in node.names:
            module = alias.name if isinstance(node, ast.Import) else node.module or ""
            full = module if isinstance(node, ast.Import) else f"{module}.{alias.name}"
            if not _is_module(module) or (isinstance(node, ast.ImportFrom) and (node.level or not _is_known(full))):
                yield f"import {full.partition('.')[0]}"
            if self._imports.setdefault(alias.asname or alias.name, full) != full:
                yield "a name for two things"
            self._uses_caches |= module not in pure.NO_CACHES

    def _bound(self, node: ast.AST) -> Iterator[str]:
        """A name that is bound: none that has a meaning here."""
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.FunctionDef):
            name = node.name
        elif isinstance(node, ast.ExceptHandler):
            name = node.name or "e"
        elif isinstance(node, ast.alias):
            name = node.asname or node.name
            if name in _HIDING or name in self._functions:
                yield "a name for two things"
            return
        else:
            return
        if name.startswith("__") or not name.isascii():
            yield "dunder names"
        if name in (_HIDING if isinstance(node, ast.FunctionDef) else _SPECIAL) or name in self._imports:
            yield "a name for two things"

    def _name(self, node: ast.Name) -> Iterator[str]:
        """A name that is read."""
        name, parent = node.id, self._parent[id(node)]
        is_called = isinstance(parent, ast.Call) and parent.func is node
        if not name.isascii() or (name.startswith("__") and name != "__name__"):
            yield "dunder names"
        elif name in self._imports:
            full = self._imports[name]
            if "." not in full:
                if not (isinstance(parent, ast.Attribute) and parent.value is node):
                    yield "a module as a value"
            elif not is_called and not _is_value(full):
                yield "a function as a value"
        elif name in self._functions:
            if not self._is_function_place(node):
                yield "a function as a value"
        elif name in IS_BUILTIN and not self._is_parameter(node):
            if name not in pure.BUILTINS:
                yield name
            elif name in pure.LAZY and not is_called:
                yield "an iterator is kept"

    def _is_parameter(self, node: ast.Name) -> bool:
        """Whether a name is that of a parameter, which always has a value, of a function around it."""
        if node.id in self._globals:
            return False
        child: ast.AST = node
        while (parent := self._parent.get(id(child))) is not None:
            self._names.look()
            if isinstance(parent, (ast.FunctionDef, ast.Lambda)):
                inside = child is parent.body if isinstance(parent, ast.Lambda) else any(child is part for part in parent.body)
                taken = parent.args
                given = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, *filter(None, (taken.vararg, taken.kwarg))]
                if inside and any(argument.arg == node.id for argument in given):
                    return True
            child = parent
        return False

    def _attribute(self, node: ast.Attribute) -> Iterator[str]:
        """An attribute that is read: of the list."""
        parent = self._parent[id(node)]
        is_called = isinstance(parent, ast.Call) and parent.func is node
        full = self._full_name(node)
        if not isinstance(node.ctx, ast.Load):
            yield "attributes that are set"
        elif full:
            if not (_is_value(full) or (is_called and _is_known(full))):
                yield full
        elif node.attr == "format":
            if not is_called or not _is_harmless_format(node.value):
                yield ".format()"
        elif node.attr not in (pure.METHODS_KEPT if is_called else pure.DATA):
            yield "dunder names" if node.attr.startswith("__") else f".{node.attr}"

    def _full_name(self, node: ast.expr) -> str:
        """Return "module.name" of what is reached from an import; "" for everything else."""
        if isinstance(node, ast.Name):
            return self._imports.get(node.id, "")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            base = self._imports.get(node.value.id, "")
            return f"{base}.{node.attr}" if base and "." not in base else ""
        return ""

    def _call(self, node: ast.Call) -> Iterator[str]:
        """A call: iterators are used up, functions of the library get plain arguments."""
        full = self._full_name(node.func)
        if full and not _is_value(full):
            yield from self._of_library(node, *full.split(".", 1))
        elif isinstance(node.func, ast.Name):
            name = node.func.id
            if name in pure.LAZY and not self._is_used_up(node):
                yield "an iterator is kept"
            if name == "next" and not (node.args and self._is_lazy(node.args[0])):
                yield "an iterator is kept"
        elif isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in pure.LAZY_METHODS and not self._is_used_up(node):
                yield "an iterator is kept"
            if name in pure.VIEWS and not self._is_used_up(node):
                yield "a view is kept"
            if name == "update" and self._has_sets:
                yield "a set"

    def _of_library(self, node: ast.Call, module: str, name: str) -> Iterator[str]:
        """A call of a function of the library."""
        keywords = {keyword.arg for keyword in node.keywords}
        if None in keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            yield "arguments that are not known"
        if (module == "itertools" or name == "finditer") and not self._is_used_up(node):
            yield "an iterator is kept"
        if module == "json" and not keywords <= (pure.JSON_KEYWORDS if name == "dumps" else set()):
            yield "hooks of json"
        if module == "re" and name != "escape":
            flags_at = pure.FLAGS_AT[name]
            flags = [keyword.value for keyword in node.keywords if keyword.arg == "flags"] + node.args[flags_at:]
            if not all(self._is_flags(part) for part in flags) or not keywords <= pure.REGEX_COUNTS | {"flags"}:
                yield "flags that are not known"
            if not node.args or not self._is_short_pattern(node.args[0]):
                yield "a pattern that is not known"

    def _is_flags(self, node: ast.expr) -> bool:
        """Whether an expression names flags of regular expressions."""
        if isinstance(node, ast.BinOp):
            self._names.look()
            return isinstance(node.op, ast.BitOr) and self._is_flags(node.left) and self._is_flags(node.right)
        full = self._full_name(node)
        return full.startswith("re.") and _is_value(full)

    def _is_short_pattern(self, node: ast.expr, depth: int = 0) -> bool:
        """Whether an expression is a pattern that is translated in few frames."""
        if isinstance(node, ast.Name) and depth == 0 and node.id not in self._functions and not self._has_walrus:
            values = self._names.values.get(node.id, [])
            self._names.look(len(values) + 1)
            return bool(values) and all(isinstance(v, ast.Constant) and self._is_short_pattern(v, 1) for v in values)
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            return False
        return len(node.value) <= pure.MAX_PATTERN_CHARS and node.value.count("(") <= pure.MAX_PATTERN_GROUPS

    def _is_lazy(self, node: ast.AST) -> bool:
        """Whether an expression makes an iterator."""
        if isinstance(node, ast.GeneratorExp):
            return True
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Name) and node.func.id in pure.LAZY:
            return True
        full = self._full_name(node.func)
        return full.startswith("itertools.") or full == "re.finditer"

    def _is_used_up(self, node: ast.expr) -> bool:
        """Whether all that is ever seen of an iterator, or of a view of a dict, are its items."""
        parent = self._parent[id(node)]
        if isinstance(parent, (ast.For, ast.comprehension)):
            return parent.iter is node
        if isinstance(parent, ast.Starred):
            return True
        if isinstance(parent, ast.Assign):
            return all(isinstance(target, (ast.Tuple, ast.List)) for target in parent.targets)
        if isinstance(parent, ast.Compare):
            return parent.left is not node and all(isinstance(op, (ast.In, ast.NotIn)) for op in parent.ops)
        if not isinstance(parent, ast.Call) or not any(argument is node for argument in parent.args):
            return False
        is_first = parent.args[0] is node
        if isinstance(parent.func, ast.Attribute) and not self._full_name(parent.func):
            return parent.func.attr in ("join", "extend") and is_first
        if not isinstance(parent.func, ast.Name) or parent.func.id in self._imports:
            return is_first and self._full_name(parent.func) in ("math.prod", "math.fsum", "collections.Counter")
        name = parent.func.id
        if name in ("min", "max"):
            return len(parent.args) == 1
        if name in ("map", "filter"):
            return not is_first
        return name == "zip" or (is_first and (name in pure.CONSUMERS or name in ("enumerate", "iter", "reversed", "len")))

    def _is_function_place(self, node: ast.expr) -> bool:
        """Whether a function is called here, or handed to something that only calls it."""
        parent = self._parent[id(node)]
        if isinstance(parent, ast.keyword):
            call = self._parent[id(parent)]
            return parent.arg == "key" and isinstance(call, ast.Call) and self._takes_key(call)
        if not isinstance(parent, ast.Call):
            return False
        if parent.func is node:
            return True
        name = parent.func.id if isinstance(parent.func, ast.Name) else ""
        if name in ("map", "filter") or self._full_name(parent.func) == "functools.reduce":
            return parent.args[0] is node
        is_method = isinstance(parent.func, ast.Attribute) and parent.func.attr == "sub" and not self._full_name(parent.func)
        if self._full_name(parent.func) == "re.sub":
            return len(parent.args) > 1 and parent.args[1] is node
        return is_method and parent.args[0] is node

    def _takes_key(self, call: ast.Call) -> bool:
        """Whether a call orders items by a key."""
        if isinstance(call.func, ast.Name):
            return call.func.id in ("sorted", "min", "max")
        return isinstance(call.func, ast.Attribute) and call.func.attr == "sort"

    def _is_named(self, node: ast.Lambda) -> bool:
        """Whether a lambda gets a name, whose uses are looked at."""
        parent = self._parent[id(node)]
        return isinstance(parent, ast.Assign) and all(isinstance(target, ast.Name) for target in parent.targets)

    def _depth(self) -> Iterator[str]:
        """Recursion next to a library with caches: how near the limit is depends on what is in them."""
        frames = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.DictComp, ast.GeneratorExp)
        if sum(isinstance(node, frames) for node in self._names.nodes) > pure.MAX_DEPTH:
            yield "many functions"
        calls: dict[str, set[str]] = defaultdict(set)
        for name, body in self._bodies():
            for part in self._names.within(body):
                if isinstance(part, ast.Name) and part.id in self._functions:
                    calls[name].add(part.id)
        if self._names.recurses(calls):
            yield "recursion"

    def _bodies(self) -> Iterator[tuple[str, ast.AST]]:
        """Yield the functions of the source by name."""
        for node in self._names.nodes:
            if isinstance(node, ast.FunctionDef):
                for statement in node.body:
                    yield node.name, statement
        for name, values in self._names.values.items():
            for value in values:
                if isinstance(value, ast.Lambda):
                    yield name, value


def _is_module(name: str) -> bool:
    """Whether a module has anything on the list."""
    return name in pure.FUNCTIONS or name in pure.VALUES


def _is_value(full: str) -> bool:
    """Whether "module.name" is a class or a constant of the list."""
    module, _, name = full.partition(".")
    return name in pure.VALUES.get(module, ())


def _is_known(full: str) -> bool:
    """Whether "module.name" is on the list."""
    module, _, name = full.partition(".")
    return name in pure.FUNCTIONS.get(module, ()) or _is_value(full)


def _is_harmless_format(node: ast.expr) -> bool:
    """Whether a text has fields that look into nothing."""
    return (fields := format_fields(node)) is not None and all(
        (name == "" or name.isidentifier() or name.isdigit()) and "{" not in spec for name, spec, _ in fields
    )
