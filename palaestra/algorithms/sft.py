"""Behaviour cloning: raise the likelihood of what experts wrote, token by token.

The loss is the mean negative log-likelihood of the assistant's tokens (end token included) of whole multi-turn
episodes; observation tokens are context and get exactly zero gradient. Episodes come as token segments from
`demonstrations.py`. The loop, in the open: shuffle the segments of the epoch -> minibatches -> micro-batches with global
normalisers -> log -> save.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from palaestra.algorithms.batch import Batch, collate, microbatches
from palaestra.algorithms.demonstrations import expert_episodes, read_agent_traj, tokenize
from palaestra.algorithms.losses import Aggregation, token_weights
from palaestra.algorithms.phase import Phase, policy_agent
from palaestra.algorithms.policy import Policy
from palaestra.algorithms.seeds import stable_seed
from palaestra.algorithms.table import Algorithm
from palaestra.algorithms.updates import Decay, Optimiser, OptimiserTable
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Trajectory


class SFTConfig(OptimiserTable):
    """Table `[sft]` of a recipe."""

    source: str = "expert"
    """Where episodes come from: "expert" (played on train tasks), "run:ID" (successes of a stored run), or a path of an
    AgentTraj file."""
    episodes: int = Field(default=256, ge=1)
    """Most episodes to clone."""
    slip_rate: float = Field(default=0.0, ge=0, lt=1)
    """Share of turns in which the expert plays a random action instead; these are not imitated, the recovery is."""
    epochs: int = Field(default=4, ge=1)
    """Passes over them."""
    batch_size: int = Field(default=32, ge=1)
    """Segments per optimiser step."""
    loss_on: Literal["all_turns", "last_turn"] = "all_turns"
    """Which turns of an episode are imitated."""
    aggregation: Aggregation = "token_mean"
    """How tokens are averaged."""
    constant_length: int | None = Field(default=None, ge=1)
    """Tokens per episode that aggregation "constant" divides by."""
    max_updates: int | None = Field(default=None, ge=1)
    """Stop after so many optimiser steps, whatever the epochs say."""
    decay: Decay = "cosine"
    """What the learning rate does after warm-up."""


def clone_loss(log_prob: Tensor, weights: Tensor) -> Tensor:
    """Negative log-likelihood of the tokens that count: -sum of weight * log_prob.

    Args:
        log_prob: [B, T] with gradient.
        weights: [B, T], from `token_weights`; 0 at observations.
    """
    return -(weights * log_prob).sum()


class Cloner:
    """The update half of behaviour cloning.

    Args:
        policy: Trained in place.
        config: Settings.
        total: Planned optimiser steps, for the decay.
    """

    def __init__(self, policy: Policy, config: SFTConfig, *, total: int) -> None:
        """Set up the optimiser."""
        self.policy = policy
        self.config = config
        self.optimiser = Optimiser(policy.parameters(), config, total=total)

    def update(self, batch: Batch) -> dict[str, float]:
        """Make one optimiser step on the rows of a batch.

        Raises:
            TrainingStopped: If updates are not finite again and again.
        """
        config = self.config
        weights = token_weights(
            batch.action_mask,
            batch.episode_index,
            config.aggregation,
            turn_index=batch.turn_index,
            constant_length=config.constant_length,
        )
        batch = batch.with_tensors(weight=weights)
        total = correct = 0.0
        for part in microbatches(batch.lengths.tolist(), config.max_tokens_per_microbatch):
            rows = batch.rows(part)
            scored = self.policy.token_log_probs(rows.ids, rows.attention_mask, rows.action_mask)
            loss = clone_loss(scored.log_prob, rows.extra["weight"])
            loss.backward()
            total += float(loss.detach())
            # more likely than all others together: a cheap stand-in for "the greedy choice would be right"
            correct += float(((scored.log_prob > -0.6931) & rows.action_mask).sum())
        shown = {"loss": total, "likely_tokens": correct / max(1, batch.num_action_tokens)}
        shown |= self.optimiser.step(total)
        self.policy.version += 1
        return shown


def load_demonstrations(phase: Phase, config: SFTConfig) -> tuple[list[Trajectory], int]:
    """Return the episodes to clone, with token segments, and how many were too long for the model.

    Raises:
        UsageError: If the source holds nothing that could be cloned.
    """
    episodes = _source(phase, config)
    kept, too_long = tokenize(
        episodes, policy_agent(phase.policy, phase.recipe), phase.policy.template, max_context=phase.policy.max_context
    )
    if not kept:
        raise UsageError(
            f"None of {len(episodes)} episodes of sft.source {config.source!r} fits into {phase.policy.max_context} tokens; "
            f"raise model.max_positions or choose shorter tasks."
        )
    return kept, too_long


def run(phase: Phase, config: SFTConfig) -> None:
    """Clone demonstrations (see the module's docstring); resumes from the phase's last checkpoint.

    Raises:
        TrainingStopped: If a guard stops it.
        UsageError: If there is nothing to clone.
    """
    done, state = phase.resume()
    episodes, too_long = load_demonstrations(phase, config)
    batch = collate(episodes)
    if config.loss_on == "last_turn":
        batch = _only_last_turn(batch)
    per_epoch = -(-batch.num_rows // config.batch_size)
    total = per_epoch * config.epochs
    if config.max_updates is not None:
        total = min(total, config.max_updates)
    cloner = Cloner(phase.policy, config, total=total)
    if state is not None:
        cloner.optimiser.load(state["optimiser"])

    def save(step: int) -> None:
        phase.save(step, {"optimiser": cloner.optimiser.state()}, finished=step == total)

    for step in range(done + 1, total + 1):
        started = time.perf_counter()
        epoch, place = divmod(step - 1, per_epoch)
        order = np.random.default_rng(stable_seed(phase.recipe.seed, f"{phase.name}/{epoch}")).permutation(batch.num_rows)
        rows = batch.rows(order[place * config.batch_size : (place + 1) * config.batch_size])
        metrics = cloner.update(rows)
        seconds = time.perf_counter() - started
        metrics |= {
            "epoch": step / per_epoch,
            "episodes": float(len(episodes)),
            "episodes_too_long": float(too_long),
            "trained_tokens": float(rows.attention_mask.sum()),
            "seconds_update": seconds,
        }
        if phase.evaluate is not None and phase.is_evaluation_due(step):
            metrics |= {f"test_{name}": value for name, value in phase.evaluate().items()}
        phase.log(step, metrics, total=total)
        if phase.is_save_due(step, last=total):
            save(step)


ALGORITHM = Algorithm("sft", SFTConfig, run, arm="cloned")


def _source(phase: Phase, config: SFTConfig) -> list[Trajectory]:
    """Return recorded episodes from where the recipe says."""
    if config.source == "expert":
        plans = phase.feed.plans(phase.name, 1, num_tasks=config.episodes)
        return expert_episodes(plans, engine=phase.engine, slip_rate=config.slip_rate, seed=phase.recipe.seed)
    if config.source.startswith("run:"):
        run_id = config.source.removeprefix("run:")
        if phase.store is None:
            raise ConfigError(f"sft.source is {config.source!r}, but there is no run store to read it from.")
        episodes = [t for t in phase.store.trajectories(run_id) if t.outcome.success][: config.episodes]
        if not episodes:
            raise UsageError(f"Run {run_id!r} holds no successful episode; there is nothing to clone.")
        return episodes
    return read_agent_traj(Path(config.source), env_id=phase.recipe.env.id)[: config.episodes]


def _only_last_turn(batch: Batch) -> Batch:
    """Leave only the last sampled turn of every episode in the loss."""
    last: dict[int, int] = {}
    for row, episode in enumerate(batch.episode_index.tolist()):
        turns = batch.turn_index[row][batch.action_mask[row]]
        last[episode] = max(last.get(episode, -1), int(turns.max()) if turns.numel() else -1)
    wanted = torch.tensor([last[episode] for episode in batch.episode_index.tolist()]).unsqueeze(1)
    return batch.with_action_mask(batch.action_mask & (batch.turn_index == wanted))
