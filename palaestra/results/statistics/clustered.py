"""The interval of a rate from several samples of each task, when how much tasks differ is not known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CELLS = 96
_LIKENESSES = 16
_FADED = 1e-5


def beta_binomial_interval(sizes: Sequence[int], solved: Sequence[int], confidence: float) -> tuple[float, float]:
    """Return the interval of the mean rate of tasks whose own rates follow a beta distribution.

    Both the mean and the likeness of two samples of a task (their correlation) are unknown, each with a uniform prior; the
    ends leave the same probability on either side. Over rates and likenesses that are drawn uniformly the coverage is
    therefore exactly the confidence, whatever the number of tasks and samples. No variance is estimated from few tasks.

    Args:
        sizes: Samples of each task, at least 1.
        solved: Those of them that were solved.
        confidence: Coverage.

    Source: the beta-binomial model of Skellam 1948, "A probability distribution derived from the binomial distribution by
    regarding the probability of success as variable between the sets of trials", JRSS B 10; coverage of equal-tailed
    posterior intervals over the prior: Rubin & Schenker 1986, "Efficiently simulating the coverage properties of interval
    estimates", Applied Statistics 35.
    """
    trials, wins = np.asarray(sizes), np.asarray(solved)
    counts = [tuple(int((values > i).sum()) for values in (wins, trials - wins, trials)) for i in range(int(trials.max()))]
    low, high = 0.0, 1.0
    for _ in range(12):
        step = (high - low) / _CELLS
        weights = _posterior(low + step * (np.arange(_CELLS) + 0.5), counts)
        kept = np.flatnonzero(weights > _FADED * weights.max())
        if len(kept) > _CELLS // 3:
            break
        low, high = max(0.0, low + step * (kept[0] - 1)), min(1.0, low + step * (kept[-1] + 2))
    cumulated = np.concatenate(([0.0], np.cumsum(weights))) / weights.sum()
    tail = (1 - confidence) / 2
    ends = np.interp((tail, 1 - tail), cumulated, low + step * np.arange(_CELLS + 1))
    return float(ends[0]), float(ends[1])


def _posterior(rates: np.ndarray, counts: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return the posterior of mean rates, up to a factor, summed over likenesses from 0 to 1."""
    likeness = (np.arange(_LIKENESSES) + 0.5) / _LIKENESSES
    total = (1 - likeness) / likeness
    solved, failed = rates[:, None] * total, (1 - rates)[:, None] * total
    found = np.zeros((len(rates), _LIKENESSES))
    for i, (num_solved, num_failed, num_trials) in enumerate(counts):
        found += num_solved * np.log(solved + i) + num_failed * np.log(failed + i) - num_trials * np.log(total + i)
    weights: np.ndarray = np.exp(found - found.max()).sum(axis=1)
    return weights


__all__ = ["beta_binomial_interval"]
