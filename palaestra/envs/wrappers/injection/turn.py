"""What the parts of `InjectErrors` hand to one another: the wrapper as they see it, a turn, and an error that has struck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from palaestra.envs.wrappers.injection.critique import Claim
from palaestra.envs.wrappers.injection.episode import Injection
from palaestra.envs.wrappers.injection.plans import Mode
from palaestra.envs.wrappers.injection.tool_list import Tool
from palaestra.envs.wrappers.text_wrapper import Action, Env
from palaestra.types import Message, ToolCall


class Host(Protocol):
    """The wrapper, as the parts that it is made of see it.

    Attributes:
        env: The wrapped environment.
        mode: How errors come about.
        critique: How agents are told to report, None for not at all.
        w_task: Weight of the environment's reward.
        w_critic: Weight of the critique.
    """

    env: Env
    mode: Mode
    critique: Any
    w_task: float
    w_critic: float

    @property
    def injection(self) -> Injection | None:
        """State of the current episode."""
        ...

    @property
    def schemas(self) -> Sequence[Mapping[str, Any]]:
        """OpenAI function schemas of the environment's tools."""
        ...

    @property
    def tools_by_name(self) -> dict[str, Tool]:
        """The same tools, ready to check calls."""
        ...

    @property
    def report_tool(self) -> str:
        """Name of the tool that reports; empty unless there is one."""
        ...

    def offer(self, info: Mapping[str, Any]) -> None:
        """Take the tools that an info brings, if it brings any."""
        ...


class Turn:
    """What an agent sent, and what was read in it.

    Attributes:
        action: As it was sent.
        message: With its calls; None if it cannot be read.
        bare: The same without the critique and the calls that only report.
        claim: The critique.
        reports: Positions of the calls that only report.
    """

    def __init__(self, action: Action, message: Message | None) -> None:
        """Begin without a critique."""
        self.action, self.message, self.bare = action, message, message
        self.claim: Claim | None = None
        self.reports: tuple[int, ...] = ()

    @property
    def calls(self) -> list[tuple[int, ToolCall]]:
        """The calls that are not reports, with their positions."""
        if self.message is None:
            return []
        return [(i, call) for i, call in enumerate(self.message.tool_calls) if i not in self.reports]


__all__ = ["Host", "Turn"]
