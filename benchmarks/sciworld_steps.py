"""SciWorld's steps against the public `step` of its package, in the same JVM, along the simulator's own solutions.

CPU time of this process and of the JVM together. The package's `step` is called as it is, on an object that has our JVM: only
its launcher is left out. Without Java, or without the package, there is no row.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.rows import Row
from palaestra.envs.agentgym.sciworld.engine import ScienceWorld, StartScienceWorld
from palaestra.envs.registration import missing

FACTOR = 8.0
TASKS = (("lifespan-longest-lived", 62), ("use-thermometer", 270))
NUM_ROUNDS = 2
REPEATS = {"ours": 5, "public": 1}  # of each path in a round: both play some seconds


def run() -> list[Row]:
    """Compare steps per CPU second, in turns."""
    if missing("palaestra/SciWorld-v0"):
        return []
    engine = StartScienceWorld()()
    try:
        paths = {task: engine.gold_path(*task, "").commands for task in TASKS}
        public = _public(engine)
        seconds = dict.fromkeys(REPEATS, 0.0)
        for number in range(NUM_ROUNDS + 1):
            for name, step in (("ours", engine.step), ("public", public.step)):
                for _ in range(REPEATS[name]):
                    spent = sum(_play(engine, task, path, step) for task, path in paths.items())
                    seconds[name] += spent if number else 0.0  # the first round is for the JVM to compile
    finally:
        engine.kill()
    steps = NUM_ROUNDS * sum(map(len, paths.values()))
    ours, peer = (steps * REPEATS[name] / seconds[name] for name in ("ours", "public"))
    target = f">= {FACTOR:g}x"
    return [Row("SciWorld steps", ours, "steps/CPU s", "scienceworld's step", peer, target, ours / peer >= FACTOR)]


def _play(engine: ScienceWorld, task: tuple[str, int], path: tuple[str, ...], step: Any) -> float:
    """Play a path and return the CPU seconds of its steps."""
    engine.load(*task, "")
    engine.step("look around")
    begin = time.process_time() + _cpu_seconds(engine.pid)
    for command in path:
        step(command)
    return time.process_time() + _cpu_seconds(engine.pid) - begin


def _public(engine: ScienceWorld) -> Any:
    """Return the package's environment on the JVM of an engine."""
    from py4j.java_gateway import GatewayParameters, JavaGateway, JavaObject
    from scienceworld import ScienceWorldEnv

    port, token = engine.address
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port, auth_token=token, auto_field=True))

    class Public(ScienceWorldEnv):  # type: ignore[misc]
        """The environment without its launcher."""

        def __init__(self) -> None:
            self.server = JavaObject(engine.server_id, gateway._gateway_client)
            self.lastStepScore, self.envStepLimit = 0, 100
            self.taskName, self.variationIdx, self.simplificationStr = "", 0, ""

        def close(self) -> None:
            gateway.close()

    return Public()


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    for row in run():
        print(row)
