"""A look at the syntax tree before the first call: what does a source need, and may it run in monty?

Monty is nearly a subset of Python: where it lacks something it raises, but lazy iterators are lists, sets have another order,
errors other words. So a source stays in monty only if all of it is on the list of what is known to be equal (`known_equal`,
read by `meaning`). The tree is only read; nothing of a source is ever compiled or run in this process.
"""

from __future__ import annotations

import ast
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from palaestra.envs.sandbox.bindings import Bindings, TooNested, Tree, walked
from palaestra.envs.sandbox.meaning import Checker
from palaestra.envs.sandbox.traces import Traces

MAX_SOURCE_CHARS = 50_000
"""Most characters of a source; published ones have up to 5,000. The parser takes time that grows with the square of some."""

MAX_LOOKED_AT_CHARS = 16_000
"""Longer sources are read each time, and are not asked what they leave behind."""
_LOOKS_PER_NODE = 30
"""How often the nodes of a tree are looked at in addition, on average: what is nested deeper is not worth the time."""
_ODD = "\u019b\u0264"
"""Letters that have got an upper case in Unicode 16."""
_FILE_NAME = "<sandboxed source>"


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
        prints: Whether it mentions `print`.
    """

    needs_cpython: tuple[str, ...]
    functions: dict[str, Parameters]
    names: frozenset[str]
    raise_lines: frozenset[int]
    exits: bool
    prints: bool


def with_plain_lines(source: str) -> str:
    """Return a source with the ends of lines that CPython reads it with; monty takes over those within a text."""
    return source.replace("\r\n", "\n").replace("\r", "\n")


def read_source(source: str) -> SourceFacts | None:
    """Return the facts of a source; None if it is not Python, or too long to be looked at."""
    if len(source) > MAX_SOURCE_CHARS:
        return None
    return _kept(source) if len(source) <= MAX_LOOKED_AT_CHARS else _kept.__wrapped__(source)


@lru_cache(maxsize=2048)
def _kept(source: str) -> SourceFacts | None:
    """Read a source; those of common length are remembered."""
    if _QUIET not in warnings.filters:  # the parser warns of escapes in foreign texts, which says nothing to anybody here
        warnings.filterwarnings("ignore", module=_QUIET_MODULE)
    try:
        tree = ast.parse(source, _FILE_NAME)
        seen = walked(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    try:
        reasons = set(Checker(seen, _looks(seen)).reasons())
    except TooNested:
        reasons = {"too nested to be looked at"}
    if has_odd_characters(source):
        reasons.add("characters that versions of Unicode tell apart")
    nodes, bound = seen.nodes, Counter(_bound_names(seen.nodes))
    return SourceFacts(
        needs_cpython=tuple(sorted(reasons)),
        functions=_functions(tree, bound),
        names=frozenset(bound),
        raise_lines=frozenset(node.lineno for node in nodes if isinstance(node, ast.Raise) and node.exc is not None),
        exits=any(isinstance(node, ast.Name) and node.id == "SystemExit" for node in nodes),
        prints="print" in unicodedata.normalize("NFKC", source),  # as names are read
    )


def needs_cpython(source: str) -> tuple[str, ...]:
    """Return why a source cannot run in monty: fixed words, sorted; empty if it can, or if it is not Python at all."""
    facts = read_source(source)
    return () if facts is None else facts.needs_cpython


def traces(source: str) -> tuple[str, ...]:
    """Return why a call could leave something behind in its interpreter: fixed words, sorted; empty if none does.

    A source that is not Python, or too long to be remembered, may leave anything.
    """
    return _traces(source) if len(source) <= MAX_LOOKED_AT_CHARS else ("too long to be looked at",)


@lru_cache(maxsize=2048)
def _traces(source: str) -> tuple[str, ...]:
    """Look at a source that the parser has read before."""
    try:
        seen = walked(ast.parse(source, _FILE_NAME))
        found = set(Traces(Bindings(seen, _looks(seen))).reasons())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ("not Python",)
    except TooNested:
        return ("too nested to be looked at",)
    return tuple(sorted(found))


def _looks(seen: Tree) -> int:
    """Return how often the nodes of a tree may be looked at in addition."""
    return 10_000 + _LOOKS_PER_NODE * len(seen.nodes)


def has_odd_characters(text: str) -> bool:
    """Whether a text has characters that monty's tables of Unicode and Python's treat otherwise, or digits but 0 to 9."""
    if text.isascii():
        return False
    return any(ord(c) > 127 and (c in _ODD or unicodedata.category(c) in ("Cn", "Nd")) for c in text)


def wrong_names(parameters: Parameters, names: frozenset[str]) -> str:
    """Return a sentence on names of arguments that do not fit, "" if all do. No value is repeated."""
    missing = sorted(parameters.required - names)
    unexpected = () if parameters.takes_any else sorted(names - parameters.allowed)
    told = [f"missing: {', '.join(missing)}"] if missing else []
    shown = [name if name.isidentifier() and len(name) <= 64 else "(not a name)" for name in unexpected[:5]]
    told += [f"unexpected: {', '.join(shown)}"] if shown else []
    return f"Wrong arguments; {'; '.join(told)}." if told else ""


_QUIET_MODULE = r"<sandboxed source>"


def _quiet_entry() -> tuple[object, ...]:
    """Return the entry that `warnings.filterwarnings` makes for `_QUIET_MODULE`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_QUIET_MODULE)
        return tuple(warnings.filters[0])


_QUIET = _quiet_entry()


def _bound_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield every name that a statement binds, as often as it does."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _functions(tree: ast.Module, bound: Mapping[str, int]) -> dict[str, Parameters]:
    """Return the parameters of functions that are defined once, at the top, without decorators.

    Args:
        tree: A module.
        bound: How often each name is bound.
    """
    found: dict[str, Parameters] = {}
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
