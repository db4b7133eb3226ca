"""A task: messages, the constraints that an answer must meet, and answers that are known to meet them or to break one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from palaestra.envs.instructions.constraints import Constraint, UnparsedConstraint
from palaestra.types import Json

Pattern = Literal["example", "listing", "incorporation"]
"""How the constraints are told: by examples, as a numbered list, or in the prose of the request."""


@dataclass(frozen=True, slots=True)
class Task:
    """An instruction with constraints.

    Attributes:
        id: Stable key.
        messages: Turns, `{"role", "content"}`.
        constraints: What an answer must meet, in order.
        pattern: How the constraints are told.
        level: 1 to 4, the number of categories among the constraints.
        witness: An answer that meets all of them; None if none is known.
        near_misses: One answer for each constraint that breaks this one alone; empty if none are known.
        meta: Anything else, plain JSON.
    """

    id: str
    messages: tuple[Mapping[str, str], ...]
    constraints: tuple[Constraint | UnparsedConstraint, ...]
    pattern: Pattern
    level: int
    witness: str | None = None
    near_misses: tuple[str, ...] = ()
    meta: Mapping[str, Json] = field(default_factory=dict)
