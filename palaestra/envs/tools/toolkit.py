"""A `Toolkit`: the tools of an object, their schemas, and calls that are checked and atomic."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import enum
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from palaestra.envs.formats.hermes import explain_malformed
from palaestra.envs.tools.declaration import ToolDeclaration, declaration_of
from palaestra.envs.tools.sampling import ToolSampler
from palaestra.envs.tools.schema_tool import SchemaTool
from palaestra.envs.tools.wrong_arguments import listed, shown
from palaestra.errors import BoundaryError, EnvironmentFault, UsageError, unknown_name
from palaestra.spaces import is_unicode
from palaestra.types import MAX_DEPTH, Json, ToolCall, ToolResult, ToolStatus, is_deep, known_status
from palaestra.types.plain_json import strict_json

_METHODS: WeakKeyDictionary[type[Any], tuple[tuple[str, ToolDeclaration], ...]] = WeakKeyDictionary()


MAX_RESULT_CHARS = 100_000
"""Most characters of one result: the results of a message have to fit into an observation."""

Declaration = ToolDeclaration | SchemaTool
MAX_EXAMPLE_CHARS = 4_000  # of a right call that is shown to an agent

StatusRule = Callable[[ToolCall, object], ToolStatus]


class ToolRefusal(Exception):
    """Raised by a tool that cannot do what the agent asked; the message says why and what would work.

    It never leaves the toolkit: the agent reads it as the result, and the world stays as it was.

    Args:
        message: For the agent.
        status: Status of the result: "error", or what a runner of code found: "timeout", "crash", "blocked".
    """

    def __init__(self, message: str, status: ToolStatus = "error") -> None:
        """Keep the status in addition to the message."""
        if status == "ok":
            raise UsageError("A refusal has the status 'ok'; return the result instead, or give what went wrong.")
        super().__init__(message)
        self.status: ToolStatus = known_status(status)


class Toolkit:
    """The tools of one or more objects.

    Args:
        sources: Objects whose methods are tools, functions that are tools, and `SchemaTool`s.
        world: The object whose state a call may change, put back if the call does not succeed; by default the first of the
            `sources` whose methods are tools. It is saved with its own `copy()` if it has one, else by `copy.deepcopy`, and
            put back in place, so that references to it stay good.
        names: The tools to offer, in this order; all by default. `Toolkit(names=())` is a toolkit without tools.
        lenient: Also accept values that convert without loss of meaning ("3" for 3) and arguments that arrive as a
            string of JSON.

    Raises:
        UsageError: If a tool is badly declared, two have one name, or there are none.
    """

    def __init__(
        self, *sources: object, world: object | None = None, names: Iterable[str] | None = None, lenient: bool = False
    ) -> None:
        """Collect and check the tools."""
        self.sources = sources
        self.lenient = lenient
        self.world = (
            world if world is not None else next((s for s in sources if not isinstance(s, (FunctionType, SchemaTool))), None)
        )
        table = _table(sources)
        if not table and names is None:
            raise UsageError("A toolkit of nothing was asked for; give it objects or functions with @tool, or SchemaTools.")
        if self.world is not None and not hasattr(self.world, "__dict__"):
            raise UsageError(
                f"{type(self.world).__name__} has __slots__ and no __dict__; calls on it cannot be undone. Drop __slots__."
            )
        if names is not None:
            table = {name: _known(table, name) for name in names}
        self._table = table
        self._names = tuple(table)
        self._declarations = tuple(entry.declaration for entry in table.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tools, in order of declaration."""
        return self._names

    def __contains__(self, name: object) -> bool:
        """Whether there is a tool of this name."""
        return name in self._table

    def __len__(self) -> int:
        """Return the number of tools."""
        return len(self._table)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """What the tools are called and take; toolkits of equal declarations offer the same tools."""
        return self._declarations

    def declaration(self, name: str) -> Declaration:
        """Return the declaration of a tool; UnknownNameError if there is none."""
        return _known(self._table, name).declaration

    def schemas(self, *, strict: bool = False) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas of all tools.

        Args:
            strict: In the form of OpenAI's strict mode.
        """
        return [entry.declaration.schema(strict=strict) for entry in self._table.values()]

    def signatures(self) -> str:
        """Return one line per tool: name, parameters, what it does."""
        return "\n".join(f"{d.signature()} - {(d.description.splitlines() or [''])[0]}" for d in self.declarations)

    def sample_call(self, rng: np.random.Generator) -> ToolCall:
        """Draw a well-formed call."""
        return self.sampler().draw_call(rng)

    def sampler(self) -> ToolSampler:
        """Return a picklable sampler of whole actions, for an action space.

        Tools of which no right call could be found are left out.
        """
        from_data = {d.name for d in self.declarations if isinstance(d, SchemaTool)}
        drawn = [d for d in self.declarations if d.name not in from_data or d.example is not None]
        return ToolSampler(tuple(_drawn_schema(d) for d in drawn), from_data=frozenset(from_data))

    def validate(self, call: ToolCall) -> ToolResult | None:
        """Return the result that a badly formed call would get, or None if the call is well formed."""
        checked = self._check(call)
        return checked if isinstance(checked, ToolResult) else None

    def call(self, call: ToolCall, *, status_of: StatusRule | None = None) -> ToolResult:
        """Check a call and run it.

        Args:
            call: Any call at all.
            status_of: Rule for tools whose result reports a failure as data: the status of a call and what its tool
                returned. Whatever is not "ok" changes nothing, as if the tool had raised `ToolRefusal`.

        Returns:
            The result; a status other than "ok" means that nothing changed, and the content says how to fix the call. Halves
            of surrogate pairs are written as escapes; content of more than `MAX_RESULT_CHARS` characters is cut and says so.

        Raises:
            BoundaryError: Raised by the tool itself (its service failed); nothing changed.
            EnvironmentFault: If the tool's code failed otherwise; nothing changed.
        """
        checked = self._check(call)
        if isinstance(checked, ToolResult):
            return checked
        world = self.world
        before = None if world is None else _saved(world)
        is_kept = False
        try:
            value = checked.function(**checked.arguments)
            content = _content(value)
            status: ToolStatus = "ok" if status_of is None else known_status(status_of(call, value))
            is_kept = status == "ok"
        except ToolRefusal as refusal:
            return ToolResult(call.name, _sendable(f"Error: {refusal}"), refusal.status, call.id)
        except BoundaryError:
            raise
        except Exception as error:
            raise EnvironmentFault(
                f"Tool {call.name!r} failed on {shown(checked.arguments)}: {type(error).__name__}: {error}. "
                f"This is a fault of the tool, not of the agent; a tool refuses a call by raising ToolRefusal."
            ) from error
        finally:
            if before is not None and not is_kept:
                _put_back(world, before)
        return ToolResult(call.name, content, status, call.id)

    def call_all(self, calls: Sequence[ToolCall], *, status_of: StatusRule | None = None) -> list[ToolResult]:
        """Check and run several calls in order; one that does not succeed changes nothing and does not stop the next.

        Args:
            calls: Any calls.
            status_of: As for `call`.

        Returns:
            One result per call.

        Raises:
            BoundaryError: As `call` does; then none of the calls has changed anything.
        """
        world = self.world
        before = None if world is None or len(calls) < 2 else _saved(world)
        try:
            return [self.call(call, status_of=status_of) for call in calls]
        except BaseException:
            if before is not None:
                _put_back(world, before)
            raise

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what the toolkit was made of."""
        return {"sources": self.sources, "world": self.world, "lenient": self.lenient, "names": self._names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the toolkit again."""
        self.__init__(*state["sources"], world=state["world"], names=state["names"], lenient=state["lenient"])  # type: ignore[misc]

    def _check(self, call: ToolCall) -> _Checked | ToolResult:
        """Return the function and its arguments, or the result that says what is wrong."""
        entry = self._table.get(call.name)
        if entry is None:
            return self._unknown(call)
        arguments = call.arguments
        if isinstance(arguments, str):
            if not self.lenient or (parsed := _parsed_object(arguments)) is None:
                return _wrong(call, f"the arguments arrived as text, {shown(arguments)}; {_why_no_object(arguments)}", entry)
            arguments = parsed
        try:
            text = json.dumps(dict(arguments), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return _wrong(call, f"the arguments are not JSON ({error}); write JSON values", entry)
        if text.count("[") + text.count("{") > MAX_DEPTH and is_deep(json.loads(text)):
            return _wrong(call, f"the arguments are nested deeper than {MAX_DEPTH} levels; send flatter ones", entry)
        read = entry.declaration.read(arguments, text, lenient=self.lenient)
        return _Checked(entry.function, read) if isinstance(read, dict) else _wrong(call, "; ".join(read), entry)

    def _unknown(self, call: ToolCall) -> ToolResult:
        """Answer a call of a tool that does not exist."""
        if not call.name:
            return ToolResult("", f"Error: {explain_malformed(call)}", "invalid_arguments", call.id)
        near = difflib.get_close_matches(call.name[:64], self._names, n=3, cutoff=0.6)
        advice = f"Did you mean {' or '.join(near)}? " if near else ""
        there = f"The tools are: {listed(self._names)}." if self._names else "This task has no tools; answer in plain words."
        text = f"Error: there is no tool {shown(call.name)}. {advice}{there}"
        return ToolResult(call.name, text, "unknown_tool", call.id)


class _Entry(NamedTuple):
    """A tool and the callable that runs it."""

    declaration: Declaration
    function: Callable[..., object]


class _Checked(NamedTuple):
    """A callable and arguments that fit it."""

    function: Callable[..., object]
    arguments: dict[str, Any]


def _table(sources: Iterable[object]) -> dict[str, _Entry]:
    """Collect the tools of the sources by name."""
    table: dict[str, _Entry] = {}
    for source in sources:
        if isinstance(source, type):
            raise UsageError(f"{source.__name__} is a class; give the toolkit an object of it, {source.__name__}(...).")
        found: list[tuple[Declaration, Callable[..., object]]]
        if isinstance(source, SchemaTool):
            found = [(source, source.run)]
        elif isinstance(source, FunctionType):
            declared = declaration_of(source)
            found = [] if declared is None else [(declared, source)]
        else:
            found = [(declaration, getattr(source, attribute)) for attribute, declaration in _methods(_class_of(source))]
        if not found:
            raise UsageError(f"{source!r} holds no tools; put @tool on its methods.")
        for declaration, function in found:
            _ = declaration.parameter_schema  # a bad declaration is found now, not in the middle of an episode
            if declaration.name in table:
                raise UsageError(
                    f"Two tools are called {declaration.name!r}; rename one, with @tool(name=...) or in its schema."
                )
            table[declaration.name] = _Entry(declaration, function)
    return table


def _methods(cls: type[Any]) -> tuple[tuple[str, ToolDeclaration], ...]:
    """Return the tools of a class in order of declaration, base classes first."""
    if (known := _METHODS.get(cls)) is not None:
        return known
    attributes = dict.fromkeys(name for base in reversed(cls.__mro__) for name in sorted(vars(base), key=_line_in(base)))
    found = []
    for attribute in attributes:
        declaration = declaration_of(_class_attribute(cls, attribute))
        if declaration is not None:
            found.append((attribute, declaration))
    _METHODS[cls] = methods = tuple(found)
    return methods


def _line_in(cls: type) -> Callable[[str], int]:
    """Return the order of attributes by the line that they stand on, 0 for what is not a function of the class's own module.

    A class that was pickled by value (one of `__main__`, sent to another process) has lost the order in which it was written.
    """

    def line(name: str) -> int:
        code = getattr(vars(cls)[name], "__code__", None)
        return code.co_firstlineno if code is not None and vars(cls)[name].__module__ == cls.__module__ else 0

    return line


def _class_of(source: Any) -> type[Any]:
    """Return the class of an object."""
    return type(source)


def _class_attribute(cls: type, attribute: str) -> object:
    """Return a class attribute as it was written, without running descriptors."""
    return next((vars(base)[attribute] for base in cls.__mro__ if attribute in vars(base)), None)


def _drawn_schema(declaration: Declaration) -> dict[str, Json]:
    """Return the schema that calls of a tool are drawn from."""
    schema = declaration.schema()
    if not isinstance(declaration, SchemaTool):
        return schema
    return {**schema, "function": {**schema["function"], "parameters": declaration.drawn_schema}}


def _known(table: Mapping[str, _Entry], name: str) -> _Entry:
    """Look a tool up."""
    if name not in table:
        raise unknown_name("tool", name, table)
    return table[name]


def _saved(world: object) -> dict[str, Any]:
    """Return the attributes of an independent copy of the world."""
    copier: Any = getattr(world, "copy", None)
    is_copier = callable(copier) and declaration_of(copier) is None  # a tool may well be called "copy"
    return vars(copier() if is_copier else copy.deepcopy(world))


def _put_back(world: object, before: dict[str, Any]) -> None:
    """Set the world back in place."""
    state = vars(world)
    state.clear()
    state.update(before)


def _content(value: object) -> str:
    """Write what a tool returned for the agent: texts as they are, "OK" for nothing, all else as JSON."""
    if value is None:
        return "OK"
    is_text = isinstance(value, str)
    return _sendable(str(value) if is_text else json.dumps(value, ensure_ascii=False, allow_nan=False, default=_jsonable))


def _sendable(text: str) -> str:
    """Return a text that fits into an observation: halves of surrogate pairs become escapes, what is too long is cut."""
    if len(text) > MAX_RESULT_CHARS:
        text = f"{text[:MAX_RESULT_CHARS]}... (cut: these are the first {MAX_RESULT_CHARS} of {len(text)} characters)"
    return text if is_unicode(text) else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _jsonable(value: Any) -> Json:
    """Return one level of a value that the JSON writer does not know."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)  # the order of a set differs between processes
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no JSON form; return str, JSON values or dataclasses")


def _parsed_object(text: str) -> dict[str, Json] | None:
    """Return the JSON object that a text holds, or None."""
    try:
        value = strict_json(text, once=True)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _why_no_object(text: str) -> str:
    """Say what is wrong with arguments that arrived as text."""
    try:
        value = strict_json(text, once=True)
    except json.JSONDecodeError as error:
        return f"they do not parse as JSON ({error.msg} at character {error.pos})"
    except RecursionError:
        return "they do not parse as JSON"
    except ValueError as error:
        return f"they do not parse as JSON ({str(error)[:100]})"
    if isinstance(value, dict):
        return "write the JSON object itself, not a string that holds it"
    return "expected a JSON object of argument names and values"


def _wrong(call: ToolCall, problem: str, entry: _Entry) -> ToolResult:
    """Answer a call whose arguments do not fit."""
    text = f"Error: {call.name} was not run: {problem}{'' if problem.endswith('?') else '.'}"
    if (arguments := entry.declaration.example) is not None:
        example = json.dumps({"name": call.name, "arguments": arguments}, ensure_ascii=False)
        text += f" A right call: {example}" if len(example) <= MAX_EXAMPLE_CHARS else ""
    return ToolResult(call.name, text, "invalid_arguments", call.id)


__all__ = ["ToolRefusal", "Toolkit"]
