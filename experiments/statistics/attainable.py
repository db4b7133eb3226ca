"""How near to 95 % any interval of a rate can be, since counts have few values.

python -m experiments.statistics.attainable > experiments/statistics/attainable.jsonl

An interval that is not randomised holds a rate for a set of counts. At one rate its coverage is therefore the chance of some
run of counts, of which there are few: `possible` is the share of rates (uniform) at which any run has a chance of 94.5 to
95.5 %, `nearest` the mean distance from 95 % of the run that is nearest. Averages over rates have no such limit: `hpd` is the
interval of highest density after a uniform prior, which holds 95 % on average by construction, with its least coverage and its
mean width.
"""

from __future__ import annotations

import json

import numpy as np
from scipy import optimize, stats

from palaestra.results.statistics import wilson_interval

NUMBERS = (1, 2, 3, 5, 10, 30, 100)
RATES = (np.arange(2_000) + 0.5) / 2_000


def nearest(n: int) -> np.ndarray:
    """Return at each rate how far from 95 % the chance of the nearest run of counts is."""
    below = stats.binom.cdf(np.arange(-1, n + 1)[:, None], n, RATES)
    best = np.ones(len(RATES))
    for first in range(n + 1):
        best = np.minimum(best, np.abs(below[first + 1 :] - below[first] - 0.95).min(axis=0))
    return best


def highest_density(solved: int, n: int) -> tuple[float, float]:
    """Return the shortest interval that has 95 % of the distribution of a rate after a uniform prior."""
    after = stats.beta(solved + 1, n - solved + 1)
    if solved == 0:
        return 0.0, float(after.ppf(0.95))
    if solved == n:
        return float(after.ppf(0.05)), 1.0
    below = optimize.minimize_scalar(
        lambda tail: after.ppf(tail + 0.95) - after.ppf(tail), bounds=(0, 0.05), method="bounded", options={"xatol": 1e-10}
    ).x
    return float(after.ppf(below)), float(after.ppf(below + 0.95))


def held(ends: list[tuple[float, float]], n: int) -> dict[str, float]:
    """Return the coverage of an interval on average and at its worst rate, and its mean width."""
    average = np.mean([np.diff(stats.beta.cdf(pair, k + 1, n - k + 1))[0] for k, pair in enumerate(ends)])
    at = sum(stats.binom.pmf(k, n, RATES) * ((low <= RATES) & (high >= RATES)) for k, (low, high) in enumerate(ends))
    near = (np.abs(at - 0.95) <= 0.005).mean()
    width = float(np.mean([high - low for low, high in ends]))
    return {"held": float(average), "least": float(np.min(at)), "near": float(near), "width": width}


def main() -> None:
    for n in NUMBERS:
        gaps = nearest(n)
        row = {
            "tasks": n,
            "possible": float((gaps <= 0.005).mean()),
            "nearest": float(gaps.mean()),
            "wilson": held([wilson_interval(k, n) for k in range(n + 1)], n),
            "hpd": held([highest_density(k, n) for k in range(n + 1)], n),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
