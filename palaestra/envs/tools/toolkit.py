"""A `Toolkit`: the tools of an object, their schemas, and calls that are checked and atomic."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import enum
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from palaestra.envs.formats.hermes import explain_malformed
from palaestra.envs.tools.declaration import ToolDeclaration, declaration_of
from palaestra.envs.tools.sampling import ToolSampler, sample_call
from palaestra.envs.tools.schema import describe
from palaestra.errors import BoundaryError, EnvironmentFault, UsageError, unknown_name
from palaestra.types import Json, ToolCall, ToolResult
from palaestra.types.plain_json import strict_json

MAX_SHOWN = 80
MAX_PROBLEMS = 4

_METHODS: WeakKeyDictionary[type[Any], tuple[tuple[str, ToolDeclaration], ...]] = WeakKeyDictionary()


class ToolRefusal(Exception):
    """Raised by a tool that cannot do what the agent asked; the message says why and what would work.

    It never leaves the toolkit: the agent reads it as the result, and the world stays as it was.
    """


class Toolkit:
    """The tools of one or more objects.

    Args:
        sources: Objects whose methods are tools, and functions that are tools.
        world: The object whose state a call may change, put back if the call does not succeed; the first object among
            `sources` by default. It is saved with its own `copy()` if it has one, else by `copy.deepcopy`, and put
            back in place, so that references to it stay good.
        names: The tools to offer, in this order; all by default.
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
        self.world = world if world is not None else next((s for s in sources if not isinstance(s, FunctionType)), None)
        table = _table(sources)
        if self.world is not None and not hasattr(self.world, "__dict__"):
            raise UsageError(
                f"{type(self.world).__name__} has __slots__ and no __dict__; calls on it cannot be undone. Drop __slots__."
            )
        if names is not None:
            table = {name: _known(table, name) for name in names}
        self._table = table
        self._names = tuple(table)

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

    def declaration(self, name: str) -> ToolDeclaration:
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
        declarations = [entry.declaration for entry in self._table.values()]
        return "\n".join(f"{d.signature()} - {d.description.splitlines()[0]}" for d in declarations)

    def sample_call(self, rng: np.random.Generator) -> ToolCall:
        """Draw a well-formed call."""
        return sample_call(self.schemas(), rng)

    def sampler(self) -> ToolSampler:
        """Return a picklable sampler of whole actions, for an action space."""
        return ToolSampler(tuple(self.schemas()))

    def validate(self, call: ToolCall) -> ToolResult | None:
        """Return the result that a badly formed call would get, or None if the call is well formed."""
        checked = self._check(call)
        return checked if isinstance(checked, ToolResult) else None

    def call(self, call: ToolCall) -> ToolResult:
        """Check a call and run it.

        Args:
            call: Any call at all.

        Returns:
            The result; a status other than "ok" means that nothing changed, and the content says how to fix the call.

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
            content = _content(checked.function(**checked.arguments))
            is_kept = True
        except ToolRefusal as refusal:
            return ToolResult(call.name, f"Error: {refusal}", "error", call.id)
        except BoundaryError:
            raise
        except Exception as error:
            raise EnvironmentFault(
                f"Tool {call.name!r} failed on {_shown(checked.arguments)}: {type(error).__name__}: {error}. "
                f"This is a fault of the tool, not of the agent; a tool refuses a call by raising ToolRefusal."
            ) from error
        finally:
            if before is not None and not is_kept:
                _put_back(world, before)
        return ToolResult(call.name, content, "ok", call.id)

    def call_all(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Check and run several calls in order; one that does not succeed changes nothing and does not stop the next.

        Args:
            calls: Any calls.

        Returns:
            One result per call.

        Raises:
            BoundaryError: As `call` does; then none of the calls has changed anything.
        """
        world = self.world
        before = None if world is None or len(calls) < 2 else _saved(world)
        try:
            return [self.call(call) for call in calls]
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
                return _wrong(call, f"the arguments arrived as text, {_shown(arguments)}; {_why_no_object(arguments)}", entry)
            arguments = parsed
        try:
            text = json.dumps(dict(arguments), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return _wrong(call, f"the arguments are not JSON ({error}); write JSON values", entry)
        declaration = entry.declaration
        try:
            return _Checked(entry.function, declaration.validator.validate_json(text, strict=not self.lenient))
        except _validation_error() as error:
            problems = error.errors(include_url=False, include_context=False)
        if left := _without_nulls(arguments, declaration):
            try:
                return _Checked(entry.function, declaration.validator.validate_json(json.dumps(left), strict=not self.lenient))
            except _validation_error() as error:
                problems = error.errors(include_url=False, include_context=False)
        return _wrong(call, "; ".join(_problems(problems, arguments, declaration)), entry)

    def _unknown(self, call: ToolCall) -> ToolResult:
        """Answer a call of a tool that does not exist."""
        if not call.name:
            return ToolResult("", f"Error: {explain_malformed(call)}", "invalid_arguments", call.id)
        near = difflib.get_close_matches(call.name[:64], self._names, n=3, cutoff=0.6)
        advice = f"Did you mean {' or '.join(near)}? " if near else ""
        text = f"Error: there is no tool {_shown(call.name)}. {advice}The tools are: {', '.join(self._names)}."
        return ToolResult(call.name, text, "unknown_tool", call.id)


class _Entry(NamedTuple):
    """A tool and the callable that runs it."""

    declaration: ToolDeclaration
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
        if isinstance(source, FunctionType):
            declaration = declaration_of(source)
            found = [] if declaration is None else [(declaration, source)]
        else:
            found = [(declaration, getattr(source, attribute)) for attribute, declaration in _methods(_class_of(source))]
        if not found:
            raise UsageError(f"{source!r} holds no tools; put @tool on its methods.")
        for declaration, function in found:
            _ = declaration.parameter_schema  # a bad declaration is found now, not in the middle of an episode
            if declaration.name in table:
                raise UsageError(f"Two tools are called {declaration.name!r}; rename one with @tool(name=...).")
            table[declaration.name] = _Entry(declaration, function)
    if not table:
        raise UsageError("A toolkit of nothing was asked for; give it objects or functions with @tool.")
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


def _known(table: Mapping[str, _Entry], name: str) -> _Entry:
    """Look a tool up."""
    if name not in table:
        raise unknown_name("tool", name, table)
    return table[name]


@cache
def _validation_error() -> Any:
    """Return pydantic's exception class, imported when first needed."""
    from pydantic import ValidationError

    return ValidationError


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
    if isinstance(value, str):
        return value
    if value is None:
        return "OK"
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_jsonable)


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
        value = strict_json(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _why_no_object(text: str) -> str:
    """Say what is wrong with arguments that arrived as text."""
    try:
        value = strict_json(text)
    except json.JSONDecodeError as error:
        return f"they do not parse as JSON ({error.msg} at character {error.pos})"
    except (ValueError, RecursionError):
        return "they do not parse as JSON"
    if isinstance(value, dict):
        return "write the JSON object itself, not a string that holds it"
    return "expected a JSON object of argument names and values"


def _without_nulls(arguments: Mapping[str, Json], declaration: ToolDeclaration) -> dict[str, Json] | None:
    """Leave out optional arguments that are null, as strict schemas write them; None if there are none."""
    left = {
        k: v for k, v in arguments.items() if v is not None or k in declaration.required or k not in declaration.parameters
    }
    return left if len(left) < len(arguments) else None


def _problems(errors: Iterable[Mapping[str, Any]], arguments: Mapping[str, Json], declaration: ToolDeclaration) -> list[str]:
    """Say for each wrong argument what was received and what was expected."""
    root = declaration.parameter_schema
    properties = root["properties"]
    by_argument: dict[str, list[str]] = {}
    for error in errors:
        location = error["loc"]
        if not location:
            by_argument.setdefault("", []).append(f"the arguments are not usable: {error['msg']}")
            continue
        name = str(location[0])
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)[1:]
        if error["type"] == "missing" and len(location) == 1:
            text = f"argument {name!r} is missing; expected {_expectation(properties[name], root)}"
        elif error["type"] == "extra_forbidden" and len(location) == 1:
            text = _unexpected(name, arguments, declaration)
        elif len(location) == 1 or "anyOf" in properties[name]:
            text = f"argument {name!r} is {_shown(arguments.get(name))}; expected {_expectation(properties[name], root)}"
        else:
            wanted = error["msg"].removeprefix("Input should be ").rstrip(".")
            text = f"argument {path!r} is {_shown(error['input'])}; expected {wanted}"
            if error["type"] == "missing":
                text = f"argument {path!r} is missing"
        if text not in by_argument.setdefault(name, []):
            by_argument[name].append(text)
    texts = [text for group in by_argument.values() for text in group]
    return texts[:MAX_PROBLEMS] + ([f"and {len(texts) - MAX_PROBLEMS} more problems"] if len(texts) > MAX_PROBLEMS else [])


def _expectation(schema: dict[str, Any], root: dict[str, Any]) -> str:
    """Say what an argument must be, with its description."""
    note = schema.get("description")
    return describe(schema, root) + (f" ({note.rstrip('.')})" if note else "")


def _unexpected(name: str, arguments: Mapping[str, Json], declaration: ToolDeclaration) -> str:
    """Say that an argument does not exist, and which one may be meant."""
    free = [parameter for parameter in declaration.parameters if parameter not in arguments]
    near = difflib.get_close_matches(name[:64], free, n=1, cutoff=0.5)
    advice = f"; did you mean {near[0]!r}?" if near else f"; the arguments are: {', '.join(declaration.parameters) or 'none'}"
    return f"there is no argument {_cut(name)!r}{advice}"


def _wrong(call: ToolCall, problem: str, entry: _Entry) -> ToolResult:
    """Answer a call whose arguments do not fit."""
    example = json.dumps({"name": call.name, "arguments": entry.declaration.example}, ensure_ascii=False)
    text = f"Error: {call.name} was not run: {problem}{'' if problem.endswith('?') else '.'} A right call: {example}"
    return ToolResult(call.name, text, "invalid_arguments", call.id)


def _shown(value: object) -> str:
    """Return a value as JSON, cut to a readable length; characters that cannot be sent are escaped."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(value) if not isinstance(value, (dict, list)) else f"a {type(value).__name__} that is not JSON"
    return _cut(text)


def _cut(text: str) -> str:
    """Cut a long text."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text)} characters)"


__all__ = ["ToolRefusal", "Toolkit"]
