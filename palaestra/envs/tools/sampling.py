"""Well-formed calls drawn from schemas: what `action_space.sample()` of a tool environment gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palaestra.envs.formats.hermes import format_message
from palaestra.envs.tools.drawing import MAX_DEPTH, draw_arguments, words
from palaestra.envs.tools.schema import FORMAT_EXAMPLES, Schema, resolve
from palaestra.errors import UsageError
from palaestra.types import Json, Message, ToolCall


@dataclass(frozen=True)
class ToolSampler:
    """Sampler of actions: mostly one call, sometimes several at once or a final answer; plain data, so it pickles.

    Attributes:
        schemas: OpenAI function schemas of the tools.
        answer_rate: Probability of a final answer.
        parallel_rate: Probability of each further call in the same message.
        from_data: Names of tools whose schemas came as data: they may hold anything that JSON Schema has.
    """

    schemas: Sequence[Mapping[str, Any]]
    answer_rate: float = 0.05
    parallel_rate: float = 0.15
    from_data: frozenset[str] = frozenset()

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw an action in its text form."""
        if not self.schemas or rng.random() < self.answer_rate:
            return words(rng)
        calls = [self.draw_call(rng)]
        while len(calls) < 4 and rng.random() < self.parallel_rate:
            calls.append(self.draw_call(rng))
        return format_message(Message("assistant", "", tuple(calls)))

    def draw_call(self, rng: np.random.Generator) -> ToolCall:
        """Draw a tool and arguments that its schema allows.

        Raises:
            UsageError: If there is no tool.
        """
        if not self.schemas:
            raise UsageError("There is no tool of which a call could be drawn; give the toolkit one with sound arguments.")
        function = self.schemas[int(rng.integers(len(self.schemas)))]["function"]
        root = function["parameters"]
        if function["name"] not in self.from_data:
            return ToolCall(function["name"], _sample_object(root, root, rng, 0))
        return ToolCall(function["name"], draw_arguments(root, rng))


def sample_call(schemas: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> ToolCall:
    """Draw a tool and arguments that its schema allows.

    Args:
        schemas: OpenAI function schemas, at least one.
        rng: Source of chance.
    """
    return ToolSampler(schemas).draw_call(rng)


def sample_value(schema: Schema, root: Schema, rng: np.random.Generator, depth: int = 0) -> Json:
    """Draw a value that a schema allows.

    Args:
        schema: Schema of the value.
        root: Schema that holds the `$defs`.
        rng: Source of chance.
        depth: How deep the value lies; optional parts are left out below `MAX_DEPTH`.
    """
    schema = resolve(schema, root)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][int(rng.integers(len(schema[key])))]
    if "const" in schema:
        return schema["const"]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            # the last option is usually null or the simplest: it ends recursive types
            options = schema[key] if depth < MAX_DEPTH else schema[key][-1:]
            return sample_value(options[int(rng.integers(len(options)))], root, rng, depth + 1)
    kind = schema.get("type")
    if kind == "object":
        return _sample_object(schema, root, rng, depth)
    if kind == "array":
        return _sample_array(schema, root, rng, depth)
    if kind in ("integer", "number"):
        return _sample_number(schema, rng)
    if kind == "boolean":
        return bool(rng.integers(2))
    if kind == "null":
        return None
    return _sample_text(schema, rng)


def _sample_object(schema: Schema, root: Schema, rng: np.random.Generator, depth: int) -> dict[str, Json]:
    """Draw an object: required fields always, others every second time."""
    required = schema.get("required", [])
    result = {}
    for name, inner in schema.get("properties", {}).items():
        if name in required or (depth < MAX_DEPTH and rng.random() < 0.5):
            result[name] = sample_value(inner, root, rng, depth + 1)
    free = schema.get("additionalProperties")
    if isinstance(free, dict) and depth < MAX_DEPTH:
        for _ in range(int(rng.integers(3))):
            result[words(rng)] = sample_value(free, root, rng, depth + 1)
    return result


def _sample_array(schema: Schema, root: Schema, rng: np.random.Generator, depth: int) -> list[Json]:
    """Draw a list between its bounds, short by default."""
    if "prefixItems" in schema:
        return [sample_value(inner, root, rng, depth + 1) for inner in schema["prefixItems"]]
    low = schema.get("minItems", 0)
    high = min(schema.get("maxItems", low + 2), low + 2) if depth < MAX_DEPTH else low
    items: list[Json] = []
    for _ in range(int(rng.integers(low, high + 1))):
        item = sample_value(schema.get("items", {}), root, rng, depth + 1)
        if not schema.get("uniqueItems") or item not in items:
            items.append(item)
    return items


def _sample_number(schema: Schema, rng: np.random.Generator) -> int | float:
    """Draw a number between its bounds, near zero by default."""
    is_integer = schema["type"] == "integer"
    step: float = schema.get("multipleOf", 1 if is_integer else 0.5)
    low: float | None = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high: float | None = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    if low is None:
        low = -10 * step if high is None else high - 20 * step
    high = low + 20 * step if high is None else high
    first, last = -(-low // step), high // step
    if last < first:  # a range narrower than the step: its middle, which open bounds allow too
        bounds = [schema[key] for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum") if key in schema]
        return float(sum(bounds)) / len(bounds)
    value = int(rng.integers(int(first), int(last) + 1)) * step
    return int(value) if is_integer else float(value)


def _sample_text(schema: Schema, rng: np.random.Generator) -> str:
    """Draw a text of the given format and length."""
    if "format" in schema:
        return FORMAT_EXAMPLES.get(schema["format"], "text")
    return words(rng).ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


__all__ = ["ToolSampler", "sample_call", "sample_value"]
