"""Arguments with wrong values: some break the schema, some are right by it and mean something else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from palaestra.envs.tools.schema import Schema
from palaestra.envs.wrappers.injection.tool_list import Tool, canonical
from palaestra.envs.wrappers.injection.words import with_typo
from palaestra.types import Json, ToolCall

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_NUMBER = re.compile(r"-?[0-9]+(?:[.][0-9]+)?")


def revalue(call: ToolCall, tool: Tool, kind: str, rng: np.random.Generator, context: Sequence[Json]) -> Iterator[ToolCall]:
    """Yield calls with the same keys and a wrong value.

    Args:
        call: The right call.
        tool: Its tool.
        kind: One that breaks the schema, "type" (another JSON type), "enum" (none of those listed), "format" (a date, a time,
            a number or an address written in another way), "range" (out of bounds); or one that does not, "entity" (something
            else from the conversation), "scale" (off by one, or by a power of ten), "swap" (the values of two keys of one
            type) or "typo".
        rng: Source of chance.
        context: Values that were seen in the conversation.
    """
    given = dict(call.arguments) if isinstance(call.arguments, Mapping) else {}
    keys = list(given)
    order = [keys[int(i)] for i in rng.permutation(len(keys))]
    if kind == "swap":
        for i, first in enumerate(order):
            for second in order[i + 1 :]:
                if type(given[first]) is type(given[second]) and canonical(given[first]) != canonical(given[second]):
                    yield replace(call, arguments={**given, first: given[second], second: given[first]})
        return
    for key in order:
        schema = tool.properties.get(key, {})
        found = _entities(given[key], schema, context, rng) if kind == "entity" else _MAKERS[kind](given[key], schema, rng)
        for value in found:
            if canonical(value) != canonical(given[key]):
                yield replace(call, arguments={**given, key: value})


def _entities(value: Json, schema: Schema, context: Sequence[Json], rng: np.random.Generator) -> list[Json]:
    """Return other things of the conversation, or others that the schema names."""
    named = [*(schema.get("enum") or ()), *(schema.get("examples") or ())]
    seen = [other for other in context if type(other) is type(value)]
    return [pool[int(i)] for pool in (seen, named) for i in rng.permutation(len(pool))]


def _other_types(value: Json, schema: Schema, rng: np.random.Generator) -> list[Json]:
    """Return the value in other JSON types."""
    del schema
    if isinstance(value, bool):
        found: list[Json] = ["yes" if value else "no", [value]]
    elif isinstance(value, (int, float)):
        found = [f"{value} units", [value], {"value": value}]
    elif isinstance(value, str):
        found = [[value], {"value": value}, len(value)]
    elif isinstance(value, list):
        found = [", ".join(map(str, value)), {"items": value}, len(value)]
    elif isinstance(value, dict):
        found = [canonical(value), [value], len(value)]
    else:
        found = ["none", 0, [None]]
    return [found[int(i)] for i in rng.permutation(len(found))]


def _not_listed(value: Json, schema: Schema, rng: np.random.Generator) -> list[Json]:
    """Return values like those that the schema lists, none of which it lists."""
    listed = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if not listed:
        return []
    if isinstance(value, str):
        found: list[Json] = [f"{value}_mode", f"very {value}", value.upper() if value.islower() else value.lower(), "default"]
        return [found[int(i)] for i in rng.permutation(len(found))]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [max(number for number in listed if isinstance(number, (int, float))) + 1]
    return []


def _broken_forms(value: Json, schema: Schema, rng: np.random.Generator) -> list[Json]:
    """Return a text written in another form: a date, a time, a number or an address as people write them."""
    if not isinstance(value, str):
        return []
    found: list[Json] = []
    if _DATE.search(value):
        found += [_DATE.sub(r"\3/\2/\1", value), _DATE.sub(r"\3.\2.", value), "next Tuesday"]
    elif _CLOCK.search(value):
        found += [_CLOCK.sub(r"\1.\2 h", value), _CLOCK.sub(r"\1h\2", value), "noon"]
    elif "@" in value:
        found += [value.replace("@", " at "), value.partition("@")[0]]
    elif _NUMBER.fullmatch(value):
        found += [f"about {value}", f"no. {value}"]
    elif "pattern" in schema or "format" in schema:
        found += [f"({value})", value.replace("-", " "), f"<{value}>", ""]
    return [found[int(i)] for i in rng.permutation(len(found))]


def _out_of_range(value: Json, schema: Schema, rng: np.random.Generator) -> list[Json]:
    """Return values beyond the bounds of the schema, the near ones first."""
    del rng
    found: list[Json] = []
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        for key, sign in (("maximum", 1), ("exclusiveMaximum", 0), ("minimum", -1), ("exclusiveMinimum", 0)):
            if isinstance(schema.get(key), (int, float)):
                found.append(schema[key] + sign * (schema.get("multipleOf") or 1))
    elif isinstance(value, str):
        found += [""] if schema.get("minLength", 0) > 0 else []
        found += ["x" * (int(schema["maxLength"]) + 1)] if schema.get("maxLength", 10**9) <= 400 else []
    elif isinstance(value, list):
        found += [[]] if schema.get("minItems", 0) > 0 else []
        found += [(value or ["x"]) * (int(schema["maxItems"]) + 1)] if schema.get("maxItems", 10**9) <= 50 else []
    return found


def _off_by_some(value: Json, schema: Schema, rng: np.random.Generator) -> list[Json]:
    """Return a number, a date or a time that is off by one or by a power of ten."""
    found: list[Json] = []
    if isinstance(value, bool):
        return []
    if isinstance(value, int):
        step = schema.get("multipleOf") or 1
        found = [value + step, value - step, value * 10, value // 10]
    elif isinstance(value, float):
        found = [value * 10, value / 10, value + 1.0, value - 1.0]
    elif isinstance(value, str) and (day := _DATE.search(value)):
        try:
            moment = date(*map(int, day.groups()))
            found = [value.replace(day[0], str(moment + timedelta(days))) for days in (1, -1, 7)]
        except (ValueError, OverflowError):
            found = []
    elif isinstance(value, str) and (clock := _CLOCK.search(value)):
        hour = int(clock[1])
        found = [value.replace(clock[0], f"{(hour + add) % 24:02d}:{clock[2]}") for add in (1, 12)]
    elif isinstance(value, str) and (number := re.search(r"[0-9]+", value)):
        found = [value[: number.start()] + str(int(number[0]) + add) + value[number.end() :] for add in (1, 10)]
    return [found[int(i)] for i in rng.permutation(len(found))]


def _typos(value: Json, schema: Schema, rng: np.random.Generator) -> list[Json]:
    """Return a text with a typing error."""
    if not isinstance(value, str) or "enum" in schema:
        return []
    return [text for _ in range(3) if (text := with_typo(value, rng)) is not None]


_MAKERS: dict[str, Callable[[Json, Schema, np.random.Generator], list[Json]]] = {
    "type": _other_types,
    "enum": _not_listed,
    "format": _broken_forms,
    "range": _out_of_range,
    "scale": _off_by_some,
    "typo": _typos,
}

__all__ = ["revalue"]
