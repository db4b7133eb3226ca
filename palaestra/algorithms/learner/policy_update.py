"""The update of a policy, shared by all policy-gradient algorithms: scored tokens and their advantages in, better policy out.

An algorithm estimates advantages; what follows is the same for all of them: log-probs of the sampled tokens under the policy
at the start of the update (and the reference), then K epochs of minibatches with a clipped loss, the KL and entropy terms,
weights for tokens that another policy sampled, and global normalisers. Rows that no term of the loss reaches are left out of
the backward pass; the normalisers count them all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import pad

from palaestra.algorithms.learner.learner import BatchLearner, MakePolicy, OnPolicyConfig
from palaestra.algorithms.learner.optimiser import Optimiser
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import Batch, padding_waste
from palaestra.algorithms.math.correction import CorrectionLevel, importance_weights, staleness_weights
from palaestra.algorithms.math.losses import (
    Aggregation,
    PolicyLoss,
    RatioLevel,
    adapt_kl_coefficient,
    kl_estimate,
    log_ratio,
    policy_loss,
    sequence_log_ratio,
    token_weights,
)
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.scale.ranks import Part, ranks
from palaestra.errors import ConfigError, TrainingStopped


class PolicyConfig(OnPolicyConfig):
    """Settings of the policy's update, part of every policy-gradient table of a recipe."""

    epochs: int = Field(default=2, ge=1)
    """Passes over the collected episodes; 1 to 4."""
    minibatches: int = Field(default=1, ge=1)
    """Optimiser steps per epoch; episodes are divided among them at random."""
    loss: PolicyLoss = "ppo"
    """Form of the policy gradient: ppo (clipped), cispo, none (unclipped ratio), reinforce."""
    ratio: RatioLevel = "token"
    """What the importance ratio is of: each token, or the whole sequence (GSPO)."""
    aggregation: Aggregation = "token_mean"
    """How tokens are averaged."""
    constant_length: int | None = Field(default=None, ge=1)
    """Tokens per episode that aggregation "constant" divides by."""
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """How far the ratio may fall below 1."""
    clip_high: float = Field(default=0.2, gt=0)
    """How far it may rise above 1."""
    dual_clip: float | None = Field(default=None, gt=1)
    """Bound on the loss of bad actions that became likely, in units of the advantage; None is off."""
    cispo_cap: float = Field(default=5.0, gt=0)
    """Bound on the weight of loss "cispo"."""
    kl_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the frozen starting policy; .001 to .04 for large models."""
    kl_place: Literal["loss", "reward"] = "loss"
    """Where it acts: k3 added to the loss, or k1 taken from the reward of each token."""
    kl_target: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Divergence from the starting policy, nats per token, that `kl_coefficient` is adapted to keep; None leaves it fixed."""
    kl_horizon: int = Field(default=10_000, ge=1)
    """Episodes over which an adapted coefficient may change by a fifth; at least those of a step."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus; 0 for large models, up to .02 for tiny ones from scratch."""
    correction: CorrectionLevel = "off"
    """Weight of tokens that another policy sampled (older weights, another engine): truncated ratio of each token, of the
    whole sequence, or off."""
    correction_cap: float = Field(default=2.0, ge=1)
    """Largest such weight; 2 to 10."""
    max_staleness: int = Field(default=8, ge=0)
    """With correction on: tokens of policies older than this many updates weigh nothing."""
    drift_limit: float = Field(default=0.05, gt=0)
    """With correction off: training stops if the sampler's log-probs differ from the recomputed ones by more on average."""

    @model_validator(mode="after")
    def _averages_can_be_taken(self) -> PolicyConfig:
        if self.aggregation == "constant" and self.constant_length is None:
            raise ConfigError("aggregation 'constant' divides by constant_length; give it, tokens per episode.")
        return self

    @model_validator(mode="after")
    def _coefficient_can_be_adapted(self) -> PolicyConfig:
        if self.kl_target is None:
            return self
        if self.kl_coefficient == 0:
            raise ConfigError(
                f"kl_target is {self.kl_target:g} and kl_coefficient is 0, which stays 0 however it is multiplied. Give "
                f"kl_coefficient a value to begin with, e.g. 0.01, or take kl_target out."
            )
        episodes = self.tasks_per_step * self.group_size
        if self.kl_horizon < episodes:
            raise ConfigError(
                f"kl_horizon is {self.kl_horizon}; a step plays {episodes} episodes, and kl_coefficient may change by no more "
                f"than a fifth in it. Expected at least {episodes}."
            )
        return self


class PolicyUpdate:
    """Improves a policy in place from batches that carry advantages.

    Args:
        policy: Trained in place.
        table: Settings.
        reference: Makes the frozen policy that the KL term refers to; needed if `kl_coefficient` is above 0.
        temperature: Sampling temperature of the rollouts; log-probs are taken at the same one.
        seed: Seed of the division into minibatches.
    """

    def __init__(
        self,
        policy: Policy,
        table: PolicyConfig,
        *,
        reference: MakePolicy | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Set up the optimiser."""
        if table.kl_coefficient > 0 and reference is None:
            raise ConfigError(f"kl_coefficient is {table.kl_coefficient}; it needs a reference policy.")
        self.policy = policy
        self.table = table
        self.reference = reference() if reference is not None and table.kl_coefficient > 0 else None
        self.temperature = temperature
        self.seed = seed
        self.kl_coefficient = table.kl_coefficient
        self.max_staleness = table.max_staleness
        policy.distribute()
        self.optimiser = Optimiser(policy.parameters(), table, total=table.steps * table.epochs * table.minibatches)

    # -- before the update ----------------------------------------------------------------------------------------

    def score(self, batch: Batch, wanted: Tensor | None = None) -> tuple[Batch, dict[str, float]]:
        """Add log-probs under the policy at the start of the update (and the reference), and weights against the sampler's.

        Args:
            batch: Collated episodes.
            wanted: bool [B], rows that the update will reach; all if None.

        Returns:
            The batch with `old_log_prob`, `correction`, and `ref_log_prob` where a KL term is on; and metrics.

        Raises:
            TrainingStopped: If correction is off and the sampler's log-probs are not this policy's.
        """
        wanted = torch.ones(batch.num_rows, dtype=torch.bool) if wanted is None else wanted
        old = self._log_probs(self.policy, batch, wanted)
        batch = self._with_reference(batch, wanted).with_tensors(old_log_prob=old)
        weight, metrics = self._weigh(batch, wanted)
        return batch.with_tensors(correction=weight), metrics

    def prepare(self, batch: Batch) -> tuple[Batch, dict[str, float]]:
        """As `score`, of the rows that the update reaches; what its first pass finds anyway is left to `improve`.

        The first pass over the whole batch computes the log-probs at the start of the update itself, so a forward pass is
        saved wherever nothing needs them before: neither weights nor a division into minibatches.

        Args:
            batch: With `advantage`.
        """
        wanted = self.reached(batch)
        if self.table.correction != "off" or self.table.minibatches > 1:
            return self.score(batch, wanted)
        mask = batch.action_mask & wanted.unsqueeze(1)
        return self._with_reference(batch, wanted).with_tensors(correction=mask.float()), {}

    def _with_reference(self, batch: Batch, wanted: Tensor) -> Batch:
        """Add `ref_log_prob` where a KL term is on."""
        if self.reference is None or self.kl_coefficient <= 0:
            return batch
        return batch.with_tensors(ref_log_prob=self._log_probs(self.reference, batch, wanted))

    def _weigh(self, batch: Batch, wanted: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the weights of tokens against the sampler's log-probs, [B, T], and metrics; see `score`."""
        mask = batch.action_mask & wanted.unsqueeze(1)
        table, old = self.table, batch.extra["old_log_prob"]
        found = importance_weights(old, batch.rollout_log_prob, mask, level=table.correction, cap=table.correction_cap)
        weight, metrics = found.weight, found.metrics
        if table.correction == "off":
            gap = metrics.get("off_policy_mean", 0.0)
            if not gap <= table.drift_limit:  # also true for NaN
                raise TrainingStopped(
                    f"The sampler's log-probs differ from the policy's by {gap:.3g} on average; expected at most "
                    f"{table.drift_limit:g}. Sample with its weights at temperature {self.temperature:g}, without top-p, or "
                    f"set correction = 'token' if the difference is meant."
                )
        else:
            fresh = staleness_weights(batch.version, mask, current=self.policy.version, max_staleness=self.max_staleness)
            metrics["stale_tokens"] = float((mask & (fresh == 0)).sum()) / max(1, int(mask.sum()))
            weight = weight * fresh
        renamed = {"drift_mean": metrics.pop("off_policy_mean", 0.0), "drift_max": metrics.pop("off_policy_max", 0.0)}
        return weight, renamed | metrics

    def reached(self, batch: Batch) -> Tensor:
        """Mark the rows that any term of the loss reaches: bool [B]."""
        has_kl_loss = self.kl_coefficient > 0 and self.table.kl_place == "loss"
        if has_kl_loss or self.table.entropy_coefficient > 0:
            return torch.ones(batch.num_rows, dtype=torch.bool)
        return (batch.extra["advantage"] != 0).any(dim=1)

    @property
    def penalises_reward(self) -> bool:
        """Whether rewards depend on log-probs, so that `score` has to come before advantages."""
        return self.table.kl_place == "reward" and self.kl_coefficient > 0

    def penalised_reward(self, batch: Batch) -> Tensor:
        """Reward of each token, less the weighted k1 divergence from the reference where `kl_place` is "reward": [B, T]."""
        if self.table.kl_place != "reward" or "ref_log_prob" not in batch.extra:
            return batch.token_reward
        k1 = kl_estimate(batch.extra["old_log_prob"], batch.extra["ref_log_prob"], "k1")
        return batch.token_reward - self.kl_coefficient * torch.where(batch.action_mask, k1, 0.0)

    # -- the update -----------------------------------------------------------------------------------------------

    def improve(self, batch: Batch, step: int) -> dict[str, float]:
        """Make all optimiser steps of a training step.

        Args:
            batch: With `advantage` and what `score` or `prepare` adds.
            step: Training step; only the division into minibatches depends on it.

        Returns:
            Means over the optimiser steps; with a KL term also the `kl_coefficient` of this training step, which is adapted
            for the next one if there is a `kl_target`.

        Raises:
            TrainingStopped: If updates are not finite again and again; what `prepare` left out is checked as by `score`.
        """
        table = self.table
        totals: dict[str, list[float]] = {}
        for epoch in range(table.epochs):
            for rows in divide(batch, table.minibatches, seed=stable_seed(self.seed, f"{step}/{epoch}")):
                found, old = self._optimise(batch.rows(rows))
                if old is not None:  # from now on these are the log-probs at the start
                    batch = batch.with_tensors(old_log_prob=pad(old, (0, batch.ids.shape[1] - old.shape[1])))
                for name, value in found.items():
                    totals.setdefault(name, []).append(value)
        self.policy.version += 1
        metrics = {name: max(v) if name == "ratio_max" else sum(v) / len(v) for name, v in totals.items()}
        if "kl_reference" in metrics:
            metrics["kl_coefficient"] = self.kl_coefficient
            self._adapt_kl(metrics["kl_reference"], len(batch.episode_index.unique()))
        return metrics

    def _adapt_kl(self, divergence: float, num_episodes: int) -> None:
        """Bring the divergence from the reference nearer to its target; every rank has measured the same."""
        target = self.table.kl_target
        if target is not None and math.isfinite(divergence):  # an update that was skipped measures nothing
            self.kl_coefficient = adapt_kl_coefficient(
                self.kl_coefficient, divergence, target=target, num_episodes=num_episodes, horizon=self.table.kl_horizon
            )

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs."""
        return {"optimiser": self.optimiser.state(), "kl_coefficient": self.kl_coefficient}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.optimiser.load(state["optimiser"])
        self.kl_coefficient = float(state["kl_coefficient"])

    def _optimise(self, batch: Batch) -> tuple[dict[str, float], Tensor | None]:
        """Make one optimiser step on a minibatch, micro-batch by micro-batch.

        Returns:
            Measurements, and the log-probs before the step where `prepare` left them out: [B, T], then measured as by `score`.
        """
        # weights of the whole minibatch first: however it is cut, every token counts the same
        weights = token_weights(
            batch.action_mask,
            batch.episode_index,
            self.table.aggregation,
            turn_index=batch.turn_index,
            constant_length=self.table.constant_length,
        )
        wanted = self.reached(batch)
        if not bool(wanted.any()):
            return {}, None
        reached = (batch.action_mask & wanted.unsqueeze(1)).float()
        batch = batch.with_tensors(weight=weights, token_share=reached / reached.sum())
        sums: dict[str, float] = {}
        ratio_max = 0.0
        old = None if "old_log_prob" in batch.extra else torch.zeros(batch.ids.shape)
        lengths = batch.lengths.tolist()
        plan = planned(batch, wanted, self.table.max_tokens_per_microbatch)
        for part in plan:
            rows = batch.rows(part)
            loss, values, highest, log_prob = self._loss(rows)
            (loss * part.weight).backward()
            if old is not None and part.weight:
                old[torch.tensor(part), : rows.ids.shape[1]] = log_prob.to(old)
            ratio_max = max(ratio_max, highest)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + (value if part.weight else 0.0)
        sums = ranks().sum_values(sums)
        ranks().sum_gradients(self.optimiser.parameters)
        sums |= {"padding_waste": padding_waste([[lengths[row] for row in part] for part in plan])}
        if old is not None:
            old = ranks().sum(old)
            try:
                sums |= self._weigh(batch.with_tensors(old_log_prob=old), wanted)[1]
            except TrainingStopped:
                self.optimiser.zero()  # as if nothing had been computed
                raise
        return sums | self.optimiser.step(sums["loss"]) | {"ratio_max": ranks().max(ratio_max)}, old

    def _loss(self, rows: Batch) -> tuple[Tensor, dict[str, float], float, Tensor]:
        """Return the loss of a micro-batch, measurements (shares of the minibatch's sums), the largest ratio, log-probs."""
        table, mask = self.table, rows.action_mask
        scored = self.policy.token_log_probs(rows.ids, rows.attention_mask, mask, temperature=self.temperature, entropy=True)
        entropies = torch.zeros_like(scored.log_prob) if scored.entropy is None else scored.entropy
        log_prob = scored.log_prob.detach()
        old, weight, share = rows.extra.get("old_log_prob", log_prob), rows.extra["weight"], rows.extra["token_share"]
        per_token = policy_loss(
            scored.log_prob,
            old,
            rows.extra["advantage"],
            mask,
            kind=table.loss,
            ratio=table.ratio,
            clip_low=table.clip_low,
            clip_high=table.clip_high,
            dual_clip=table.dual_clip,
            max_weight=table.cispo_cap,
        )
        loss = (weight * rows.extra["correction"] * per_token).sum()
        values: dict[str, float] = {"policy_loss": float(loss.detach())}
        if "ref_log_prob" in rows.extra:
            k3 = kl_estimate(scored.log_prob, rows.extra["ref_log_prob"], "k3")
            values["kl_reference"] = float((share * k3.detach()).sum())
            if table.kl_place == "loss":
                loss = loss + self.kl_coefficient * (weight * k3).sum()
        if table.entropy_coefficient > 0:
            loss = loss - table.entropy_coefficient * (share * entropies).sum()
        with torch.no_grad():
            gap = log_ratio(scored.log_prob, old)
            ratio = (gap if table.ratio == "token" else sequence_log_ratio(gap, mask)).exp()
            values |= {
                "loss": float(loss),
                "entropy": float((share * entropies).sum()),
                "kl_old": float((share * kl_estimate(scored.log_prob, old, "k3")).sum()),
                "ratio_mean": float((share * ratio).sum()),
                "clipped_low": float((share * (ratio < 1 - table.clip_low)).sum()),
                "clipped_high": float((share * (ratio > 1 + table.clip_high)).sum()),
            }
            highest = float(torch.where(mask, ratio, 0.0).max())
        return loss, values, highest, log_prob

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _log_probs(self, policy: Policy, batch: Batch, wanted: Tensor) -> Tensor:
        """Log-probs of the sampled tokens, 0 in rows that are not wanted: [B, T]."""

        def score(rows: Batch) -> tuple[Tensor, ...]:
            scored = policy.token_log_probs(rows.ids, rows.attention_mask, rows.action_mask, temperature=self.temperature)
            return (scored.log_prob,)

        (found,) = computed(batch, wanted, self.table.max_tokens_per_microbatch, score)
        return found


class PolicyGradientLearner(BatchLearner):
    """A learner whose policy is moved by a `PolicyUpdate`.

    Args:
        policy: Trained in place.
        config: Settings.
        reference: Makes the frozen policy that the KL term refers to; needed if `kl_coefficient` is above 0.
        temperature: Sampling temperature of the rollouts; log-probs are taken at the same one.
        seed: Seed of the division into minibatches.
    """

    def __init__(
        self,
        policy: Policy,
        config: PolicyConfig,
        *,
        reference: MakePolicy | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Set up the update."""
        self.policy_update = PolicyUpdate(policy, config, reference=reference, temperature=temperature, seed=seed)
        super().__init__(policy, self.policy_update.optimiser)

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs in addition to the policy's weights."""
        return self.policy_update.state()

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.policy_update.load(state)

    def slow_down(self) -> None:
        """Learn with half the rate from now on, and keep twice as close to the reference."""
        super().slow_down()
        self.policy_update.kl_coefficient *= 2.0

    def accept_staleness(self, max_staleness: int) -> None:
        """Leave tokens out that policies more than so many updates ago sampled."""
        self.policy_update.max_staleness = max_staleness


def planned(batch: Batch, wanted: Tensor, max_tokens: int) -> list[Part]:
    """Plan micro-batches of the wanted rows, as many as this rank computes.

    Args:
        batch: Whose rows.
        wanted: bool [B].
        max_tokens: Budget of a micro-batch, padding included.
    """
    rows = torch.nonzero(wanted).squeeze(1).tolist()
    lengths = batch.lengths.tolist()
    return ranks().plan(rows, [lengths[row] for row in rows], max_tokens)


def computed(
    batch: Batch, wanted: Tensor, max_tokens: int, compute: Callable[[Batch], tuple[Tensor, ...]], *, count: int = 1
) -> list[Tensor]:
    """Compute something of each token, micro-batch by micro-batch; several ranks divide the rows and share the results.

    Args:
        batch: Whose rows.
        wanted: bool [B].
        max_tokens: Budget of a micro-batch, padding included.
        compute: From some rows to as many tensors [b, t] as `count` says.
        count: Number of tensors.

    Returns:
        float32 [B, T] each, 0 in rows that are not wanted.
    """
    found = [torch.zeros(batch.ids.shape) for _ in range(count)]
    for part in planned(batch, wanted, max_tokens):
        rows = batch.rows(part)
        for result, values in zip(found, compute(rows), strict=True):
            if part.weight:
                result[torch.tensor(part), : rows.ids.shape[1]] = values.to(result)
    return [ranks().sum(result) for result in found]


def divide(batch: Batch, parts: int, *, seed: int) -> list[list[int]]:
    """Divide the rows at random, keeping the segments of an episode together.

    Args:
        batch: Whose rows.
        parts: Minibatches.
        seed: Of the division.
    """
    if parts == 1:
        return [list(range(batch.num_rows))]
    episodes = batch.episode_index.unique()
    order = episodes[torch.from_numpy(np.random.default_rng(seed).permutation(len(episodes)))]
    chunks = [chunk for chunk in order.chunk(parts) if chunk.numel()]
    return [torch.nonzero(torch.isin(batch.episode_index, chunk)).squeeze(1).tolist() for chunk in chunks]
