"""How long the steps and solutions of an environment take, and so how much of it an audit plays.

What is measured decides only between the levels of `EFFORTS`. The card names the level that was chosen, and what is compared
with the card later is played at that level: no figure of a card depends on a clock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import mean
from typing import Any, NamedTuple

from palaestra.envs.audit.effort import EFFORTS, Effort, Level
from palaestra.envs.audit.play import Episode, Policy, Start, drawn
from palaestra.envs.audit.subject import Subject, expert_policy

BUDGET_S = 300.0
"""Seconds that the audit of a split is to take at most on an idle core, as estimated."""
PROBED = 4  # tasks: one to start an engine with, the others to measure; one of what takes long
DRAWN = 10  # actions
LONG_S = 1.0
PATIENCE_S = 30.0  # for a solution
CALIBRATED_S = 0.02  # of a computation that is measured for comparison


class Pace(NamedTuple):
    """What an environment takes on an idle core.

    Attributes:
        solution_s: Seconds of a solution of the expert in a task that was played before, from the beginning to the end.
        step_s: Seconds of a drawn action, with the drawing.
        turns: Steps of an episode at most.
        fresh_s: Seconds more that the first solution of a task takes: its data are read, its plan is searched.
    """

    solution_s: float
    step_s: float
    turns: int
    fresh_s: float = 0.0

    def seconds(self, effort: Effort) -> float:
        """Return how long an audit takes that plays so much, roughly."""
        solutions = self.solution_s * effort.solutions + self.fresh_s * effort.fresh
        return solutions + self.step_s * effort.drawn_episodes * min(self.turns, effort.actions)


def pace_of(subject: Subject) -> Pace:
    """Measure an environment; a part in which it raises takes the time that it took."""
    starts = subject.starts[:PROBED]
    if not starts:
        return Pace(0.0, 0.0, 0)
    _solve(subject, starts[0])  # an engine starts, data of all tasks are read
    subject.play(starts[0], drawn(DRAWN))
    first, again, steps = [], [], []
    for start in starts[1:] or starts:
        first.append(_solve(subject, start))
        again.append(_solve(subject, start))
        watch = _Watch()
        played = subject.play(start, drawn(DRAWN))
        steps.append(watch.seconds() / max(1, len(played.steps)))
        if first[-1] > LONG_S:
            break
    limit = getattr(subject.env.unwrapped, "max_turns", None)
    turns = min(limit, subject.max_actions) if isinstance(limit, int) else subject.max_actions
    return Pace(mean(again), mean(steps), turns, max(0.0, mean(first) - mean(again)))


def _solve(subject: Subject, start: Start) -> float:
    """Let the expert play a task, as long as it is worth waiting for; return the seconds that it took."""
    watch = _Watch()
    subject.play(start, _within(PATIENCE_S, expert_policy()), stream="expert")
    return watch.seconds()


class _Watch:
    """Measures from its making on: time on the wall, as an engine computes elsewhere, less what others take of this core."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        """Return the seconds that it would have taken on an idle core."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return max(cpu, wall / _crowd())


def _crowd() -> float:
    """Return how much longer than alone a computation takes here now, at least 1."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < CALIBRATED_S:
        sum(range(1000))
    return max(1.0, (time.perf_counter() - wall) / CALIBRATED_S)


def level_of(env_id: str, arguments: Mapping[str, Any], seed: int = 0, split: str | None = None) -> Level:
    """Return the level at which an environment is audited: the one of its registration, or the first that ends in time.

    Args:
        env_id: Registered id.
        arguments: Arguments that it is made with.
        seed: Seed of all that is drawn.
        split: Split that is played; None for the default.
    """
    subject = Subject(env_id, arguments, PROBED, seed, split)
    try:
        return level_at(pace_of(subject), subject.cost)
    finally:
        subject.close()


def level_at(pace: Pace, least: Level = "cheap") -> Level:
    """Return the first level from `least` on whose audit ends in time; the last if none does."""
    levels = list(EFFORTS)
    later = levels[levels.index(least) :]
    return next((level for level in later if pace.seconds(EFFORTS[level]) <= BUDGET_S), later[-1])


def _within(seconds: float, policy: Policy) -> Policy:
    """Return a policy that gives up after a while."""
    begun = time.perf_counter()

    def act(episode: Episode) -> Any:
        return None if time.perf_counter() - begun > seconds else policy(episode)

    return act


__all__ = ["BUDGET_S", "Pace", "level_at", "level_of", "pace_of"]
