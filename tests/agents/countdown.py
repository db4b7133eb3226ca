"""A miniature environment and agents whose every move is known, for tests of the engine, the store and evaluation."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any

import gymnasium

from palaestra.agents.core import Agent, AgentRecord
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.errors import ScoringError, ToolError
from palaestra.types import Json, Message, Segment, TurnSpan, Usage

ENV_ID = "countdown/Countdown-v0"


class CountdownEnv(TextEnv):
    """Say "down" 1 to 3 times. Task i starts at 1 + i % 3; `fault` breaks every task whose number ends in 7."""

    made = 0
    closed = 0

    def __init__(self, *, fault: str = "", test_size: int | None = 40, max_turns: int | None = 6) -> None:
        type(self).made += 1
        self.fault = fault
        self.busy = False
        super().__init__(GeneratedTasks(self._make_task, {"train": None, "test": test_size}), max_turns=max_turns)

    @staticmethod
    def _make_task(split: str, index: int) -> Task:
        return Task(f"{split}/{index}", split, f"from-{1 + index % 3}", {"start": 1 + index % 3})

    def instructions(self) -> str:
        return "Say down until nothing is left."

    def expert(self) -> Iterator[str]:
        while self.left:
            yield "down"

    def _begin(self, task: Task) -> str:
        self.left = self.start = task.data["start"]
        self._fail("reset", task)
        return f"{self.left} left"

    def _act(self, action: str | Message) -> Turn:
        text = action if isinstance(action, str) else action.content
        if text != "down":
            return Turn(f"{self.left} left; say down", action_error="say down")
        assert self.task is not None
        self._fail("step", self.task)
        self.left -= 1
        return Turn(f"{self.left} left", 1 / self.start, self.left == 0, self.left == 0)

    def _save(self) -> Json:
        return self.left

    def _load(self, task: Task, state: Json) -> None:
        self.left, self.start = state, task.data["start"]

    def _fail(self, where: str, task: Task) -> None:
        if not task.key.endswith("7") or not self.fault.startswith(where):
            return
        match self.fault.partition("-")[2]:
            case "tool":
                raise ToolError("the weather service is down")
            case "scoring":
                raise ScoringError("the judge is ill")
            case "hang":
                time.sleep(30)
            case "exit":
                os._exit(13)
            case _:
                raise RuntimeError("the engine fell over")

    def close(self) -> None:
        type(self).closed += 1


if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, CountdownEnv)


def make_countdown(plan: EpisodePlan) -> gymnasium.Env[Any, Any]:
    """Make the environment in whatever process asks."""
    return CountdownEnv(**plan.env_kwargs)


def plans(n: int, *, split: str = "train", **kwargs: Any) -> Iterator[EpisodePlan]:
    """Plan tasks 0 to n - 1."""
    for i in range(n):
        yield EpisodePlan(f"episode-{i}", ENV_ID, task_key=f"{split}/{i}", seed=i, **kwargs)


class Steady(Agent):
    """Says "down", each time after `delay_s`; counts how many episodes it plays at once."""

    name = "steady"

    def __init__(self, delay_s: float | None = None) -> None:
        self.delay_s = delay_s
        self.shared = {"now": 0, "most": 0, "closed": 0}
        self.calls = 0
        self.session = ""

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        self.calls = 0
        self.session = session

    async def aact(self, observation: str, info: Any) -> Message:
        self.calls += 1
        self.shared["now"] += 1
        self.shared["most"] = max(self.shared["most"], self.shared["now"])
        try:
            if self.delay_s is not None:
                await asyncio.sleep(self.delay_s)
        finally:
            self.shared["now"] -= 1
        return Message("assistant", "down")

    def record(self) -> AgentRecord:
        ids = tuple(range(2 * self.calls))
        spans = tuple(TurnSpan(2 * i + 1, 2 * i + 2, i) for i in range(self.calls))
        action = tuple(bool(i % 2) for i in ids)
        zero = tuple(-0.5 if a else 0.0 for a in action)
        segment = Segment(ids, action, zero, tuple(0 if a else -1 for a in action), spans)
        return AgentRecord(Usage(calls=self.calls, completion_tokens=self.calls), (segment,))

    async def aclose(self) -> None:
        self.shared["closed"] += 1


class Wavering(Agent):
    """Says "down" or "up" by a hash of episode and turn: the same episode, the same moves, whenever it is played."""

    name = "wavering"

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.session = ""
        self.turn = 0

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        self.session, self.turn = session, 0

    async def aact(self, observation: str, info: Any) -> Message:
        digest = hashlib.blake2b(f"{self.session}|{self.turn}".encode()).digest()
        self.turn += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s * digest[1] / 255)
        return Message("assistant", "down" if digest[0] < 100 else "up")
