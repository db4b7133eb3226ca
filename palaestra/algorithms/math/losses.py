"""Losses: pure functions over [B, T] tensors with an action mask.

A policy loss is per token; `token_weights` says how tokens are averaged. The weights are computed once over the whole
optimiser batch, so the loss is `(weights * per_token).sum()` and its gradient is the same however the batch is cut
into micro-batches.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Aggregation = Literal["token_mean", "sequence_mean", "sequence_sum", "constant", "turn_mean"]
PolicyLoss = Literal["ppo", "cispo", "none", "reinforce"]
RatioLevel = Literal["token", "sequence", "sequence_token"]
KLEstimator = Literal["k1", "k2", "k3"]

LOG_RATIO_LIMIT = 20.0  # e^20 is far outside any clip range and still finite in float32
K3_LIMIT = 10.0
LOG_ZERO = -1e4  # stands for the logarithm of a probability of 0: times 0 it is 0, where minus infinity would be NaN


def log_ratio(log_prob: Tensor, old_log_prob: Tensor) -> Tensor:
    """Log of the importance ratio per token, clamped to +-20 so that its exponential stays finite."""
    return (log_prob - old_log_prob).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def clipped_policy_loss(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
) -> Tensor:
    """PPO's clipped surrogate per token: -min(w A, clip(w, 1-low, 1+high) A).

    Args:
        log_prob: Under the policy being trained, with gradient; any shape.
        old_log_prob: Under the policy at the start of the update.
        advantage: Per token.
        clip_low: How far below 1 the ratio may fall.
        clip_high: How far above 1 it may rise; larger than `clip_low` is DAPO's "clip higher".
        dual_clip: Upper bound on the loss of tokens with negative advantage, in units of |A|; None is off, 3 is usual.

    Returns:
        Loss per token, same shape; gradient exactly 0 where the clip holds.

    Source: Schulman et al. 2017 (arXiv:1707.06347), equation 7; Yu et al. 2025 (arXiv:2503.14476); Ye et al. 2020
        (arXiv:1912.09729) for the dual clip.
    """
    ratio = log_ratio(log_prob, old_log_prob).exp()
    # the minimum is a pessimist: a ratio outside the clip helps no more, and still hurts
    loss = -torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip_low, 1.0 + clip_high) * advantage)
    if dual_clip is not None:
        loss = torch.where(advantage < 0, torch.minimum(loss, -dual_clip * advantage), loss)
    return loss


def sequence_log_ratio(log_ratios: Tensor, mask: Tensor, *, token_gradient: bool = False) -> Tensor:
    """Mean log-ratio of each row over its masked tokens, copied to all of them.

    Args:
        log_ratios: Per token, [B, T], with gradient.
        mask: bool [B, T]; a row is one segment.
        token_gradient: Keep the value of the mean, but let the gradient be that of the token's own ratio ("GSPO-token").

    Returns:
        [B, T], 0 outside the mask.

    Source: Zheng et al. 2025, GSPO (arXiv:2507.18071), equations 7 and 13.
    """
    counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (log_ratios * mask).sum(dim=1, keepdim=True) / counts  # [B, 1]
    if token_gradient:  # the value of the mean, the gradient of each token
        mean = mean.detach() + log_ratios - log_ratios.detach()
    return torch.where(mask, mean, 0.0)


def policy_loss(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    mask: Tensor,
    *,
    kind: PolicyLoss = "ppo",
    ratio: RatioLevel = "token",
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    max_weight: float = 5.0,
) -> Tensor:
    """Loss of each token under a form of the policy gradient.

    | kind | loss of a token | origin |
    |---|---|---|
    | `ppo` | -min(w A, clip(w, 1-low, 1+high) A), dual clip if asked for | arXiv:1707.06347 |
    | `cispo` | -stop(min(w, max_weight)) A log_prob: clips the weight, never the gradient | arXiv:2506.13585 |
    | `none` | -w A | |
    | `reinforce` | -A log_prob | Williams 1992 |

    Args:
        log_prob: Under the policy being trained, with gradient, [B, T].
        old_log_prob: Under the policy at the start of the update, [B, T].
        advantage: [B, T].
        mask: bool [B, T], action tokens; what stands outside never enters, whatever it is.
        kind: See the table.
        ratio: w of each "token", or of the whole row ("sequence": GSPO; "sequence_token": its value, the token's gradient).
        clip_low: How far below 1 the ratio may fall.
        clip_high: How far above 1 it may rise.
        dual_clip: Bound on the loss of tokens with negative advantage, in units of |A|; None is off.
        max_weight: Bound on the weight of "cispo".

    Returns:
        [B, T], 0 outside the mask.
    """
    # NaN times 0 is NaN: what stands outside of the mask is replaced, not multiplied
    zero = torch.zeros((), dtype=log_prob.dtype)
    log_prob, old_log_prob, advantage = (torch.where(mask, x, zero) for x in (log_prob, old_log_prob, advantage))
    if kind == "reinforce":
        return -advantage * log_prob
    ratios = log_ratio(log_prob, old_log_prob)  # [B, T]
    if ratio != "token":
        ratios = sequence_log_ratio(ratios, mask, token_gradient=ratio == "sequence_token")  # [B, T], one value a row
    if kind == "cispo":
        # the weight is clipped, not the gradient: every token goes on learning
        return -ratios.exp().clamp(max=max_weight).detach() * advantage * log_prob
    if kind == "none":
        return -ratios.exp() * advantage
    return clipped_policy_loss(
        ratios, torch.zeros_like(ratios), advantage, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
    )


def value_loss(value: Tensor, return_: Tensor, *, old_value: Tensor | None = None, clip: float | None = None) -> Tensor:
    """Squared error of a value per step, optionally clipped around the value at the start of the update.

    Args:
        value: Predictions, with gradient; any shape.
        return_: Targets.
        old_value: Predictions at the start of the update; needed with `clip`.
        clip: How far a prediction may move before only the worse of the two errors counts, units of the value.

    Returns:
        .5 (V - R)^2, or .5 max((V - R)^2, (V_clip - R)^2); same shape.

    Source: Schulman et al., PPO's reference implementation; Huang et al. 2022, "The 37 implementation details of PPO".
    """
    error = (value - return_).square()
    if clip is not None and old_value is not None:
        clipped = old_value + (value - old_value).clamp(-clip, clip)
        error = torch.maximum(error, (clipped - return_).square())  # moving further than the clip gains nothing
    return 0.5 * error


def explained_variance(value: Tensor, return_: Tensor, mask: Tensor) -> float:
    """Share of the variance of the returns that the values explain: 1 is perfect, 0 a constant, below 0 worse.

    Args:
        value: Predictions, any shape.
        return_: Targets.
        mask: bool, what counts.

    Returns:
        NaN if the returns do not differ.
    """
    target, error = return_[mask].double(), (return_ - value)[mask].double()
    if target.numel() < 2 or float(target.var(correction=0)) <= 1e-12:
        return float("nan")
    return 1.0 - float(error.var(correction=0) / target.var(correction=0))


def adapt_kl_coefficient(coefficient: float, divergence: float, *, target: float, num_episodes: int, horizon: int) -> float:
    """Raise or lower the weight of a divergence so that it comes near its target.

    Args:
        coefficient: Present weight.
        divergence: Measured divergence, nats per token.
        target: Wanted divergence.
        num_episodes: Episodes since the last change.
        horizon: Episodes over which the weight may change by a fifth.

    Source: Ziegler et al. 2019 (arXiv:1909.08593), section 2.2.
    """
    error = min(max(divergence / target - 1.0, -0.2), 0.2)
    return coefficient * (1.0 + error * num_episodes / horizon)


def kl_estimate(log_prob: Tensor, ref_log_prob: Tensor, kind: KLEstimator = "k3") -> Tensor:
    """Per-token estimate of KL(policy || reference) from a token that the policy sampled.

    With d = ref - log_prob: k1 = -d (unbiased, may be negative), k2 = d²/2, k3 = e^d - d - 1 (unbiased, never
    negative; clamped to 10).

    Source: Schulman 2020, "Approximating KL divergence"; k3 as loss term: arXiv:2402.03300, equation 4.
    """
    d = ref_log_prob - log_prob
    if kind == "k1":
        return -d
    if kind == "k2":
        return 0.5 * d.square()
    d = d.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return (d.exp() - d - 1.0).clamp(max=K3_LIMIT)


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the categorical distribution in the last dimension.

    Args:
        logits: [..., vocabulary]; minus infinity is a token of probability 0, which adds nothing.
    """
    return entropy_of(logits.float().log_softmax(dim=-1))


def entropy_of(log_probs: Tensor) -> Tensor:
    """Entropy in nats of normalised log-probabilities in the last dimension; those of minus infinity add nothing."""
    return -(log_probs.exp() * log_probs.clamp(min=LOG_ZERO)).sum(dim=-1)


def divergence_of(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats of normalised log-probabilities in the last dimension.

    Args:
        log_p: [..., vocabulary]; tokens of probability 0 add nothing.
        log_q: Same shape; where q is 0 and p is not, the log-probability counts as -10,000, so that the result stays finite.
    """
    return (log_p.exp() * (log_p.clamp(min=LOG_ZERO) - log_q.clamp(min=LOG_ZERO))).sum(dim=-1)


def token_weights(
    action_mask: Tensor,
    episode_index: Tensor,
    aggregation: Aggregation,
    *,
    turn_index: Tensor | None = None,
    constant_length: int | None = None,
) -> Tensor:
    """Weight of each token in the loss of an optimiser batch.

    | name | loss | origin |
    |---|---|---|
    | `token_mean` | sum over tokens / number of tokens | DAPO |
    | `sequence_mean` | mean over episodes of (sum over tokens / their number) | GRPO |
    | `sequence_sum` | mean over episodes of the sum over tokens | RLOO, REINFORCE |
    | `constant` | sum over tokens / (episodes * constant_length) | Dr.GRPO |
    | `turn_mean` | mean over turns of (sum over tokens of the turn / their number) | turn-level methods |

    Only `sequence_sum` and `constant` leave the policy gradient unbiased: the others divide by lengths, which the policy
    chooses.

    Args:
        action_mask: bool [B, T].
        episode_index: int64 [B]; the rows of one episode count as one sequence.
        aggregation: How to average.
        turn_index: int64 [B, T], needed by "turn_mean".
        constant_length: Tokens, needed by "constant".

    Returns:
        float32 [B, T], 0 outside the mask. Episodes without action tokens count nowhere.
    """
    mask = action_mask.float()
    if not bool(action_mask.any()):
        return mask
    if aggregation == "token_mean":
        return mask / mask.sum()
    _, episode = torch.unique(episode_index, return_inverse=True)
    tokens = torch.zeros(int(episode.max()) + 1).index_add_(0, episode, mask.sum(dim=1))  # [E]; rows of an episode together
    num_episodes = (tokens > 0).sum()
    if aggregation == "sequence_mean":
        return mask / (tokens[episode].clamp(min=1.0) * num_episodes).unsqueeze(1)  # [E] -> [B, 1]
    if aggregation == "sequence_sum":
        return mask / num_episodes
    if aggregation == "constant":
        if constant_length is None or constant_length < 1:
            raise ValueError(f"constant_length is {constant_length}; aggregation 'constant' needs at least 1 token.")
        return mask / (num_episodes * constant_length)
    if turn_index is None:
        raise ValueError("Aggregation 'turn_mean' needs turn_index [B, T]; the batch carries it.")
    # number the turns of all episodes consecutively; a turn lies in one segment, but numbering by episode is as easy
    key = episode.unsqueeze(1) * (int(turn_index.max()) + 2) + turn_index + 1
    _, turn = torch.unique(key, return_inverse=True)  # [B, T]
    sizes = torch.zeros(int(turn.max()) + 1).index_add_(0, turn.flatten(), mask.flatten())
    return mask / (sizes[turn].clamp(min=1.0) * (sizes > 0).sum())
