"""The state that the injection of errors adds to an episode: plain data, so that it travels in snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from palaestra.envs.wrappers.injection.plans import Plan
from palaestra.envs.wrappers.injection.taxonomy import family_of
from palaestra.types import Json, ToolCall

MAX_TEXTS = 6
"""Observations that values are taken from: the first one and the last ones."""


@dataclass(slots=True)
class Injection:
    """An episode's plan and what has come of it.

    Attributes:
        plan: The plan in its plain form, its step drawn; one without a label injects nothing.
        key: What the chance of the episode follows from.
        why: Why nothing has been injected so far.
        turn: Actions of the agent.
        steps: Those of them that held calls.
        record: What was injected, as `info["injection"]` has it; None until then.
        gold: The right call, plain.
        following: The right call after it, plain, where it is known.
        result: What the call that a service failed on was told, plain.
        left: How often the same call still fails; -1 for always.
        turn_injected: The turn of the error; 0 is before the first.
        turn_failed: The last turn in which it made a call fail; -1 for none.
        retries: How often the agent has sent the failed call again.
        is_open: Whether the agent's answer to the error is still to be graded.
        critique: The grade, as `info["critique"]` has it.
        turn_recovered: The turn in which the right call went through, or the task was solved; None until then.
        texts: Observations.
        last: Name and content of the last results of tools, plain.
    """

    plan: dict[str, Any] = field(default_factory=dict)
    key: list[Json] = field(default_factory=list)
    why: str = ""
    turn: int = 0
    steps: int = 0
    record: dict[str, Any] | None = None
    gold: dict[str, Any] | None = None
    following: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    left: int = 0
    turn_injected: int = -1
    turn_failed: int = -1
    retries: int = 0
    is_open: bool = False
    critique: dict[str, Any] | None = None
    turn_recovered: int | None = None
    texts: list[str] = field(default_factory=list)
    last: list[list[str]] = field(default_factory=list)

    @property
    def wanted(self) -> Plan:
        """The plan."""
        return Plan(**self.plan)

    @property
    def label(self) -> str:
        """Label of the plan; empty if nothing is to be injected."""
        return str(self.plan.get("label", ""))

    @property
    def is_waiting(self) -> bool:
        """Whether an error is still to come."""
        return bool(self.label) and self.record is None

    @property
    def is_answered(self) -> bool:
        """Whether the answer to the error was graded, and no call fails any more: only the recovery may still come."""
        return self.record is not None and not self.is_open and not self.left

    @property
    def family(self) -> str:
        """Family of the error that was injected; empty before."""
        return family_of(str(self.record["label"])) if self.record is not None else ""

    @property
    def right_call(self) -> ToolCall | None:
        """The right call; None before the error."""
        return None if self.gold is None else ToolCall.from_json(self.gold)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Injection:
        """Rebuild from `to_json()`; any error for what is not one."""
        made = cls(**data)
        Plan(**made.plan)
        if made.gold is not None:
            ToolCall.from_json(made.gold)
        if not isinstance(made.turn, int) or not isinstance(made.steps, int) or not isinstance(made.left, int):
            raise TypeError("its counts are not integers")
        return made

    def hashed(self) -> dict[str, Any]:
        """Return the parts that decide which calls still fail; turns used, texts read and what is paid are not the world's."""
        names = ("plan", "record", "gold", "left")
        return {name: getattr(self, name) for name in names}

    def note(self, observation: str) -> None:
        """Keep an observation to take values from, until there is an error."""
        if self.record is not None:
            return
        self.texts.append(observation[:4_000])
        if len(self.texts) > MAX_TEXTS:
            del self.texts[1]


__all__ = ["Injection"]
