"""How often the intervals hold what they are of, over 10,000 drawn data sets each.

python -m experiments.statistics.coverage > experiments/statistics/coverage.jsonl
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from palaestra.results.statistics import (
    Estimate,
    PairedDifference,
    above_floor,
    mean_interval,
    noise_corrected,
    paired_rates,
    rate_estimate,
)

REPEATS = 10_000
Draw = Callable[[np.random.Generator], tuple[Estimate | PairedDifference, float]]


def rate_of(rng: np.random.Generator, n: int, rate: float) -> Estimate:
    solved = int(rng.binomial(n, rate))
    return rate_estimate([[1.0]] * solved + [[0.0]] * (n - solved))


def alone(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Estimate, float]:
        rate = rng.uniform()
        return rate_of(rng, n, rate), rate

    return draw


def clustered(tasks: int, samples: int) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Estimate, float]:
        rate, likeness = rng.uniform(size=2)
        total = (1 - likeness) / likeness
        solved = rng.binomial(samples, rng.beta(rate * total, (1 - rate) * total, size=tasks))
        return rate_estimate([[1.0] * k + [0.0] * (samples - k) for k in map(int, solved)]), rate

    return draw


def mean(sizes: tuple[int, ...]) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Estimate, float]:
        return mean_interval([(rng.normal() * 0.5 + rng.normal(size=size)).tolist() for size in sizes]), 0.0

    return draw


def paired(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[PairedDifference, float]:
        cells = rng.dirichlet([1, 1, 1, 1])
        drawn = rng.choice(4, size=n, p=cells)
        found = paired_rates([[float(x < 2)] for x in drawn], [[float(x % 2 == 0)] for x in drawn])
        return found, float(cells[1] - cells[2])

    return draw


def floored(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Estimate, float]:
        rate, floor = rng.uniform(), rng.uniform(0, 0.5)
        return above_floor(rate_of(rng, n, rate), rate_of(rng, 100, floor)), rate - floor

    return draw


def graded(n: int) -> Draw:
    def draw(rng: np.random.Generator) -> tuple[Estimate, float]:
        true, se, sp = rng.uniform(), rng.uniform(0.75, 1), rng.uniform(0.75, 1)
        seen = rate_of(rng, n, true * se + (1 - true) * (1 - sp))
        return noise_corrected(seen, (rng.binomial(60, se) / 60, 60), (rng.binomial(60, sp) / 60, 60)), true

    return draw


CASES: dict[str, Draw] = {
    **{f"rate, {n} tasks": alone(n) for n in (1, 2, 3, 5, 10, 30, 100)},
    **{f"rate, {g} tasks x {k}": clustered(g, k) for g, k in ((1, 4), (2, 4), (3, 16), (5, 4), (10, 16), (30, 4), (100, 8))},
    **{f"mean, clusters {sizes}": mean(sizes) for sizes in ((1, 1), (1, 1, 1), (4, 4, 4), (1, 2, 3, 4), (1, 1, 1, 9))},
    **{f"difference of rates, {n} tasks": paired(n) for n in (2, 3, 5, 10, 30, 100)},
    **{f"above a measured floor, {n} tasks": floored(n) for n in (5, 20, 100)},
    **{f"behind a grader, {n} tasks": graded(n) for n in (20, 100)},
}


def main() -> None:
    for name, draw in CASES.items():
        rng = np.random.default_rng(0)
        found = [draw(rng) for _ in range(REPEATS)]
        held = sum(one.low <= true <= one.high for one, true in found) / REPEATS
        print(json.dumps({"case": name, "held": held, "repeats": REPEATS}), flush=True)


if __name__ == "__main__":
    main()
