"""Returns and generalised advantages over time: pure functions on compressed sequences, without gradient, in float32.

All take [E, N] tensors (see `sequences`): E episodes, N steps, a step being an action token or a whole turn. Padding lies on
the right and never enters a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from palaestra.errors import ConfigError


class Advantages(NamedTuple):
    """What an estimator says about each step.

    Attributes:
        advantage: [E, N], 0 at padding.
        return_: [E, N], target of the value function; 0 at padding.
    """

    advantage: Tensor
    return_: Tensor


@torch.no_grad()  # type: ignore[untyped-decorator]
def generalised_advantages(
    reward: Tensor,
    value: Tensor,
    mask: Tensor,
    *,
    gamma: float = 1.0,
    lam: float | Tensor = 0.95,
    bootstrap: Tensor | None = None,
) -> Advantages:
    """Generalised advantage estimation: A_i = d_i + gamma lam A_{i+1} with d_i = r_i + gamma V_{i+1} - V_i.

    Args:
        reward: [E, N], reward of each step.
        value: [E, N], value of the state before each step.
        mask: bool [E, N], real steps, padded on the right.
        gamma: Discount per step, in [0, 1].
        lam: Trace decay, in [0, 1]; one number, or one per episode [E].
        bootstrap: [E], value of the state after the last step; None is 0 (the episode ended).

    Returns:
        Advantages, and returns A + V.

    Source: Schulman et al. 2016 (arXiv:1506.02438), equation 16.
    """
    # float64: a scan adds in another order than a loop over time, and long episodes are long sums
    reward, value = (torch.where(mask, x, 0.0).double() for x in (reward, value))
    following = torch.zeros_like(value)  # [E, N], V of the state after each step
    following[:, :-1] = value[:, 1:]
    if bootstrap is not None:
        is_last = mask.clone()
        is_last[:, :-1] &= ~mask[:, 1:]
        following = torch.where(is_last, bootstrap.detach().double().unsqueeze(1), following)
    delta = torch.where(mask, reward + gamma * following - value, 0.0)  # the error of V
    advantage = decayed_sums(delta, gamma * torch.as_tensor(lam, dtype=torch.float64, device=delta.device))
    return Advantages(*(torch.where(mask, x, 0.0).float() for x in (advantage, advantage + value)))


def decayed_sums(values: Tensor, decay: Tensor) -> Tensor:
    """Sum from each step to the end, what lies k steps ahead times decay^k: S_i = x_i + decay S_{i+1}.

    A scan by doubling: after pass p every step holds the sum over the next 2^p steps, so that N steps take log2 N passes over
    the whole tensor.

    Args:
        values: [E, N]; 0 at padding, which lies on the right.
        decay: In [0, 1]; one number [], or one per episode [E].

    Returns:
        [E, N].
    """
    sums, reach = values.clone(), 1
    factor = decay.to(values).reshape(-1, 1)  # decay^reach: [1, 1], or [E, 1]
    while reach < values.shape[1]:
        sums[:, :-reach] += factor * sums[:, reach:].clone()  # the parts ahead as the last pass left them
        factor, reach = factor.square(), 2 * reach
    return sums


def discounted_returns(reward: Tensor, mask: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Sum of discounted rewards from each step to the end: [E, N], 0 at padding.

    Args:
        reward: [E, N].
        mask: bool [E, N].
        gamma: Discount per step, in [0, 1].
    """
    return generalised_advantages(reward, torch.zeros_like(reward), mask, gamma=gamma, lam=1.0).advantage


def adaptive_lambda(num_steps: Tensor, *, alpha: float = 0.05) -> Tensor:
    """Trace decay that suits the length of an episode: 1 - 1 / (alpha n), clipped to [0, 1].

    Args:
        num_steps: [E], steps of each episode.
        alpha: .05 in the paper: 100 steps give .8, 400 give .95.

    Source: Yue et al. 2025, VAPO (arXiv:2504.05118), section 4.2.
    """
    if alpha <= 0:
        raise ConfigError(f"alpha is {alpha}; expected a number above 0, .05 in the paper.")
    return (1.0 - 1.0 / (alpha * num_steps.float().clamp(min=1.0))).clamp(0.0, 1.0)


def whiten(values: Tensor, mask: Tensor, *, eps: float = 1e-8, centre: bool = True) -> Tensor:
    """Scale values to mean 0 and standard deviation 1 over all real steps of the batch.

    Args:
        values: Any shape.
        mask: bool, same shape.
        eps: Added to the standard deviation of the population, units of the values.
        centre: Whether the mean is taken away.

    Returns:
        Same shape, 0 outside the mask; all 0 where the values do not differ.
    """
    count, total, squares = moments(values, mask)
    return standardised(values, mask, count, total, squares, eps=eps, centre=centre)


def moments(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number, sum and sum of squares of the real steps, float64; several ranks add theirs up before `standardised`."""
    real = values[mask].double()  # float64: the variance is a difference of large sums
    return torch.tensor(float(real.numel()), dtype=torch.float64), real.sum(), real.square().sum()


def standardised(
    values: Tensor, mask: Tensor, count: Tensor, total: Tensor, squares: Tensor, *, eps: float = 1e-8, centre: bool = True
) -> Tensor:
    """Scale values by the moments of all ranks (see `whiten`)."""
    if count == 0:
        return torch.zeros_like(values, dtype=torch.float32)
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0.0).sqrt()
    if std <= 1e-7 * (1.0 + mean.abs()):  # equal values: rounding must not become a signal
        return torch.zeros_like(values, dtype=torch.float32) if centre else torch.where(mask, values.float(), 0.0)
    scaled = (values.double() - (mean if centre else 0.0)) / (std + eps)
    return torch.where(mask, scaled, 0.0).float()


def turn_baseline_advantages(return_: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """Advantage of each turn over the same turn of the *other* episodes of the group.

    The return of an episode beyond its last turn counts as 0 in the baselines of the others. The baseline depends on the other
    episodes only, so the estimate is unbiased, also about when to stop.

    Args:
        return_: [E, K], discounted return from each turn on.
        mask: bool [E, K].
        group: int64 [E].

    Returns:
        [E, K], 0 at padding and in groups of one.
    """
    return_ = torch.where(mask, return_.float(), 0.0).double()  # [E, K]; beyond its last turn an episode gets nothing
    numbers, place = torch.unique(group, return_inverse=True)
    count = torch.bincount(place, minlength=len(numbers)).double()[place].unsqueeze(1)  # [E, 1]
    total = torch.zeros(len(numbers), return_.shape[1], dtype=torch.float64).index_add_(0, place, return_)
    others = (total[place] - return_) / (count - 1).clamp(min=1)  # [E, K], without the own return: so no bias
    return torch.where(mask & (count > 1), return_ - others, 0.0).float()


def step_group_advantages(
    return_: Tensor,
    mask: Tensor,
    group: Tensor,
    state: Sequence[Sequence[str | None]],
    *,
    scores: Tensor | None = None,
    scale_by_std: bool = False,
    eps: float = 0.0,
) -> Tensor:
    """Advantage of each turn over the turns of the group that began in the same state.

    Args:
        return_: [E, K], discounted return from each turn on.
        mask: bool [E, K].
        group: int64 [E].
        state: Digest of the world before each turn, by episode and turn; None for an unknown one, which stands alone.
        scores: [E, K], returns by which a step group that is divided by its spread counts as equal; `return_` if None.
        scale_by_std: Divide by the sample standard deviation of the step group.
        eps: Added to it, return units.

    Returns:
        [E, K], 0 at padding and in step groups of one.

    Source: Feng et al. 2025, GiGPO (arXiv:2505.10978), section 4.2.
    """
    places: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for episode, digests in enumerate(state):
        for turn, digest in enumerate(digests):
            if digest is not None and turn < mask.shape[1] and bool(mask[episode, turn]):
                places.setdefault((int(group[episode]), digest), []).append((episode, turn))
    advantage = torch.zeros_like(return_, dtype=torch.float32)
    for members in places.values():
        if len(members) < 2:
            continue
        index = tuple(torch.tensor(part) for part in zip(*members, strict=True))
        values = return_[index].float()  # [number of turns in this state]
        judged = values if scores is None or not scale_by_std else scores[index]
        if values.min() == values.max() or judged.min() == judged.max():  # neither rounding nor a hair may become a signal
            continue
        centred = values - values.mean()
        advantage[index] = centred / (values.std(correction=1) + eps) if scale_by_std else centred
    return advantage
