"""What all policy-gradient algorithms share: settings, log-probs at the start of an update, and one optimiser step.

An algorithm writes its update in the open (`grpo.py`, `ppo.py`): advantages, then K epochs of minibatches with its loss. The
pieces stand here: `PolicyGradientLearner` scores the sampled tokens under the policy at the start of the update and under the
reference, and weighs tokens that another policy sampled; `MinibatchStep` makes one optimiser step, micro-batch by
micro-batch, with normalisers of the whole minibatch. Rows that no term of the loss reaches are left out of the backward pass;
the normalisers count them all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import pad

from palaestra.algorithms.config import MOST_COUNTED, Config, Need
from palaestra.algorithms.learner.learner import BATCH_METRICS, BatchLearner, MakePolicy, OnPolicyConfig
from palaestra.algorithms.learner.optimiser import OPTIMISER_METRICS, Optimiser
from palaestra.algorithms.learner.policy import Policy, TokenScores
from palaestra.algorithms.math.batch import Batch, padding_waste
from palaestra.algorithms.math.correction import CorrectionLevel, importance_weights, staleness_weights
from palaestra.algorithms.math.losses import (
    Aggregation,
    PolicyLoss,
    RatioLevel,
    adapt_kl_coefficient,
    kl_estimate,
    log_ratio,
    sequence_log_ratio,
    token_weights,
)
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.scale.ranks import Part, ranks
from palaestra.errors import ConfigError, TrainingStopped


class ClipConfig(Config):
    """Group `clip`: how far a policy may move in one update before a token's gradient ends."""

    low: float = Field(default=0.2, gt=0, lt=1)
    """How far the ratio may fall below 1."""
    high: float = Field(default=0.2, gt=0)
    """How far it may rise above 1."""
    dual: float | None = Field(default=None, gt=1)
    """Bound on the loss of bad actions that became likely, in units of the advantage; 3 is usual, None is off."""
    cispo: float = Field(default=5.0, gt=0)
    """Bound on the weight of loss "cispo"."""

    def bounds(self) -> dict[str, Any]:
        """Return the bounds as arguments of `losses.policy_loss`."""
        return {"clip_low": self.low, "clip_high": self.high, "dual_clip": self.dual, "max_weight": self.cispo}


class KLConfig(Config):
    """Group `kl`: the pull to the policy that training began with."""

    coefficient: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the frozen starting policy; .001 to .04 for large models, 0 is off."""
    place: Literal["loss", "reward"] = "loss"
    """Where it acts: added to the loss (`estimator`), or k1 taken from the reward of each token."""
    estimator: Literal["k2", "k3"] = "k3"
    """In the loss: k3 as in GRPO, or k2 as in REINFORCE++ with a baseline: its gradient is that of the divergence."""
    target: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Divergence from the starting policy, nats per token, that `coefficient` is adapted to keep; None leaves it fixed."""
    horizon: int = Field(default=10_000, ge=1, le=MOST_COUNTED)
    """Episodes over which an adapted coefficient may change by a fifth; at least those of a step."""


class EntropyConfig(Config):
    """Group `entropy`: how `entropy_coefficient` changes in the course of training; by default it stays."""

    target: float | None = Field(default=None, gt=0)
    """Entropy, nats per sampled token, that the coefficient is moved to keep, up or down after each step; None is off."""
    change: float = Field(default=0.001, gt=0)
    """With a target: how far the coefficient moves after a step."""
    most: float = Field(default=0.1, gt=0)
    """With a target: largest coefficient; the smallest is 0."""
    final: float | None = Field(default=None, ge=0)
    """Coefficient at the end of a schedule that leads there from `entropy_coefficient` in a straight line; None is off."""
    over: int = Field(default=100, ge=1, le=MOST_COUNTED)
    """With `final`: steps that the schedule takes."""

    @model_validator(mode="after")
    def _one_of_the_two(self) -> EntropyConfig:
        if self.target is not None and self.final is not None:
            raise ConfigError(
                f"entropy.target is {self.target:g} and entropy.final is {self.final:g}; the coefficient follows one of them. "
                f"Take the other out."
            )
        return self


class CorrectionConfig(Config):
    """Group `correction`: tokens that another policy sampled (older weights, another engine)."""

    level: CorrectionLevel = "off"
    """Weight of such tokens: truncated ratio of each token, of the whole sequence, or off."""
    cap: float = Field(default=2.0, ge=1)
    """Largest such weight; 2 to 10."""
    max_staleness: int = Field(default=8, ge=0, le=MOST_COUNTED)
    """With correction on: tokens of policies older than this many updates weigh nothing."""
    drift_limit: float = Field(default=0.05, gt=0)
    """With correction off: training stops if the sampler's log-probs differ from the recomputed ones by more on average."""
    reject_ratio: tuple[float, float] | None = None
    """Leave rows out whose geometric mean ratio to the sampler lies outside of these bounds: [.99, 1.01] is strict, [.5, 2.0]
    lenient; None is off. Works at every level."""
    reject_divergence: float | None = Field(default=None, gt=0)
    """Leave rows out whose mean k3 divergence from the sampler, nats per token, is above; None is off."""

    @property
    def rejects(self) -> bool:
        """Whether rows can be left out for what the sampler's log-probs say."""
        return self.reject_ratio is not None or self.reject_divergence is not None

    @model_validator(mode="after")
    def _ratio_bounds_enclose_one(self) -> CorrectionConfig:
        if self.reject_ratio is not None and not 0 < self.reject_ratio[0] < 1 < self.reject_ratio[1]:
            raise ConfigError(
                f"correction.reject_ratio is {list(self.reject_ratio)}; expected [LOW, HIGH] with 0 < LOW < 1 < HIGH, e.g. "
                f"[0.5, 2.0]: tokens of the policy itself have the ratio 1."
            )
        return self


class PolicyConfig(OnPolicyConfig):
    """Settings of the policy's update, part of every policy-gradient table of a recipe."""

    older_names: ClassVar[Mapping[str, str]] = {
        **OnPolicyConfig.older_names,
        "clip_low": "clip.low",
        "clip_high": "clip.high",
        "dual_clip": "clip.dual",
        "cispo_cap": "clip.cispo",
        "kl_coefficient": "kl.coefficient",
        "kl_place": "kl.place",
        "kl_target": "kl.target",
        "kl_horizon": "kl.horizon",
        "correction": "correction.level",
        "correction_cap": "correction.cap",
        "max_staleness": "correction.max_staleness",
        "drift_limit": "correction.drift_limit",
    }

    needs: ClassVar[Mapping[str, Need]] = {
        **OnPolicyConfig.needs,
        "ratio": Need("loss", ("ppo", "cispo", "none")),
        "constant_length": Need("aggregation", ("constant",)),
        "clip.low": Need("loss", ("ppo",)),
        "clip.high": Need("loss", ("ppo",)),
        "clip.dual": Need("loss", ("ppo",)),
        "clip.cispo": Need("loss", ("cispo",)),
        "kl.estimator": Need("kl.place", ("loss",)),
        "kl.horizon": Need("kl.target"),
        "entropy.change": Need("entropy.target"),
        "entropy.most": Need("entropy.target"),
        "entropy.over": Need("entropy.final", zero_is_off=False),
        "correction.cap": Need("correction.level", ("token", "sequence")),
        "correction.max_staleness": Need("correction.level", ("token", "sequence")),
        "correction.drift_limit": Need("correction.level", ("off",)),
    }

    epochs: int = Field(default=2, ge=1, le=MOST_COUNTED)
    """Passes over the collected episodes; 1 to 4."""
    minibatches: int = Field(default=1, ge=1, le=MOST_COUNTED)
    """Optimiser steps per epoch; episodes are divided among them at random."""
    loss: PolicyLoss = "ppo"
    """Form of the policy gradient: ppo (clipped), cispo, none (unclipped ratio), reinforce."""
    ratio: RatioLevel = "token"
    """What the importance ratio is of: each token, or the whole sequence (GSPO)."""
    aggregation: Aggregation = "token_mean"
    """How tokens are averaged."""
    constant_length: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    """Tokens per episode that aggregation "constant" divides by."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus; 0 for large models, up to .02 for tiny ones from scratch."""
    entropy: EntropyConfig = EntropyConfig()
    """How that weight changes: a target for the entropy, or a schedule."""
    clip: ClipConfig = ClipConfig()
    """How far a policy may move in one update."""
    kl: KLConfig = KLConfig()
    """The pull to the policy that training began with."""
    correction: CorrectionConfig = CorrectionConfig()
    """What to do with tokens that another policy sampled."""

    @property
    def corrects_staleness(self) -> bool:
        """Whether tokens of older weights are weighed."""
        return self.correction.level != "off"

    @model_validator(mode="after")
    def _averages_can_be_taken(self) -> PolicyConfig:
        if self.aggregation == "constant" and self.constant_length is None:
            raise ConfigError("aggregation 'constant' divides by constant_length; give it, tokens per episode.")
        return self

    @model_validator(mode="after")
    def _bonus_can_be_moved(self) -> PolicyConfig:
        if self.entropy.target is not None and self.entropy_coefficient > self.entropy.most:
            raise ConfigError(
                f"entropy_coefficient is {self.entropy_coefficient:g} and entropy.most is {self.entropy.most:g}; expected a "
                f"coefficient to begin with that the target may keep."
            )
        return self

    @model_validator(mode="after")
    def _coefficient_can_be_adapted(self) -> PolicyConfig:
        if self.kl.target is None:
            return self
        if self.kl.coefficient == 0:
            raise ConfigError(
                f"kl.target is {self.kl.target:g} and kl.coefficient is 0, which stays 0 however it is multiplied. Give "
                f"kl.coefficient a value to begin with, e.g. 0.01, or take kl.target out."
            )
        episodes = self.tasks_per_step * self.group_size
        if self.kl.horizon < episodes:
            raise ConfigError(
                f"kl.horizon is {self.kl.horizon}; a step plays {episodes} episodes, and kl.coefficient may change by no more "
                f"than a fifth in it. Expected at least {episodes}."
            )
        return self


UPDATE_METRICS = (
    OPTIMISER_METRICS
    | BATCH_METRICS
    | {"loss", "policy_loss", "advantage_std", "entropy", "entropy_coefficient", "kl_old", "kl_reference", "kl_coefficient"}
    | {"ratio_mean", "ratio_max", "clipped_low", "clipped_high", "padding_waste", "drift_mean", "drift_max", "stale_tokens"}
    | {"effective_share", "weight_mean", "rejected_rows", "missing_log_probs"}
)
"""Names of what the update of a policy logs."""


class PolicyGradientLearner(BatchLearner):
    """A learner that raises and lowers the probability of sampled tokens by their advantages.

    Args:
        policy: Trained in place.
        config: Settings.
        reference: Makes the frozen policy that the KL term refers to; needed if `kl.coefficient` is above 0.
        temperature: Sampling temperature of the rollouts; log-probs are taken at the same one.
        seed: Seed of the division into minibatches.

    Attributes:
        kl_coefficient: Current weight of the divergence, which may be adapted after each step.
        entropy_coefficient: Current weight of the entropy bonus, which may follow a target or a schedule.
        max_staleness: Updates that a token may be old and still count.
    """

    config: PolicyConfig
    optimiser: Optimiser

    def __init__(
        self,
        policy: Policy,
        config: PolicyConfig,
        *,
        reference: MakePolicy | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Set up the optimiser."""
        if config.kl.coefficient > 0 and reference is None:
            raise ConfigError(f"kl.coefficient is {config.kl.coefficient}; it needs a reference policy.")
        self.config = config
        self.reference = reference() if reference is not None and config.kl.coefficient > 0 else None
        self.temperature = temperature
        self.seed = seed
        self.kl_coefficient = config.kl.coefficient
        self.entropy_coefficient = config.entropy_coefficient
        self.max_staleness = config.correction.max_staleness
        policy.distribute()  # before the optimiser looks at the parameters: it holds shards where there are any
        total = config.steps * config.epochs * config.minibatches
        super().__init__(policy, Optimiser(policy.parameters(), config, total=total))

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
        weight, metrics = self.weigh(batch, wanted)
        return batch.with_tensors(correction=weight), metrics

    def prepare(self, batch: Batch) -> tuple[Batch, dict[str, float]]:
        """As `score`, of the rows that the update reaches; what its first pass finds anyway is left to that pass.

        The first pass over the whole batch computes the log-probs at the start of the update itself, so a forward pass is
        saved wherever nothing needs them before: neither weights nor a division into minibatches.

        Args:
            batch: With `advantage`.
        """
        wanted = self.reached(batch)
        if self.config.corrects_staleness or self.config.correction.rejects or self.config.minibatches > 1:
            return self.score(batch, wanted)
        mask = batch.action_mask & wanted.unsqueeze(1)
        return self._with_reference(batch, wanted).with_tensors(correction=mask.float()), {}

    def weigh(self, batch: Batch, wanted: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the weights of tokens against the sampler's log-probs, [B, T], and metrics; see `score`."""
        mask = batch.action_mask & wanted.unsqueeze(1)
        config, old = self.config.correction, batch.extra["old_log_prob"]
        found = importance_weights(
            old,
            batch.rollout_log_prob,
            mask,
            level=config.level,
            cap=config.cap,
            mean_ratio_bounds=config.reject_ratio,
            max_mean_k3=config.reject_divergence,
        )
        weight, metrics = found.weight, found.metrics
        if config.level == "off":
            gap = metrics.get("off_policy_mean", 0.0)
            if not gap <= config.drift_limit:  # also true for NaN
                raise TrainingStopped(
                    f"The sampler's log-probs differ from the policy's by {gap:.3g} on average; expected at most "
                    f"{config.drift_limit:g}. Sample with its weights at temperature {self.temperature:g}, without top-p, or "
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
        has_kl_loss = self.kl_coefficient > 0 and self.config.kl.place == "loss"
        if has_kl_loss or self.entropy_coefficient > 0 or self.config.entropy.target is not None:
            return torch.ones(batch.num_rows, dtype=torch.bool)
        return (batch.extra["advantage"] != 0).any(dim=1)

    @property
    def penalises_reward(self) -> bool:
        """Whether rewards depend on log-probs, so that `score` has to come before advantages."""
        return self.config.kl.place == "reward" and self.kl_coefficient > 0

    def penalised_reward(self, batch: Batch) -> Tensor:
        """Reward of each token, less the weighted k1 divergence from the reference where `kl.place` is "reward": [B, T]."""
        if self.config.kl.place != "reward" or "ref_log_prob" not in batch.extra:
            return batch.token_reward
        k1 = kl_estimate(batch.extra["old_log_prob"], batch.extra["ref_log_prob"], "k1")  # [B, T]
        return batch.token_reward - self.kl_coefficient * torch.where(batch.action_mask, k1, 0.0)

    # -- the update -----------------------------------------------------------------------------------------------

    def minibatches(self, batch: Batch, step: int, epoch: int) -> list[list[int]]:
        """Divide the rows of an epoch at random into minibatches; the segments of an episode stay together."""
        return divide(batch, self.config.minibatches, seed=stable_seed(self.seed, f"{step}/{epoch}"))

    def scores(self, rows: Batch) -> TokenScores:
        """Log-probs and entropies of the action tokens of a micro-batch under the policy, [b, t], with gradient."""
        real, mask = rows.attention_mask, rows.action_mask
        return self.policy.token_log_probs(rows.ids, real, mask, temperature=self.temperature, entropy=True)

    def adapt_kl(self, metrics: Mapping[str, float], num_episodes: int) -> dict[str, float]:
        """Bring the divergence from the reference nearer to its target for the next step.

        Args:
            metrics: Of the update; every rank has measured the same.
            num_episodes: Episodes of the step.

        Returns:
            `kl_coefficient` of this step, where there is a KL term.
        """
        if "kl_reference" not in metrics:
            return {}
        used, divergence, config = self.kl_coefficient, metrics["kl_reference"], self.config.kl
        if config.target is not None and math.isfinite(divergence):  # an update that was skipped measures nothing
            self.kl_coefficient = adapt_kl_coefficient(
                used, divergence, target=config.target, num_episodes=num_episodes, horizon=config.horizon
            )
        return {"kl_coefficient": used}

    def schedule_entropy(self, step: int) -> None:
        """Set the weight of the entropy bonus for a step, where a schedule says it: a pure function of the step.

        Args:
            step: Training step, from 1.
        """
        first, table = self.config.entropy_coefficient, self.config.entropy
        if table.final is not None:
            self.entropy_coefficient = first + (table.final - first) * min(1.0, (step - 1) / table.over)

    def adapt_entropy(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Bring the entropy nearer to its target for the next step.

        Args:
            metrics: Of the update; every rank has measured the same.

        Returns:
            `entropy_coefficient` of this step, where it changes in the course of training.
        """
        used, table, measured = self.entropy_coefficient, self.config.entropy, metrics.get("entropy", math.nan)
        if table.target is None:
            return {} if table.final is None else {"entropy_coefficient": used}
        if math.isfinite(measured):  # an update that was skipped measures nothing
            moved = used + (table.change if measured < table.target else -table.change)
            self.entropy_coefficient = min(max(moved, 0.0), table.most)
        return {"entropy_coefficient": used}

    # -- between steps --------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs in addition to the policy's weights."""
        return {
            **super().state(),
            "kl_coefficient": self.kl_coefficient,
            "entropy_coefficient": self.entropy_coefficient,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        super().load(state)
        self.kl_coefficient = float(state["kl_coefficient"])
        # checkpoints of versions before there was a target do not hold it
        self.entropy_coefficient = float(state.get("entropy_coefficient", self.entropy_coefficient))

    def slow_down(self) -> None:
        """Learn with half the rate from now on, and keep twice as close to the reference."""
        super().slow_down()
        self.kl_coefficient *= 2.0

    def accept_staleness(self, max_staleness: int) -> None:
        """Leave tokens out that policies more than so many updates ago sampled."""
        self.max_staleness = max_staleness

    def _with_reference(self, batch: Batch, wanted: Tensor) -> Batch:
        """Add `ref_log_prob` where a KL term is on."""
        if self.reference is None or self.kl_coefficient <= 0:
            return batch
        return batch.with_tensors(ref_log_prob=self._log_probs(self.reference, batch, wanted))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _log_probs(self, policy: Policy, batch: Batch, wanted: Tensor) -> Tensor:
        """Log-probs of the sampled tokens, 0 in rows that are not wanted: [B, T]."""

        def score(rows: Batch) -> tuple[Tensor, ...]:
            scored = policy.token_log_probs(rows.ids, rows.attention_mask, rows.action_mask, temperature=self.temperature)
            return (scored.log_prob,)

        (found,) = computed(batch, wanted, self.config.max_tokens_per_microbatch, score)
        return found


class MinibatchStep:
    """One optimiser step on a minibatch, micro-batch by micro-batch, on one rank or several.

        step = MinibatchStep(learner, batch)
        for rows in step:                       # Batch [b, t], rows of like length
            step.backward(loss, rows, scored)
        metrics = step.finish()

    The micro-batches carry `weight` and `token_share`: a token's weight in the loss, and its share of the tokens that the
    update reaches. Both are those of the whole minibatch, so every token counts the same however the minibatch is cut.

    Args:
        learner: Whose optimiser and settings.
        batch: The minibatch, with `advantage`, `correction`, and `old_log_prob` unless `prepare` left it to this pass.
    """

    def __init__(self, learner: PolicyGradientLearner, batch: Batch) -> None:
        """Weigh the tokens and plan the micro-batches."""
        config = learner.config
        self._learner = learner
        self._wanted = learner.reached(batch)
        weight = token_weights(
            batch.action_mask,
            batch.episode_index,
            config.aggregation,
            turn_index=batch.turn_index,
            constant_length=config.constant_length,
        )
        reached = (batch.action_mask & self._wanted.unsqueeze(1)).float()
        self._batch = batch.with_tensors(weight=weight, token_share=reached / reached.sum())  # [b, T]
        self._plan = planned(batch, self._wanted, config.max_tokens_per_microbatch) if bool(self._wanted.any()) else []
        self._part = Part()
        self._old = None if "old_log_prob" in batch.extra else torch.zeros(batch.ids.shape)
        self._sums: dict[str, float] = {}
        self._ratio_max = 0.0

    def __iter__(self) -> Iterator[Batch]:
        """Yield the micro-batches of this rank; `backward` has to follow each."""
        for part in self._plan:
            self._part = part
            yield self._batch.rows(part)

    def backward(self, loss: Tensor, rows: Batch, scored: TokenScores, **terms: Tensor) -> None:
        """Add the gradient of a micro-batch, and measure it.

        Args:
            loss: Its share of the minibatch's loss.
            rows: The micro-batch.
            scored: What the policy says about its tokens.
            **terms: Further measurements, as shares of the minibatch's means.
        """
        (loss * self._part.weight).backward()
        if self._old is not None and self._part.weight:  # nothing has moved yet, so these are the log-probs at the start
            self._old[torch.tensor(self._part), : rows.ids.shape[1]] = scored.log_prob.detach().to(self._old)
        measured, ratio_max = _measured(rows, scored, self._learner.config)
        self._ratio_max = max(self._ratio_max, ratio_max)
        for name, value in {**measured, "loss": loss, **terms}.items():
            # rows that another rank counts are read only to keep step with it
            self._sums[name] = self._sums.get(name, 0.0) + (float(value.detach()) if self._part.weight else 0.0)

    def finish(self) -> dict[str, float]:
        """Move the weights once all micro-batches have added their gradients.

        Returns:
            Means over the minibatch; empty if no term of the loss reaches it.

        Raises:
            TrainingStopped: If updates are not finite several times in a row, or the log-probs that were left to this pass
                are not those of the sampler; the gradients are dropped then.
        """
        if not self._plan:
            return {}
        optimiser, lengths = self._learner.optimiser, self._batch.lengths.tolist()
        sums = ranks().sum_values(self._sums)
        ranks().sum_gradients(optimiser.parameters)
        sums["padding_waste"] = padding_waste([[lengths[row] for row in part] for part in self._plan])
        if self._old is not None:
            self._old = ranks().sum(self._old)
            try:
                sums |= self._learner.weigh(self._batch.with_tensors(old_log_prob=self._old), self._wanted)[1]
            except TrainingStopped:
                optimiser.zero()  # as if nothing had been computed
                raise
        return sums | optimiser.step(sums["loss"]) | {"ratio_max": ranks().max(self._ratio_max)}

    def remembered(self, batch: Batch) -> Batch:
        """Return the whole batch with the log-probs at the start of the update, if this pass found them: [B, T]."""
        if self._old is None or not self._plan:
            return batch
        # a batch that is not divided keeps its rows in their order, and this minibatch was all of it
        return batch.with_tensors(old_log_prob=pad(self._old, (0, batch.ids.shape[1] - self._old.shape[1])))


@torch.no_grad()  # type: ignore[untyped-decorator]
def _measured(rows: Batch, scored: TokenScores, config: PolicyConfig) -> tuple[dict[str, Tensor], float]:
    """Measure a micro-batch: shares of the minibatch's means, and the largest ratio."""
    mask, share, log_prob = rows.action_mask, rows.extra["token_share"], scored.log_prob  # [b, t]
    old = rows.extra.get("old_log_prob", log_prob)
    gap = log_ratio(log_prob, old)
    ratio = (gap if config.ratio == "token" else sequence_log_ratio(gap, mask)).exp()  # [b, t]
    entropy = torch.zeros_like(log_prob) if scored.entropy is None else scored.entropy
    measured = {
        "entropy": (share * entropy).sum(),
        "kl_old": (share * kl_estimate(log_prob, old, "k3")).sum(),
        "ratio_mean": (share * ratio).sum(),
        "clipped_low": (share * (ratio < 1 - config.clip.low)).sum(),
        "clipped_high": (share * (ratio > 1 + config.clip.high)).sum(),
    }
    return measured, float(torch.where(mask, ratio, 0.0).max())


def averaged(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means over the optimiser steps of an update; of `ratio_max` the largest."""
    totals: dict[str, list[float]] = {}
    for found in steps:
        for name, value in found.items():
            totals.setdefault(name, []).append(value)
    return {name: max(v) if name == "ratio_max" else sum(v) / len(v) for name, v in totals.items()}


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
