"""`LampEnv`: a world of text commands with a tool (`press`), which also takes a text form of this package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from palaestra.envs import CommandEnv, FixedTasks, Task, Turn, tool
from palaestra.envs.formats import ActionFormat
from palaestra.types import Json, Message, ToolCall
from palaestra_toys.bang import BangFormat

LEVELS = {"train": (1, 3), "test": (2,)}


class LampCommands:
    """What an agent can do with a lamp."""

    @tool
    def press(self, times: Literal[1, 2, 3] = 1) -> str:
        """Press the button.

        Args:
            times: How often.
        """
        return f"press {times}"


class LampEnv(CommandEnv):
    """Make a lamp with three levels shine as brightly as asked for.

    **Action.** `press N`, or the call of the tool `press`; each press is a level more, and after the third the lamp is off.
    **Observation.** The level.
    **Reward.** 1 for the level that is asked for, which ends the episode; `max_turns` truncates it.
    """

    commands = LampCommands
    formats: ClassVar[tuple[ActionFormat, ...]] = (*CommandEnv.formats, BangFormat(answers=False))

    def __init__(self, *, max_turns: int | None = 5, **options: Any) -> None:
        """Begin in the dark."""
        lamps = [Task(f"{split}/{level}", split, data={"level": level}) for split in LEVELS for level in LEVELS[split]]
        super().__init__(FixedTasks(lamps), max_turns=max_turns, **options)
        self.level = 0

    def instructions(self) -> str:
        """Return the rules."""
        return (
            f"Command: press N. Each press is a level more; off comes after 3.\n{self.format.describe(self.tools())}".strip()
        )

    def expert(self) -> Iterator[str | Message]:
        """Yield the presses that are missing."""
        assert self.task is not None
        times = (self.task.data["level"] - self.level) % 4
        yield self.written(ToolCall("press", {"times": times}), "So many are missing.")

    def _begin(self, task: Task) -> str:
        self.level = 0
        return f"The lamp is off. Make it shine at level {task.data['level']}."

    def _command(self, text: str) -> Turn:
        word, _, times = text.partition(" ")
        if word != "press" or times not in ("1", "2", "3"):
            problem = f"{text[:40]!r} is not a command. Say press 1, press 2 or press 3."
            return Turn(problem, action_error=problem)
        assert self.task is not None
        self.level = (self.level + int(times)) % 4
        solved = self.level == self.task.data["level"]
        return Turn(f"Level {self.level}.", float(solved), solved, solved)

    def _save(self) -> Json:
        return self.level

    def _load(self, task: Task, state: Json) -> None:
        self.level = state
