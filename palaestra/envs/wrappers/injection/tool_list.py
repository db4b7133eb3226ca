"""Tools as an agent is offered them: what a call of one must look like."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from palaestra.envs.tools.drawing import simplest_arguments
from palaestra.envs.tools.json_schema import validator_of
from palaestra.envs.tools.schema import Schema, resolve
from palaestra.errors import UsageError
from palaestra.types import Json, ToolCall


@dataclass(frozen=True)
class Tool:
    """One tool, from its OpenAI function schema.

    Attributes:
        name: Its name.
        description: What it does.
        parameters: Schema of the arguments object.
    """

    name: str
    description: str
    parameters: Schema

    @cached_property
    def properties(self) -> dict[str, Schema]:
        """Schemas of the arguments, references followed."""
        found = self.parameters.get("properties") or {}
        return {name: resolve(one, self.parameters) if isinstance(one, dict) else {} for name, one in found.items()}

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Names of the arguments that have to be given."""
        return tuple(self.parameters.get("required") or ())

    @cached_property
    def takes_any_key(self) -> bool:
        """Whether arguments that are not described may be given; a schema that says nothing of them is closed."""
        return bool(self.parameters.get("additionalProperties") or self.parameters.get("patternProperties"))

    @cached_property
    def text(self) -> str:
        """The schema of the arguments as JSON."""
        return json.dumps(self.parameters, ensure_ascii=False)

    def key_problems(self, arguments: Mapping[str, Json]) -> list[str]:
        """Return the required keys that are missing and the keys that are not known."""
        missing = [name for name in self.required if name not in arguments]
        return missing if self.takes_any_key else missing + [name for name in arguments if name not in self.properties]

    def is_valid(self, arguments: Mapping[str, Json]) -> bool:
        """Whether arguments are right by the schema, and all their keys are known."""
        return not self.key_problems(arguments) and _is_valid(self.text, dict(arguments))

    def fits(self, name: str, value: Json) -> bool:
        """Whether a value is right for one argument."""
        given = (self.parameters.get("properties") or {}).get(name)
        if not isinstance(given, dict):
            return given is not False
        definitions = {key: self.parameters[key] for key in ("$defs", "definitions") if key in self.parameters}
        return _is_valid(json.dumps({**given, **definitions}, ensure_ascii=False), value)

    def simplest(self) -> dict[str, Json] | None:
        """Return right arguments, the caller's own; None if none could be found."""
        found = simplest_arguments(self.text)
        return None if found is None else json.loads(json.dumps(found))


def tool_list(schemas: Iterable[Mapping[str, Any]]) -> dict[str, Tool]:
    """Return the tools of OpenAI function schemas by name, in their order."""
    tools: dict[str, Tool] = {}
    for schema in schemas:
        function = schema["function"]
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        tools[function["name"]] = Tool(function["name"], function.get("description") or "", parameters)
    return tools


def is_right_call(call: ToolCall, tools: Mapping[str, Tool]) -> bool:
    """Whether a call names a tool and its arguments are right by the schema."""
    tool = tools.get(call.name)
    return tool is not None and isinstance(call.arguments, Mapping) and tool.is_valid(call.arguments)


def canonical(value: Json) -> str:
    """Return plain data as JSON that is equal for equal values: 1 and True differ, the order of keys does not count."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def same_call(first: ToolCall, second: ToolCall) -> bool:
    """Whether two calls do the same: equal names and equal arguments."""
    return first.name == second.name and _plain_arguments(first) == _plain_arguments(second)


def _plain_arguments(call: ToolCall) -> str:
    """Return the arguments of a call as comparable text."""
    return canonical(call.arguments if isinstance(call.arguments, str) else dict(call.arguments))


def _is_valid(schema: str, value: Json) -> bool:
    """Whether a value is right by a schema; a schema that cannot be used allows nothing."""
    try:
        return bool(validator_of(schema).is_valid(value))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError) and type(error) is not UsageError:
            raise
        return False


__all__ = ["Tool", "canonical", "is_right_call", "same_call", "tool_list"]
