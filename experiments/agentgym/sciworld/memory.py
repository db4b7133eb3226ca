"""How much memory does one JVM hold after many episodes? One row per ten episodes.

    python -m experiments.agentgym.scienv.memory --episodes 300

Every kind of task in turns, drawn actions, and in every eleventh episode the simulator's own solution and the list of valid
actions, which need the most. Rows are written to `memory.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from palaestra.envs.agentgym.sciworld.env import SciWorldEnv

ROWS = Path(__file__).with_name("memory.jsonl")
NUM_ACTIONS = 12


def resident_mb(pid: int, peak: bool = False) -> float:
    """Return the resident memory of a process in MB, now or at its peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    assert match is not None
    return round(int(match[1]) / 1024, 1)


def play(episodes: int, *, solve_every: int = 11) -> list[dict[str, float]]:
    """Play episodes in one JVM and return a row for every tenth."""
    env = SciWorldEnv(max_turns=None)
    rows, pids = [], set()
    env.action_space.seed(0)
    for number in range(episodes):
        split = env.tasks.splits[number % 3]
        env.reset(seed=number, options={"task": env.tasks.at(split, number).key})
        pid = env._ask(lambda engine: engine.pid)
        pids.add(pid)
        if solve_every and number % solve_every == solve_every - 1:
            env.available_actions()
            for action in env.expert():
                env.step(action)
        else:
            for _ in range(NUM_ACTIONS):
                if env.step(env.action_space.sample())[2]:
                    break
        if number % 10 == 9:
            rows.append({"episodes": number + 1, "mb": resident_mb(pid), "peak_mb": resident_mb(pid, True), "jvms": len(pids)})
    env.close()
    return rows


def main() -> None:
    """Play and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=300)
    rows = play(parser.parse_args().episodes)
    ROWS.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(rows[-1])


if __name__ == "__main__":
    main()
