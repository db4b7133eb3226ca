"""Instructions in front of the first observation."""

from __future__ import annotations

import json
from typing import Any

from gymnasium.utils import RecordConstructorArgs

from palaestra.envs.wrappers.text_wrapper import Env, TextWrapper


class MoveInstructions(TextWrapper, RecordConstructorArgs):
    """Moves the instructions from `info` to the front of the first observation, for agents that read only observations.

    `info["instructions"]` is then empty, so that no agent is told twice.

    Args:
        env: Any text environment.
        with_tools: Whether the schemas of the tools follow the instructions, one JSON object per line.
        separator: Between instructions, tools and observation.
    """

    def __init__(self, env: Env, *, with_tools: bool = False, separator: str = "\n\n") -> None:
        """Keep the layout."""
        RecordConstructorArgs.__init__(self, with_tools=with_tools, separator=separator)
        super().__init__(env)
        self.with_tools = with_tools
        self.separator = separator

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        tools = info.get("tools", ()) if self.with_tools else ()
        schemas = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        parts = [part for part in (info.get("instructions", ""), schemas, observation) if part]
        return self.separator.join(parts), {**info, "instructions": ""}


__all__ = ["MoveInstructions"]
