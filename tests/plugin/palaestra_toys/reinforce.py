"""REINFORCE with a moving baseline: an algorithm added from outside, in one file and one line of the package's metadata.

    loss = - mean over action tokens of (R - b) log p      b <- m b + (1 - m) mean R, before the update

Source: Williams 1992, "Simple statistical gradient-following algorithms", with a reinforcement baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from palaestra.algorithms import (
    Algorithm,
    Batch,
    BatchLearner,
    OnPolicyConfig,
    Optimiser,
    Policy,
    batch_metrics,
    policy_loss,
    token_weights,
)


class ReinforceConfig(OnPolicyConfig):
    """Table `[reinforce]`: returns over a moving baseline, one update a step."""

    group_size: int = Field(default=1, ge=1)
    """Episodes per task; no group is needed."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Weight of the past in the baseline."""


class ReinforceLearner(BatchLearner):
    """The update: returns of the episodes over the baseline, one optimiser step."""

    def __init__(self, policy: Policy, config: ReinforceConfig, *, temperature: float = 1.0, **_: Any) -> None:
        """Set up the optimiser."""
        super().__init__(policy, Optimiser(policy.parameters(), config, total=config.steps))
        self.momentum = config.momentum
        self.temperature = temperature
        self.baseline: float | None = None

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Improve the policy with a collated batch."""
        metrics = batch_metrics(batch)
        if not batch.num_action_tokens:
            return {**metrics, "no_signal": 1.0}
        mean = float(batch.return_[~batch.return_.isnan()].mean())  # of the episodes without an error
        self.baseline = mean if self.baseline is None else self.momentum * self.baseline + (1 - self.momentum) * mean
        advantage = batch.spread(batch.return_ - self.baseline)  # [E] -> [B, T]
        weight = token_weights(batch.action_mask, batch.episode_index, "token_mean")  # [B, T]
        real, mask = batch.attention_mask, batch.action_mask
        log_prob = self.policy.token_log_probs(batch.ids, real, mask, temperature=self.temperature).log_prob  # [B, T]
        loss = (weight * policy_loss(log_prob, log_prob.detach(), advantage, mask, kind="reinforce")).sum()
        loss.backward()
        metrics |= self.optimiser.step(float(loss.detach())) | {"loss": float(loss.detach()), "baseline": self.baseline}
        self.policy.version += 1  # after the weights have moved: samplers drop what they have cached
        return metrics

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs in addition to the policy's weights."""
        return {**super().state(), "baseline": self.baseline}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        super().load(state)
        self.baseline = state["baseline"]


ALGORITHM = Algorithm("reinforce", ReinforceConfig, learner=ReinforceLearner)
