"""Advantage estimators: pure functions from returns to advantages, without gradient, in float32.

Group baselines compare the G episodes of one task and seed with each other. Episodes that ended in an error carry a NaN
return: they are left out of every mean and spread, and their own advantage is 0. Filters and shaping of episode scores
(zero-variance groups, overlong episodes, known label noise) stand here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Spread = Literal["group", "batch", "none"]


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """What the groups of a batch have to say.

    Attributes:
        num_groups: Groups with at least one scored episode.
        num_dropped: Groups in which every episode ended in an error.
        num_single: Groups with exactly one scored episode: no baseline, advantage 0.
        num_equal: Groups of two or more whose returns are all equal: no signal.
        within_std: Mean over groups of two or more of the sample standard deviation, return units; 0 without any.
    """

    num_groups: int
    num_dropped: int
    num_single: int
    num_equal: int
    within_std: float

    @property
    def has_signal(self) -> bool:
        """Whether any group can tell better from worse."""
        return self.num_groups > self.num_single + self.num_equal


def grpo_advantages(
    return_: Tensor, group_index: Tensor, *, std: Spread = "group", eps: float = 1e-4, ddof: int = 1
) -> Tensor:
    """Advantage of each episode over the mean of its group, in units of the spread.

    Args:
        return_: Shape (E,), NaN for episodes without a score.
        group_index: Shape (E,), int64, number of the group.
        std: Divide by the spread of the "group", of the whole "batch", or by nothing ("none" is Dr.GRPO).
        eps: Added to the standard deviation, return units.
        ddof: 1 for the sample standard deviation (default), 0 for that of the population.

    Returns:
        Shape (E,); exactly 0 for errors, for groups of one, and for groups whose returns are all equal.

    Source: Shao et al. 2024, DeepSeekMath (arXiv:2402.03300), section 4.1; Liu et al. 2025, Dr.GRPO (arXiv:2503.20783).
    """
    return_ = return_.detach().float()
    groups = _tally(return_, group_index)
    centred = groups.centred  # [E]
    if std == "group":
        centred = centred / (groups.std(ddof)[groups.group] + eps)  # [N] -> [E]
    elif std == "batch":
        scored = return_[groups.scored]
        centred = centred / ((scored.std(correction=ddof) if scored.numel() > ddof else 0.0) + eps)
    return torch.where(groups.is_mixed[groups.group], centred, 0.0).float()  # [E]


def rloo_advantages(return_: Tensor, group_index: Tensor) -> Tensor:
    """Advantage of each episode over the mean of the *other* members of its group.

    Args:
        return_: Shape (E,), NaN for episodes without a score.
        group_index: Shape (E,), int64.

    Returns:
        Shape (E,); exactly 0 for errors, groups of one, and groups of equal returns.

    Source: Ahmadian et al. 2024, RLOO (arXiv:2402.14740).
    """
    groups = _tally(return_.detach().float(), group_index)
    scale = groups.count / (groups.count - 1).clamp(min=1)  # R - mean of the others, in one pass
    return torch.where(groups.is_mixed[groups.group], groups.centred * scale[groups.group], 0.0).float()


def group_statistics(return_: Tensor, group_index: Tensor) -> GroupStatistics:
    """Count groups by what they can teach.

    Args:
        return_: Shape (E,), NaN for episodes without a score.
        group_index: Shape (E,), int64.
    """
    groups = _tally(return_.detach().float(), group_index)
    several = groups.count > 1
    return GroupStatistics(
        num_groups=int((groups.count > 0).sum()),
        num_dropped=int((groups.count == 0).sum()),
        num_single=int((groups.count == 1).sum()),
        num_equal=int((several & ~groups.is_mixed).sum()),
        within_std=float(groups.std(1)[several].mean()) if bool(several.any()) else 0.0,
    )


def mixed_groups(return_: Tensor, group_index: Tensor) -> Tensor:
    """Mark the episodes of groups whose returns differ (dynamic sampling keeps only these).

    Returns:
        bool (E,); False also for episodes without a score.

    Source: Yu et al. 2025, DAPO (arXiv:2503.14476), section 3.2.
    """
    groups = _tally(return_.detach().float(), group_index)
    return groups.is_mixed[groups.group] & groups.scored


def most_uncertain_groups(return_: Tensor, group_index: Tensor, *, share: float = 0.25) -> Tensor:
    """Mark the episodes of the groups with the widest spread of returns.

    Args:
        return_: Shape (E,), NaN for episodes without a score.
        group_index: Shape (E,), int64.
        share: Share of the groups to keep, in (0, 1]; at least one group is kept.

    Returns:
        bool (E,).

    Source: Wang et al. 2025, RAGEN/StarPO-S (arXiv:2504.20073); 25 % as there.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; expected a number above 0 and at most 1.")
    groups = _tally(return_.detach().float(), group_index)
    several = torch.nonzero(groups.count > 1).squeeze(1)
    # stable: of equally wide groups the first ones, on every platform
    order = groups.std(1)[several].argsort(descending=True, stable=True)
    chosen = torch.zeros(groups.count.shape, dtype=torch.bool)
    chosen[several[order[: max(1, round(share * len(several)))]]] = True  # [N]
    return chosen[groups.group] & groups.scored


def overlong_penalty(num_tokens: Tensor, *, limit: int, buffer: int) -> Tensor:
    """Penalty for episodes that come near the token limit: 0, falling to -1 over the last `buffer` tokens.

    Args:
        num_tokens: Sampled tokens by episode, any shape.
        limit: Length at and beyond which the penalty is -1.
        buffer: Tokens before the limit over which it falls.

    Source: Yu et al. 2025, DAPO (arXiv:2503.14476), equation 13.
    """
    return ((limit - buffer - num_tokens.float()) / buffer).clamp(-1.0, 0.0)


def debias_scores(score: Tensor, *, false_positive: float, false_negative: float) -> Tensor:
    """Undo known label noise of 0/1 scores in expectation: (s - r+) / (1 - r+ - r-).

    Args:
        score: Noisy scores, any shape.
        false_positive: Probability that a failure is scored 1.
        false_negative: Probability that a success is scored 0.

    Raises:
        ValueError: If the two rates add up to 1 or more: nothing is left to recover.
    """
    signal = 1.0 - false_positive - false_negative
    if signal <= 0:
        raise ValueError(f"The noise rates add up to {1.0 - signal:g}; expected less than 1.")
    return (score - false_positive) / signal


@dataclass(frozen=True, slots=True)
class _Tally:
    """The groups of E episodes, N of them, in one pass over the batch; sums in float64.

    Attributes:
        group: int64 [E], number of the episode's group, from 0.
        scored: bool [E], the episode has a return.
        count: float64 [N], scored episodes.
        centred: float64 [E], return less the mean of its group; 0 without a return.
        is_mixed: bool [N], scored episodes whose returns differ. Equal ones are known as such rather than by a spread near
            0, so that rounding leaves no tiny signal behind.
    """

    group: Tensor
    scored: Tensor
    count: Tensor
    centred: Tensor
    is_mixed: Tensor

    def std(self, ddof: int) -> Tensor:
        """Standard deviation of each group, float64 [N]; 0 for groups of one."""
        squares = torch.zeros_like(self.count).index_add_(0, self.group, self.centred.square())
        return (squares / (self.count - ddof).clamp(min=1)).sqrt() * self.is_mixed


def _tally(return_: Tensor, group_index: Tensor) -> _Tally:
    """Sort returns, NaN for none, by group."""
    numbers, group = torch.unique(group_index, return_inverse=True)
    scored = ~return_.isnan()
    values = torch.where(scored, return_, 0.0).double()  # [E]; the NaN of an error would spoil its whole group

    def total(per_episode: Tensor) -> Tensor:
        return torch.zeros(len(numbers), dtype=torch.float64).index_add_(0, group, per_episode)

    count = total(scored.double())  # [N]
    mean = total(values) / count.clamp(min=1)  # [N]
    lowest = torch.full((len(numbers),), torch.inf).scatter_reduce_(0, group[scored], return_[scored], "amin")
    highest = torch.full((len(numbers),), -torch.inf).scatter_reduce_(0, group[scored], return_[scored], "amax")
    centred = torch.where(scored, values - mean[group], 0.0)
    return _Tally(group, scored, count, centred, lowest < highest)
