"""Policy gradients without a value model: GRPO and its family, REINFORCE++, and estimators for rewards per turn.

One update: collate the episodes -> advantages by the chosen estimator -> log-probs at the start of the update -> K epochs
of clipped updates (`policy_update`). The recipes' names `dr_grpo`, `dapo`, `gspo`, `rloo`, `reinforce_pp`, `rebn`,
`turn_rloo` and `gigpo` are this learner with other defaults (`grpo_family`).

| estimator | advantage | origin |
|---|---|---|
| `grpo` | return over the mean of its group, in units of its spread | arXiv:2402.03300 |
| `rloo` | return over the mean of the others of its group | arXiv:2402.14740 |
| `reinforce_pp` | discounted token returns, whitened over the batch | arXiv:2501.03262 |
| `rebn` | discounted turn returns, whitened over the batch | arXiv:2510.01051 |
| `turn_rloo` | discounted turn returns over the same turn of the others of the group | |
| `gigpo` | as `grpo`, and turn returns over those that began in the same state | arXiv:2505.10978 |

Departures from the papers: (1) groups lose the members that ended in an error, and groups without any other member are
dropped; (2) a batch without signal makes no optimiser step, because Adam's momentum would move the weights; (3) the KL term is
off by default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from palaestra.algorithms.learner.learner import MakePolicy, batch_metrics
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.learner.policy_update import PolicyConfig, PolicyGradientLearner
from palaestra.algorithms.math.advantages import (
    Spread,
    group_statistics,
    grpo_advantages,
    mixed_groups,
    most_uncertain_groups,
    overlong_penalty,
    rloo_advantages,
)
from palaestra.algorithms.math.batch import Batch
from palaestra.algorithms.math.losses import Aggregation
from palaestra.algorithms.math.returns import discounted_returns, step_group_advantages, turn_baseline_advantages, whiten
from palaestra.algorithms.math.sequences import Sequences, token_sequences, turn_sequences
from palaestra.algorithms.run.registry import Algorithm
from palaestra.errors import ConfigError
from palaestra.types import Trajectory

Estimator = Literal["grpo", "rloo", "reinforce_pp", "rebn", "turn_rloo", "gigpo"]

# estimators of one advantage per episode: rewards of several turns would be summed up
_EPISODE_LEVEL = ("grpo", "rloo")
_WITHOUT_GROUPS = ("reinforce_pp", "rebn")


class GRPOConfig(PolicyConfig):
    """Table `[grpo]` of a recipe, and of the rest of the family."""

    group_size: int = Field(default=8, ge=1)
    """Episodes per task; the group estimators need at least 2."""
    advantage: Estimator = "grpo"
    """How episodes, turns or tokens are judged (see the module's table)."""
    spread: Spread = "group"
    """What `grpo` and `gigpo` divide by: the spread of the group, of the batch, or nothing (Dr.GRPO)."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount: per turn for rebn, turn_rloo and gigpo, per token for reinforce_pp; the others know none."""
    group_baseline: bool = False
    """reinforce_pp only: take the mean of the group away before whitening."""
    step_weight: float = Field(default=1.0, ge=0)
    """gigpo only: weight of the step groups."""
    step_spread: bool = False
    """gigpo only: divide by the spread of the step group."""
    aggregation: Aggregation = "sequence_mean"
    """How tokens are averaged; "constant" with spread "none" is Dr.GRPO."""
    uncertain_share: float = Field(default=1.0, gt=0, le=1)
    """Train on this share of the groups, those with the widest spread (StarPO-S: .25)."""
    overlong_limit: int | None = Field(default=None, ge=1)
    """Sampled tokens of an episode at which the overlong penalty reaches -1; None is off."""
    overlong_buffer: int = Field(default=128, ge=1)
    """Tokens before the limit over which the penalty grows."""
    sum_turn_rewards: bool = False
    """grpo and rloo: train on the sum of rewards given in several turns; without it such episodes are refused."""

    @model_validator(mode="after")
    def _groups_can_be_compared(self) -> GRPOConfig:
        if self.group_size < 2 and self.advantage not in _WITHOUT_GROUPS:
            raise ConfigError(f"group_size is {self.group_size}; advantage {self.advantage!r} compares 2 episodes or more.")
        if self.group_baseline and self.group_size < 2:
            raise ConfigError(f"group_size is {self.group_size}; group_baseline takes the mean of 2 episodes or more away.")
        if self.overlong_limit is not None and self.overlong_buffer >= self.overlong_limit:
            raise ConfigError(
                f"overlong_buffer is {self.overlong_buffer}; expected less than overlong_limit, {self.overlong_limit}."
            )
        return self


class GRPOLearner(PolicyGradientLearner):
    """The update half of the family: trajectories in, better policy out (arguments as `PolicyGradientLearner`)."""

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
        self.config = config
        self.needs_states = config.advantage == "gigpo"

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Improve the policy with the episodes of one step (see `learn`).

        Args:
            trajectories: Episodes with the tokens that this policy sampled.
            step: Training step; only the division into minibatches depends on it.

        Raises:
            ConfigError: If episodes have rewards in several turns, and the estimator knows one return.
        """
        if self.config.advantage in _EPISODE_LEVEL and not self.config.sum_turn_rewards:
            refuse_turn_rewards(trajectories, self.config.advantage)
        return super().update(trajectories, step)

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Improve the policy with a collated batch.

        Args:
            batch: Episodes with the tokens that this policy sampled.
            step: Training step.

        Returns:
            Metrics; `no_signal` is 1.0 if nothing could be learned and no optimiser step was made.

        Raises:
            TrainingStopped: If updates are not finite again and again, or the sampler's log-probs are not this policy's.
        """
        config = self.config
        batch = self._shaped(batch)
        groups = group_statistics(batch.return_, batch.group_index)
        metrics = batch_metrics(batch, groups)
        by_turn = config.advantage in ("turn_rloo", "gigpo")  # turns may differ where the returns of a group do not
        has_signal = (
            config.advantage in _WITHOUT_GROUPS or groups.has_signal or (by_turn and groups.num_groups > groups.num_single)
        )
        if not has_signal or batch.num_rows == 0:
            return {**metrics, "no_signal": 1.0}
        update = self.policy_update
        penalises, scores = update.penalises_reward, dict[str, float]()
        if penalises:  # log-probs come first, and of all rows
            batch, scores = update.score(batch)
        batch = batch.with_tensors(advantage=self.advantages(batch))
        if not bool((batch.extra["advantage"] != 0).any()):
            return {**metrics, "no_signal": 1.0}
        if not penalises:
            batch, scores = update.prepare(batch)
        advantage = batch.extra["advantage"][batch.action_mask]
        metrics |= scores | {"no_signal": 0.0, "advantage_std": float(advantage.std(correction=0))}
        return metrics | update.improve(batch, step)

    def advantages(self, batch: Batch) -> Tensor:
        """Return the advantage of each action token, [B, T], 0 elsewhere.

        Args:
            batch: Collated episodes; with log-probs if the KL term is part of the reward.
        """
        config = self.config
        reward = self.policy_update.penalised_reward(batch)
        return_ = self._returns(batch, reward)
        if config.advantage == "rloo":
            return batch.spread(rloo_advantages(return_, batch.group_index))
        if config.advantage in ("grpo", "gigpo"):
            episode = batch.spread(grpo_advantages(return_, batch.group_index, std=config.spread))
            if config.advantage == "grpo":
                return episode
            return episode + config.step_weight * self._step_advantages(batch, reward)
        if config.advantage == "reinforce_pp":
            if config.group_baseline:
                reward = reward - batch_baseline(batch, return_)
            tokens = token_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
            returns = discounted_returns(tokens.total(reward), tokens.mask, gamma=config.gamma)
            return tokens.spread(whiten(returns, tokens.mask))
        turns, returns = self._turn_returns(batch, reward)
        if config.advantage == "rebn":
            return turns.spread(whiten(returns, turns.mask, eps=1e-9))
        return turns.spread(turn_baseline_advantages(returns, turns.mask, batch.group_index[turns.episodes]))

    def _shaped(self, batch: Batch) -> Batch:
        """Apply the overlong penalty and the filters of groups."""
        config = self.config
        if config.overlong_limit is not None:
            batch = with_overlong_penalty(batch, limit=config.overlong_limit, buffer=config.overlong_buffer)
        keep = torch.ones(batch.num_episodes, dtype=torch.bool)
        if config.drop_equal_groups:
            keep &= mixed_groups(batch.return_, batch.group_index)
        if config.uncertain_share < 1:
            keep &= most_uncertain_groups(batch.return_, batch.group_index, share=config.uncertain_share)
        return batch if bool(keep.all()) else batch.with_action_mask(keep[batch.episode_index].unsqueeze(1))

    def _returns(self, batch: Batch, reward: Tensor) -> Tensor:
        """Return of each episode, [E]; NaN where it has none."""
        if reward is batch.token_reward:
            return batch.return_
        sums = torch.zeros(batch.num_episodes).index_add_(0, batch.episode_index, reward.sum(dim=1))
        return torch.where(batch.return_.isnan(), batch.return_, sums)

    def _turn_returns(self, batch: Batch, reward: Tensor) -> tuple[Sequences, Tensor]:
        """Return the turns and their discounted returns, [E, K]."""
        turns = turn_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
        return turns, discounted_returns(turns.total(reward), turns.mask, gamma=self.config.gamma)

    def _step_advantages(self, batch: Batch, reward: Tensor) -> Tensor:
        """Advantages within groups of equal states, [B, T]."""
        turns, returns = self._turn_returns(batch, reward)
        states: list[list[str | None]] = []
        for row, episode in enumerate(turns.episodes.tolist()):
            owned = batch.turn_index.flatten()[turns.first[row][turns.mask[row]]].tolist()
            known = batch.states[episode] if batch.states else ()
            states.append([known[turn] if turn < len(known) else None for turn in owned])
        if not any(digest for row in states for digest in row):
            raise ConfigError(
                "advantage 'gigpo' compares equal states, and no step carries a state_hash; record it, or use grpo."
            )
        found = step_group_advantages(
            returns, turns.mask, batch.group_index[turns.episodes], states, scale_by_std=self.config.step_spread
        )
        return turns.spread(found)


ALGORITHM = Algorithm("grpo", GRPOConfig, learner=GRPOLearner)


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
                f"per episode. Set sum_turn_rewards = true to train on their sum, or use rebn, turn_rloo or ppo."
            )


def batch_baseline(batch: Batch, return_: Tensor) -> Tensor:
    """Mean return of each token's group on the last action token of each episode, [B, T], so that sums lose it once."""
    means = torch.zeros_like(return_)
    for group in batch.group_index.unique():
        members = (batch.group_index == group) & ~return_.isnan()
        if bool(members.any()):
            means[members] = return_[members].mean()
    tokens = token_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
    placed = torch.zeros(tokens.mask.shape)
    last = tokens.mask.sum(dim=1) - 1
    placed[torch.arange(len(last)), last] = means[tokens.episodes]
    return tokens.spread(placed)


def with_overlong_penalty(batch: Batch, *, limit: int, buffer: int) -> Batch:
    """Take a penalty for near-limit length from the return and from the reward on the last action token of each episode."""
    tokens = token_sequences(batch.action_mask, batch.episode_index, batch.turn_index)
    penalty = overlong_penalty(tokens.mask.sum(dim=1), limit=limit, buffer=buffer)
    placed = torch.zeros(tokens.mask.shape)
    placed[torch.arange(len(penalty)), tokens.mask.sum(dim=1) - 1] = penalty
    return_ = batch.return_.clone()
    return_[tokens.episodes] += penalty
    return dataclasses.replace(batch, token_reward=batch.token_reward + tokens.spread(placed), return_=return_)
