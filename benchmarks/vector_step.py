"""A step of 64 trivial text environments at once, per environment, against Gymnasium's and GEM's vector environments."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from typing import Any

import gymnasium

from benchmarks import trivial
from benchmarks.rows import Row, cpu_us

NUM_ENVS = 64
TARGET_US = 1.5
ACTIONS = ("look around",) * NUM_ENVS


def run() -> list[Row]:
    trivial.register()
    ours = gymnasium.make_vec(trivial.OURS, num_envs=NUM_ENVS)
    sync = gymnasium.make_vec(trivial.BY_HAND, num_envs=NUM_ENVS, vectorization_mode="sync")
    bare = gymnasium.make_vec(trivial.BARE, num_envs=NUM_ENVS, vectorization_mode="sync")
    loops = {
        "ours": _stepping(ours),
        "ours, infos read": _stepping(ours, reads_infos=True),
        "sync": _stepping(sync),
        "bare": _stepping(bare),
    }
    if gem := _gem():
        loops["gem"] = gem
    times = {name: time / NUM_ENVS for name, time in cpu_us(loops, number=20, rounds=31).items()}
    what = f"vector step, n = {NUM_ENVS}, per environment"
    unit = "µs CPU"
    best = times["ours"]
    return [
        Row(what, best, unit, "Gymnasium sync, same info", times["sync"], f"<= {TARGET_US} µs", best <= TARGET_US),
        Row(f"{what}, infos as arrays", times["ours, infos read"], unit, "Gymnasium sync, same info", times["sync"]),
        Row(what, best, unit, "Gymnasium sync, no info", times["bare"]),
        Row(what, best, unit, "GEM sync, no info", times.get("gem")),
    ]


def _stepping(vector: gymnasium.vector.VectorEnv[Any, Any, Any], *, reads_infos: bool = False) -> Callable[[int], None]:
    """Return a loop of steps in a vector environment that has been reset."""
    vector.reset(seed=0)

    def loop(number: int) -> None:
        for _ in range(number):
            infos = vector.step(ACTIONS)[-1]
            if reads_infos:
                dict(infos)

    return loop


def _gem() -> Callable[[int], None] | None:
    """Return the same loop on GEM (`pip install gem-llm`), None where it or something it needs is not installed."""
    level = logging.root.level
    with contextlib.redirect_stdout(io.StringIO()):  # it announces itself
        try:
            import gem
        except ImportError:
            return None

        class Trivial(gem.Env):
            def __init__(self, **kwargs: Any) -> None:
                pass

            def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
                return "go", {}

            def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
                return "ok", 0.0, False, False, {}

        gem.register("benchmarks:Trivial", Trivial)
        vector = gem.make_vec(["benchmarks:Trivial"] * NUM_ENVS)
        vector.reset()
    logging.root.setLevel(level)

    def loop(number: int) -> None:
        for _ in range(number):
            vector.step(ACTIONS)

    return loop
