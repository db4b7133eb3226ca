"""The actions of BabyAI as tools, for agents that call functions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from palaestra.envs.tools import TextForm, tool

Thing = Annotated[
    str,
    TextForm("^[a-z ]+$", examples=("red ball", "grey key", "blue box", "green closed door"), max_chars=40),
]
Door = Annotated[str, TextForm("^[a-z ]+$", examples=("red closed door", "blue open door", "grey locked door"), max_chars=40)]
Number = Annotated[int, Field(ge=1, le=99)]


class Commands:
    """Turns calls into text commands."""

    @tool
    def turn(self, direction: Literal["left", "right"]) -> str:
        """Turn on the spot.

        Args:
            direction: Where to.
        """
        return f"turn {direction}"

    @tool
    def move_forward(self) -> str:
        """Move one cell ahead."""
        return "move forward"

    @tool
    def go_to(self, thing: Thing, number: Number = 1) -> str:
        """Go next to something in view and face it.

        Args:
            thing: Its name, as the observation says it.
            number: Its number.
        """
        return f"go to {thing} {number}"

    @tool
    def pickup(self, thing: Thing, number: Number = 1) -> str:
        """Go to something in view and pick it up.

        Args:
            thing: Its name, as the observation says it.
            number: Its number.
        """
        return f"pickup {thing} {number}"

    @tool
    def drop(self) -> str:
        """Put down what is carried, in the cell ahead."""
        return "drop"

    @tool
    def go_through(self, door: Door, number: Number = 1) -> str:
        """Go into an open door.

        Args:
            door: Its name, as the observation says it.
            number: Its number.
        """
        return f"go through {door} {number}"

    @tool
    def toggle_and_go_through(self, door: Door, number: Number = 1) -> str:
        """Open a closed door, or a locked one with the key of its colour, and go into it.

        Args:
            door: Its name, as the observation says it.
            number: Its number.
        """
        return f"toggle and go through {door} {number}"

    @tool
    def toggle(self) -> str:
        """Open the door directly ahead."""
        return "toggle"

    @tool
    def check_available_actions(self) -> str:
        """List the actions that can be taken now."""
        return "check available actions"


__all__ = ["Commands"]
