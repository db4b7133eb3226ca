"""Arguments under wrong keys: one left out, renamed or added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from palaestra.envs.wrappers.injection.tool_list import Tool
from palaestra.envs.wrappers.injection.words import in_other_case, in_other_number, with_synonym
from palaestra.types import Json, ToolCall

_IRRELEVANT: tuple[tuple[str, Json], ...] = (
    ("verbose", True),
    ("language", "en"),
    ("page_size", 20),
    ("dry_run", False),
    ("priority", "high"),
    ("output_format", "json"),
    ("max_retries", 3),
)


def rekey(call: ToolCall, tool: Tool, kind: str, rng: np.random.Generator) -> Iterator[ToolCall]:
    """Yield calls whose values are right and whose keys are not.

    Args:
        call: The right call.
        tool: Its tool.
        kind: "drop" leaves a required key out, "rename" writes a key in other words, number or case, "add" brings one more.
        rng: Source of chance.
    """
    given = dict(call.arguments) if isinstance(call.arguments, Mapping) else {}
    if kind == "add":
        for at in rng.permutation(len(_IRRELEVANT)):
            key, value = _IRRELEVANT[int(at)]
            if key not in given and key not in tool.properties:
                yield replace(call, arguments={**given, key: value})
        return
    keys = [key for key in given if key in tool.required] or ([] if kind == "drop" else list(given))
    for at in rng.permutation(len(keys)):
        key = keys[int(at)]
        if kind == "drop":
            yield replace(call, arguments={name: value for name, value in given.items() if name != key})
            continue
        names = [with_synonym(key, rng), in_other_number(key), in_other_case(key)]
        for choice in rng.permutation(len(names)):
            new = names[int(choice)]
            if new and new not in given and new not in tool.properties:
                yield replace(call, arguments={new if name == key else name: value for name, value in given.items()})


__all__ = ["rekey"]
