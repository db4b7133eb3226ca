"""Functions that stand for text commands, as AgentGym's formats `function_calling` and `code_as_action` name them.

A table says what each function is called, what it takes and which command it stands for. From it come the schemas, the
reading of calls under every argument name that published prompts have used, and the way back from a command to its call.

Papers:
    AgentGym (arXiv:2406.04151): the functions and their arguments. Left out: `eval` of code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from string import Formatter
from typing import ClassVar

from palaestra.envs.formats.hermes import explain_malformed
from palaestra.envs.tools.wrong_arguments import listed, shown, unexpected
from palaestra.types import Json, ToolCall, ToolResult

MAX_ARGUMENT_CHARS = 200


@dataclass(frozen=True)
class Argument:
    """An argument of a function.

    Attributes:
        description: What it is.
        aliases: Other names that it is known by.
        type: "string" or "integer".
        examples: Values shown in messages and drawn by samplers, at least one.
    """

    description: str
    aliases: tuple[str, ...] = ()
    type: str = "string"
    examples: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Function:
    """A function that stands for a command.

    Attributes:
        description: What it does.
        templates: Texts of the command with `{argument}` in them, the likelier first where a command may be read in two ways.
            `{argument:.0}` takes an argument and does not show it. An argument that is not in all of them is optional.
        arguments: Its arguments by name, in order.
        needed: Arguments that the schema asks for although a template does without them.
    """

    description: str
    templates: tuple[str, ...]
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    needed: tuple[str, ...] = ()

    @property
    def required(self) -> list[str]:
        """The arguments that every template has."""
        return [name for name in self.arguments if all(name in _fields(template) for template in self.templates)]

    def schema(self, name: str) -> dict[str, Json]:
        """Return the OpenAI function schema."""
        properties = {
            key: {"type": argument.type, "description": argument.description, "examples": list(argument.examples)}
            for key, argument in self.arguments.items()
        }
        required = [name for name in self.arguments if name in self.required or name in self.needed]
        parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        return {"type": "function", "function": {"name": name, "description": self.description, "parameters": parameters}}


class FunctionCommands:
    """Turns calls of functions into text commands: the `commands` of a `CommandEnv`.

    Attributes:
        functions: The functions by name; a subclass gives them.
    """

    functions: ClassVar[Mapping[str, Function]] = {}

    def schemas(self) -> list[dict[str, Json]]:
        """Return the OpenAI function schemas."""
        return [function.schema(name) for name, function in self.functions.items()]

    def call(self, call: ToolCall) -> ToolResult:
        """Return the command that a call stands for, or what is wrong with the call."""
        function = self.functions.get(call.name)
        if function is None:
            problem = f"Unknown function '{call.name[:80]}'. Use one of: {', '.join(self.functions)}."
            return ToolResult(call.name, problem if call.name else explain_malformed(call), "unknown_tool", call.id)
        try:
            return ToolResult(call.name, command_of(call, function), "ok", call.id)
        except ValueError as error:
            return ToolResult(call.name, str(error), "invalid_arguments", call.id)

    def call_of(self, command: str) -> ToolCall | None:
        """Return the call that stands for a command, None if no function does."""
        for name, function in self.functions.items():
            for template in function.templates:
                if (match := _pattern(template).fullmatch(command)) is not None:
                    given = match.groupdict()
                    return ToolCall(name, {key: _typed(given[key], function.arguments[key]) for key in given})
        return None


def command_of(call: ToolCall, function: Function) -> str:
    """Return the command that a call of a function stands for.

    Raises:
        ValueError: If the arguments do not fit; the message is for the agent.
    """
    arguments = call.arguments
    if not isinstance(arguments, Mapping):
        raise ValueError(f"The arguments of {call.name} are not a JSON object. Send an object with its named arguments.")
    names = {alias: name for name, argument in function.arguments.items() for alias in argument.aliases}
    names.update({name: name for name in function.arguments})
    given: dict[str, str] = {}
    problems = []
    for key, value in arguments.items():
        name = names.get(key)
        if name is None:
            problems.append(unexpected(key, arguments, list(function.arguments)))
        elif value is None and name not in function.required:
            continue
        elif name in given:
            problems.append(f"argument {name!r} is given twice, also as {key!r}")
        elif (text := _text(value, function.arguments[name])) is None:
            problems.append(f"argument {key!r} is {shown(value)}; expected {_expected(function.arguments[name])}")
        else:
            given[name] = text
    problems += [
        f"argument {name!r} is missing; expected {_expected(function.arguments[name])}"
        for name in function.required
        if name not in given and not any(names.get(key) == name for key in arguments)
    ]
    if problems:
        raise ValueError(f"{call.name} was not run: {'; '.join(problems)}.")
    for template in function.templates:
        if _fields(template) == given.keys():
            return template.format(**given)
    raise ValueError(f"{call.name} was not run: give {' or '.join(listed(sorted(_fields(t))) for t in function.templates)}.")


def _expected(argument: Argument) -> str:
    """Say what an argument must be."""
    kind = "an integer" if argument.type == "integer" else "a text"
    example = f", e.g. {shown(argument.examples[0])}" if argument.examples else ""
    return f"{kind}: {argument.description}{example}"


def _text(value: Json, argument: Argument) -> str | None:
    """Return a value as it stands in a command, None if it is none of the argument's; integers may come as texts."""
    if isinstance(value, bool) or not isinstance(value, str | int) or (isinstance(value, int) and argument.type != "integer"):
        return None
    text = str(value).strip() if isinstance(value, str) or abs(value) < 10**18 else ""
    return text if text and len(text) <= MAX_ARGUMENT_CHARS and text.isprintable() else None


def _typed(text: str, argument: Argument) -> Json:
    """Return the value of an argument that stands in a command."""
    return int(text) if argument.type == "integer" and text.isascii() and text.isdecimal() else text


@cache
def _fields(template: str) -> frozenset[str]:
    """Return the names of the arguments in a template."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Return a pattern of the commands of a template."""
    parts = Formatter().parse(template)
    return re.compile(
        "".join(re.escape(text) + (f"(?P<{name}>.+)" if name and not form else "") for text, name, form, _ in parts)
    )


__all__ = ["Argument", "Function", "FunctionCommands", "command_of"]
