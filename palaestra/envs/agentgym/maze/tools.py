"""The four moves of the maze as a tool, for agents that call functions."""

from __future__ import annotations

from typing import Literal

from palaestra.envs.tools import tool


class Commands:
    """Turns calls of `move` into text commands."""

    @tool
    def move(self, direction: Literal["left", "right", "up", "down"]) -> str:
        """Move one cell.

        Args:
            direction: Where to; up is towards row 0, left towards column 0.
        """
        return f"move {direction}"


__all__ = ["Commands"]
