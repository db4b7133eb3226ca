"""Algorithms on real environments, all from the same cloned policy: does success rise on tasks never trained on?

    python -m experiments.textcraft_algorithms.run --work FOLDER
    python -m experiments.textcraft_horizons.run --work FOLDER --seeds 0 1 2 3 4
    python -m experiments.desk_algorithms.run --work FOLDER --minutes 30

For every seed a tiny policy is cloned from the expert (the recipe's own `[sft]`), and every arm starts from that clone, with
as many episodes per step, as many steps (or turns, where horizons differ) and as many passes over them. Learning rates are
chosen first, on one seed that is not reported, from a grid that is the same for every arm, by success on training tasks. One
JSON line per finished run goes to `rows.jsonl` in the folder of the claim, training runs go to FOLDER; a run that was cut
off resumes at its last checkpoint, and lines that are there are not made again. The claim's `README.md` is written from the
lines alone (`--only-page`: nothing else).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common.comparison import Experiment
from experiments.common.rows import append_row, find_row, folder_of, read_rows
from experiments.common.threads import one_thread
from palaestra.errors import UsageError

ROOT = Path(__file__).parents[2]
_OF_A_PHASE = ("algorithm", "name", "start_from", "evaluate_every")
LAST_STEPS = 6  # training steps at the end of a tuning run whose success is compared


class OutOfTime(KeyboardInterrupt):
    """The minutes given are over; what was trained since the last checkpoint is trained again the next time."""


class Runs:
    """The runs of one experiment: makes those that are missing.

    Args:
        experiment: What to run.
        work: Folder of training runs and checkpoints.
        rows: File of the lines.
        deadline: Monotonic second at which to stop.
        steps: Training steps of a run, if not the experiment's.
    """

    def __init__(self, experiment: Experiment, work: Path, rows: Path, deadline: float, *, steps: int | None = None) -> None:
        """Read what is there."""
        self.steps = steps or experiment.steps
        self.experiment = experiment
        self.work = work
        self.path = rows
        self.deadline = deadline
        self.rows = read_rows(rows)
        self._ledger = work / "cpu_seconds.json"
        self._spent: dict[str, float] = json.loads(self._ledger.read_text()) if self._ledger.exists() else {}

    def all(self, seeds: list[int], *, tuned: bool) -> None:
        """Tune if asked for, then run every arm of every seed."""
        experiment = self.experiment
        if tuned and len(experiment.rates) > 1:
            for lr in experiment.rates:
                for arm in experiment.arms:
                    self.tune(arm, lr)
        for seed in seeds:
            if self._find(kind="clone", seed=seed) is None:
                self.clone(seed)  # else only if an arm still needs it
            for arm in experiment.arms:
                self.arm(arm, seed, chosen_rate(experiment, self.rows, arm))

    def clone(self, seed: int) -> Path:
        """Clone the policy of a seed; return its folder."""
        from palaestra.algorithms.run.checkpoint import Checkpoints

        run_id = f"clone-{seed}"
        is_reported = seed != self.experiment.tuning_seed
        found = Checkpoints(self.work / "store" / run_id / "checkpoints" / "sft").latest()
        if found is not None and found.finished and (not is_reported or self._find(kind="clone", seed=seed)):
            return found.policy_path
        data = self._data(seed, {"phases": ["sft"], "evaluation": {"baselines": [], "every": 0}})
        if not is_reported:
            data["evaluation"]["n"] = 1
        result = self._train(data, run_id)
        if not is_reported:
            return Path(result.policy_path)
        measured = _measured(result, "cloned")
        known = self._find(kind="clone", seed=seed)
        if known is None:
            self._add({"kind": "clone", "arm": "clone", "seed": seed, **measured, "cpu_s": self._cpu(run_id)})
        elif known["success"] != measured["success"]:
            raise UsageError(
                f"The clone of seed {seed} solves {measured['success'][0]:.1%} of the test tasks, that of the lines in "
                f"{self.path} {known['success'][0]:.1%}: gains over it would mean nothing. Begin another file with --rows."
            )
        return Path(result.policy_path)

    def tune(self, arm: str, lr: float) -> None:
        """Make a tuning run, unless its line is there."""
        experiment = self.experiment
        seed = experiment.tuning_seed
        if self._find(kind="tuning", arm=arm, lr=lr, steps=experiment.tuning_steps):
            return
        data = self._arm_data(arm, seed, lr, experiment.tuning_steps)
        data["evaluation"]["n"] = 1
        run_id = f"tune-{arm}-{lr:g}-{experiment.tuning_steps}"
        curve = _curve(self._train(data, run_id).folder)
        success = sum(row["success"] for row in curve[-LAST_STEPS:]) / LAST_STEPS
        row = {"kind": "tuning", "arm": arm, "seed": seed, "lr": lr, "steps": experiment.tuning_steps}
        self._add({**row, "train_success": round(success, 4), "cpu_s": self._cpu(run_id)})

    def arm(self, arm: str, seed: int, lr: float) -> None:
        """Train an arm and evaluate it, unless its line is there."""
        from palaestra.algorithms.run.registry import get_algorithm

        steps = self.experiment.arms[arm].steps or self.steps
        if self._find(kind="run", arm=arm, seed=seed, lr=lr, steps=steps):
            return
        data = self._arm_data(arm, seed, lr, steps)
        run_id = f"{arm}-{seed}-{lr:g}-{steps}"
        result = self._train(data, run_id)
        curve = _curve(result.folder)
        row = {"kind": "run", "arm": arm, "seed": seed, "lr": lr, "steps": steps}
        row |= _measured(result, get_algorithm(self.experiment.arms[arm].algorithm).arm)
        row |= {name: int(curve[-1].get(f"total_{name}", 0)) for name in ("env_steps", "sampled_tokens", "no_signal_steps")}
        row |= {"updates": len(curve), "train_success": [round(point["success"], 3) for point in curve if "success" in point]}
        if self.experiment.env_steps is not None:
            points = [(int(point["total_env_steps"]), point.get("test_success")) for point in curve]
            row["test_curve"] = [[turns, round(success, 4)] for turns, success in points if success is not None]
        self._add({**row, "cpu_s": self._cpu(run_id)})

    def _arm_data(self, arm: str, seed: int, lr: float, steps: int) -> dict[str, Any]:
        """Return the recipe of an arm from the clone of a seed."""
        spec = self.experiment.arms[arm]
        settings = {**self.experiment.settings, **spec.settings, "lr": lr, "steps": steps}
        if self.experiment.env_steps is not None:
            settings["max_env_steps"] = self.experiment.env_steps
        changes = {**spec.tables, "phases": [spec.algorithm]}
        changes["evaluation"] = {"baselines": [], "every": 0, **spec.tables.get("evaluation", {})}
        data = self._data(seed, changes)
        data["model"] = {"path": str(self.clone(seed))}
        if spec.algorithm == "sft":
            settings = {**data["sft"], **spec.settings, "lr": lr, "max_updates": steps}
        if self.experiment.tasks_apart is not None:
            data["first_task"] += data["sft"]["episodes"]  # behind those that were cloned
        data[spec.algorithm] = settings
        return data

    def _data(self, seed: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe as plain data, with changes."""
        data = _by_algorithm(tomllib.loads((ROOT / "recipes" / self.experiment.recipe).read_text(encoding="utf-8")))
        for name, value in [*self.experiment.tables.items(), *changes.items()]:
            data[name] = {**data.get(name, {}), **value} if isinstance(value, Mapping) else value
        if self.experiment.tasks_apart is not None:
            data["first_task"] = seed * self.experiment.tasks_apart
        return {**data, "name": self.experiment.name, "seed": seed}

    def _train(self, data: Mapping[str, Any], run_id: str) -> Any:
        """Run or take up a training run; count its CPU seconds over all calls."""
        from palaestra.algorithms.run.recipe import parse_recipe
        from palaestra.algorithms.run.training import train

        if time.monotonic() > self.deadline:
            raise OutOfTime
        mark = time.process_time()

        def progress(event: object) -> None:
            nonlocal mark
            now = time.process_time()
            if now - mark > 2 or event is None:
                self._spent[run_id] = self._spent.get(run_id, 0.0) + now - mark
                mark = now
                self._ledger.write_text(json.dumps(self._spent))
            if time.monotonic() > self.deadline:
                raise OutOfTime

        result = train(parse_recipe(data), store=self.work / "store", run_id=run_id, progress=progress)
        progress(None)
        return result

    def _cpu(self, run_id: str) -> int:
        return round(self._spent.get(run_id, 0.0))

    def _find(self, **wanted: object) -> dict[str, Any] | None:
        return find_row(self.rows, **wanted)

    def _add(self, row: dict[str, Any]) -> None:
        """Keep a line."""
        self.rows.append(row)
        append_row(self.path, row)
        print(
            json.dumps({key: value for key, value in row.items() if key != "train_success" or row["kind"] == "tuning"}),
            flush=True,
        )


def chosen_rate(experiment: Experiment, rows: list[dict[str, Any]], arm: str) -> float:
    """Return the learning rate of an arm: the tuned one once the whole grid is there, so that no arm has more of it.

    Of rates with equal success the lower one is taken.
    """
    own = experiment.arms[arm].lr
    if own is not None:
        return own
    tuning = [row for row in rows if row["kind"] == "tuning" and row["steps"] == experiment.tuning_steps]
    if len({(row["arm"], row["lr"]) for row in tuning}) < len(experiment.arms) * len(experiment.rates):
        return experiment.rates[0]
    mine = [row for row in tuning if row["arm"] == arm]
    return float(max(mine, key=lambda row: (row["train_success"], -row["lr"]))["lr"])


def written_page(experiment: Experiment, rows: list[dict[str, Any]], seeds: list[int]) -> str:
    """Return the page of an experiment."""
    from experiments.common.from_clones_page import page

    rates = {arm: chosen_rate(experiment, rows, arm) for arm in experiment.arms}
    command = f"python -m experiments.{experiment.name}.run --seeds {' '.join(map(str, seeds))}"
    return page(experiment, command=command, rows=rows, rates=rates, seeds=seeds)


def _by_algorithm(data: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe with a table for each algorithm, in place of `[[phase]]`; of two phases of one, the first."""
    for phase in data.pop("phase", ()):
        data.setdefault(phase["algorithm"], {name: value for name, value in phase.items() if name not in _OF_A_PHASE})
    return data


def _measured(result: Any, arm: str) -> dict[str, Any]:
    """Return what the test tasks say of an arm."""
    summary = result.arms[arm].summary
    total = summary.total.success
    by_type = {name: [round(group.success.mean, 4), group.num_episodes] for name, group in summary.by_type.items()}
    found = {"success": [round(total.mean, 4), round(total.low, 4), round(total.high, 4)], "n": total.n, "by_type": by_type}
    if metrics := summary.total.metrics:
        found["metrics"] = {name: [round(one.mean, 4), round(one.low, 4), round(one.high, 4)] for name, one in metrics.items()}
    return found


def _curve(folder: Path) -> list[dict[str, Any]]:
    """Return the training steps that a run logged."""
    from palaestra.algorithms.run.metrics import read_metrics

    return [row for row in read_metrics(folder / "metrics.jsonl") if row["step"] > 0]


def main(experiment: Experiment, arguments: list[str] | None = None) -> int:
    """Make the runs that are missing, and the page."""
    parser = argparse.ArgumentParser(description=experiment.title)
    parser.add_argument("--work", type=Path, default=Path("runs") / "experiments", help="training runs and checkpoints")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="training steps of a run, if not the experiment's; a section of its own")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; the same command goes on")
    parser.add_argument("--untuned", action="store_true", help="take the default learning rate unless the grid is complete")
    parser.add_argument("--rows", type=Path, help="file of the lines")
    parser.add_argument("--page", type=Path, help="file of the page; README.md next to the lines by default")
    parser.add_argument("--only-page", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    one_thread()  # before torch is loaded
    import palaestra  # noqa: F401  # registers the environments

    rows = options.rows or folder_of(experiment.name) / "rows.jsonl"
    if not options.only_page:
        work = options.work / experiment.name
        work.mkdir(parents=True, exist_ok=True)
        runs = Runs(experiment, work, rows, time.monotonic() + 60 * options.minutes, steps=options.steps)
        try:
            runs.all(options.seeds, tuned=not options.untuned)
        except OutOfTime:
            print("Out of time; the same command goes on.", flush=True)
    place = options.page or rows.parent / "README.md"
    place.write_text(written_page(experiment, read_rows(rows), options.seeds), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
