"""How much an episode counts in imitation: given weights, and reward-weighted regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from palaestra.errors import UsageError
from palaestra.types import Trajectory

Baseline = Literal["task", "batch"]


def regression_weights(
    return_: Tensor, task_index: Tensor, *, temperature: float, baseline: Baseline = "task", cap: float = 20.0
) -> Tensor:
    """Weights exp((R - V) / temperature), at most `cap`.

    Args:
        return_: float32 [E]; NaN where an episode has no return, which weighs 0.
        task_index: int64 [E], episodes of one task share a number.
        temperature: How far a return has to lie above V to count e times as much; above 0, units of the return.
        baseline: V is the mean return of the task, or of all episodes.
        cap: Largest weight.

    Returns:
        float32 [E].

    Source: Peters and Schaal 2007, reward-weighted regression; with a baseline and a bound: Peng et al. 2019, AWR
        (arXiv:1910.00177), section 3.2.
    """
    known = ~return_.isnan()
    returns = torch.where(known, return_, 0.0).double()
    _, task = torch.unique(task_index if baseline == "task" else torch.zeros_like(task_index), return_inverse=True)
    size = int(task.max()) + 1 if task.numel() else 0
    counts = torch.zeros(size).double().index_add_(0, task, known.double()).clamp(min=1.0)
    value = (torch.zeros(size).double().index_add_(0, task, returns) / counts)[task]  # [tasks] -> [E]
    # the bound is put on the exponent, so that no weight is infinite on the way
    weights = ((returns - value) / temperature).clamp(max=math.log(cap)).exp().clamp(max=cap)
    return torch.where(known, weights, 0.0).float()


def given_weights(episodes: Sequence[Trajectory]) -> Tensor:
    """Return `meta["weight"]` of each episode, 1 where there is none: float32 [E].

    Raises:
        UsageError: If one is not a finite number, or is below 0.
    """
    weights = []
    for episode in episodes:
        weight = episode.meta.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise UsageError(
                f"Episode {episode.episode_id!r} has weight {weight!r}; expected a finite number from 0, or none at all."
            )
        weights.append(float(weight))
    return torch.tensor(weights, dtype=torch.float32)


def task_index(episodes: Sequence[Trajectory]) -> Tensor:
    """Number the tasks of episodes in order of appearance: int64 [E]; each seat has tasks of its own.

    Episodes without a task belong together by their group, else by their seed; one with neither stands alone.
    """
    numbers: dict[tuple[str, ...], int] = {}
    return torch.tensor([numbers.setdefault(_task_of(episode), len(numbers)) for episode in episodes], dtype=torch.long)


def _task_of(episode: Trajectory) -> tuple[str, ...]:
    """Return the name that episodes of one task share."""
    seed = "" if episode.seed is None else str(episode.seed)
    known = {"key": str(episode.task.get("key", "")), "group": episode.group_id, "seed": seed, "id": episode.episode_id}
    kind, name = next(((kind, name) for kind, name in known.items() if name), ("id", ""))
    return episode.env_id, episode.seat, kind, name


def scaled_to_mean_one(weights: Tensor) -> Tensor:
    """Divide weights by their mean, so that a learning rate means the same with and without them.

    Raises:
        UsageError: If all weights are 0.
    """
    mean = float(weights.mean()) if weights.numel() else 0.0
    if not mean > 0:
        raise UsageError(f"All {weights.numel()} episodes weigh 0; there is nothing to imitate.")
    return weights / mean
