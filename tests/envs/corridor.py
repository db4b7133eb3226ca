"""A miniature world of text commands: find the key in a row of rooms and open the door at its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import gymnasium
from pydantic import Field

from palaestra.envs import CommandEnv, GeneratedTasks, Task, Turn, tool
from palaestra.results.metrics import Metric
from palaestra.types import Json, Message, ToolCall

CORRIDOR_ID = "tests/Corridor-v0"
Way = Literal["left", "right"]


def make_task(split: str, index: int) -> Task:
    return Task(f"{split}/{index}", split, data={"key": 1 + index % 3, "door": 2 + index + (split == "test")})


class CorridorCommands:
    """What an agent can do."""

    @tool
    def go(self, way: Way, rooms: Annotated[int, Field(ge=1, le=9)] = 1) -> str:
        """Go to another room.

        Args:
            way: Where to.
            rooms: How far.
        """
        return f"go {way} {rooms}"

    @tool
    def take(self) -> str:
        """Take the key that lies here."""
        return "take"

    @tool(name="open")
    def open_door(self) -> str:
        """Open the door that is here."""
        return "open"


class CorridorEnv(CommandEnv):
    """Half a point for the key, half for the door; a native score that counts rooms, and a metric."""

    commands = CorridorCommands
    metrics = (Metric("steps_taken", better="lower"),)

    def __init__(self, *, max_turns: int | None = 30, **options: Any) -> None:
        tasks = GeneratedTasks(make_task, {"train": 5, "test": 5})
        super().__init__(tasks, max_turns=max_turns, **options)
        self.room, self.has_key, self.walked = 0, False, 0

    def instructions(self) -> str:
        return f"Say go left|right N, take, or open.\n\n{self.format.describe(self.tools())}".strip()

    def expert(self) -> Iterator[str | Message]:
        key, door = self.task.data["key"], self.task.data["door"]
        while self._playing:
            goal = door if self.has_key else key
            if self.room != goal:
                way = "right" if self.room < goal else "left"
                yield self.written(ToolCall("go", {"way": way, "rooms": min(9, abs(goal - self.room))}), "Not here.")
            else:
                yield self.written(ToolCall("open" if self.has_key else "take"), "Here it is.")

    def _begin(self, task: Task) -> str:
        self.room, self.has_key, self.walked = 0, False, 0
        return f"Room 0. The door is in room {task.data['door']}."

    def _command(self, text: str) -> Turn:
        data = self.task.data
        match text.split():
            case ["go", "left" | "right" as way, number] if number.isascii() and number.isdecimal() and len(number) < 3:
                self.room += int(number) if way == "right" else -int(number)
                self.walked += int(number)
                return self._told(f"Room {self.room}.")
            case ["take"] if self.room == data["key"] and not self.has_key:
                self.has_key = True
                return self._told("You have the key.", reward_parts={"key": 0.5}, reward=0.5)
            case ["open"] if self.room == data["door"] and self.has_key:
                return self._told("Open!", reward_parts={"door": 0.5}, reward=0.5, terminated=True, success=True)
        problem = f"{text[:40]!r} does nothing here."
        return Turn(problem, action_error=problem, score=float(self.walked))

    def _told(self, text: str, **more: Any) -> Turn:
        walked = self.walked
        return Turn(text, score=float(walked), metrics={"steps_taken": walked}, info={"room": self.room}, **more)

    def _save(self) -> Json:
        return [self.room, self.has_key, self.walked]

    def _load(self, task: Task, state: Json) -> None:
        self.room, self.has_key, self.walked = state


def register_corridor() -> None:
    if CORRIDOR_ID not in gymnasium.registry:
        gymnasium.register(
            CORRIDOR_ID,
            entry_point=CorridorEnv,
            vector_entry_point=f"palaestra.envs.core.vector:{CORRIDOR_ID}",
            order_enforce=False,
        )
