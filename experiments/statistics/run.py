"""False alarms, power and tasks of the sequential comparison, next to a plan of fixed size.

python -m experiments.statistics.run > experiments/statistics/rows.jsonl
"""

from __future__ import annotations

import json

import numpy as np

from palaestra.results.statistics.sequential import SequentialComparison
from palaestra.results.statistics.variance import tasks_needed

REPEATS = 400


def stopped(seed: int, difference: float, flips: float, true: float, power: float, most: int) -> tuple[str, int, bool]:
    """Return the decision, the tasks that it took, and whether the interval holds the true difference."""
    rng = np.random.default_rng(seed)
    chances = [(flips + true) / 2, (flips - true) / 2, 1 - flips]
    test = SequentialComparison(difference, power=power)
    for value in rng.choice([1.0, -1.0, 0.0], size=most, p=chances):
        if test.add(value):
            break
    found = test.interval()
    return test.decision, test.num_tasks, found.low <= true <= found.high


def row(difference: float, flips: float, true: float, power: float, repeats: int = REPEATS) -> dict[str, float]:
    """Return one row: what share was decided how, and the mean number of tasks next to the fixed plan."""
    fixed = tasks_needed(difference, flips - difference**2, power=power)
    runs = [stopped(seed, difference, flips, true, power, 4 * fixed) for seed in range(repeats)]
    shares = {name: sum(run[0] == name for run in runs) / repeats for name in ("better", "worse", "not better", "")}
    tasks = sum(run[1] for run in runs) / repeats
    return {
        "difference": difference,
        "flips": flips,
        "true": true,
        "power": power,
        "fixed": fixed,
        "tasks": tasks,
        "saved": 1 - tasks / fixed,
        **{name or "undecided": share for name, share in shares.items()},
        "holds": sum(run[2] for run in runs) / repeats,
    }


def main() -> None:
    """Print all rows."""
    for difference, flips in ((0.05, 0.2), (0.1, 0.3), (0.1, 0.5)):
        for power in (0.8, 0.9):
            for times in (-1, 0, 0.5, 1, 1.5, 2):
                print(json.dumps(row(difference, flips, times * difference, power)), flush=True)


if __name__ == "__main__":
    main()
