"""A look at the syntax tree before the first call: what does a source need, and may it run in monty?

Monty is a subset of Python, and where it is not, its meaning may differ. Every rule here sends a source to CPython whose
outcome could be another one there: lazy iterators that are lists in monty, modules and methods that it lacks, methods handed
around as values. The tree is only read; nothing of a source is ever compiled or run in this process.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from palaestra.envs.sandbox import monty_lacks
from palaestra.envs.sandbox.keeper import MODULES, PACKAGES

MAX_SOURCE_CHARS = 200_000
"""Most characters of a source; published ones have up to 5,000."""

_KEPT_CHARS = 8_000
_LOOKS_PER_NODE = 30
"""How often the nodes of a tree are looked at in addition, on average: what is nested deeper is not worth the time."""
_FILE_NAME = "<sandboxed source>"
_EAGER = frozenset(("list", "tuple", "set", "frozenset", "dict", "sorted", "sum", "min", "max", "any", "all", "join"))
_EAGER |= frozenset(("fsum", "prod", "Counter", "deque", "extend", "update", "union"))
_STOPS_EARLY = frozenset(("any", "all"))
_LISTS_IN_MONTY = frozenset(("map", "filter", "zip", "enumerate", "reversed"))
_ENDLESS = frozenset(("count", "cycle", "repeat"))
_MUTATORS = frozenset(("append", "remove", "pop", "insert", "extend", "clear", "add", "discard", "update", "popitem", "sort"))
_NAMES = {
    "SystemExit": "SystemExit",
    "object": "object",
    "__builtins__": "dunder names",
    "__import__": "dunder names",
    "__name__": "dunder names",
    "NotImplemented": "NotImplemented",
    "complex": "complex numbers",
    "hash": "hash()",
    "id": "id()",
}
_STATEMENTS: dict[type[ast.AST], str] = {
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.AsyncFunctionDef: "async",
    ast.Await: "async",
    ast.AsyncFor: "async",
    ast.AsyncWith: "async",
    ast.Delete: "del",
    ast.TryStar: "except*",
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function of a source takes by name.

    Attributes:
        required: Names without a default.
        allowed: All names.
        takes_any: Whether it has `**options`.
    """

    required: frozenset[str]
    allowed: frozenset[str]
    takes_any: bool


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What the tree of a source says.

    Attributes:
        needs_cpython: Why it cannot run in monty, sorted; empty if it can.
        functions: Parameters by name of the functions at the top that can be told apart without running anything.
        names: Every name that it binds anywhere: nothing else of it can be called.
        raise_lines: Lines that raise an exception of the code's own making.
        exits: Whether it mentions `SystemExit`.
    """

    needs_cpython: tuple[str, ...]
    functions: dict[str, Parameters]
    names: frozenset[str]
    raise_lines: frozenset[int]
    exits: bool


def read_source(source: str) -> SourceFacts | None:
    """Return the facts of a source; None if it is not Python, or too long to be looked at."""
    if len(source) > MAX_SOURCE_CHARS:
        return None
    return _kept(source) if len(source) <= _KEPT_CHARS else _kept.__wrapped__(source)


@lru_cache(maxsize=2048)
def _kept(source: str) -> SourceFacts | None:
    """Read a source; those of common length are remembered."""
    if _QUIET not in warnings.filters:  # the parser warns of escapes in foreign texts, which says nothing to anybody here
        warnings.filterwarnings("ignore", module=_QUIET_MODULE)
    try:
        tree = ast.parse(source, _FILE_NAME)
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    reader = _Reader(tree, nodes)
    try:
        reasons = set(reader.reasons())
    except _TooNested:
        reasons = {"too nested to be looked at"}
    return SourceFacts(
        needs_cpython=tuple(sorted(reasons)),
        functions=_functions(tree),
        names=frozenset(_bound_names(nodes)),
        raise_lines=frozenset(node.lineno for node in nodes if isinstance(node, ast.Raise) and node.exc is not None),
        exits=any(isinstance(node, ast.Name) and node.id == "SystemExit" for node in nodes),
    )


def needs_cpython(source: str) -> tuple[str, ...]:
    """Return why a source cannot run in monty: fixed words, sorted; empty if it can, or if it is not Python at all."""
    facts = read_source(source)
    return () if facts is None else facts.needs_cpython


def wrong_names(parameters: Parameters, names: frozenset[str]) -> str:
    """Return a sentence on names of arguments that do not fit, "" if all do. No value is repeated."""
    missing = sorted(parameters.required - names)
    unexpected = () if parameters.takes_any else sorted(names - parameters.allowed)
    told = [f"missing: {', '.join(missing)}"] if missing else []
    shown = [name if name.isidentifier() and len(name) <= 64 else "(not a name)" for name in unexpected[:5]]
    told += [f"unexpected: {', '.join(shown)}"] if shown else []
    return f"Wrong arguments; {'; '.join(told)}." if told else ""


class _TooNested(Exception):
    """A source is made so that looking at it takes long."""


class _Reader:
    """Collects the reasons of one tree."""

    def __init__(self, tree: ast.Module, nodes: list[ast.AST]) -> None:
        """Note what is imported under which name and what is defined."""
        self.nodes = nodes
        self.looks = 10_000 + _LOOKS_PER_NODE * len(nodes)
        self.called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        self.modules: dict[str, str] = {}
        self.defined: set[str] = set()
        self.consumed: set[int] = set()
        for node in nodes:
            self._note(node)

    def _note(self, node: ast.AST) -> None:
        """Note names that are bound, and the expressions whose items are taken at once."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.modules[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            self.defined.add(node.name)
        elif isinstance(node, ast.arg):
            self.defined.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            self.defined.add(node.id)
        elif isinstance(node, (ast.For, ast.comprehension)):
            self.consumed.add(id(node.iter))
        elif isinstance(node, ast.Starred):
            self.consumed.add(id(node.value))
        elif isinstance(node, ast.Call) and _called_name(node) in _EAGER | _LISTS_IN_MONTY:
            self.consumed |= {id(argument) for argument in node.args}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Tuple, ast.List)):
            self.consumed.add(id(node.value))

    def within(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes of a part of the tree, as long as the budget lasts."""
        for part in ast.walk(node):
            self.looks -= 1
            if self.looks < 0:
                raise _TooNested
            yield part

    def reasons(self) -> Iterator[str]:
        """Yield why the source needs CPython."""
        for node in self.nodes:
            if type(node) in _STATEMENTS:
                yield _STATEMENTS[type(node)]
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from self._import_reasons(node)
            elif isinstance(node, ast.ClassDef) and (node.bases or node.keywords):
                yield "class inheritance"
            elif isinstance(node, ast.Attribute):
                yield from self._attribute_reasons(node)
            elif isinstance(node, ast.Name):
                yield from self._name_reasons(node)
            elif isinstance(node, ast.GeneratorExp):
                yield from self._generator_reasons(node)
            elif isinstance(node, ast.Call):
                yield from self._call_reasons(node)
            elif isinstance(node, ast.For):
                yield from self._loop_reasons(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, complex):
                yield "complex numbers"

    def _import_reasons(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """Modules, and names of modules, that only CPython has here; what neither has is the same error in both."""
        if isinstance(node, ast.Import):
            wanted = [(alias.name, "") for alias in node.names]
        else:
            wanted = [(node.module or "", alias.name) for alias in node.names]
        for module, name in wanted:
            top = module.partition(".")[0]
            if top == "__future__":
                continue
            if top in monty_lacks.MODULES:
                if name in monty_lacks.MODULES[top] or module != top or name == "*":
                    yield f"{module}.{name}".rstrip(".")
            elif top in MODULES or top in PACKAGES or top in ("os", "sys"):
                yield f"import {top}"

    def _attribute_reasons(self, node: ast.Attribute) -> Iterator[str]:
        """Attributes that monty lacks, or has only in calls."""
        base = node.value.id if isinstance(node.value, ast.Name) else ""
        if node.attr.startswith("__") and node.attr.endswith("__") and node.attr != "__init__":
            yield "dunder names"
        elif base in self.modules:
            if node.attr in monty_lacks.MODULES.get(self.modules[base], frozenset()):
                yield f"{self.modules[base]}.{node.attr}"
        elif node.attr in monty_lacks.ATTRIBUTES:
            yield f".{node.attr}"
        elif base in monty_lacks.CLASS_METHODS and base not in self.defined:
            if node.attr not in monty_lacks.CLASS_METHODS[base] or id(node) not in self.called:
                yield f"{base}.{node.attr}"
        elif node.attr in monty_lacks.METHODS and isinstance(node.ctx, ast.Load) and id(node) not in self.called:
            yield "a method as a value"

    def _name_reasons(self, node: ast.Name) -> Iterator[str]:
        """Built-ins that monty lacks."""
        if isinstance(node.ctx, ast.Load) and node.id not in self.defined and node.id not in self.modules:
            if node.id in monty_lacks.BUILTINS:
                yield f"{node.id}"
            elif node.id in _NAMES:
                yield _NAMES[node.id]

    def _generator_reasons(self, node: ast.GeneratorExp) -> Iterator[str]:
        """A generator expression is a list in monty: kept, or endless, it means something else."""
        if id(node) not in self.consumed:
            yield "a generator is kept"
        if any(isinstance(part, ast.Call) and _called_name(part) in _ENDLESS for part in self.within(node)):
            yield "an endless iterator"

    def _call_reasons(self, node: ast.Call) -> Iterator[str]:
        """Calls that mean something else in monty."""
        name = _called_name(node)
        if name in ("next", "iter") and isinstance(node.func, ast.Name) and node.args:
            argument = node.args[0]
            inner = isinstance(argument, ast.Call) and _called_name(argument) == "iter"
            if name == "iter" and (len(node.args) > 1 or isinstance(argument, (ast.GeneratorExp, ast.Call))):
                yield "iter()"
            if name == "next" and not (inner or isinstance(argument, ast.Name)):
                yield "next()"
        if name in _LISTS_IN_MONTY and isinstance(node.func, ast.Name) and name not in self.defined:
            if id(node) not in self.consumed:
                yield "an iterator is kept"
            if any(isinstance(part, ast.Call) and _called_name(part) in _ENDLESS for part in self.within(node)):
                yield "an endless iterator"
        if name in _STOPS_EARLY and isinstance(node.func, ast.Name) and node.args:
            argument = node.args[0]
            lazy = isinstance(argument, ast.GeneratorExp) or (
                isinstance(argument, ast.Call) and _called_name(argument) in _LISTS_IN_MONTY
            )
            if lazy and not (isinstance(argument, ast.GeneratorExp) and _cannot_raise(self.within(argument))):
                yield f"{name}() that stops early"
        if name == "strptime" and not _has_year(node):
            yield "strptime without a year in a literal format"

    def _loop_reasons(self, node: ast.For) -> Iterator[str]:
        """A loop over `enumerate` and the like that changes what it walks: monty walks a copy."""
        if not (isinstance(node.iter, ast.Call) and _called_name(node.iter) in _LISTS_IN_MONTY):
            return
        walked = {part.id for part in self.within(node.iter) if isinstance(part, ast.Name)}
        for part in (part for statement in node.body for part in self.within(statement)):
            if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr in _MUTATORS:
                if isinstance(part.func.value, ast.Name) and part.func.value.id in walked:
                    yield "a loop that changes what it walks"
            elif isinstance(part, ast.Subscript) and not isinstance(part.ctx, ast.Load) and _root_name(part) in walked:
                yield "a loop that changes what it walks"


_QUIET_MODULE = r"<sandboxed source>"


def _quiet_entry() -> tuple[object, ...]:
    """Return the entry that `warnings.filterwarnings` makes for `_QUIET_MODULE`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_QUIET_MODULE)
        return tuple(warnings.filters[0])


_QUIET = _quiet_entry()


def _called_name(node: ast.Call) -> str:
    """Return the last part of what is called."""
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _root_name(node: ast.expr) -> str:
    """Return the name at the left of `a.b.c`."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


_QUIET_METHODS = frozenset(
    ("isdigit", "isalpha", "isalnum", "isspace", "isupper", "islower", "isnumeric", "isdecimal", "strip", "lower", "upper")
)
_QUIET_NODES = (
    ast.Name, ast.Constant, ast.BoolOp, ast.Not, ast.UnaryOp, ast.Compare, ast.Load, ast.Store, ast.boolop, ast.cmpop,
    ast.comprehension, ast.GeneratorExp, ast.Tuple, ast.List, ast.Set,
)  # fmt: skip


def _cannot_raise(parts: Iterator[ast.AST]) -> bool:
    """Whether looking at all items is the same as looking at some: tests of types and equality, methods of texts."""
    for part in parts:
        if isinstance(part, ast.Compare):
            if not all(isinstance(op, (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)) for op in part.ops):
                return False
        elif isinstance(part, ast.Call):
            known = isinstance(part.func, ast.Name) and part.func.id == "isinstance"
            if not known and _called_name(part) not in _QUIET_METHODS:
                return False
        elif isinstance(part, ast.Attribute):
            if part.attr not in _QUIET_METHODS:
                return False
        elif not isinstance(part, _QUIET_NODES):
            return False
    return True


def _has_year(node: ast.Call) -> bool:
    """Whether the format of `strptime` is a text in the source with a year."""
    given = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "format"), None)
    if not isinstance(given, ast.Constant) or not isinstance(given.value, str):
        return False
    return any(code in given.value for code in ("%Y", "%y", "%G", "%c", "%x"))


def _bound_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield every name that a statement binds, as often as it does."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _functions(tree: ast.Module) -> dict[str, Parameters]:
    """Return the parameters of functions that are defined once, at the top, without decorators."""
    found: dict[str, Parameters] = {}
    bound = Counter(_bound_names(ast.walk(tree)))
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and not statement.decorator_list and bound[statement.name] == 1:
            found[statement.name] = _parameters(statement.args)
    return found


def _parameters(arguments: ast.arguments) -> Parameters:
    """Return what can be given by name."""
    by_place = [argument.arg for argument in arguments.posonlyargs]
    plain = [argument.arg for argument in arguments.args]
    only = [argument.arg for argument in arguments.kwonlyargs]
    num_defaults = len(arguments.defaults)
    without = [*by_place, *plain]
    required = without[: len(without) - num_defaults]
    required += [name for name, default in zip(only, arguments.kw_defaults, strict=True) if default is None]
    return Parameters(frozenset(required), frozenset((*plain, *only)), arguments.kwarg is not None)
