"""PPO with a value model, at the level of tokens or of turns.

One update: collate the episodes -> log-probs and values at the start of the update -> rewards less the KL term -> GAE over
action tokens or turns (separate trace decay for the policy and for the critic's targets, optionally suited to the length)
-> K epochs of clipped policy updates -> epochs of the critic (`critic`). Before the first update the critic
may be trained on the returns of the starting policy until it explains no more of those of a held-out fifth.

Sources: see `PPOConfig`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from palaestra.algorithms.config import MOST_COUNTED, MOST_HELD, Need
from palaestra.algorithms.learner.critic import Critic, CriticConfig, make_value_model
from palaestra.algorithms.learner.learner import MakePolicy, batch_metrics
from palaestra.algorithms.learner.optimiser import OPTIMISER_METRICS
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.learner.policy_update import (
    UPDATE_METRICS,
    MinibatchStep,
    PolicyConfig,
    PolicyGradientLearner,
    averaged,
)
from palaestra.algorithms.math.batch import Batch, collate
from palaestra.algorithms.math.losses import explained_variance, kl_estimate, policy_loss
from palaestra.algorithms.math.returns import Advantages, adaptive_lambda, generalised_advantages, whiten
from palaestra.algorithms.math.sequences import Sequences, token_sequences, turn_sequences
from palaestra.algorithms.run.on_policy import build_learner, train_on_policy
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.registry import Algorithm
from palaestra.algorithms.scale.ranks import ranks

log = logging.getLogger(__name__)


class PPOConfig(PolicyConfig):
    """Table `[ppo]`: a value model judges each token, or each turn.

    Papers:
        PPO (arXiv:1707.06347): clipped surrogate, epochs over collected episodes.
        GAE (arXiv:1506.02438): generalised advantages over tokens or turns.
        VC-PPO (arXiv:2503.01491): decoupled trace decay, pre-training of the critic.
        VAPO (arXiv:2504.05118): trace decay suited to the length (`adaptive_alpha`). Left out: the
            likelihood of solved episodes in the loss.
        Turn-PPO (arXiv:2512.17008): turns as steps in time (`level = "turn"`).
    """

    needs: ClassVar[Mapping[str, Need]] = {
        **PolicyConfig.needs,
        "lam_policy": Need("adaptive_alpha", (None,)),
        "pretrain_epochs": Need("pretrain_episodes"),
        "pretrain_minibatches": Need("pretrain_episodes"),
        "pretrain_patience": Need("pretrain_episodes"),
    }

    tasks_per_step: int = Field(default=48, ge=1, le=MOST_HELD)
    """Tasks per step."""
    group_size: int = Field(default=1, ge=1, le=MOST_HELD)
    """Episodes per task; PPO needs no groups."""
    epochs: int = Field(default=3, ge=1, le=MOST_COUNTED)
    """Passes of the policy over the collected episodes; 1 for large models."""
    level: Literal["token", "turn"] = "token"
    """What a step in time is: an action token, or a whole turn."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per step; 1 for tokens, .99 for turns."""
    lam_policy: float = Field(default=0.95, ge=0, le=1)
    """Trace decay of the advantages; .95 for tokens, .9 for turns."""
    lam_value: float = Field(default=1.0, ge=0, le=1)
    """Trace decay of the critic's targets."""
    adaptive_alpha: float | None = Field(default=None, gt=0)
    """Trace decay of the advantages from the episode's length, 1 - 1/(alpha n); .05 in the paper; None keeps lam_policy."""
    bootstrap_truncated: bool = False
    """Value the state at which an episode was cut off; for dense rewards, not for scores given at the end."""
    whiten_advantages: bool = True
    """Scale the advantages of a batch to mean 0 and standard deviation 1."""
    pretrain_episodes: int = Field(default=0, ge=0, le=MOST_HELD)
    """Episodes of the starting policy on which the critic is trained before the first update."""
    pretrain_epochs: int = Field(default=20, ge=1, le=MOST_COUNTED)
    """Most passes over them."""
    pretrain_minibatches: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    """Optimiser steps per such pass; the critic's `minibatches` by default."""
    pretrain_patience: int | None = Field(default=2, ge=1, le=MOST_COUNTED)
    """Passes without a better explained variance on a held-out fifth after which pre-training ends; None makes all passes."""
    critic: CriticConfig = CriticConfig()
    """Settings of the critic."""

    @property
    def planned_tasks(self) -> int:
        """Most tasks that a phase plays, those of the critic's pre-training last."""
        return super().planned_tasks + self.pretrain_episodes


class PPOLearner(PolicyGradientLearner):
    """The update half of PPO: trajectories in, better policy and critic out.

    Args:
        policy: Trained in place.
        config: Settings.
        critic: Its value model; one as the settings say if None.
        reference: Makes the frozen policy that the KL term refers to; needed if `kl.coefficient` is above 0.
        temperature: Sampling temperature of the rollouts.
        seed: Seed of the division into minibatches, and of the value head.
    """

    config: PPOConfig

    def __init__(
        self,
        policy: Policy,
        config: PPOConfig,
        *,
        critic: Critic | None = None,
        reference: MakePolicy | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Set up the update."""
        # the critic first: where weights are shared, the policy is cut into shards by its update
        self.critic = make_critic(policy, config, seed=seed) if critic is None else critic
        super().__init__(policy, config, reference=reference, temperature=temperature, seed=seed)
        self.pretrained = config.pretrain_episodes == 0

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Improve policy and critic with a collated batch: B rows of T tokens, of E episodes.

        Args:
            batch: Episodes with the tokens that this policy sampled.
            step: Training step; only the divisions into minibatches depend on it.

        Returns:
            Metrics; `no_signal` is 1.0 if every episode failed with an error and nothing was learned.

        Raises:
            TrainingStopped: If several updates in a row are not finite, or the sampler's log-probs are not this policy's.
        """
        scores = dict[str, float]()
        self.schedule_entropy(step)
        metrics = batch_metrics(batch)
        if not metrics["within_group_std"]:  # no groups to compare: the watchdog looks at the spread of the batch
            scored = batch.return_[~batch.return_.isnan()]
            metrics["within_group_std"] = float(scored.std(correction=0)) if scored.numel() else 0.0
        if batch.num_rows == 0:
            return {**metrics, "no_signal": 1.0}

        # advantages: where the reward pays for the divergence, the log-probs at the start have to come first
        if self.penalises_reward:
            batch, scores = self.score(batch)  # old_log_prob, ref_log_prob, correction: [B, T]
        batch = self.judged(batch)  # value, advantage, return_ (the critic's targets): [B, T]
        if not bool((batch.extra["advantage"] != 0).any()):
            return {**metrics, **scores, "no_signal": 1.0}
        if not self.penalises_reward:
            batch, scores = self.prepare(batch)
        advantage = batch.extra["raw_advantage"][batch.action_mask]  # [M] action tokens, before whitening
        metrics |= scores | {
            "no_signal": 0.0,
            "advantage_mean": float(advantage.mean()),
            "advantage_std": float(advantage.std(correction=0)),
            "value_mean": float(batch.extra["value"][batch.action_mask].mean()),
        }
        metrics |= self.improve(batch, step)
        metrics |= self.critic.fit(batch, step)  # after the policy: its targets come from the values at the start
        if self.config.critic.share_backbone:  # the critic moved the policy too
            self.policy.refresh()
        return metrics

    def improve(self, batch: Batch, step: int) -> dict[str, float]:
        """Improve the policy: K epochs of clipped optimiser steps.

        Args:
            batch: With `advantage` and what `score` or `prepare` adds.
            step: Training step; only the division into minibatches depends on it.
        """
        config, found = self.config, []
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
        metrics = averaged(found)
        return metrics | self.adapt_kl(metrics, len(batch.episode_index.unique())) | self.adapt_entropy(metrics)

    def judged(self, batch: Batch) -> Batch:
        """Add `value`, `advantage`, `raw_advantage` (before whitening), `return_` (critic targets) and `decision`.

        Args:
            batch: Collated episodes, with log-probs if the KL term is part of the reward.
        """
        config = self.config
        steps = steps_of(batch, config.level)  # of E episodes, up to N steps in time each
        value = self.critic.values(batch)  # [B, T], before each action token
        reward = steps.total(self.penalised_reward(batch))
        at_steps = steps.at_first(value)  # [E, N]
        bootstrap = self._bootstrap(batch, steps) if config.bootstrap_truncated else None
        lam = (
            config.lam_policy
            if config.adaptive_alpha is None
            else adaptive_lambda(steps.mask.sum(dim=1), alpha=config.adaptive_alpha)
        )
        found = generalised_advantages(reward, at_steps, steps.mask, gamma=config.gamma, lam=lam, bootstrap=bootstrap)
        # a trace of its own: with 1 the critic learns the return itself, whatever it believed before
        targets = generalised_advantages(
            reward, at_steps, steps.mask, gamma=config.gamma, lam=config.lam_value, bootstrap=bootstrap
        )
        return with_advantages(batch, steps, value, found, targets.return_, whitened=config.whiten_advantages)

    def pretrain(self, batch: Batch) -> dict[str, float]:
        """Train the critic on the returns of the starting policy.

        The policy stays as it is, also where it shares its backbone. Four fifths of the episodes are trained on. Without
        patience all passes are made; with it, the weights of the best pass on the held-out fifth are kept.

        Args:
            batch: Episodes of the starting policy.

        Returns:
            Passes made, passes kept, and the explained variance on the held-out fifth.
        """
        config = self.config
        steps = steps_of(batch, config.level)
        zero = torch.zeros(steps.mask.shape)
        returns = generalised_advantages(
            steps.total(batch.token_reward), zero, steps.mask, gamma=config.gamma, lam=1.0
        ).advantage
        batch = batch.with_tensors(return_=steps.spread(returns), decision=steps.starts().float())
        held = (batch.episode_index % 5) == 4  # [B], a fifth
        train, test = (batch.rows(torch.nonzero(rows).squeeze(1)) for rows in (~held, held))
        train = self.critic.annotated(train)
        backbone = list(self.critic.model.backbone.parameters())
        for parameter in backbone:
            parameter.requires_grad_(not config.critic.share_backbone)  # a shared one is the policy: it has to stay
        best, kept, waited, done = -math.inf, 0, 0, 0
        saved: dict[str, Any] | None = None
        explained = float("nan")
        for done in range(1, config.pretrain_epochs + 1):
            # steps below 0, so that no minibatch is divided as one of the training to come
            self.critic.fit(train, -done, epochs=1, minibatches=config.pretrain_minibatches)
            explained = explained_variance(self.critic.values(test), test.extra["return_"], test.extra["decision"].bool())
            if config.pretrain_patience is None:
                kept = done
                continue
            if explained > best:
                best, kept, waited, saved = explained, done, 0, self.critic.state()
                continue
            waited += 1
            if waited >= config.pretrain_patience:
                break
        for parameter in backbone:
            parameter.requires_grad_(True)
        if saved is not None:
            self.critic.load(saved)
            explained = best
        self.pretrained = True
        return {"pretrain_passes": float(done), "pretrain_kept": float(kept), "pretrain_explained_variance": explained}

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs in addition to the policy's weights."""
        return {**super().state(), "critic": self.critic.state(), "pretrained": self.pretrained}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        super().load(state)
        self.critic.load(state["critic"])
        self.pretrained = bool(state["pretrained"])

    def _bootstrap(self, batch: Batch, steps: Sequences) -> Tensor:
        """Value of the state at which each episode was cut off, 0 where it ended: [E]."""
        last = steps.last[torch.arange(len(steps.episodes)), steps.mask.sum(dim=1) - 1]  # [E], flat index of the last token
        after = self.critic.values_after(batch).flatten()[last]  # [E]
        return torch.where(batch.truncated[steps.episodes], after, 0.0)


def steps_of(batch: Batch, level: Literal["token", "turn"]) -> Sequences:
    """Return the steps in time of a batch's episodes: action tokens or turns."""
    build = token_sequences if level == "token" else turn_sequences
    return build(batch.action_mask, batch.episode_index, batch.turn_index)


def with_advantages(
    batch: Batch, steps: Sequences, value: Tensor, found: Advantages, targets: Tensor, *, whitened: bool
) -> Batch:
    """Return the batch with the tensors that policy and critic are trained on."""
    raw = found.advantage  # [E, N]
    advantage = whiten(raw, steps.mask) if whitened else raw  # over steps, so that long turns do not count more
    return batch.with_tensors(
        value=value,
        advantage=steps.spread(advantage),
        raw_advantage=steps.spread(raw),
        return_=steps.spread(targets),
        decision=steps.starts().float(),  # the critic is trained where a step begins
    )


def make_critic(policy: Policy, config: PPOConfig, *, seed: int) -> Critic:
    """Return the critic of a policy, which begins with the policy's transformer.

    Args:
        policy: Whose.
        config: Settings.
        seed: Of the value head and of minibatches.
    """
    critic = config.critic
    total = config.steps * critic.epochs * critic.minibatches
    return Critic(make_value_model(policy, critic, seed=seed), critic, total=total, seed=seed)


def run(phase: Phase, config: PPOConfig) -> None:
    """Train a policy with PPO (see the module's docstring); resumes from the phase's last checkpoint.

    Raises:
        TrainingStopped: If a watchdog stops it.
    """
    train_with_critic(phase, config, build_learner(phase, config, PPOLearner))


def train_with_critic(phase: Phase, config: PPOConfig, learner: PPOLearner) -> None:
    """Pre-train the critic if asked for, then run all steps."""
    if not learner.pretrained and ranks().on_main(phase.checkpoints.latest) is None:
        first = config.planned_tasks - config.pretrain_episodes  # tasks that no step plays
        plans = phase.plans(1, num_tasks=config.pretrain_episodes, part="pretrain", first=first)
        found = learner.pretrain(collate(phase.collect(plans)))
        log.info("The critic was pre-trained: %s", found)
        phase.log(0, found, total=config.steps)
    train_on_policy(phase, config, learner)


METRICS = UPDATE_METRICS | {"advantage_mean", "value_mean", "explained_variance", "value_loss", "critic_loss"}
METRICS |= {f"critic_{name}" for name in OPTIMISER_METRICS}
METRICS |= {"pretrain_passes", "pretrain_kept", "pretrain_explained_variance"}
"""Names of what a step logs."""

ALGORITHM = Algorithm("ppo", PPOConfig, learner=PPOLearner, run=run, metrics=METRICS)
