"""A miniature environment: reach a number by saying "up" or "down". Everything that the contract asks for, on one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np

from palaestra.envs import GeneratedTasks, Task, TextEnv, Turn
from palaestra.results import SHARE, Arm, EnvResults, Metric, ResultTable, StepBlock
from palaestra.types import Json, Message, Trajectory

COUNTER_ID = "tests/Counter-v0"
MEASURED_ID = "tests/Measured-v0"


def make_task(split: str, index: int) -> Task:
    goal = 2 + 2 * index + (split == "test")
    return Task(f"{split}/{index}", split, "near" if goal < 5 else "far", {"goal": goal})


def draw_action(rng: np.random.Generator) -> str:
    return ("up", "down", "up  ", "UP")[rng.integers(4)]


class CounterEnv(TextEnv):
    """Count up to the goal; the start is drawn from 0 and 1, and a coin is flipped in every turn (it only shows)."""

    def __init__(self, *, max_turns: int | None = 20, split: str = "train", render_mode: str | None = None) -> None:
        tasks = GeneratedTasks(make_task, {"train": 5, "test": 5})
        super().__init__(tasks, split=split, max_turns=max_turns, sampler=draw_action, render_mode=render_mode)
        self.number = self.goal = 0

    def instructions(self) -> str:
        return 'Say "up" or "down" until the number is the goal.'

    def expert(self) -> Iterator[str | Message]:
        while self.number != self.goal:
            yield "up" if self.number < self.goal else "down"

    def _begin(self, task: Task) -> str:
        self.goal = int(task.data["goal"])
        self.number = int(self.np_random.integers(2))
        return f"number {self.number}, goal {self.goal}"

    def _act(self, action: str | Message) -> Turn:
        word = (action if isinstance(action, str) else action.content).strip().lower()
        if word not in ("up", "down"):
            problem = f'I do not know {word[:20]!r}. Say "up" or "down".'
            return Turn(problem, action_error=problem)
        self.number += 1 if word == "up" else -1
        coin = "heads" if self.np_random.random() < 0.5 else "tails"
        is_there = self.number == self.goal
        return Turn(f"number {self.number}, {coin}", float(is_there), terminated=is_there, success=is_there)

    def _save(self) -> Json:
        return [self.number, self.goal]

    def _load(self, task: Task, state: Json) -> None:
        self.number, self.goal = state


class MeasuredEnv(CounterEnv):
    """Counts up, and measures: the distance to the goal in every turn, the share of steps in its direction at the end."""

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("distance", "lower", about="Steps left to the goal when the episode ended."),
        Metric("directness", "higher", SHARE, "Share of the moves that led towards the goal.", lead=True),
        Metric("lowest", unit="steps", about="The lowest number that was reached."),
    )
    results = "tests.envs.miniature:measured_results"

    def _begin(self, task: Task) -> str:
        observation = super()._begin(task)
        self.moves, self.ups, self.lowest = 0, 0, self.number
        return observation

    def _act(self, action: str | Message) -> Turn:
        before = self.number
        turn = super()._act(action)
        self.moves += self.number != before
        self.ups += self.number > before
        self.lowest = min(self.lowest, self.number)
        turn.metrics = {"distance": abs(self.goal - self.number), "lowest": float(self.lowest)}
        if turn.terminated:
            turn.metrics["directness"] = self.ups / self.moves
        return turn

    def _save(self) -> Json:
        return [super()._save(), self.moves, self.ups, self.lowest]

    def _load(self, task: Task, state: Json) -> None:
        counter, self.moves, self.ups, self.lowest = state
        super()._load(task, counter)


def measured_results(arms: Sequence[Arm]) -> EnvResults:
    """A table of the longest detour of each arm, and a block below each step that led away from the goal."""
    rows = tuple((arm.name, str(max(len(played.steps) for played in arm.episodes))) for arm in arms)
    tables = (ResultTable("Longest walks", ("Arm", "Steps"), rows, "Of all episodes."),) if arms else ()
    return EnvResults(tables, blocks=detours)


def detours(trajectory: Trajectory) -> dict[int, list[StepBlock]]:
    table = ResultTable("What was said", ("Said", "Verdict"), (("down", "wrong way"),), text_columns=2, marks=("bad",))
    said = [step.action.content.strip().lower() for step in trajectory.steps]
    return {i: [StepBlock("Detour", "back", "bad", tables=(table,))] for i, word in enumerate(said) if word == "down"}


class ForeignEnv(gymnasium.Env[str, str]):
    """Text in, text out, and nothing of ours: how a third party's environment may look."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    observation_space = gymnasium.spaces.Text(200)
    action_space = gymnasium.spaces.Text(200)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.secret = int(self.np_random.integers(3))
        return "guess", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        right = action == str(self.secret)
        return "yes" if right else "no", float(right), right, False, {"note": object()}


def register_miniatures() -> None:
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(
            COUNTER_ID,
            entry_point="tests.envs.miniature:CounterEnv",
            vector_entry_point=f"palaestra.envs.core.vector:{COUNTER_ID}",
            order_enforce=False,
        )
        gymnasium.register(
            MEASURED_ID,
            entry_point="tests.envs.miniature:MeasuredEnv",
            vector_entry_point=f"palaestra.envs.core.vector:{MEASURED_ID}",
            order_enforce=False,
        )
        gymnasium.register("tests/Foreign-v0", entry_point="tests.envs.miniature:ForeignEnv")
