"""Calls of the wrong tool: another one of the list, or one that is not in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from palaestra.envs.wrappers.injection.tool_list import Tool
from palaestra.envs.wrappers.injection.words import in_other_case, joined, overlap, parts_of, with_synonym
from palaestra.types import Json, ToolCall

MAX_TRIED = 12  # other tools that arguments are looked for
MAX_NAME_CHARS = 64
_PREFIXES = ("get", "do", "quick", "smart", "batch")
_SUFFIXES = ("v2", "all", "details", "now", "by_id", "info")


def select(
    call: ToolCall, tools: Mapping[str, Tool], kind: str, rng: np.random.Generator, context: Sequence[Json]
) -> Iterator[ToolCall]:
    """Yield calls of other tools with arguments that their schemas allow.

    Args:
        call: The right call.
        tools: All tools by name.
        kind: "nearest" tries the tools in the order of the words that they share with the right one, "random" in any order.
        rng: Source of chance.
        context: Values that were seen in the conversation; required arguments without a value are filled from them.
    """
    gold = tools[call.name]
    others = [tool for name, tool in tools.items() if name != call.name]
    order = [others[int(i)] for i in rng.permutation(len(others))]
    if kind == "nearest":
        text = f"{gold.name} {gold.description}"
        order.sort(key=lambda tool: -overlap(text, f"{tool.name} {tool.description}"))
    for tool in order[:MAX_TRIED]:
        arguments = _arguments_for(tool, call, rng, context)
        if arguments is not None:
            yield replace(call, name=tool.name, arguments=arguments)


def hallucinate(call: ToolCall, tools: Mapping[str, Tool], kind: str, rng: np.random.Generator) -> Iterator[ToolCall]:
    """Yield calls with the same arguments of tools that are not in the list.

    Args:
        call: The right call.
        tools: All tools by name.
        kind: "synonym" (another verb or noun), "affix" (a part added or left out), "merged" (parts of two names) or "case".
        rng: Source of chance.
    """
    parts, name = parts_of(call.name), call.name
    names: list[str | None] = []
    if kind == "synonym":
        names = [with_synonym(name, rng) for _ in range(6)]
    elif kind == "affix":
        prefix, suffix = _PREFIXES[int(rng.integers(len(_PREFIXES)))], _SUFFIXES[int(rng.integers(len(_SUFFIXES)))]
        names = [joined([prefix, *parts], name), joined([*parts, suffix], name), joined(parts[:-1] or parts, name)]
        names = [names[int(i)] for i in rng.permutation(len(names))]
    elif kind == "merged":
        others = [other for other in tools if other != name]
        for at in rng.permutation(len(others))[:MAX_TRIED] if others else ():
            theirs = parts_of(others[int(at)])
            names += [joined([*parts, theirs[-1]], name), joined([*parts[:1], *theirs[1:]], name)] if theirs and parts else []
    else:
        names = [in_other_case(name)]
    for new in names:
        if new and new not in tools and len(new) <= MAX_NAME_CHARS:
            yield replace(call, name=new)


def _arguments_for(tool: Tool, call: ToolCall, rng: np.random.Generator, context: Sequence[Json]) -> dict[str, Json] | None:
    """Return arguments for another tool: same-named ones that fit, the others from the conversation or the schema."""
    given = dict(call.arguments) if isinstance(call.arguments, Mapping) else {}
    simplest = tool.simplest()
    arguments: dict[str, Json] = {}
    for name in tool.properties:
        if name in given and tool.fits(name, given[name]):
            arguments[name] = given[name]
        elif name in tool.required:
            seen = [value for value in context if tool.fits(name, value)]
            if seen and "enum" not in tool.properties[name]:
                arguments[name] = seen[int(rng.integers(len(seen)))]
            elif simplest is not None and name in simplest:
                arguments[name] = simplest[name]
    return arguments if tool.is_valid(arguments) else simplest


__all__ = ["hallucinate", "select"]
