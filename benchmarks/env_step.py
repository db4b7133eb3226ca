"""A step of a trivial text environment through `gymnasium.make`, against Gymnasium environments written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

from benchmarks import trivial
from benchmarks.rows import Row, cpu_us

RATIO = 1.5


def run() -> list[Row]:
    trivial.register()
    loops = {name: _stepping(gymnasium.make(name)) for name in (trivial.OURS, trivial.BY_HAND, trivial.BARE)}
    times = cpu_us(loops, number=5000, rounds=41)
    ours, by_hand, bare = (times[name] for name in loops)
    return [
        Row(
            "step of a trivial text environment",
            ours,
            "µs CPU",
            "Gymnasium env by hand, same info",
            by_hand,
            f"<= {RATIO}x",
            ours <= RATIO * by_hand,
        ),
        Row("the same, against an empty step", ours, "µs CPU", "Gymnasium env by hand, no info", bare),
    ]


def _stepping(env: gymnasium.Env[Any, Any]) -> Callable[[int], None]:
    """Return a loop of steps in an environment that has been reset."""
    env.reset(seed=0)
    step = env.step

    def loop(number: int) -> None:
        for _ in range(number):
            step("look around")

    return loop
