"""Internal errors: a right call made wrong, with a postcondition for every label.

`corrupt` tries the label and kind asked for, then the other kinds of the label, then the other labels: a call without
arguments, or the only tool of a list, cannot be made wrong in every way. What it returns says what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from palaestra.envs.wrappers.injection.taxonomy import (
    EXPLICIT_VALUES,
    HALLUCINATION,
    INTERNAL,
    KEY,
    KINDS,
    SELECT,
    VALUE,
    is_explicit,
)
from palaestra.envs.wrappers.injection.tool_list import Tool, canonical, is_right_call
from palaestra.envs.wrappers.injection.wrong_keys import rekey
from palaestra.envs.wrappers.injection.wrong_tools import hallucinate, select
from palaestra.envs.wrappers.injection.wrong_values import revalue
from palaestra.errors import unknown_name
from palaestra.types import Json, ToolCall

MAX_CANDIDATES = 24  # of one kind that are looked at


@dataclass(frozen=True, slots=True)
class Corruption:
    """A call that was made wrong.

    Attributes:
        call: The wrong call; id and provider are those of the right one.
        label: The error that it is, which need not be the one asked for.
        kind: How it was made.
        explicit: Whether it breaks the list of tools or a schema, so that a validator tells of it.
    """

    call: ToolCall
    label: str
    kind: str
    explicit: bool


def corrupt(
    call: ToolCall,
    tools: Mapping[str, Tool],
    label: str,
    rng: np.random.Generator,
    *,
    kind: str = "",
    explicit: bool | Literal["auto"] = "auto",
    context: Sequence[Json] = (),
    strict: bool = False,
) -> Corruption | None:
    """Return a right call made wrong; the call itself is not touched.

    Args:
        call: A call that is right by the schemas.
        tools: The tools by name (`tool_list`).
        label: An internal label.
        rng: Source of chance; equal generators give equal errors.
        kind: A kind of this label, tried first; by default all of them in random order.
        explicit: True for errors that break the list of tools or a schema, False for those that do not, "auto" for any.
        context: Values that were seen in the conversation.
        strict: Return None rather than an error of another label.

    Returns:
        The error, whose postcondition holds; None if there is none that can be made of this call.

    Raises:
        UnknownNameError: If there is no such label or kind.
    """
    if label not in INTERNAL:
        raise unknown_name("label of internal errors", label, INTERNAL)
    if kind and kind not in KINDS[label]:
        raise unknown_name(f"kind of {label}", kind, KINDS[label])
    if not is_right_call(call, tools):
        return None
    for name in (label,) if strict else (label, *(other for other in INTERNAL if other != label)):
        kinds = [KINDS[name][int(i)] for i in rng.permutation(len(KINDS[name]))]
        if kind and name == label:
            kinds = [kind, *(other for other in kinds if other != kind)]
        for one in kinds:
            if explicit != "auto" and is_explicit(name, one) is not explicit:
                continue
            for _, made in zip(range(MAX_CANDIDATES), _candidates(call, tools, name, one, rng, context), strict=False):
                if holds(name, one, call, made, tools):
                    return Corruption(made, name, one, is_explicit(name, one))
    return None


def holds(label: str, kind: str, call: ToolCall, made: ToolCall, tools: Mapping[str, Tool]) -> bool:
    """Whether the postcondition of an internal error holds.

    Args:
        label: The error.
        kind: How it was made.
        call: The right call.
        made: The wrong call.
        tools: The tools by name.
    """
    if isinstance(made.arguments, str) or isinstance(call.arguments, str):
        return False
    given, wrong = dict(call.arguments), dict(made.arguments)
    if label == SELECT:
        return made.name != call.name and is_right_call(made, tools)
    if label == HALLUCINATION:
        return bool(made.name) and made.name not in tools and canonical(given) == canonical(wrong)
    tool = tools.get(call.name)
    if tool is None or made.name != call.name:
        return False
    kept = all(canonical(given[key]) == canonical(wrong[key]) for key in given if key in wrong)
    if label == KEY:
        return kept and bool(tool.key_problems(wrong))
    return wrong.keys() == given.keys() and not kept and tool.is_valid(wrong) is (kind not in EXPLICIT_VALUES)


def _candidates(
    call: ToolCall, tools: Mapping[str, Tool], label: str, kind: str, rng: np.random.Generator, context: Sequence[Json]
) -> Iterator[ToolCall]:
    """Return an iterator over calls that may be what the label says."""
    if label == SELECT:
        return select(call, tools, kind, rng, context)
    if label == HALLUCINATION:
        return hallucinate(call, tools, kind, rng)
    if label == KEY:
        return rekey(call, tools[call.name], kind, rng)
    assert label == VALUE
    return revalue(call, tools[call.name], kind, rng, context)


__all__ = ["Corruption", "corrupt", "holds"]
