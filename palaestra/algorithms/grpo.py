"""Policy gradients without a value model: GRPO and its family, REINFORCE++, and estimators for rewards per turn.

`GRPOLearner.learn` is the whole update, top to bottom: log-probs at its start -> advantages by the chosen estimator
(`math/estimators.py`) -> K epochs of clipped steps. The recipes' names `dr_grpo`, `dapo`, `gspo`, `rloo`, `reinforce_pp`,
`rebn`, `turn_rloo` and `gigpo` are this learner with other defaults (`grpo_family`).

Departures from the papers: (1) groups lose the members that ended in an error, and groups without any other member are
dropped; (2) a batch without signal makes no optimiser step, because Adam's momentum would move the weights; (3) the KL term is
off by default.

Source: Shao et al. 2024, DeepSeekMath (arXiv:2402.03300), section 4.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, SerializeAsAny, model_validator

from palaestra.algorithms.config import MOST_COUNTED, MOST_HELD, Config, Need
from palaestra.algorithms.learner.learner import MakePolicy, SamplingConfig, batch_metrics
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.learner.policy_update import (
    UPDATE_METRICS,
    MinibatchStep,
    PolicyConfig,
    PolicyGradientLearner,
    averaged,
)
from palaestra.algorithms.math.advantages import group_statistics, mixed_groups, most_uncertain_groups, overlong_penalty
from palaestra.algorithms.math.batch import Batch
from palaestra.algorithms.math.estimators import AdvantageConfig, GRPOAdvantage, estimate
from palaestra.algorithms.math.losses import Aggregation, kl_estimate, policy_loss
from palaestra.algorithms.math.sequences import token_sequences
from palaestra.algorithms.run.registry import Algorithm
from palaestra.errors import ConfigError
from palaestra.types import Trajectory


class GroupSamplingConfig(SamplingConfig):
    """Group `sampling`: which groups of episodes a step learns from."""

    uncertain_share: float = Field(default=1.0, gt=0, le=1)
    """Train on this share of the groups, those with the widest spread (StarPO-S: .25)."""


class OverlongConfig(Config):
    """Group `overlong`: a penalty for episodes near a limit of sampled tokens (DAPO)."""

    limit: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    """Sampled tokens of an episode at which the penalty reaches -1; None is off."""
    buffer: int = Field(default=128, ge=1, le=MOST_COUNTED)
    """Tokens before the limit over which the penalty grows."""

    @model_validator(mode="after")
    def _buffer_lies_before_the_limit(self) -> OverlongConfig:
        if self.limit is not None and self.buffer >= self.limit:
            raise ConfigError(f"overlong.buffer is {self.buffer}; expected less than overlong.limit, {self.limit}.")
        return self


class GRPOConfig(PolicyConfig):
    """Table `[grpo]`: returns over the mean of their group, in units of its spread.

    Papers:
        DeepSeekMath (arXiv:2402.03300): advantages within groups, k3 divergence in the loss. Left out:
            process rewards, an iterated reward model.
        DAPO (arXiv:2503.14476): overlong penalty (`overlong`), dynamic sampling (`sampling`).
        RAGEN (arXiv:2504.20073): the groups with the widest spread (`sampling.uncertain_share`).
    """

    older_names: ClassVar[Mapping[str, str]] = {
        **PolicyConfig.older_names,
        "advantage": "advantage.estimator",
        "spread": "advantage.spread",
        "gamma": "advantage.gamma",
        "group_baseline": "advantage.group_baseline",
        "step_weight": "advantage.step_weight",
        "step_spread": "advantage.step_spread",
        "sum_turn_rewards": "advantage.sum_turn_rewards",
        "uncertain_share": "sampling.uncertain_share",
        "overlong_limit": "overlong.limit",
        "overlong_buffer": "overlong.buffer",
    }

    needs: ClassVar[Mapping[str, Need]] = {**PolicyConfig.needs, "overlong.buffer": Need("overlong.limit")}

    group_size: int = Field(default=8, ge=1, le=MOST_HELD)
    """Episodes per task; estimators that compare the episodes of a group need at least 2."""
    advantage: SerializeAsAny[AdvantageConfig] = GRPOAdvantage()
    """How episodes, turns or tokens are judged: the estimator and its settings."""
    aggregation: Aggregation = "sequence_mean"
    """How tokens are averaged; "constant" with advantage.spread "none" is Dr.GRPO."""
    sampling: GroupSamplingConfig = GroupSamplingConfig()
    """Which groups of episodes a step learns from."""
    overlong: OverlongConfig = OverlongConfig()
    """Penalty for episodes near a limit of sampled tokens."""

    @property
    def gradient_scale(self) -> float | None:
        """How many times the exact policy gradient the first step of an update is on average; None where it is biased.

        Unbiased is what sums tokens, with an estimator that is, and learns from every group.
        """
        sums = {"sequence_sum": 1, "constant": self.constant_length}
        learns_from_all = not self.sampling.drop_equal_groups and self.sampling.uncertain_share == 1
        ratio_is_of_tokens = self.loss == "reinforce" or self.ratio == "token"
        scale = self.advantage.gradient_scale(self.group_size)
        length = sums.get(self.aggregation)
        if scale is None or length is None or not learns_from_all or not ratio_is_of_tokens:
            return None
        return scale / length

    @classmethod
    def with_current_names(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a table with the names that settings have now.

        The settings of all estimators used to stand side by side, and stored recipes hold every one of them: those of other
        estimators are left out where they have the value that they had by default, and so said nothing.
        """
        found = super().with_current_names(data)
        table, default = found.get("advantage"), cls.model_fields["advantage"].default
        if isinstance(table, dict):
            known = default.class_for(default.completed(table)).model_fields
            for name, silent in _SILENT.items():
                if name in data and name not in known and table.get(name) in (silent, getattr(default, name, silent)):
                    del table[name]
        return found

    @model_validator(mode="after")
    def _groups_can_be_compared(self) -> GRPOConfig:
        least = self.advantage.least_group_size
        if self.group_size < least:
            raise ConfigError(
                f"group_size is {self.group_size}; advantage {self.advantage.estimator!r} compares {least} episodes or more."
            )
        return self


_SILENT = {
    "spread": "group",
    "gamma": 1.0,
    "group_baseline": False,
    "step_weight": 1.0,
    "step_spread": False,
    "sum_turn_rewards": False,
}
"""Settings of estimators under their older names, with the values that changed nothing."""


class GRPOLearner(PolicyGradientLearner):
    """The update half of the family: trajectories in, better policy out (arguments as `PolicyGradientLearner`)."""

    config: GRPOConfig

    def __init__(
        self,
        policy: Policy,
        config: GRPOConfig,
        *,
        reference: MakePolicy | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Set up the update."""
        super().__init__(policy, config, reference=reference, temperature=temperature, seed=seed)
        self.needs_states = config.advantage.needs_states

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Improve the policy with the episodes of one step (see `learn`).

        Args:
            trajectories: Episodes with the tokens that this policy sampled.
            step: Training step; only the division into minibatches depends on it.

        Raises:
            ConfigError: If episodes have rewards in several turns, and the estimator knows one return.
        """
        advantage = self.config.advantage
        if advantage.compares == "episodes" and not getattr(advantage, "sum_turn_rewards", True):
            refuse_turn_rewards(trajectories, advantage.estimator)
        return super().update(trajectories, step)

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Improve the policy with a collated batch: B rows of T tokens, of E episodes.

        Args:
            batch: Episodes with the tokens that this policy sampled.
            step: Training step; only the division into minibatches depends on it.

        Returns:
            Metrics; `no_signal` is 1.0 if nothing could be learned and no optimiser step was made.

        Raises:
            TrainingStopped: If several updates in a row are not finite, or the sampler's log-probs are not this policy's.
        """
        config, scores = self.config, dict[str, float]()
        self.schedule_entropy(step)
        batch = shaped(batch, config)
        groups = group_statistics(batch.return_, batch.group_index)  # of the returns [E]
        metrics = batch_metrics(batch, groups)
        # plays of one score may differ in the divergence that their rewards pay for
        if batch.num_rows == 0 or not (self.penalises_reward or config.advantage.has_signal(groups)):
            return {**metrics, "no_signal": 1.0}

        # advantages: where the reward pays for the divergence, the log-probs at the start have to come first
        if self.penalises_reward:
            batch, scores = self.score(batch)  # old_log_prob, ref_log_prob, correction: [B, T]
        reward = self.penalised_reward(batch)  # [B, T], on the last token of each turn
        batch = batch.with_tensors(advantage=estimate(batch, reward, config.advantage))  # [B, T], 0 at observations
        if not bool((batch.extra["advantage"] != 0).any()):
            return {**metrics, "no_signal": 1.0}
        if not self.penalises_reward:
            batch, scores = self.prepare(batch)  # the same, of rows with an advantage only
        advantage = batch.extra["advantage"][batch.action_mask]  # [M] action tokens
        metrics |= scores | {"no_signal": 0.0, "advantage_std": float(advantage.std(correction=0))}

        # K epochs of optimiser steps; the gradient is the same however a minibatch is cut into micro-batches
        found = []
        for epoch in range(config.epochs):
            for index in self.minibatches(batch, step, epoch):
                update = MinibatchStep(self, batch.rows(index))
                for rows in update:  # b rows of t tokens
                    scored = self.scores(rows)  # log_prob and entropy: [b, t], with gradient
                    old = rows.extra.get("old_log_prob", scored.log_prob.detach())  # the first pass finds its own start
                    mask, weight = rows.action_mask, rows.extra["weight"]  # [b, t]; weight sums to 1 over the minibatch
                    form = {"kind": config.loss, "ratio": config.ratio, **config.clip.bounds()}
                    per_token = policy_loss(scored.log_prob, old, rows.extra["advantage"], mask, **form)  # [b, t]
                    loss = surrogate = (weight * rows.extra["correction"] * per_token).sum()  # []
                    terms = {"policy_loss": surrogate}
                    if "ref_log_prob" in rows.extra:
                        k3 = kl_estimate(scored.log_prob, rows.extra["ref_log_prob"], "k3")  # [b, t]
                        terms["kl_reference"] = (rows.extra["token_share"] * k3).sum()
                        if config.kl.place == "loss":
                            kl = kl_estimate(scored.log_prob, rows.extra["ref_log_prob"], config.kl.estimator)  # [b, t]
                            loss = loss + self.kl_coefficient * (weight * kl).sum()
                    if self.entropy_coefficient > 0:
                        loss = loss - self.entropy_coefficient * (rows.extra["token_share"] * scored.entropy).sum()
                    update.backward(loss, rows, scored, **terms)
                found.append(update.finish())
                batch = update.remembered(batch)
        self.policy.version += 1  # samplers drop what they have cached
        metrics |= averaged(found)
        return metrics | self.adapt_kl(metrics, len(batch.episode_index.unique())) | self.adapt_entropy(metrics)


ALGORITHM = Algorithm("grpo", GRPOConfig, learner=GRPOLearner, metrics=UPDATE_METRICS)


def shaped(batch: Batch, config: GRPOConfig) -> Batch:
    """Apply the overlong penalty, and take groups that a step does not learn from out of the loss.

    Which groups are all equal is a matter of the returns without the penalty, as for the refills that they are replaced by: a
    group that differs in nothing but its length teaches nothing but length.
    """
    keep = torch.ones(batch.num_episodes, dtype=torch.bool)  # [E]
    if config.sampling.drop_equal_groups:
        keep &= mixed_groups(batch.return_, batch.group_index)
    if config.overlong.limit is not None:
        batch = with_overlong_penalty(batch, limit=config.overlong.limit, buffer=config.overlong.buffer)
    if config.sampling.uncertain_share < 1:
        keep &= most_uncertain_groups(batch.return_, batch.group_index, share=config.sampling.uncertain_share)
    return batch if bool(keep.all()) else batch.with_action_mask(keep[batch.episode_index].unsqueeze(1))


def refuse_turn_rewards(trajectories: Sequence[Trajectory], estimator: str) -> None:
    """Refuse episodes with rewards in more than one turn, for estimators that give all turns one advantage.

    Raises:
        ConfigError: If there is such an episode.
    """
    for trajectory in trajectories:
        rewarded = [index for index, step in enumerate(trajectory.steps) if step.reward != 0]
        if len(rewarded) > 1:
            raise ConfigError(
                f"Episode {trajectory.episode_id!r} has rewards in turns {rewarded}; advantage {estimator!r} knows one return "
                f"per episode. Set advantage.sum_turn_rewards = true to train on their sum, or use rebn, turn_rloo or ppo."
            )


def with_overlong_penalty(batch: Batch, *, limit: int, buffer: int) -> Batch:
    """Take a penalty for near-limit length from the return and from the reward on the last action token of each episode."""
    tokens = token_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
    penalty = overlong_penalty(tokens.mask.sum(dim=1), limit=limit, buffer=buffer)  # [E'], episodes with action tokens
    placed = torch.zeros(tokens.mask.shape)  # [E', N]
    placed[torch.arange(len(penalty)), tokens.mask.sum(dim=1) - 1] = penalty
    return_ = batch.return_.clone()
    return_[tokens.episodes] += penalty
    return dataclasses.replace(batch, token_reward=batch.token_reward + tokens.spread(placed), return_=return_)
