"""`SchemaTool`: a tool that arrived as data, an OpenAI function schema and a callable that runs it."""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from palaestra.envs.tools.copies import Copies
from palaestra.envs.tools.drawing import simplest_arguments
from palaestra.envs.tools.integers import has_integral_float, with_integers
from palaestra.envs.tools.json_schema import Remark, remarks_on, schema_text, validator_of
from palaestra.envs.tools.readings import as_meant
from palaestra.envs.tools.schema import Schema, short_type, strict_schema
from palaestra.envs.tools.wrong_arguments import cut, expectation, limited, shown, unexpected, without_nulls
from palaestra.errors import UsageError
from palaestra.types import MAX_DEPTH, Json, is_deep
from palaestra.types.plain_json import strict_json

MAX_NAME_CHARS = 64
_USUAL_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_MAX_ERRORS = 40  # that are looked at in one call
_MAX_SAID = 50  # so that a file of nonsense does not warn for every line
_SAID: set[str] = set()  # kinds of remarks that this process has warned of

_DESCRIBED = {
    *("type", "enum", "const", "anyOf", "format", "pattern", "minimum", "maximum", "exclusiveMinimum"),
    *("exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
}


class DataWarning(UserWarning):
    """Data are used as they came, although they may not say what was meant."""


class SchemaTool:
    """A tool from an OpenAI function schema, a source of a `Toolkit` like an object with `@tool` methods.

    Arguments are checked with JSON Schema 2020-12 (extra `tools`) and with the signature of `run`, and a wrong call is told
    what came, what was expected and what a right call looks like: arguments that `run` cannot take, or lacks, are the
    agent's mistake even where the schema allows that. A whole number that was written as 2.0 reaches `run` as the int 2 where
    the schema says "integer". The schema is kept as it came. What may not be meant in it is a warning, once for each kind
    of it in a process: unknown keywords, a missing `required`, lists of types, missing descriptions, unusual names,
    arguments on which schema and `run` differ, and schemas for which no right call could be found (samplers then leave the
    tool out; so they do with right calls of more than some ten thousand characters). So are near misses, which are read as
    they are meant: `null` for what is left out, `"required": true` in a property, types such as "float" or "dict".

    Args:
        schema: `{"type": "function", "function": {"name", "description", "parameters"}}`; the parameters are the schema of an
            object. It may refer to its own parts (`$ref`), to nothing else.
        run: Called with the arguments by name; returns a text or JSON values, or raises `ToolRefusal` or `ToolError`. One
            that takes `**arguments` gets those too that the schema allows and does not describe.
        strict: Refuse what would be a warning.
        quiet: Keep warnings to `warnings`, for a loader that reports those of a whole file itself.

    Attributes:
        name: Name that the agent sees, of 1 to 64 characters.
        description: What the tool does.
        parameters: Names of the described arguments, in order.
        required: Names of those that have to be given.
        parameter_schema: Schema of the arguments object, as it came.
        drawn_schema: The same, with what `run` asks for in addition; calls are drawn from it.
        run: The callable.
        warnings: What may not be meant in the schema, one line each.

    Raises:
        MissingExtraError: If `jsonschema-rs` is not installed.
        UsageError: If it is not a function schema, or with `strict` if there is anything to warn of.
    """

    def __init__(
        self, schema: Mapping[str, Any], run: Callable[..., object], *, strict: bool = False, quiet: bool = False
    ) -> None:
        """Check the schema and compile its validator."""
        if not callable(run):
            raise UsageError(f"run is {run!r}; expected a callable that takes the arguments by name.")
        self._function, remarks = _function_of(schema)
        self.name: str = self._function["name"]
        self.run = run
        self.strict = strict
        self.description: str = self._function.get("description") or ""
        self.parameter_schema: Schema = self._function["parameters"]
        self.parameters = tuple(self.parameter_schema.get("properties", {}))
        self.required = tuple(self.parameter_schema.get("required", ()))
        text = json.dumps(self.parameter_schema, ensure_ascii=False)
        self._copies = Copies(self._function)
        self._has_integers = '"integer"' in text
        self._validator = validator_of(text)
        remarks += remarks_on(self.parameter_schema)
        self._taken, self._needed = _names_of(run)
        self.drawn_schema = self._with_names()
        self._text = text if self.drawn_schema is self.parameter_schema else json.dumps(self.drawn_schema, ensure_ascii=False)
        remarks += self._differences()
        if self.example is None:
            remarks.append(
                Remark("undrawable", "no right call could be found, so that none is drawn or shown; give `examples`")
            )
        self.warnings = tuple(dict.fromkeys(remark.text for remark in remarks))
        if strict and remarks:
            raise UsageError(
                f"The schema of tool {self.name!r} is refused (strict=True): {'; '.join(limited(self.warnings))}."
            )
        if not quiet:
            self._warn(remarks)

    @property
    def example(self) -> dict[str, Json] | None:
        """Right arguments, to show in messages, the caller's own; None if none could be found."""
        found = simplest_arguments(self._text)
        return None if found is None else json.loads(json.dumps(found))

    def schema(self, *, strict: bool = False) -> dict[str, Json]:
        """Return the OpenAI function schema, as it came or was meant; it is the caller's own.

        Args:
            strict: In the form of OpenAI's strict mode.
        """
        if not strict:
            return {"type": "function", "function": self._copies.one()}
        return {"type": "function", "function": {**self._copies.one(), "parameters": self._strict_parameters, "strict": True}}

    def signature(self) -> str:
        """Return name and parameters on one line, e.g. `find_events(query: string, limit?: integer)`."""
        properties = self.parameter_schema.get("properties", {})
        parts = [f"{name}{'' if name in self.required else '?'}: {short_type(inner)}" for name, inner in properties.items()]
        return f"{self.name}({', '.join(parts)})"

    def read(self, arguments: Mapping[str, Json], text: str, *, lenient: bool) -> dict[str, Any] | list[str]:
        """Return the arguments of a call as JSON values, or the problems with them.

        Args:
            arguments: What the agent gave.
            text: The same as JSON.
            lenient: Also take values that convert without loss of meaning ("3" for 3).
        """
        given: dict[str, Any] = json.loads(text)
        try:
            if "\\ud" in text:  # half a surrogate pair may stand alone, which the validator notices only in some places
                json.dumps(given, ensure_ascii=False).encode()
            if self._validator.is_valid(given):
                return self._bound(given)
            left = without_nulls(given, self.parameters, self.required)
            if left is not None:
                given = left
                if self._validator.is_valid(left):
                    return self._bound(left)
            if lenient:
                converted = self._converted(given)
                if self._validator.is_valid(converted):
                    return self._bound(converted)
            return self._problems(given)
        except (UnicodeEncodeError, ValueError, RecursionError) as error:
            return [f"the arguments are not usable ({cut(str(error))}); write plain JSON of valid Unicode, less deep"]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what the tool was made of."""
        return {"schema": self.schema(), "run": self.run, "strict": self.strict}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the tool again; its warnings are not repeated."""
        self.__init__(**state, quiet=True)  # type: ignore[misc]

    def __repr__(self) -> str:
        """Show the name."""
        return f"SchemaTool({self.name!r})"

    @property
    def _strict_parameters(self) -> Schema:
        """The parameters in the form of OpenAI's strict mode."""
        parameters: Schema = self._copies.one()["parameters"]
        return strict_schema(parameters, self.name)

    def _bound(self, given: dict[str, Any]) -> dict[str, Any] | list[str]:
        """Return right arguments as `run` takes them, or what is wrong with them for its signature."""
        taken = self._taken
        problems = [self._missing(name) for name in self._needed if name not in given]
        if taken is not None and not taken.issuperset(given):
            names = [name for name in self.parameters if name in taken]
            problems += [unexpected(name, given, names) for name in given if name not in taken]
        if problems:
            return limited(problems)
        if self._has_integers and has_integral_float(given):
            return with_integers(given, self.parameter_schema)
        return given

    def _missing(self, name: str) -> str:
        """Say that an argument is missing, and what it had to be."""
        properties = self.parameter_schema.get("properties", {})
        wanted = f"; expected {expectation(properties[name], self.parameter_schema)}" if name in properties else ""
        return f"argument {cut(name)!r} is missing{wanted}"

    def _with_names(self) -> Schema:
        """Return the schema of the arguments that fit the signature of `run` as well."""
        fitting, taken = dict(self.parameter_schema), self._taken
        if any(name not in self.required for name in self._needed):
            fitting["required"] = list(dict.fromkeys((*self.required, *self._needed)))
        is_closed = fitting.get("additionalProperties") is False and "patternProperties" not in fitting
        if taken is not None and not (is_closed and taken.issuperset(self.parameters)):
            inner = {"enum": sorted(taken)}
            fitting["propertyNames"] = {"allOf": [fitting["propertyNames"], inner]} if "propertyNames" in fitting else inner
        return fitting if fitting != self.parameter_schema else self.parameter_schema

    def _differences(self) -> list[Remark]:
        """Return remarks on arguments that the schema describes and `run` does not take, or needs."""
        taken = self.parameters if self._taken is None else self._taken
        remarks = [
            Remark("not taken", f"its callable does not take {name!r}, which the schema describes")
            for name in self.parameters
            if name not in taken
        ]
        needed = [name for name in self._needed if name not in self.required]
        return remarks + [
            Remark("needed", f"its callable needs {name!r}, which the schema does not require") for name in needed
        ]

    def _warn(self, remarks: Sequence[Remark]) -> None:
        """Warn of each kind of remark that no tool of this process was warned of."""
        for kind, text in remarks:
            if kind not in _SAID and len(_SAID) < _MAX_SAID:
                _SAID.add(kind)
                message = f"Tool {self.name!r}: {text}. Others may have it too (SchemaTool.warnings); strict=True refuses."
                warnings.warn(message, DataWarning, stacklevel=3)

    def _problems(self, given: Mapping[str, Json]) -> list[str]:
        """Say for each wrong argument what was received and what was expected."""
        found: list[tuple[int, str]] = []
        for error in islice(self._validator.iter_errors(given), _MAX_ERRORS):
            location, keyword = list(error.instance_path), error.kind.name
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)[1:]
            names = location[:1]
            if keyword == "required":
                missing = error.kind.property
                names = location[:1] or [missing]
                said = [f"argument {cut(f'{path}.{missing}')!r} is missing" if path else self._missing(missing)]
            elif keyword in ("additionalProperties", "unevaluatedProperties") and path:
                said = [f"argument {cut(path)!r} has the unexpected field {cut(name)!r}" for name in error.kind.unexpected]
            elif keyword in ("additionalProperties", "unevaluatedProperties"):
                said = [unexpected(name, given, self.parameters) for name in error.kind.unexpected[:_MAX_ERRORS]]
            elif path:
                said = [f"argument {cut(path)!r} is {shown(error.instance)}; expected {self._expected(error, keyword)}"]
            else:
                said = [f"the arguments are not right: {_reason(error, keyword)}"]
            place = self.parameters.index(names[0]) if names and names[0] in self.parameters else len(self.parameters)
            found += [(place, text) for text in said]
        return limited(dict.fromkeys(text for _, text in sorted(found, key=lambda pair: pair[0])))

    def _expected(self, error: Any, keyword: str) -> str:
        """Say what a wrong value had to be."""
        part: Any = self.parameter_schema
        for step in list(error.schema_path)[:-1]:
            part = part[step]
        if keyword not in _DESCRIBED or not isinstance(part, dict):
            return f"something else ({_reason(error, keyword)})"
        return expectation(part, self.parameter_schema)

    def _converted(self, given: Mapping[str, Json]) -> dict[str, Json]:
        """Return the arguments with texts read as what the schema has in their places, where that is possible."""
        converted: dict[str, Json] = json.loads(json.dumps(given))
        for error in list(islice(self._validator.iter_errors(given), _MAX_ERRORS)):
            *above, last = list(error.instance_path) or [None]
            if error.kind.name not in ("type", "anyOf") or last is None or not isinstance(error.instance, str):
                continue
            place: Any = converted
            for step in above:
                place = place[step]
            try:
                value = _value_in(error.instance)
            except (ValueError, RecursionError):
                continue
            if not is_deep(value, MAX_DEPTH - len(above)):
                place[last] = value
        return converted


def _function_of(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[Remark]]:
    """Return the function of a schema, with a schema of its parameters, and what may not be meant around that."""
    if not isinstance(schema, Mapping) or schema.get("type") != "function" or not isinstance(schema.get("function"), Mapping):
        raise UsageError(
            f'A tool is {cut(repr(schema))}; expected {{"type": "function", "function": {{"name": ..., "description": ..., '
            f'"parameters": ...}}}}.'
        )
    given = schema["function"]
    name = given.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable() or not name.strip():
        raise UsageError(f"A tool is called {name!r}; expected a name of 1 to {MAX_NAME_CHARS} printable characters.")
    function: dict[str, Any] = json.loads(schema_text(given, f"tool {name!r}"))
    for key in ("description", "strict"):
        if function.get(key, "") is None:
            del function[key]
    remarks = [
        Remark(f"keyword {key}", f"the function has {key!r}, which is not part of a function schema and is ignored")
        for key in function
        if key not in ("name", "description", "parameters", "strict")
    ]
    if not _USUAL_NAME.fullmatch(name):
        remarks.append(Remark("name", "its name has characters other than a-z A-Z 0-9 _ -, which some servers refuse"))
    if not isinstance(function.get("description", ""), str):
        raise UsageError(f"The description of tool {name!r} is {cut(repr(function['description']))}; expected a text.")
    if not function.get("description"):
        remarks.append(Remark("description", "it has no description"))
    if "parameters" not in function:
        remarks.append(Remark("parameters", "it has no parameters, and is taken for a tool without arguments"))
        function["parameters"] = {"type": "object", "properties": {}, "required": []}
    parameters, more = as_meant(function["parameters"])
    remarks += more
    function["parameters"] = parameters
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        raise UsageError(
            f"The parameters of tool {name!r} are {cut(json.dumps(parameters, ensure_ascii=False))}; expected the "
            f'schema of an object, {{"type": "object", "properties": {{...}}}}.'
        )
    try:
        validator_of(json.dumps(parameters, ensure_ascii=False))
    except UsageError as error:
        if type(error) is UsageError:
            raise UsageError(f"The parameters of tool {name!r} are not a schema. {error}") from None
        raise
    return function, remarks


def _reason(error: Any, keyword: str) -> str:
    """Return the validator's own words on an error, on one line."""
    return cut(f"{keyword}: {str(error.message).splitlines()[0]}")


def _value_in(text: str) -> Json:
    """Return the JSON value that a text holds; the words for true, false and null are taken in any case."""
    text = text.strip()
    word = text.lower()
    return strict_json(word if word in ("true", "false", "null") else text, once=True)


def _names_of(run: Callable[..., object]) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    """Return the names that a callable takes, None for any, and those that it needs."""
    try:
        parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):  # some callables in C do not say
        return None, ()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = tuple(p.name for p in named if p.default is p.empty)
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return (None if is_open else frozenset(p.name for p in named)), needed


__all__ = ["DataWarning", "SchemaTool"]
