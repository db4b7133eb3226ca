"""An environment on an engine, as an author would write it: `LiftEnv` and the child process that it drives."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np

from palaestra.envs import GeneratedTasks, Task, Turn
from palaestra.envs.core.child_process import ChildProcess
from palaestra.envs.core.engine_env import EngineEnv
from palaestra.types import Json, Message

LIFT_ID = "tests/Lift-v0"
MUTE_LIFT_ID = "tests/MuteLift-v0"
SCRIPT = Path(__file__).with_name("lift_engine.py")


@dataclass(frozen=True)
class StartLift:
    """Starts the engine; two lifts of the same pace may stand in for each other."""

    step_s: float = 0.0

    def __call__(self) -> ChildProcess:
        return ChildProcess([sys.executable, "-I", "-S", str(SCRIPT), str(self.step_s)])


def make_task(lowest: int, spread: int, split: str, index: int) -> Task:
    return Task(f"{split}/{index}", split, data={"goal": lowest + spread * index + (split == "test")})


def draw_action(rng: np.random.Generator) -> str:
    return ("up", "down", "UP ", "open")[rng.integers(4)]


class LiftEnv(EngineEnv[ChildProcess]):
    """Take the lift to the floor where it is wanted, and open the doors.

    Args:
        step_s: Seconds that a move takes.
        num_tasks: Tasks of each split.
        lowest: The lowest floor where the lift is wanted; a move takes it one floor.
        spread: Floors from one task to the next.
        words: What the lift is told in place of these actions: `{"up": "hang"}` breaks it on purpose.
    """

    start_timeout_s: ClassVar[float] = 30.0

    def __init__(
        self,
        *,
        step_s: float = 0.0,
        num_tasks: int = 5,
        lowest: int = 2,
        spread: int = 2,
        words: dict[str, str] | None = None,
        max_turns: int | None = 200,
        split: str = "train",
        render_mode: str | None = None,
    ) -> None:
        tasks = GeneratedTasks(partial(make_task, lowest, spread), {"train": num_tasks, "test": num_tasks})
        super().__init__(
            tasks, StartLift(step_s), split=split, max_turns=max_turns, sampler=draw_action, render_mode=render_mode
        )
        self.words = words or {}

    def instructions(self) -> str:
        return 'Say "up" or "down" until the lift is where it is wanted, then "open".'

    def expert(self) -> Iterator[str | Message]:
        while self.task is not None and self._playing:
            floor, goal = int(re.findall(r"floor (-?\d+)", self._observation)[0]), self.task.data["goal"]
            yield "open" if floor == goal else "up" if floor < goal else "down"

    def _start(self, engine: ChildProcess, task: Task, seed: int) -> str:
        return str(self._tell(engine, "load", task.data["goal"], seed))

    def _send(self, engine: ChildProcess, action: str | Message) -> Turn:
        text = action if isinstance(action, str) else action.content
        if text in self.words:
            self._tell(engine, self.words[text])
        found = self._tell(engine, "act", text)
        if found.get("refused"):
            return Turn(found["told"], action_error=found["told"])
        is_over = found.get("over", False)
        return Turn(found["told"], float(is_over), terminated=is_over, success=is_over)

    def _dump(self, engine: ChildProcess) -> Json:
        return self._tell(engine, "state")

    @staticmethod
    def _tell(engine: ChildProcess, *words: Any) -> Any:
        return json.loads(engine.ask(json.dumps(words)))


class MuteLiftEnv(LiftEnv):
    """The same lift, which does not say its state: its actions stand for it."""

    _dump = EngineEnv._dump


def make_lift(plan: Any) -> gymnasium.Env[Any, Any]:
    """Make the lift of a plan in whatever process asks."""
    return LiftEnv(**plan.env_kwargs)


def register_lifts() -> None:
    for env_id, name in ((LIFT_ID, "LiftEnv"), (MUTE_LIFT_ID, "MuteLiftEnv")):
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point=f"tests.envs.lift:{name}",
                vector_entry_point=f"palaestra.envs.core.vector:{env_id}",
                order_enforce=False,
            )
