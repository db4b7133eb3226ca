"""The demo over several seeds: what does GRPO add to its clone, and what does more cloning for the same CPU time?

    python -m experiments.demo.run --work FOLDER --seeds 3 4 5 6 7

Runs `recipes/demo.toml` once per seed. One JSON line per finished run goes to `rows.jsonl` in this folder; training runs go to
FOLDER, where a run that was cut off resumes at its last checkpoint, and lines that are there are not made again. `README.md`
and `curves.png` are written from the lines alone (`--only-page`: nothing else).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common.rows import append_row, find_row, folder_of, read_rows
from experiments.common.threads import one_thread

CLOSED = ("Could not execute", "Wrong item format", "Your answer was cut off")
"""How TextCraft's answer to a turn begins that is not one of its commands; other refusals name what cannot be had or made."""

KEPT = ("success", "entropy_sampled", "kl_reference", "groups_equal", "invalid_actions")
"""Metrics of training steps that a line keeps, in addition to success by type of task."""

MEANT = 5  # training steps whose mean is one point of a line


def main(arguments: list[str] | None = None) -> int:
    """Run the seeds that are missing, then write the page."""
    parser = argparse.ArgumentParser(description="The demo over several seeds.")
    parser.add_argument("--work", type=Path, default=Path("runs") / "experiments", help="training runs and checkpoints")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5, 6, 7])
    parser.add_argument("--recipe", default="demo", help="name or path; another one needs rows of its own")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--rows", type=Path, default=folder_of("demo") / "rows.jsonl")
    parser.add_argument("--only-page", action="store_true", help="run nothing")
    parser.add_argument("--no-page", action="store_true", help="write no page, where several processes run seeds")
    options = parser.parse_args(arguments)
    one_thread()  # before torch is loaded
    for seed in [] if options.only_page else options.seeds:
        if find_row(read_rows(options.rows), seed=seed) is None:
            row = run_seed(seed, options.recipe, options.overrides, options.work)
            append_row(options.rows, row)
            print(json.dumps({"seed": seed, "success": {arm: rate(found) for arm, found in row["arms"].items()}}), flush=True)
    if not options.no_page:
        from experiments.demo.page import write

        write(options.rows.parent, read_rows(options.rows))
    return 0


def run_seed(seed: int, recipe: str, overrides: Sequence[str], work: Path) -> dict[str, Any]:
    """Run the recipe with a seed, or resume it, and return its line."""
    import palaestra
    from palaestra.agents.store.store import RunStore
    from palaestra.algorithms.run.metrics import read_metrics

    result = palaestra.train(recipe, overrides=[*overrides, f"seed={seed}"], store=work / "demo", run_id=f"seed-{seed}")
    metrics = read_metrics(result.folder / "metrics.jsonl")
    with RunStore(work / "demo", read_only=True) as store:
        goals = {arm: store.config(found.run_id)["clusters"]["of"] for arm, found in result.arms.items()}
        arms = {arm: played(store.trajectories(found.run_id), goals[arm]) for arm, found in result.arms.items()}
    for arm, seconds in result.train_cpu_s.items():
        arms[arm]["train_cpu_s"] = round(seconds, 1)
    return {"seed": seed, "arms": arms, "phases": phases(metrics)}


def played(trajectories: Iterable[Any], goals: Mapping[str, str]) -> dict[str, Any]:
    """Return what the episodes of an arm show.

    Args:
        trajectories: All without an error.
        goals: Goal of each task, by its key.

    Returns:
        `solved`: by type and goal, solved and played episodes. `turns`: by type, all turns, those that were refused, and of
        these the ones that are not a command.
    """
    solved: dict[str, dict[str, list[int]]] = {}
    turns: dict[str, list[int]] = {}
    for trajectory in trajectories:
        assert trajectory.outcome.error is None, trajectory.outcome.error
        kind, goal = trajectory.task["type"], json.loads(goals[trajectory.task["key"]])
        cell = solved.setdefault(kind, {}).setdefault(goal, [0, 0])
        cell[0] += bool(trajectory.outcome.success)
        cell[1] += 1
        count = turns.setdefault(kind, [0, 0, 0])
        for step in trajectory.steps:
            problem = step.info.get("action_error") or ""
            count[0] += 1
            count[1] += bool(problem)
            count[2] += problem.startswith(CLOSED)
    return {"solved": solved, "turns": turns}


def phases(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return, by phase, its learning curve on test tasks, means of its training steps, and the alarms that rang.

    `test` has points [step, CPU seconds of the phase, success, ...by type], `train` means over five steps of what `KEPT` names
    and of success by type, `alarms` the first step of each and how many steps it rang.
    """
    found: dict[str, Any] = {}
    for phase in dict.fromkeys(row["phase"] for row in metrics):
        rows = [row for row in metrics if row["phase"] == phase and row["step"] > 0]
        points = [row for row in rows if "test_success" in row]
        types = sorted(name for row in points[:1] for name in row if name.startswith("test_success.type."))
        rung = Counter(name for row in rows for name, value in row.items() if name.startswith("alarm_") and value)
        found[phase] = {
            "steps": len(rows),
            "test": [[row["step"], row["seconds_cpu"], *(row[name] for name in ("test_success", *types))] for row in points],
            "alarms": {
                name: [next(row["step"] for row in rows if row.get(name)), count] for name, count in sorted(rung.items())
            },
        }
        if rows and "success" in rows[0]:
            names = [*KEPT, *sorted(name for name in rows[0] if name.startswith("success.type."))]
            parts = [rows[first : first + MEANT] for first in range(0, len(rows), MEANT)]
            found[phase]["train"] = {name: [_mean(part, name) for part in parts] for name in names}
    return rounded(found)


def rate(arm: Mapping[str, Any]) -> float:
    """Share of solved episodes of an arm."""
    cells = [cell for goals in arm["solved"].values() for cell in goals.values()]
    return round(sum(solved for solved, _ in cells) / sum(count for _, count in cells), 4)


def rounded(value: Any) -> Any:
    """Return plain data with four digits behind the point."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Mean of a metric over the steps that have it; None if none has."""
    values = [row[name] for row in rows if row.get(name) is not None]
    return sum(values) / len(values) if values else None


if __name__ == "__main__":
    sys.exit(main())
