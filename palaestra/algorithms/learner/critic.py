"""The critic: a value model that is trained along with a policy.

It learns in units of the returns' running mean and standard deviation; its values are in reward units. V of the state before
an action token is read from the hidden state of the token before it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from palaestra.algorithms.config import MOST_COUNTED
from palaestra.algorithms.learner.optimiser import Optimiser, OptimiserConfig
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.learner.policy_update import computed, divide, planned
from palaestra.algorithms.math.batch import Batch
from palaestra.algorithms.math.losses import explained_variance, value_loss
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.scale.ranks import blocks_of, copy_whole, ranks, whole
from palaestra.errors import ConfigError
from palaestra.models.value_model import Valuation, ValueHead, ValueModel


class CriticConfig(OptimiserConfig):
    """Settings of a critic: table `[ppo.critic]` of a recipe."""

    epochs: int = Field(default=4, ge=1, le=MOST_COUNTED)
    """Passes over the collected episodes; 1 to 4."""
    minibatches: int = Field(default=1, ge=1, le=MOST_COUNTED)
    """Optimiser steps per epoch."""
    share_backbone: bool = False
    """Put the head on the policy's own transformer, instead of a copy of it."""
    value_clip: float | None = Field(default=None, gt=0)
    """How far a value may move in an update before only the worse error counts, in standard deviations; None is off."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Of the running mean and standard deviation of the returns."""
    init_std: float = Field(default=0.1, gt=0)
    """Scale of the head's last layer at the start."""


class RunningMoments:
    """Running mean and standard deviation of returns.

    Args:
        momentum: Weight of the past, in [0, 1).
    """

    def __init__(self, momentum: float) -> None:
        """Start with nothing seen."""
        self.momentum = momentum
        self.mean = 0.0
        self.square = 1.0
        self.seen = False

    @property
    def std(self) -> float:
        """Standard deviation, at least 1e-3, so that equal returns divide by something."""
        return max(1e-3, math.sqrt(max(0.0, self.square - self.mean**2)))

    def observe(self, values: Tensor) -> None:
        """Take in the returns of a batch."""
        if not values.numel():
            return
        mean, square = float(values.double().mean()), float(values.double().square().mean())
        weight = self.momentum if self.seen else 0.0
        self.mean = weight * self.mean + (1 - weight) * mean
        self.square = weight * self.square + (1 - weight) * square
        self.seen = True

    def state(self) -> dict[str, Any]:
        """Return the record."""
        return {"mean": self.mean, "square": self.square, "seen": self.seen}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.mean, self.square, self.seen = float(state["mean"]), float(state["square"]), bool(state["seen"])


class Critic:
    """A value model and its training.

    Args:
        model: What is trained.
        config: Settings.
        total: Planned number of updates, for the decay of the rate.
        seed: Seed of the division into minibatches (and of drawn latents).
    """

    def __init__(self, model: ValueModel, config: CriticConfig, *, total: int = 0, seed: int = 0) -> None:
        """Set up the optimiser."""
        self.model = model.eval()
        if config.share_backbone and ranks().sharing == "sharded":
            raise ConfigError("share_backbone = true does not go with sharded weights (FSDP); train without --use_fsdp.")
        ranks().shard(model.backbone, blocks_of(model.backbone))
        self.config = config
        self.seed = seed
        self.moments = RunningMoments(config.momentum)
        self.optimiser = Optimiser(model.parameters(), config, total=total)
        self.updates = 0

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def values(self, batch: Batch) -> Tensor:
        """Value of the state before each action token, in reward units: float32 [B, T], 0 elsewhere."""
        return torch.where(batch.action_mask, self._in_parts(batch, lambda rows: self.valuation(rows)[0].value), 0.0)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def values_after(self, batch: Batch) -> Tensor:
        """Value of the state after each token, in reward units: float32 [B, T]."""
        return self._in_parts(batch, lambda rows: self.model(rows.ids, rows.attention_mask).value)

    def valuation(self, rows: Batch, *, sample: bool = False) -> tuple[Valuation, Tensor]:
        """Value the state before each token: [B, T] in the head's own units, and the hidden states [B, T, d] after each.

        Args:
            rows: Rows of a batch.
            sample: Draw latents, if the head has any.
        """
        states = self.model.states(rows.ids, rows.attention_mask)  # [b, t, d], after each token
        return self.model.head(before(states), sample=sample), states

    def fit(self, batch: Batch, step: int, *, epochs: int | None = None, minibatches: int | None = None) -> dict[str, float]:
        """Train on the targets of a batch.

        Args:
            batch: With `return_` (targets, reward units), `decision` (where they hold, 0 or 1) and perhaps `value` (needed by
                a value clip).
            step: Training step; the division into minibatches depends on it.
            epochs: Passes; the table's by default.
            minibatches: Optimiser steps per pass; the table's by default.

        Returns:
            Means over the optimiser steps, and `explained_variance` before the update where the batch has `value`.
        """
        decisions = batch.extra["decision"].bool()  # [B, T], the first token of each step in time
        metrics: dict[str, float] = {}
        if "value" in batch.extra:
            metrics["explained_variance"] = explained_variance(batch.extra["value"], batch.extra["return_"], decisions)
        # before the first epoch: all of them are fitted in the same units
        self.moments.observe(batch.extra["return_"][decisions])
        totals: dict[str, list[float]] = {}
        for epoch in range(self.config.epochs if epochs is None else epochs):
            parts = self.config.minibatches if minibatches is None else minibatches
            for rows in divide(batch, parts, seed=stable_seed(self.seed, f"critic/{step}/{epoch}")):
                for name, value in self._optimise(batch.rows(rows)).items():
                    totals.setdefault(name, []).append(value)
        metrics |= {name: sum(values) / len(values) for name, values in totals.items()}
        return {f"critic_{name}" if name in ("lr", "grad_norm", "skipped", "loss") else name: v for name, v in metrics.items()}

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs, the weights included."""
        return {
            "weights": {name: tensor.clone() for name, tensor in whole(self.model.state_dict()).items()},
            "optimiser": self.optimiser.state(),
            "moments": self.moments.state(),
            "updates": self.updates,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        copy_whole(state["weights"], self.model.state_dict())
        self.optimiser.load(state["optimiser"])
        self.moments.load(state["moments"])
        self.updates = int(state["updates"])

    def annotated(self, batch: Batch) -> Batch:
        """Return a batch with whatever the loss needs that stays the same however often the batch is fitted."""
        return batch

    def prepared(self, batch: Batch) -> Batch:
        """Return a minibatch with whatever else the loss needs of it as a whole."""
        return batch

    def loss(self, rows: Batch, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a micro-batch and its measurements, both as shares of the minibatch's means.

        Args:
            rows: Rows of a minibatch.
            batch: The whole minibatch, for the normalisers.
        """
        found, _ = self.valuation(rows, sample=True)
        return self.squared_error(found.value, rows, batch)

    def squared_error(self, value: Tensor, rows: Batch, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the error of values in the head's own units, [B, T], as a share of the minibatch's mean."""
        mean, std = self.moments.mean, self.moments.std
        target = (rows.extra["return_"] - mean) / std  # [b, t], in the head's own units
        old = (rows.extra["value"] - mean) / std if self.config.value_clip is not None else None
        decisions = rows.extra["decision"].bool()
        error = torch.where(decisions, value_loss(value, target, old_value=old, clip=self.config.value_clip), 0.0)
        loss = error.sum() / batch.extra["decision"].sum()  # decisions of the whole minibatch, however it is cut
        return loss, {"value_loss": float(loss.detach())}

    def _optimise(self, batch: Batch) -> dict[str, float]:
        """Make one optimiser step on a minibatch, micro-batch by micro-batch."""
        if not bool(batch.extra["decision"].any()):
            return {}
        batch = self.prepared(batch)
        sums: dict[str, float] = {}
        wanted = batch.extra["decision"].bool().any(dim=1)  # [B]
        with torch.random.fork_rng(devices=[]):  # latents are drawn from a stream of their own
            stream = f"latent/{self.updates}" + (f"/{ranks().rank}" if ranks().rank else "")
            torch.manual_seed(stable_seed(self.seed, stream))
            for part in planned(batch, wanted, self.config.max_tokens_per_microbatch):
                loss, values = self.loss(batch.rows(part), batch)
                (loss * part.weight).backward()
                for name, value in {**values, "loss": float(loss.detach())}.items():
                    sums[name] = sums.get(name, 0.0) + (value if part.weight else 0.0)
        sums = ranks().sum_values(sums)
        ranks().sum_gradients(self.optimiser.parameters)
        self.updates += 1
        return sums | self.optimiser.step(sums["loss"])

    def _in_parts(self, batch: Batch, value_of: Callable[[Batch], Tensor]) -> Tensor:
        """Value all rows in micro-batches, in reward units: [B, T]."""
        everything = torch.ones(batch.num_rows, dtype=torch.bool)

        def value(rows: Batch) -> tuple[Tensor, ...]:
            return (value_of(rows) * self.moments.std + self.moments.mean,)  # [b, t], back to reward units

        (found,) = computed(batch, everything, self.config.max_tokens_per_microbatch, value)
        return found


def make_value_model(policy: Policy, config: CriticConfig, *, seed: int, head: Any = None) -> ValueModel:
    """Return a value model that begins with the policy's transformer.

    Args:
        policy: Whose weights it begins with, or shares.
        config: Whether to share, and the scale of the head.
        seed: Of the head's weights.
        head: Builds the head from the hidden size; a plain `ValueHead` by default.
    """
    backbone = policy.model.base_model
    if not config.share_backbone:
        backbone = copy.deepcopy(backbone)
        backbone.requires_grad_(True)  # a policy whose weights are sharded elsewhere has its own frozen
    with torch.random.fork_rng(devices=[]):  # the head's weights must not move anybody else's random numbers
        torch.manual_seed(stable_seed(seed, "value head"))
        size = int(policy.model.config.hidden_size)
        built = ValueHead(size, init_std=config.init_std) if head is None else head(size)
    return ValueModel(backbone, built)


def before(after: Tensor) -> Tensor:
    """Move what was computed after each token to the token that follows: [B, T, ...], 0 at the first."""
    return torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)
