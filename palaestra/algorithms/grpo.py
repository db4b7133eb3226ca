"""GRPO over multi-turn episodes: the whole interaction is one action, compared with the other samples of its task.

The loop, in the open: plan P tasks x G episodes under the horizon of the step -> play them with the present policy ->
log-probs of the sampled tokens under the same weights (and how far the sampler's are from them) -> group advantages ->
K epochs of clipped updates over micro-batches with global normalisers -> log -> evaluate -> save.

Departures from the paper (arXiv:2402.03300): (1) groups lose the members that ended in an error, and groups without any
other member are dropped; (2) a batch without signal makes no optimiser step, because Adam's momentum would move the
weights; (3) the KL term is off by default; (4) rows without advantage are left out of the backward pass when no other
term of the loss would reach them: their gradient is exactly zero, and the normalisers count them all the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from palaestra.algorithms.advantages import GroupStatistics, Spread, group_statistics, grpo_advantages, rloo_advantages
from palaestra.algorithms.batch import Batch, collate, microbatches
from palaestra.algorithms.guards import CollapseWatch, TrainingStopped
from palaestra.algorithms.losses import Aggregation, clipped_policy_loss, kl_estimate, log_ratio, token_weights
from palaestra.algorithms.metrics import episode_metrics
from palaestra.algorithms.phase import Phase
from palaestra.algorithms.policy import Policy
from palaestra.algorithms.seeds import stable_seed
from palaestra.algorithms.table import Algorithm
from palaestra.algorithms.updates import Optimiser, OptimiserTable
from palaestra.errors import ConfigError
from palaestra.types import Trajectory

log = logging.getLogger(__name__)

SOLVED = 0.9  # with this success a policy without spread and entropy is done, not collapsed


class GRPOConfig(OptimiserTable):
    """Table `[grpo]` of a recipe."""

    steps: int = Field(default=100, ge=1)
    """Training steps: one collection and its updates each."""
    tasks_per_step: int = Field(default=8, ge=1)
    """Tasks (groups) per step."""
    group_size: int = Field(default=8, ge=2)
    """Episodes per task."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the collected episodes; 1 to 2."""
    minibatches: int = Field(default=1, ge=1)
    """Optimiser steps per epoch; episodes are divided among them at random."""
    advantage: Literal["grpo", "rloo"] = "grpo"
    """Baseline: group mean over spread, or mean of the others."""
    spread: Spread = "group"
    """What `grpo` divides by: the spread of the group, of the batch, or nothing (Dr.GRPO)."""
    aggregation: Aggregation = "sequence_mean"
    """How tokens are averaged; "constant" with spread "none" is Dr.GRPO."""
    constant_length: int | None = Field(default=None, ge=1)
    """Tokens per episode that aggregation "constant" divides by."""
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """How far the ratio may fall below 1."""
    clip_high: float = Field(default=0.2, gt=0)
    """How far it may rise above 1."""
    dual_clip: float | None = Field(default=None, gt=1)
    """Bound on the loss of bad actions that became likely, in units of the advantage; None is off."""
    kl_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the k3 divergence from the frozen starting policy; .001 to .04 for large models."""
    entropy_coefficient: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus; 0 for large models, up to .02 for tiny ones from scratch."""
    sum_turn_rewards: bool = False
    """Train on the sum of rewards given in several turns; without it such episodes are refused."""
    drift_limit: float = Field(default=0.05, gt=0)
    """Largest mean difference between the sampler's log-probs and the recomputed ones; above it training stops."""
    on_collapse: Literal["warn", "stop", "rollback"] = "warn"
    """What to do when spread and entropy are gone: report, stop, or go back once with half the rate."""


class Learner:
    """The update half of GRPO: trajectories in, better policy out.

    Args:
        policy: Trained in place.
        config: Settings.
        reference: Frozen policy that the KL term refers to; needed if `kl_coefficient` is above 0.
        temperature: Sampling temperature of the rollouts; log-probs are taken at the same one.
        seed: Seed of the division into minibatches.
    """

    def __init__(
        self, policy: Policy, config: GRPOConfig, *, reference: Policy | None = None, temperature: float = 1.0, seed: int = 0
    ) -> None:
        """Set up the optimiser."""
        if config.kl_coefficient > 0 and reference is None:
            raise ConfigError(f"kl_coefficient is {config.kl_coefficient}; it needs a reference policy.")
        self.policy = policy
        self.config = config
        self.reference = reference
        self.temperature = temperature
        self.seed = seed
        self.kl_coefficient = config.kl_coefficient
        self.optimiser = Optimiser(policy.parameters(), config, total=config.steps * config.epochs * config.minibatches)

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Improve the policy with the episodes of one step.

        Args:
            trajectories: Episodes with the tokens that this policy sampled.
            step: Training step; only the division into minibatches depends on it.

        Returns:
            Metrics; `no_signal` is 1.0 if nothing could be learned and no optimiser step was made.

        Raises:
            TrainingStopped: If updates are not finite again and again, or the sampler's log-probs are not this policy's.
            ConfigError: If episodes have rewards in several turns and `sum_turn_rewards` is off.
        """
        config = self.config
        if not config.sum_turn_rewards:
            _refuse_turn_rewards(trajectories)
        batch = collate(trajectories)
        groups = group_statistics(batch.return_, batch.group_index)
        metrics = _batch_metrics(batch, groups)
        if not groups.has_signal or batch.num_rows == 0:
            return {**metrics, "no_signal": 1.0}
        estimate = (
            rloo_advantages(batch.return_, batch.group_index)
            if config.advantage == "rloo"
            else grpo_advantages(batch.return_, batch.group_index, std=config.spread)
        )
        batch = batch.with_tensors(advantage=batch.spread(estimate))
        batch, drift = self._with_log_probs(batch)
        metrics |= drift | {"no_signal": 0.0, "advantage_std": float(estimate.std(correction=0))}
        totals: dict[str, list[float]] = {}
        for epoch in range(config.epochs):
            for rows in _minibatches(batch, config.minibatches, seed=stable_seed(self.seed, f"{step}/{epoch}")):
                for name, value in self._optimise(batch.rows(rows)).items():
                    totals.setdefault(name, []).append(value)
        self.policy.version += 1
        return metrics | {name: max(v) if name == "ratio_max" else sum(v) / len(v) for name, v in totals.items()}

    def _with_log_probs(self, batch: Batch) -> tuple[Batch, dict[str, float]]:
        """Add log-probs under the policy at the start of the update (and the reference), and measure the drift."""
        wanted = self._relevant(batch)
        old = self._log_probs(self.policy, batch, wanted)
        extra = {"old_log_prob": old}
        if self.reference is not None and self.kl_coefficient > 0:
            extra["ref_log_prob"] = self._log_probs(self.reference, batch, wanted)
        mask = batch.action_mask & wanted.unsqueeze(1)
        difference = (old - batch.rollout_log_prob)[mask].abs()
        drift = {"drift_mean": float(difference.mean()), "drift_max": float(difference.max())}
        if not drift["drift_mean"] <= self.config.drift_limit:  # also true for NaN
            raise TrainingStopped(
                f"The sampler's log-probs differ from the policy's by {drift['drift_mean']:.3g} on average; expected at most "
                f"{self.config.drift_limit:g}. Sample with its weights at temperature {self.temperature:g}, without top-p."
            )
        return batch.with_tensors(**extra), drift

    def _relevant(self, batch: Batch) -> Tensor:
        """Mark the rows that any term of the loss reaches: bool [B]."""
        if self.kl_coefficient > 0 or self.config.entropy_coefficient > 0:
            return torch.ones(batch.num_rows, dtype=torch.bool)
        return (batch.extra["advantage"] != 0).any(dim=1)

    def _parts(self, batch: Batch, wanted: Tensor) -> list[list[int]]:
        """Plan micro-batches of the wanted rows."""
        rows = torch.nonzero(wanted).squeeze(1).tolist()
        lengths = batch.lengths.tolist()
        parts = microbatches([lengths[row] for row in rows], self.config.max_tokens_per_microbatch)
        return [[rows[i] for i in part] for part in parts]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _log_probs(self, policy: Policy, batch: Batch, wanted: Tensor) -> Tensor:
        """Log-probs of the sampled tokens, 0 in rows that are not wanted: [B, T]."""
        result = torch.zeros(batch.ids.shape)
        for part in self._parts(batch, wanted):
            rows = batch.rows(part)
            scored = policy.token_log_probs(rows.ids, rows.attention_mask, rows.action_mask, temperature=self.temperature)
            result[torch.tensor(part), : rows.ids.shape[1]] = scored.log_prob
        return result

    def _optimise(self, batch: Batch) -> dict[str, float]:
        """Make one optimiser step on a minibatch, micro-batch by micro-batch."""
        config = self.config
        # weights of the whole minibatch first: however it is cut, every token counts the same
        weights = token_weights(
            batch.action_mask,
            batch.episode_index,
            config.aggregation,
            turn_index=batch.turn_index,
            constant_length=config.constant_length,
        )
        wanted = self._relevant(batch)
        if not bool(wanted.any()):
            return {}
        reached = (batch.action_mask & wanted.unsqueeze(1)).float()
        batch = batch.with_tensors(weight=weights, token_share=reached / reached.sum())
        sums: dict[str, float] = {}
        ratio_max = 0.0
        for part in self._parts(batch, wanted):
            rows = batch.rows(part)
            loss, values, highest = self._loss(rows)
            loss.backward()
            ratio_max = max(ratio_max, highest)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
        return sums | self.optimiser.step(sums["loss"]) | {"ratio_max": ratio_max}

    def _loss(self, rows: Batch) -> tuple[Tensor, dict[str, float], float]:
        """Return the loss of a micro-batch, its measurements (shares of the minibatch's sums), and the largest ratio."""
        config, mask = self.config, rows.action_mask
        scored = self.policy.token_log_probs(rows.ids, rows.attention_mask, mask, temperature=self.temperature, entropy=True)
        entropies = torch.zeros_like(scored.log_prob) if scored.entropy is None else scored.entropy
        old, advantage, weight = rows.extra["old_log_prob"], rows.extra["advantage"], rows.extra["weight"]
        per_token = clipped_policy_loss(
            scored.log_prob,
            old,
            advantage,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
            dual_clip=config.dual_clip,
        )
        loss = (weight * per_token).sum()
        share = rows.extra["token_share"]
        values: dict[str, float] = {"policy_loss": float(loss.detach())}
        if "ref_log_prob" in rows.extra:
            k3 = kl_estimate(scored.log_prob, rows.extra["ref_log_prob"], "k3")
            loss = loss + self.kl_coefficient * (weight * k3).sum()
            values["kl_reference"] = float((share * k3.detach()).sum())
        if config.entropy_coefficient > 0:
            loss = loss - config.entropy_coefficient * (share * entropies).sum()
        with torch.no_grad():
            ratio = log_ratio(scored.log_prob, old).exp()
            values |= {
                "loss": float(loss),
                "entropy": float((share * entropies).sum()),
                "kl_old": float((share * kl_estimate(scored.log_prob, old, "k3")).sum()),
                "ratio_mean": float((share * ratio).sum()),
                "clipped_low": float((share * (ratio < 1 - config.clip_low)).sum()),
                "clipped_high": float((share * (ratio > 1 + config.clip_high)).sum()),
            }
            highest = float(torch.where(mask, ratio, 0.0).max())
        return loss, values, highest


def run(phase: Phase, config: GRPOConfig) -> None:
    """Train a policy with GRPO (see the module's docstring); resumes from the phase's last checkpoint.

    Raises:
        TrainingStopped: If a guard stops it.
    """
    reference = None
    if config.kl_coefficient > 0:
        if phase.reference_path is None:
            raise ConfigError("grpo.kl_coefficient needs the folder of the starting policy, and the phase names none.")
        reference = phase.policy.frozen_copy(phase.reference_path)
    learner = Learner(
        phase.policy, config, reference=reference, temperature=phase.recipe.agent.temperature, seed=phase.recipe.seed
    )
    watch = CollapseWatch()
    counts = {"no_signal_steps": 0, "rollbacks": 0, "warnings": 0, "env_steps": 0, "sampled_tokens": 0}
    done, state = phase.resume()
    if state is not None:
        learner.optimiser.load(state["optimiser"])
        learner.kl_coefficient = float(state["kl_coefficient"])
        watch.load(state["watch"])
        counts = dict(state["counts"])

    def save(step: int) -> None:
        state = {
            "optimiser": learner.optimiser.state(),
            "kl_coefficient": learner.kl_coefficient,
            "watch": watch.state(),
            "counts": dict(counts),
        }
        phase.save(step, state, finished=step == config.steps)

    if state is None:
        save(0)
    for step in range(done + 1, config.steps + 1):
        started = time.perf_counter()
        max_turns = phase.max_turns(step)
        plans = phase.feed.plans(
            phase.name, step, num_tasks=config.tasks_per_step, group_size=config.group_size, max_turns=max_turns
        )
        trajectories = phase.collect(plans)
        collected = time.perf_counter()
        metrics = episode_metrics(trajectories)
        metrics |= learner.update(trajectories, step)
        updated = time.perf_counter()

        counts["no_signal_steps"] += int(metrics["no_signal"])
        counts["env_steps"] += int(metrics["env_steps"])
        counts["sampled_tokens"] += int(metrics["sampled_tokens"])
        metrics |= {
            "horizon": float(max_turns or 0),
            "seconds_collect": collected - started,
            "seconds_update": updated - collected,
            "tokens_per_second": metrics["sampled_tokens"] / max(1e-9, collected - started),
            "total_no_signal_steps": float(counts["no_signal_steps"]),
            "total_env_steps": float(counts["env_steps"]),
            "total_sampled_tokens": float(counts["sampled_tokens"]),
            "total_skipped_updates": float(learner.optimiser.guard.total),
        }
        # the sampled entropy is there even when a collapsed policy leaves nothing to learn from
        collapsed = watch.observe(
            step, spread=metrics["within_group_std"], entropy=metrics["entropy_sampled"], return_=metrics["return_mean"]
        )
        metrics["collapsed"] = float(collapsed)
        if phase.evaluate is not None and phase.is_evaluation_due(step):
            metrics |= {f"test_{name}": value for name, value in phase.evaluate().items()}
        phase.log(step, metrics, total=config.steps)
        if collapsed and metrics["success"] < SOLVED:
            _answer_collapse(phase, learner, config, counts, step)
        if phase.is_save_due(step, last=config.steps):
            save(step)


ALGORITHM = Algorithm("grpo", GRPOConfig, run, arm="trained")


def _answer_collapse(phase: Phase, learner: Learner, config: GRPOConfig, counts: dict[str, int], step: int) -> None:
    """Warn, stop, or go back to the last checkpoint once with half the rate and twice the KL weight."""
    message = f"Step {step}: the spread of returns and the entropy (or the return) are below a quarter of what they were"
    if config.on_collapse == "stop":
        raise TrainingStopped(f"{message}. Resume with a lower grpo.lr or a higher grpo.entropy_coefficient.")
    found = phase.checkpoints.latest() if config.on_collapse == "rollback" and not counts["rollbacks"] else None
    if found is None:
        if not counts["warnings"]:
            log.warning("%s; the policy may have collapsed.", message)
        counts["warnings"] += 1
        return
    log.warning("%s; going back to the policy of step %d with half the learning rate.", message, found.step)
    phase.policy.load_weights(found.policy_path)
    learner.optimiser.load(found.state()["optimiser"])
    learner.optimiser.lr_factor *= 0.5
    learner.kl_coefficient *= 2.0
    counts["rollbacks"] += 1


def _refuse_turn_rewards(trajectories: Sequence[Trajectory]) -> None:
    """Refuse episodes with rewards in more than one turn: GRPO gives all turns one advantage."""
    for trajectory in trajectories:
        rewarded = [index for index, step in enumerate(trajectory.steps) if step.reward != 0]
        if len(rewarded) > 1:
            raise ConfigError(
                f"Episode {trajectory.episode_id!r} has rewards in turns {rewarded}; GRPO knows one return per episode. "
                f"Set grpo.sum_turn_rewards = true to train on their sum."
            )


def _batch_metrics(batch: Batch, groups: GroupStatistics) -> dict[str, float]:
    """Measure what the batch offers."""
    judged = max(1, groups.num_groups - groups.num_single)
    lengths = batch.lengths
    sampled = batch.rollout_log_prob[batch.action_mask]
    return {
        "entropy_sampled": -float(sampled.mean()) if sampled.numel() else 0.0,
        "within_group_std": groups.within_std,
        "groups_equal": groups.num_equal / judged,
        "groups_dropped": float(groups.num_dropped),
        "groups_single": float(groups.num_single),
        "excluded_errors": float(batch.excluded.get("error", 0)),
        "excluded_rewards": float(batch.excluded.get("non_finite_reward", 0)),
        "row_tokens_mean": float(lengths.float().mean()) if batch.num_rows else 0.0,
        "row_tokens_max": float(lengths.max()) if batch.num_rows else 0.0,
    }


def _minibatches(batch: Batch, parts: int, *, seed: int) -> list[list[int]]:
    """Divide the rows at random, keeping the segments of an episode together."""
    if parts == 1:
        return [list(range(batch.num_rows))]
    episodes = batch.episode_index.unique()
    order = episodes[torch.from_numpy(np.random.default_rng(seed).permutation(len(episodes)))]
    chunks = [chunk for chunk in order.chunk(parts) if chunk.numel()]
    return [torch.nonzero(torch.isin(batch.episode_index, chunk)).squeeze(1).tolist() for chunk in chunks]
