"""Steps of the hard desk with `InjectErrors` around it, against the bare desk: without an error, and with one an episode.

The cost of a reset is shared by the steps of its episode. An action that met with an error is played once more, which is
one more step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

from benchmarks.rows import Row, cpu_us
from palaestra.envs import InjectErrors

DESK = "palaestra/Desk-v0"
QUIET, INJECTED = 1.15, 2.0
SEEDS = range(20)


def run() -> list[Row]:
    bare = _desk()
    plans = [_plan(bare, seed) for seed in SEEDS]
    ways: dict[str, Any] = {
        "bare": bare,
        "none": InjectErrors(_desk(), plan={"label": ""}),
        "outage": InjectErrors(_desk(), mode="outage", sampler={"error_free": 0.0, "persistence": [1], "steps": [1, 2]}),
        "slip": InjectErrors(_desk(), mode="slip", sampler={"error_free": 0.0, "steps": [1, 2]}),
    }
    per_episode = cpu_us({name: _playing(env, plans) for name, env in ways.items()}, number=len(plans), rounds=15)
    times = {name: time / _num_steps(ways[name], plans) for name, time in per_episode.items()}
    limits = {"none": QUIET, "outage": INJECTED, "slip": INJECTED}
    titles = {"none": "no error", "outage": "an outage and its retry", "slip": "a slip and its correction"}
    return [
        Row(
            f"step of the hard desk, {titles[name]}",
            times[name],
            "µs CPU",
            "the bare desk",
            times["bare"],
            f"<= {limit}x",
            times[name] <= limit * times["bare"],
        )
        for name, limit in limits.items()
    ]


def _desk() -> Any:
    """Return the bare environment."""
    return gymnasium.make(DESK, difficulty="hard", disable_env_checker=True)


def _plan(env: Any, seed: int) -> tuple[int, list[Any]]:
    """Return the expert's actions in the episode of a seed."""
    env.reset(seed=seed)
    actions = []
    for action in env.unwrapped.expert():
        actions.append(action)
        if any(env.step(action)[2:4]):
            break
    return seed, actions


def _num_steps(env: Any, plans: list[tuple[int, list[Any]]]) -> float:
    """Return the mean number of steps of an episode."""
    total = 0
    for seed, actions in plans:
        env.reset(seed=seed)
        for action in actions:
            total += 1
            if "injection" in env.step(action)[4]:
                env.step(action)
                total += 1
    return total / len(plans)


def _playing(env: Any, plans: list[tuple[int, list[Any]]]) -> Callable[[int], None]:
    """Return a loop over episodes; an action that met with an error is played once more."""

    def loop(number: int) -> None:
        for seed, actions in plans[:number]:
            env.reset(seed=seed)
            for action in actions:
                if "injection" in env.step(action)[4]:
                    env.step(action)

    return loop
