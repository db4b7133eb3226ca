"""Value models: a transformer's hidden states, and a head that says what they are worth.

Any `transformers` causal LM can be the backbone; the heads are plain modules over hidden states [B, T, d] and know nothing of
language, environments or algorithms.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

LOG_VARIANCE_RANGE = (-8.0, 4.0)


class Valuation(NamedTuple):
    """What a head says.

    Attributes:
        value: float32 [...], in the units the head is trained in.
        divergence: float32 [...], KL of the latent's posterior from its prior, nats; None without a bottleneck.
        mean: [..., k], mean of the latent; None without a bottleneck.
    """

    value: Tensor
    divergence: Tensor | None = None
    mean: Tensor | None = None


class Head(Protocol):
    """Hidden states [..., d] to a `Valuation` [...]; `sample` draws latents (training), else their mean is used."""

    def __call__(self, hidden: Tensor, *, sample: bool = False) -> Valuation:
        """Value hidden states."""
        ...


class ValueHead(nn.Module):  # type: ignore[misc]
    """Linear, GELU, linear.

    Args:
        hidden_size: Width d of the hidden states.
        init_std: Standard deviation of the last layer's weights at width 48; it falls with the square root of the width.
            Small, but never 0: with zeros the value's gradient into the backbone vanishes at first.
    """

    def __init__(self, hidden_size: int, *, init_std: float = 0.1) -> None:
        """Build the layers."""
        super().__init__()
        self.layers = _predictor(hidden_size, hidden_size, init_std)

    def forward(self, hidden: Tensor, *, sample: bool = False) -> Valuation:
        """Value hidden states [..., d]."""
        del sample
        return Valuation(self.layers(hidden.float()).squeeze(-1))  # [..., d] -> [...]; in float32, whatever the backbone


class BottleneckValueHead(nn.Module):  # type: ignore[misc]
    """A variational information bottleneck before a light predictor: only what predicts the return gets through.

    Args:
        hidden_size: Width d of the hidden states.
        bottleneck_dim: Width k of the latent.
        log_variance: Log-variance of the latent at the start; learned from there.
        learn_variance: Whether the variance depends on the hidden state.
        init_std: As in `ValueHead`.

    Source: Zhu et al. 2026, VRPO (arXiv:2508.03058), section 3; Alemi et al. 2017 (arXiv:1612.00410) for the bottleneck.
    """

    def __init__(
        self,
        hidden_size: int,
        bottleneck_dim: int,
        *,
        log_variance: float = -2.0,
        learn_variance: bool = True,
        init_std: float = 0.1,
    ) -> None:
        """Build the layers."""
        super().__init__()
        self.mean = nn.Linear(hidden_size, bottleneck_dim)
        self.log_variance = nn.Linear(hidden_size, bottleneck_dim)
        nn.init.zeros_(self.log_variance.weight)  # at first the same variance for every state
        nn.init.constant_(self.log_variance.bias, log_variance)
        self.log_variance.requires_grad_(learn_variance)
        self.predictor = _predictor(bottleneck_dim, hidden_size, init_std)

    def forward(self, hidden: Tensor, *, sample: bool = False) -> Valuation:
        """Value hidden states [..., d].

        Args:
            hidden: Hidden states.
            sample: Draw the latent; else its mean is used, and equal inputs give equal values.
        """
        hidden = hidden.float()
        mean = self.mean(hidden)  # [..., k]
        log_variance = self.log_variance(hidden).clamp(*LOG_VARIANCE_RANGE)  # [..., k]; its exponential stays finite
        # the reparametrised draw lets the gradient of the value reach mean and variance
        latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean) if sample else mean  # [..., k]
        return Valuation(self.predictor(latent).squeeze(-1), gaussian_divergence(mean, log_variance), mean)


class ValueModel(nn.Module):  # type: ignore[misc]
    """A backbone and a head.

    Args:
        backbone: Transformer without its output layer (`model.base_model` of a causal LM).
        head: `ValueHead`, `BottleneckValueHead`, or a module like them.
    """

    def __init__(self, backbone: Any, head: nn.Module) -> None:
        """Keep the parts."""
        super().__init__()
        self.backbone = backbone
        self.head = head

    def states(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Final hidden states [B, T, d].

        Args:
            ids: int64 [B, T], padded on the right.
            attention_mask: bool [B, T].
        """
        del attention_mask  # padding lies on the right, so causality alone keeps real tokens from seeing it
        states: Tensor = self.backbone(input_ids=ids, use_cache=False).last_hidden_state
        return states

    def forward(self, ids: Tensor, attention_mask: Tensor, *, sample: bool = False) -> Valuation:
        """Value the state after each token: [B, T]."""
        found: Valuation = self.head(self.states(ids, attention_mask), sample=sample)
        return found


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of a diagonal Gaussian from the standard normal, summed over the last dimension, nats.

    Args:
        mean: [..., k].
        log_variance: [..., k].
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=-1)


def _predictor(inputs: int, width: int, init_std: float) -> nn.Sequential:
    """Return linear, GELU, linear to one number."""
    last = nn.Linear(width, 1)
    # a sum over `width` features grows with its root: so first values have the same spread at every width
    nn.init.normal_(last.weight, std=init_std / math.sqrt(width / 48))
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), last)
