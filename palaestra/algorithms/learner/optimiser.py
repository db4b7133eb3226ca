"""One optimiser step, the same for every algorithm: warm-up, clipping, refusal of what is not finite.

The learning rate is a pure function of the number of updates, and no scheduler keeps a state that could drift.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from palaestra.algorithms.config import MOST_COUNTED, Config
from palaestra.algorithms.learner.watchdog import FiniteWatchdog
from palaestra.algorithms.scale.ranks import gradient_norm, is_sharded, like, whole

Decay = Literal["constant", "cosine", "linear"]


class OptimiserConfig(Config):
    """Settings that every algorithm shares."""

    lr: float = Field(default=1e-3, gt=0)
    """Learning rate after warm-up; 1e-3 suits tiny models, 1e-6 to 2e-5 large ones."""
    warmup_updates: int = Field(default=20, ge=0, le=MOST_COUNTED)
    """Optimiser steps over which the rate rises from 0; 20 or more for tiny models from scratch."""
    decay: Decay = "constant"
    """What the rate does after warm-up, over the planned number of updates."""
    grad_clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""
    beta2: float = Field(default=0.999, gt=0, lt=1)
    """AdamW's second momentum: .999 for tiny models, .95 for large ones."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay; 0 in reinforcement learning."""
    max_tokens_per_microbatch: int = Field(default=16384, ge=1, le=MOST_COUNTED)
    """Tokens, padding included, that go through the model at once; changes memory and speed, never the result."""


def lr_scale(update: int, *, warmup: int, total: int, decay: Decay) -> float:
    """Return the factor of the learning rate at an update, in (0, 1].

    Args:
        update: Number of the update, from 0.
        warmup: Updates over which the rate rises linearly.
        total: Planned number of updates; the decay ends there, at a tenth of the rate.
        decay: Shape after the warm-up.
    """
    if update < warmup:
        return (update + 1) / warmup
    if decay == "constant":
        return 1.0
    progress = min(1.0, (update - warmup) / max(1, total - warmup))
    shape = 1.0 - progress if decay == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return 0.1 + 0.9 * shape


OPTIMISER_METRICS = frozenset({"grad_norm", "lr", "skipped"})
"""Names of what `Optimiser.step` returns."""


class Optimiser:
    """AdamW with warm-up, gradient clipping and a watchdog for numbers that are not finite.

    Args:
        parameters: What is trained.
        config: Rates and limits.
        total: Planned number of updates, for the decay.
    """

    def __init__(self, parameters: Iterable[Tensor], config: OptimiserConfig, *, total: int = 0) -> None:
        """Set up AdamW."""
        self.parameters = [p for p in parameters if p.requires_grad]
        self.config = config
        self.total = total
        self.updates = 0
        self.lr_factor = 1.0
        self.watchdog = FiniteWatchdog()
        self._sharded = any(map(is_sharded, self.parameters))
        # one loop over all tensors takes two thirds of the time, to the same bits; shards and whole tensors cannot share one
        self._adam = torch.optim.AdamW(
            self.parameters,
            lr=config.lr,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
            foreach=not self._sharded,
        )

    @property
    def lr(self) -> float:
        """Learning rate of the next update."""
        config = self.config
        scale = lr_scale(self.updates, warmup=config.warmup_updates, total=self.total, decay=config.decay)
        return config.lr * self.lr_factor * scale

    def zero(self) -> None:
        """Forget the gradients."""
        self._adam.zero_grad(set_to_none=True)

    def step(self, loss: float) -> dict[str, float]:
        """Apply the gradients that were accumulated, unless loss or gradient is not finite.

        Args:
            loss: The loss they come from.

        Returns:
            `grad_norm` before clipping, `lr`, and `skipped` (1.0 if nothing was applied).

        Raises:
            TrainingStopped: After several such updates in a row.
        """
        norm = self._clip()
        lr = self.lr
        accepted = self.watchdog.accepts(loss, norm)  # before Adam sees the gradient: NaN in its moments would stay
        if accepted:
            for group in self._adam.param_groups:
                group["lr"] = lr
            self._adam.step()
            self.updates += 1  # a skipped update does not advance the learning rate
        self.zero()
        return {"grad_norm": norm, "lr": lr, "skipped": float(not accepted)}

    def _clip(self) -> float:
        """Scale the gradients down to the largest norm allowed; return the norm they had."""
        if not self._sharded:
            return float(torch.nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip))
        norm = gradient_norm(self.parameters)
        factor = min(1.0, self.config.grad_clip / (float(norm) + 1e-6))  # as torch's
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        return float(norm)

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs."""
        return {
            "adam": whole(self._adam.state_dict()),
            "updates": self.updates,
            "lr_factor": self.lr_factor,
            "watchdog": self.watchdog.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        adam = dict(state["adam"])
        if self._sharded:
            adam["state"] = {
                place: {name: like(value, self.parameters[place]) for name, value in kept.items()}
                for place, kept in adam["state"].items()
            }
        self._adam.load_state_dict(adam)
        self.updates = int(state["updates"])
        self.lr_factor = float(state["lr_factor"])
        self.watchdog.load(state["watchdog"] if "watchdog" in state else state["guard"])  # its name in runs of 0.1
