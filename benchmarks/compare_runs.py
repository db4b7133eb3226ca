"""`palaestra compare` of two stored runs of 10,000 episodes, and `palaestra plan` from one: CPU time, start-up included."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace

from benchmarks.rows import Row
from benchmarks.store_list import NUM_EPISODES, trajectory
from palaestra.agents.store.store import RunStore
from palaestra.types import Outcome

TARGET_S = 2.0
ROUNDS = 3


def run() -> list[Row]:
    """Fill a store with two runs, then time the commands in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        with RunStore(folder) as store:
            runs = [_fill(store, agent) for agent in ("first", "second")]
        plan = ["plan", "--env", "palaestra/TextCraft-v0", "--difference", "0.05", "--run", runs[0]]
        compare_s, plan_s = (_cpu_s([*words, "--runs", folder]) for words in (["compare", *runs], plan))
    target = f"<= {TARGET_S:g} s"
    n = f"{NUM_EPISODES:,} episodes"
    return [
        Row(f"palaestra compare of two runs of {n}", compare_s, "s CPU", "floor", TARGET_S, target, compare_s <= TARGET_S),
        Row(f"palaestra plan from a run of {n}", plan_s, "s CPU", "floor", TARGET_S, target, plan_s <= TARGET_S),
    ]


def _fill(store: RunStore, agent: str) -> str:
    """Store a run of an agent that solves about three of five tasks, each agent others; return its name."""
    run_id = store.create_run({"kind": "benchmark"})
    for number in range(NUM_EPISODES):
        solved = (number * 7919 + len(agent) * 104729) % 1009 < 605
        outcome = Outcome(float(solved), solved, "success" if solved else "failure")
        store.add(run_id, replace(trajectory(number), agent=agent, outcome=outcome))
    return run_id


def _cpu_s(words: list[str]) -> float:
    """Return the median CPU time of a command, start-up included."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    taken = []
    for _ in range(ROUNDS):
        begin = _children_s()
        command = [sys.executable, "-m", "palaestra.cli.main", *words]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        taken.append(_children_s() - begin)
    return sorted(taken)[ROUNDS // 2]


def _children_s() -> float:
    """Return the CPU seconds of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    for row in run():
        print(row)
