"""`@tool`: what a tool is called, what it takes and how a call of it is checked, from signature and docstring.

The signature is checked when the decorator runs; types and docstring sections when the schema is first needed (a
`Toolkit` is made), because pydantic is imported only then and annotations may name what stands further down.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar, overload

from palaestra.envs.tools.copies import Copies
from palaestra.envs.tools.schema import example_arguments, plain_schema, strict_schema, undrawable_paths
from palaestra.envs.tools.wrong_arguments import problems_of, without_nulls
from palaestra.errors import UsageError
from palaestra.types import Json

MARK = "__palaestra_tool__"
NAME_PATTERN = re.compile(r"[a-zA-Z0-9_-]{1,64}")

F = TypeVar("F", bound=Callable[..., Any])


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(*, name: str | None = None) -> Callable[[F], F]: ...


def tool(function: F | None = None, /, *, name: str | None = None) -> F | Callable[[F], F]:
    """Declare a function or method to be a tool; it stays callable as before.

    Every parameter has a type (any that pydantic knows: `str`, `Literal`, enums, `Optional`, lists, dataclasses, models,
    `Annotated[..., Field(...)]`), and the docstring says what the tool does and, under `Args:`, what each parameter is.

    Args:
        function: The function, where the decorator is written without brackets.
        name: Name that the agent sees; the function's own by default.

    Raises:
        UsageError: If the function has no docstring, an untyped or variadic parameter, or an unusable name.
    """

    def mark(target: F) -> F:
        setattr(target, MARK, ToolDeclaration(target, name))
        return target

    return mark if function is None else mark(function)


@dataclass(frozen=True)
class TextForm:
    """What a text argument must look like: `Annotated[str, TextForm(pattern=..., examples=(...))]`.

    Says the same as pydantic's `Field`, which works as well, without importing pydantic where tools are declared.

    Attributes:
        pattern: Regular expression that the text must match (search; anchor it with ^ and $).
        examples: Texts of the right form, shown in messages and drawn by samplers; a pattern needs at least one.
        min_chars: Shortest text allowed, in characters.
        max_chars: Longest text allowed, in characters.
    """

    pattern: str | None = None
    examples: tuple[str, ...] = ()
    min_chars: int | None = None
    max_chars: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Add the limits to pydantic's schema of a text."""
        schema = handler(source)
        limits = {"pattern": self.pattern, "min_length": self.min_chars, "max_length": self.max_chars}
        schema.update({key: value for key, value in limits.items() if value is not None})
        return schema

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Add the examples to the JSON schema."""
        schema = handler(core_schema)
        if self.examples:
            schema["examples"] = list(self.examples)
        return schema


class ToolDeclaration:
    """One declared tool.

    Args:
        function: The function under the decorator.
        name: Name that the agent sees; the function's own by default.

    Attributes:
        name: Name that the agent sees.
        function: The function itself; unbound for a method.
        parameters: Names of the arguments an agent gives, in order.
        required: Those of them without a default.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        """Check what can be checked without resolving types."""
        if not inspect.isfunction(function):
            raise UsageError(f"@tool stands on {function!r}; put it directly on a function or method (innermost decorator).")
        self.function = function
        self.name = function.__name__ if name is None else name
        self.where = f"{function.__module__}.{function.__qualname__}"
        if not NAME_PATTERN.fullmatch(self.name):
            raise UsageError(
                f"Tool {self.where} is called {self.name!r}; expected 1 to 64 of the characters a-z A-Z 0-9 _ -. "
                f"Give another name with @tool(name=...)."
            )
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise UsageError(
                f"Tool {self.where} is a coroutine or generator; expected a plain function that returns its result."
            )
        if not (function.__doc__ or "").strip():
            raise UsageError(
                f"Tool {self.where} has no docstring; say in one line what it does, and its parameters under 'Args:'."
            )
        parameters = list(inspect.signature(function).parameters.values())
        owner = function.__qualname__.rpartition(".")[0]
        if owner and not owner.endswith("<locals>"):
            parameters = parameters[1:]  # self
        for parameter in parameters:
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise UsageError(f"Tool {self.where} takes {parameter}; expected only parameters that can be given by name.")
            if parameter.annotation is parameter.empty:
                raise UsageError(
                    f"Parameter {parameter.name!r} of tool {self.where} has no type; annotate it, e.g. {parameter.name}: str."
                )
        self.parameters = tuple(p.name for p in parameters)
        self.required = tuple(p.name for p in parameters if p.default is p.empty)
        self._defaults = {p.name: p.default for p in parameters if p.default is not p.empty}

    @cached_property
    def description(self) -> str:
        """What the tool does: the docstring without its sections."""
        return self._docstring[0]

    @cached_property
    def parameter_schema(self) -> dict[str, Json]:
        """JSON schema of the arguments object."""
        schema = plain_schema(self._adapter.json_schema())
        for name, default in self._defaults.items():
            schema["properties"][name]["default"] = self._jsonable(name, default)
        if hidden := undrawable_paths(schema):
            raise UsageError(
                f"Parameter {hidden[0]!r} of tool {self.where} has a pattern and no examples; add examples that match it: "
                f"Annotated[str, Field(pattern=..., examples=[...])]."
            )
        return schema

    @cached_property
    def strict_parameter_schema(self) -> dict[str, Json]:
        """The same in the form that OpenAI's strict mode asks for: every argument required, optional ones nullable."""
        return strict_schema(self.parameter_schema, self.where)

    @property
    def example(self) -> dict[str, Json]:
        """Right arguments, to show in messages; the caller's own."""
        return self._example.one()

    @cached_property
    def _example(self) -> Copies[dict[str, Json]]:
        """Right arguments."""
        return Copies(example_arguments(self.parameter_schema))

    def schema(self, *, strict: bool = False) -> dict[str, Json]:
        """Return the OpenAI function schema; it is the caller's own.

        Args:
            strict: In the form of OpenAI's strict mode.
        """
        return (self._strict_copies if strict else self._copies).one()

    @cached_property
    def _copies(self) -> Copies[dict[str, Json]]:
        """The function schema."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameter_schema}
        return Copies({"type": "function", "function": function})

    @cached_property
    def _strict_copies(self) -> Copies[dict[str, Json]]:
        """The function schema in the form of OpenAI's strict mode."""
        function = {"name": self.name, "description": self.description, "parameters": self.strict_parameter_schema}
        return Copies({"type": "function", "function": {**function, "strict": True}})

    def signature(self) -> str:
        """Return name and parameters on one line, e.g. `find_events(query: string, limit?: integer)`."""
        from palaestra.envs.tools.schema import short_type

        properties = self.parameter_schema["properties"]
        shown = [f"{p}{'' if p in self.required else '?'}: {short_type(properties[p])}" for p in self.parameters]
        return f"{self.name}({', '.join(shown)})"

    @cached_property
    def validator(self) -> Any:
        """Pydantic's compiled validator of the arguments object; gives a dict of Python values."""
        return self._adapter.validator

    def read(self, arguments: Mapping[str, Json], text: str, *, lenient: bool) -> dict[str, Any] | list[str]:
        """Return the arguments of a call as Python values, or the problems with them.

        Args:
            arguments: What the agent gave.
            text: The same as JSON.
            lenient: Also take values that convert without loss of meaning.
        """
        read: dict[str, Any]
        try:
            read = self.validator.validate_json(text, strict=not lenient)
            return read
        except _validation_error() as error:
            problems = error.errors(include_url=False, include_context=False)
        if left := without_nulls(arguments, self.parameters, self.required):
            try:
                read = self.validator.validate_json(json.dumps(left), strict=not lenient)
                return read
            except _validation_error() as error:
                problems = error.errors(include_url=False, include_context=False)
        return problems_of(problems, arguments, self.parameter_schema)

    @cached_property
    def _docstring(self) -> tuple[str, dict[str, str]]:
        """Description, and descriptions of the parameters."""
        import docstring_parser

        parsed = docstring_parser.parse(inspect.getdoc(self.function) or "", docstring_parser.DocstringStyle.GOOGLE)
        described = {p.arg_name.lstrip("*"): " ".join((p.description or "").split()) for p in parsed.params}
        if unknown := [name for name in described if name not in self.parameters]:
            raise UsageError(
                f"The docstring of tool {self.where} describes {unknown[0]!r}, which is not a parameter; "
                f"its parameters are: {', '.join(self.parameters) or 'none'}."
            )
        parts = [parsed.short_description, parsed.long_description]
        return "\n".join(part.strip() for part in parts if part), described

    @cached_property
    def _adapter(self) -> Any:
        """A pydantic adapter for the arguments object."""
        from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter
        from pydantic.errors import PydanticSchemaGenerationError
        from typing_extensions import TypedDict  # pydantic takes typing's own only from Python 3.12 on

        try:
            hints = typing.get_type_hints(self.function, include_extras=True)
        except (NameError, TypeError) as error:
            raise UsageError(
                f"The types of tool {self.where} cannot be resolved ({error}); name types that exist at module level."
            ) from None
        described = self._docstring[1]
        fields: dict[str, Any] = {}
        for name in self.parameters:
            hint = hints[name]
            if described.get(name):
                hint = typing.Annotated[hint, Field(description=described[name])]
            fields[name] = typing.NotRequired[hint] if name in self._defaults else hint
        make_typed_dict: Any = TypedDict  # made at run time, which type checkers have no word for
        arguments = make_typed_dict(self.name, fields)
        arguments.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)
        try:
            return TypeAdapter(arguments)
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise UsageError(
                f"Tool {self.where} has a parameter of a type that has no JSON form ({str(error).splitlines()[0]}); "
                f"use str, int, float, bool, Literal, enums, lists, dicts, dataclasses or pydantic models."
            ) from None

    def _jsonable(self, name: str, default: object) -> Json:
        """Return a default as JSON."""
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        try:
            return to_jsonable_python(default)
        except PydanticSerializationError:
            raise UsageError(
                f"Parameter {name!r} of tool {self.where} has the default {default!r}, which has no JSON form; use None."
            ) from None


@cache
def _validation_error() -> Any:
    """Return pydantic's exception class, imported when first needed."""
    from pydantic import ValidationError

    return ValidationError


def declaration_of(function: object) -> ToolDeclaration | None:
    """Return the declaration of a function under `@tool`, or None."""
    return getattr(function, MARK, None)
