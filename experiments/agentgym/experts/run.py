"""How many test tasks do the experts solve, and how many does random play? One row a task; SciWorld has its own.

    python -m experiments.agentgym.experts.run --tasks 200

Every player plays the first tasks of the split "test" with the turn limit of the id. Random play draws from the action
space, which is seeded by the number of the task.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium

import palaestra  # noqa: F401  (registers the environments)
from palaestra.results.statistics import wilson_interval

ROWS = Path(__file__).with_name("rows.jsonl")
PLAYERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Maze", "expert", {}),
    ("Maze", "random", {}),
    ("Wordle", "expert", {}),
    ("Wordle", "random", {}),
    ("ALFWorld", "expert", {}),
    ("ALFWorld", "expert that searches", {"expert_knows": "seen"}),
    ("ALFWorld", "random", {}),
    ("BabyAI", "expert", {}),
    ("BabyAI", "random", {}),
)


def played(name: str, player: str, arguments: dict[str, Any], num_tasks: int) -> Iterator[dict[str, Any]]:
    """Yield the row of each task."""
    env = gymnasium.make(f"palaestra/{name}-v0", split="test", **arguments)
    for number, task in enumerate(env.unwrapped.tasks.split("test").first(num_tasks)):
        env.action_space.seed(number)
        begin = time.process_time()
        env.reset(seed=number, options={"task": task.key})
        drawn = player == "random"
        actions = iter(env.action_space.sample, None) if drawn else env.unwrapped.expert()
        turns, info = 0, {"success": False, "stop_reason": "gave up"}
        for action in islice(actions, 10_000):
            *_, terminated, truncated, info = env.step(action)
            turns += 1
            if terminated or truncated:
                break
        row = {"env": name, "player": player, "task": task.key, "type": task.type, "success": info["success"]}
        yield {**row, "turns": turns, "stop": info["stop_reason"], "cpu_s": round(time.process_time() - begin, 4)}
    env.close()


def table(rows: list[dict[str, Any]]) -> str:
    """Return the page's table."""
    lines = [
        "| world | player | tasks | success | 95 % interval | turns | not solved because of |",
        "|---|---|---:|---:|---|---:|---|",
    ]
    for name, player in dict.fromkeys((row["env"], row["player"]) for row in rows):
        own = [row for row in rows if (row["env"], row["player"]) == (name, player)]
        won = sum(row["success"] for row in own)
        low, high = wilson_interval(won, len(own))
        turns = sum(row["turns"] for row in own) / len(own)
        reasons = Counter(row["stop"] for row in own if not row["success"])
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        share = f"{100 * won / len(own):.1f} %"
        lines.append(
            f"| {name} | {player} | {len(own)} | {share} | {100 * low:.1f} to {100 * high:.1f} % | {turns:.1f} | {why} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Play, write the rows, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--only", nargs="*", default=[], help="names of worlds")
    parser.add_argument("--out", type=Path, default=ROWS)
    given = parser.parse_args(arguments)
    rows = []
    with given.out.open("w", encoding="utf-8") as file:
        for name, player, options in PLAYERS:
            if given.only and name not in given.only:
                continue
            for row in played(name, player, options, given.tasks):
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
    print(table(rows))


if __name__ == "__main__":
    main()
