"""Correction for tokens that another policy sampled: an engine with other arithmetic, or older weights.

Three policies take part: the one that sampled (rollout), the one at the start of the update (old), the one being trained.
The clip compares the last two; what is computed here weighs each token by how far the first two are apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from palaestra.algorithms.math.losses import LOG_RATIO_LIMIT, kl_estimate
from palaestra.errors import ConfigError

CorrectionLevel = Literal["off", "token", "sequence"]


@dataclass(frozen=True, slots=True)
class Correction:
    """Weights of tokens and what they tell.

    Attributes:
        weight: float32 [B, T], without gradient; 0 for rejected rows and outside the mask.
        metrics: `off_policy_mean` and `off_policy_max` (|old - rollout|, nats), `effective_share` (effective sample size over
            the number of tokens), `rejected_rows` (share), `weight_mean`, `missing_log_probs` (tokens).
    """

    weight: Tensor
    metrics: dict[str, float]


@torch.no_grad()  # type: ignore[untyped-decorator]
def importance_weights(
    old_log_prob: Tensor,
    rollout_log_prob: Tensor,
    mask: Tensor,
    *,
    level: CorrectionLevel = "token",
    cap: float = 2.0,
    mean_ratio_bounds: tuple[float, float] | None = None,
    max_mean_k3: float | None = None,
) -> Correction:
    """Truncated importance weights old/rollout of the sampled tokens.

    Args:
        old_log_prob: Under the policy at the start of the update, [B, T].
        rollout_log_prob: Under the policy that sampled, [B, T]; NaN where the sampler gave none (weight 1, counted).
        mask: bool [B, T], action tokens.
        level: Weight of each "token", of the whole row ("sequence": the product), or "off" (weight 1; metrics and rejection
            all the same).
        cap: Largest weight; 2 to 10.
        mean_ratio_bounds: Reject rows whose geometric mean ratio lies outside, e.g. (.99, 1.01); None is off.
        max_mean_k3: Reject rows whose mean k3 divergence is above; None is off.

    Raises:
        ConfigError: If `cap` is below 1.

    Source: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training" (truncated importance
        sampling); Hilton et al. 2022 (arXiv:2110.00641) for decoupling the two ratios.
    """
    if cap < 1:
        raise ConfigError(f"cap is {cap}; expected at least 1, else every token would be weighed down.")
    missing = mask & rollout_log_prob.isnan()
    known = mask & ~missing
    gap = torch.where(known, old_log_prob - rollout_log_prob, 0.0).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)  # [B, T], nats
    counts = known.sum(dim=1).clamp(min=1)  # [B]
    if level == "token":
        weight = gap.exp().clamp(max=cap)  # [B, T]; truncated, so biased a little and of bounded variance
    elif level == "sequence":
        row = gap.sum(dim=1, keepdim=True).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)  # [B, 1], log of the product
        weight = row.exp().clamp(max=cap).expand_as(gap)
    else:
        weight = torch.ones_like(gap)
    rejected = torch.zeros(mask.shape[0], dtype=torch.bool)
    if mean_ratio_bounds is not None:
        ratio = (gap.sum(dim=1) / counts).exp()
        rejected |= (ratio < mean_ratio_bounds[0]) | (ratio > mean_ratio_bounds[1])
    if max_mean_k3 is not None:
        estimate = kl_estimate(torch.zeros_like(gap), gap, "k3")  # the sampler drew the tokens
        k3 = torch.where(known, estimate, 0.0)
        rejected |= k3.sum(dim=1) / counts > max_mean_k3
    weight = torch.where(mask & ~rejected.unsqueeze(1), weight, 0.0)
    return Correction(weight, _metrics(gap, weight, mask, known, rejected))


def staleness_weights(version: Tensor, mask: Tensor, *, current: int, max_staleness: int) -> Tensor:
    """Weight 0 for tokens that policies more than `max_staleness` versions ago sampled, else 1: [B, T].

    Args:
        version: int64 [B, T], version that sampled each token.
        mask: bool [B, T], action tokens.
        current: Version of the policy being trained.
        max_staleness: Versions, at least 0.
    """
    return (mask & (current - version <= max_staleness)).float()


def _metrics(gap: Tensor, weight: Tensor, mask: Tensor, known: Tensor, rejected: Tensor) -> dict[str, float]:
    """Return the metrics of the gap between sampler and trainer."""
    tokens = int(mask.sum())
    if not tokens:
        return {}
    weights, gaps = weight[mask], gap[known].abs()
    squares = float(weights.square().sum())
    rows = mask.any(dim=1)
    return {
        "off_policy_mean": float(gaps.mean()) if gaps.numel() else 0.0,
        "off_policy_max": float(gaps.max()) if gaps.numel() else 0.0,
        "effective_share": float(weights.sum()) ** 2 / squares / tokens if squares else 0.0,
        "weight_mean": float(weights.mean()),
        "rejected_rows": float((rejected & rows).sum() / rows.sum()),
        "missing_log_probs": float(tokens - int(known.sum())),
    }
