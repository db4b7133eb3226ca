"""Add a tool: a typed, documented method under `@tool`. Schema, checks and advice to the agent come from it."""

import json
from typing import Annotated, Literal

from pydantic import Field

from palaestra.envs import Toolkit, tool
from palaestra.envs.tools import ToolRefusal
from palaestra.types import ToolCall


class Thermostat:
    """A world with one number, and what an agent may do to it."""

    def __init__(self) -> None:
        """Begin at 20 degrees."""
        self.degrees = 20

    @tool
    def set_temperature(self, degrees: Annotated[int, Field(ge=5, le=30)], room: Literal["hall", "attic"] = "hall") -> str:
        """Set the temperature of a room.

        Args:
            degrees: Degrees Celsius.
            room: Which room.
        """
        self.degrees = degrees
        if room == "attic":
            raise ToolRefusal("the attic has no heating; choose the hall")  # the change above is undone
        return f"The {room} is at {degrees} degrees."


world = Thermostat()
toolkit = Toolkit(world)
print("what a model gets:", json.dumps(toolkit.schemas()[0], indent=1))

for arguments in ({"degrees": 22}, {"degrees": 99}, {"degres": 21}, {"degrees": 10, "room": "attic"}):
    result = toolkit.call(ToolCall("set_temperature", arguments))
    print(f"{result.status:17} {result.content}  [now {world.degrees}]")
