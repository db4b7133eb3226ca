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
    advantage = torch.zeros_like(return_)
    scored = return_[~return_.isnan()]
    batch_std = scored.std(correction=ddof) if scored.numel() > ddof else torch.tensor(0.0)
    for members in _groups(return_, group_index):
        values = return_[members]
        if values.numel() < 2 or values.min() == values.max():
            continue  # exactly 0: rounding of the mean must not leave a tiny signal behind
        centred = values - values.mean()
        if std == "group":
            centred = centred / (values.std(correction=ddof) + eps)
        elif std == "batch":
            centred = centred / (batch_std + eps)
        advantage[members] = centred
    return advantage


def rloo_advantages(return_: Tensor, group_index: Tensor) -> Tensor:
    """Advantage of each episode over the mean of the *other* members of its group.

    Args:
        return_: Shape (E,), NaN for episodes without a score.
        group_index: Shape (E,), int64.

    Returns:
        Shape (E,); exactly 0 for errors, groups of one, and groups of equal returns.

    Source: Ahmadian et al. 2024, RLOO (arXiv:2402.14740).
    """
    return_ = return_.detach().float()
    advantage = torch.zeros_like(return_)
    for members in _groups(return_, group_index):
        values = return_[members]
        n = values.numel()
        if n < 2 or values.min() == values.max():
            continue
        advantage[members] = (values - values.mean()) * (n / (n - 1))  # R - mean of the others, in one pass
    return advantage


def group_statistics(return_: Tensor, group_index: Tensor) -> GroupStatistics:
    """Count groups by what they can teach.

    Args:
        return_: Shape (E,), NaN for episodes without a score.
        group_index: Shape (E,), int64.
    """
    spreads: list[float] = []
    num_groups = num_dropped = num_single = num_equal = 0
    for group in group_index.unique():
        values = return_[(group_index == group) & ~return_.isnan()]
        if values.numel() == 0:
            num_dropped += 1
            continue
        num_groups += 1
        if values.numel() == 1:
            num_single += 1
            continue
        num_equal += int(values.min() == values.max())
        spreads.append(float(values.std(correction=1)))
    within_std = sum(spreads) / len(spreads) if spreads else 0.0
    return GroupStatistics(num_groups, num_dropped, num_single, num_equal, within_std)


def mixed_groups(return_: Tensor, group_index: Tensor) -> Tensor:
    """Mark the episodes of groups whose returns differ (dynamic sampling keeps only these).

    Returns:
        bool (E,); False also for episodes without a score.

    Source: Yu et al. 2025, DAPO (arXiv:2503.14476), section 3.2.
    """
    keep = torch.zeros_like(return_, dtype=torch.bool)
    for members in _groups(return_, group_index):
        values = return_[members]
        if values.numel() > 1 and values.min() != values.max():
            keep[members] = True
    return keep


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
    groups = [members for members in _groups(return_, group_index) if members.numel() > 1]
    keep = torch.zeros_like(return_, dtype=torch.bool)
    groups.sort(key=lambda members: -float(return_[members].std(correction=1)))
    for members in groups[: max(1, round(share * len(groups)))]:
        keep[members] = True
    return keep


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


def _groups(return_: Tensor, group_index: Tensor) -> list[Tensor]:
    """Return the indices of the scored members of each group that has any."""
    scored = ~return_.isnan()
    groups = [torch.nonzero((group_index == group) & scored).squeeze(1) for group in group_index.unique()]
    return [members for members in groups if members.numel()]
