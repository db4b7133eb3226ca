"""Algorithms on real environments, all from the same cloned policy: does success rise on tasks never trained on?

    python -m benchmarks.learning.real_environments textcraft --work FOLDER
    python -m benchmarks.learning.real_environments desk --work FOLDER --minutes 30

For every seed a tiny policy is cloned from the expert (the recipe's own `[sft]`), and every arm starts from that clone, with
as many episodes per step, as many steps and as many passes over them. Learning rates are chosen first, on one seed that is
not reported, from a grid that is the same for every arm, by success on training tasks. One JSON line per finished run goes
to `docs/results/raw/`, training runs go to FOLDER; a run that was cut off is taken up at its last checkpoint, and lines that
are there are not made again. The page in `docs/results/` is written from the lines alone (`--page`: only that).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RAW = ROOT / "docs" / "results" / "raw"
LAST_STEPS = 6  # training steps at the end of a tuning run whose success is compared


@dataclass(frozen=True)
class Arm:
    """One way to train on from the clone.

    Attributes:
        algorithm: Its name.
        settings: Of its table, beside those of the experiment.
        env: Arguments of the environment that this arm is trained with.
    """

    algorithm: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """What is compared.

    Attributes:
        name: Of the raw file and of the page.
        recipe: File whose environment, model and cloning are used.
        tables: Tables that replace or extend those of the recipe.
        settings: Of every arm's table.
        arms: By name.
        steps: Training steps of a reported run.
        tuning_steps: Training steps of a tuning run.
        rates: Grid of learning rates.
        tuning_seed: Seed of the tuning runs.
        bar: Gain over the clone that is asked for.
    """

    name: str
    recipe: str
    tables: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    arms: Mapping[str, Arm]
    steps: int
    tuning_steps: int
    rates: tuple[float, ...]
    tuning_seed: int = 100
    bar: float | None = None


GROUPS = {"tasks_per_step": 4, "group_size": 8}
SINGLES = {"tasks_per_step": 32, "group_size": 1}
CRITIC = {"lr": 2e-3, "epochs": 3, "warmup_updates": 10, "beta2": 0.95}

TEXTCRAFT = Experiment(
    name="textcraft_algorithms",
    recipe="textcraft_tiny.toml",
    tables={"horizon": {"rounds": [4], "interval": 1}},
    settings={"epochs": 2, "warmup_updates": 10, "beta2": 0.95},
    arms={
        "grpo": Arm("grpo", GROUPS),
        "ppo": Arm("ppo", {**SINGLES, "critic": CRITIC}),
        "vrpo": Arm("vrpo", {**SINGLES, "critic": {**CRITIC, "beta": 1e-3}}),
        "reinforce_pp": Arm("reinforce_pp", SINGLES),
    },
    steps=40,
    tuning_steps=12,
    rates=(1e-3, 3e-3),
    bar=0.10,
)

EXPERIMENTS = {"textcraft": TEXTCRAFT}


class OutOfTime(KeyboardInterrupt):
    """The minutes given are over; what was trained since the last checkpoint is trained again the next time."""


class Runs:
    """The runs of one experiment: makes those that are missing.

    Args:
        experiment: What to run.
        work: Folder of training runs and checkpoints.
        rows: File of the lines.
        deadline: Monotonic second at which to stop.
    """

    def __init__(self, experiment: Experiment, work: Path, rows: Path, deadline: float) -> None:
        """Read what is there."""
        self.experiment = experiment
        self.work = work
        self.path = rows
        self.deadline = deadline
        self.rows = read_rows(rows)
        self._ledger = work / "cpu_seconds.json"
        self._spent: dict[str, float] = json.loads(self._ledger.read_text()) if self._ledger.exists() else {}

    def all(self, seeds: list[int]) -> None:
        """Tune, then run every arm of every seed."""
        experiment = self.experiment
        for lr in experiment.rates:
            for arm in experiment.arms:
                self.tune(arm, lr)
        for seed in seeds:
            self.clone(seed)
            for arm in experiment.arms:
                self.arm(arm, seed, self.best_rate(arm))

    def clone(self, seed: int) -> Path:
        """Clone the policy of a seed; return its folder."""
        from palaestra.algorithms.checkpoint import Checkpoints

        run_id = f"clone-{seed}"
        is_reported = seed != self.experiment.tuning_seed
        found = Checkpoints(self.work / "store" / run_id / "checkpoints" / "sft").latest()
        if found is not None and found.finished and (not is_reported or self._find(kind="clone", seed=seed)):
            return found.policy_path
        data = self._data(seed, {"phases": ["sft"], "evaluation": {"baselines": [], "every": 0}})
        if not is_reported:
            data["evaluation"]["n"] = 1
        result = self._train(data, run_id)
        if is_reported and self._find(kind="clone", seed=seed) is None:
            self._add(
                {"kind": "clone", "arm": "clone", "seed": seed, **_measured(result, "cloned"), "cpu_s": self._cpu(run_id)}
            )
        return Path(result.policy_path)

    def tune(self, arm: str, lr: float) -> None:
        """Make a tuning run, unless its line is there."""
        experiment = self.experiment
        seed = experiment.tuning_seed
        if self._find(kind="tuning", arm=arm, lr=lr):
            return
        data = self._arm_data(arm, seed, lr, experiment.tuning_steps)
        data["evaluation"]["n"] = 1
        run_id = f"tune-{arm}-{lr:g}"
        curve = _curve(self._train(data, run_id).folder)
        success = sum(row["success"] for row in curve[-LAST_STEPS:]) / LAST_STEPS
        row = {"kind": "tuning", "arm": arm, "seed": seed, "lr": lr, "steps": experiment.tuning_steps}
        self._add({**row, "train_success": round(success, 4), "cpu_s": self._cpu(run_id)})

    def best_rate(self, arm: str) -> float:
        """Return the learning rate with the highest success on training tasks; of equals the lowest."""
        rows = [row for row in self.rows if row["kind"] == "tuning" and row["arm"] == arm]
        return float(max(rows, key=lambda row: (row["train_success"], -row["lr"]))["lr"])

    def arm(self, arm: str, seed: int, lr: float) -> None:
        """Train an arm and evaluate it, unless its line is there."""
        if self._find(kind="run", arm=arm, seed=seed):
            return
        data = self._arm_data(arm, seed, lr, self.experiment.steps)
        run_id = f"{arm}-{seed}"
        result = self._train(data, run_id)
        curve = _curve(result.folder)
        row = {"kind": "run", "arm": arm, "seed": seed, "lr": lr, "steps": self.experiment.steps}
        row |= _measured(result, "trained")
        row |= {name: int(curve[-1][f"total_{name}"]) for name in ("env_steps", "sampled_tokens", "no_signal_steps")}
        row["train_success"] = [round(point["success"], 3) for point in curve]
        self._add({**row, "cpu_s": self._cpu(run_id)})

    def _arm_data(self, arm: str, seed: int, lr: float, steps: int) -> dict[str, Any]:
        """Return the recipe of an arm from the clone of a seed."""
        spec = self.experiment.arms[arm]
        changes = {
            "phases": [spec.algorithm],
            "model": {"path": str(self.clone(seed))},
            "env": spec.env,
            "evaluation": {"baselines": [], "every": 0},
            spec.algorithm: {**self.experiment.settings, **spec.settings, "lr": lr, "steps": steps},
        }
        data = self._data(seed, changes)
        data["model"] = changes["model"]
        data[spec.algorithm] = changes[spec.algorithm]
        return data

    def _data(self, seed: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe as plain data, with changes."""
        data = tomllib.loads((ROOT / "recipes" / self.experiment.recipe).read_text(encoding="utf-8"))
        for name, value in [*self.experiment.tables.items(), *changes.items()]:
            data[name] = {**data.get(name, {}), **value} if isinstance(value, Mapping) else value
        return {**data, "name": self.experiment.name, "seed": seed}

    def _train(self, data: Mapping[str, Any], run_id: str) -> Any:
        """Run or take up a training run; count its CPU seconds over all calls."""
        from palaestra.algorithms.recipe import parse_recipe
        from palaestra.algorithms.training import train

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
        return next((row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())), None)

    def _add(self, row: dict[str, Any]) -> None:
        """Keep a line."""
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(
            json.dumps({key: value for key, value in row.items() if key != "train_success" or row["kind"] == "tuning"}),
            flush=True,
        )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the lines of an experiment; none if there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _measured(result: Any, arm: str) -> dict[str, Any]:
    """Return what the test tasks say of an arm."""
    summary = result.arms[arm].summary
    total = summary.total.success
    by_type = {name: [round(group.success.mean, 4), group.num_episodes] for name, group in summary.by_type.items()}
    return {"success": [round(total.mean, 4), round(total.low, 4), round(total.high, 4)], "n": total.n, "by_type": by_type}


def _curve(folder: Path) -> list[dict[str, Any]]:
    """Return the training steps that a run logged."""
    from palaestra.algorithms.metrics import read_metrics

    return [row for row in read_metrics(folder / "metrics.jsonl") if row["step"] > 0]


def main(arguments: list[str] | None = None) -> int:
    """Make the runs that are missing, and the page."""
    parser = argparse.ArgumentParser(description="Algorithms on real environments, from the same clone.")
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--work", type=Path, default=Path("runs") / "real_environments", help="training runs and checkpoints")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; the same command goes on")
    parser.add_argument("--rows", type=Path, help="file of the lines")
    options = parser.parse_args(arguments)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # before torch is loaded
    import palaestra  # noqa: F401  # registers the environments

    experiment = EXPERIMENTS[options.experiment]
    rows = options.rows or RAW / f"{experiment.name}.jsonl"
    work = options.work / experiment.name
    work.mkdir(parents=True, exist_ok=True)
    runs = Runs(experiment, work, rows, time.monotonic() + 60 * options.minutes)
    try:
        runs.all(options.seeds)
    except OutOfTime:
        print("Out of time; the same command goes on.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
