"""Behaviour cloning: raise the likelihood of what experts wrote, token by token.

The loss is the mean negative log-likelihood of the assistant's tokens (end token included) of whole multi-turn
episodes; observation tokens are context and get exactly zero gradient. Episodes come as token segments from
`demonstrations.py`. They may weigh differently: by a weight of their own, or by their return (reward-weighted regression),
which makes use of failures too. The loop, in the open: shuffle the segments of the epoch -> minibatches -> micro-batches of
rows of like length, with global normalisers -> log -> save.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from palaestra.algorithms.config import MOST_COUNTED, MOST_HELD, Need
from palaestra.algorithms.data.demonstrations import expert_episodes, tokenize
from palaestra.algorithms.data.sources import LeftOut, Recorded
from palaestra.algorithms.learner.learner import BatchLearner, MakePolicy
from palaestra.algorithms.learner.optimiser import OPTIMISER_METRICS, Decay, Optimiser, OptimiserConfig
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import Batch, collate, padding_waste
from palaestra.algorithms.math.episode_weights import (
    Baseline,
    given_weights,
    regression_weights,
    scaled_to_mean_one,
    task_index,
)
from palaestra.algorithms.math.losses import Aggregation, token_weights
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.run.registry import Algorithm
from palaestra.algorithms.scale.ranks import ranks
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Trajectory


class SFTConfig(OptimiserConfig):
    """Table `[sft]`: imitate recorded turns.

    Papers:
        AWR (arXiv:1910.00177): weights from returns (`weighting = "regression"`). Left out: the
            value function.
    """

    needs: ClassVar[Mapping[str, Need]] = {
        "regression_temperature": Need("weighting", ("regression",)),
        "regression_baseline": Need("weighting", ("regression",)),
        "regression_cap": Need("weighting", ("regression",)),
        "constant_length": Need("aggregation", ("constant",)),
    }

    source: str = "expert"
    """Where episodes come from: "expert" (played on train tasks), "run:ID" (successes of a stored run; with weighting
    "regression" all its episodes without an error), or the path of a file in any form that is exported, of which the same
    is taken; what a record does not say counts as a success."""
    episodes: int = Field(default=256, ge=1, le=MOST_HELD)
    """Most episodes to clone."""
    slip_rate: float = Field(default=0.0, ge=0, lt=1)
    """Share of turns in which the expert plays a random action instead; these are not imitated, the recovery is."""
    epochs: int = Field(default=4, ge=1, le=MOST_COUNTED)
    """Passes over them."""
    batch_size: int = Field(default=32, ge=1, le=MOST_HELD)
    """Segments per optimiser step."""
    loss_on: Literal["all_turns", "last_turn"] = "all_turns"
    """Which turns of an episode are imitated."""
    weighting: Literal["equal", "regression"] = "equal"
    """How much an episode counts, times a `weight` of its own if its meta data has one: the same, or
    exp((return - baseline) / regression_temperature). Weights are scaled to mean 1 over all episodes."""
    regression_temperature: float = Field(default=0.5, gt=0)
    """Units of the return; low ones imitate only the best."""
    regression_baseline: Baseline = "task"
    """What a return is compared with: the mean over the episodes of its task, or over all."""
    regression_cap: float = Field(default=20.0, ge=1)
    """Largest weight of an episode before scaling."""
    aggregation: Aggregation = "token_mean"
    """How tokens are averaged."""
    constant_length: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    """Tokens per episode that aggregation "constant" divides by."""
    max_updates: int | None = Field(default=None, ge=1, le=MOST_COUNTED)
    """Stop after so many optimiser steps, whatever the epochs say."""
    decay: Decay = "cosine"
    """What the learning rate does after warm-up."""

    @property
    def planned_tasks(self) -> int:
        """Tasks that experts play; later phases begin behind them."""
        return self.episodes if self.source == "expert" else 0

    @model_validator(mode="after")
    def _averages_can_be_taken(self) -> SFTConfig:
        if self.aggregation == "constant" and self.constant_length is None:
            raise ConfigError("aggregation 'constant' divides by constant_length; give it, tokens per episode.")
        return self

    def recorded(self) -> tuple[Recorded, ...]:
        """Return the recorded episodes that are cloned; nothing where the expert plays."""
        if self.source == "expert":
            return ()
        return (Recorded(self.source, self.episodes, failures=self.weighting == "regression"),)


def clone_loss(log_prob: Tensor, weights: Tensor) -> Tensor:
    """Negative log-likelihood of the tokens that count: -sum of weight * log_prob.

    Args:
        log_prob: [B, T] with gradient.
        weights: [B, T], from `token_weights`; 0 at observations.
    """
    return -(weights * log_prob).sum()


class SFTLearner(BatchLearner):
    """The update half of behaviour cloning: one optimiser step on the episodes, or rows, that it is given.

    Args:
        policy: Trained in place.
        config: Settings.
        total: Planned optimiser steps, for the decay; None takes what the settings allow.
    """

    optimiser: Optimiser

    def __init__(
        self,
        policy: Policy,
        config: SFTConfig,
        *,
        total: int | None = None,
        reference: MakePolicy | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Set up the optimiser; nothing is sampled here, so neither reference nor temperature nor seed matter."""
        del reference, temperature, seed
        policy.distribute()
        planned = config.epochs * -(-config.episodes // config.batch_size)
        total = min(planned, config.max_updates or planned) if total is None else total
        super().__init__(policy, Optimiser(policy.parameters(), config, total=total))
        self.config = config

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Make one optimiser step on whole episodes, weighted as the settings say; see `learn`."""
        return self.learn(imitation_batch(trajectories, self.config), step)

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """Make one optimiser step on the rows of a batch.

        Args:
            batch: Rows to imitate; `extra["episode_weight"]` scales the weights of their tokens.
            step: Training step; nothing depends on it.

        Raises:
            TrainingStopped: If updates are not finite several times in a row.
        """
        del step
        config = self.config
        weights = token_weights(  # [B, T], of the whole step, however it is cut into micro-batches
            batch.action_mask,
            batch.episode_index,
            config.aggregation,
            turn_index=batch.turn_index,
            constant_length=config.constant_length,
        )
        if "episode_weight" in batch.extra:
            weights = weights * batch.extra["episode_weight"]  # [B, T]
        batch = batch.with_tensors(weight=weights)
        total = correct = 0.0
        lengths = batch.lengths.tolist()
        plan = ranks().plan(range(batch.num_rows), lengths, config.max_tokens_per_microbatch)
        for part in plan:
            rows = batch.rows(part)
            scored = self.policy.token_log_probs(rows.ids, rows.attention_mask, rows.action_mask)  # [b, t]
            loss = clone_loss(scored.log_prob, rows.extra["weight"])
            (loss * part.weight).backward()
            if not part.weight:
                continue
            total += float(loss.detach())
            # more likely than all others together: a cheap stand-in for "the greedy choice would be right"
            correct += float(((scored.log_prob > -0.6931) & rows.action_mask).sum())
        shown = ranks().sum_values({"loss": total, "likely_tokens": correct / max(1, batch.num_action_tokens)})
        ranks().sum_gradients(self.optimiser.parameters)
        shown |= self.optimiser.step(shown["loss"])
        shown["padding_waste"] = padding_waste([[lengths[row] for row in part] for part in plan])
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


def imitation_batch(episodes: Sequence[Trajectory], config: SFTConfig) -> Batch:
    """Return the rows to imitate, with `episode_weight` where episodes do not all count the same.

    Args:
        episodes: With token segments.
        config: Which turns count, and how much an episode counts.

    Raises:
        UsageError: If every episode weighs 0.
    """
    batch = collate(episodes)
    if config.loss_on == "last_turn":
        batch = _only_last_turn(batch)
    weights = given_weights(episodes)
    if config.weighting == "regression":
        weights = weights * regression_weights(
            batch.return_,
            task_index(episodes),
            temperature=config.regression_temperature,
            baseline=config.regression_baseline,
            cap=config.regression_cap,
        )
    weights = scaled_to_mean_one(weights)
    return batch if bool((weights == 1).all()) else batch.with_tensors(episode_weight=batch.spread(weights))


class Passes:
    """Which rows an optimiser step sees: epochs over a batch, shuffled for each; a pure function of seed and step.

    Args:
        batch: All rows.
        config: Epochs, rows per step, most steps.
        seed: Of the shuffling.
        name: What is trained; part of the seed.
    """

    def __init__(self, batch: Batch, config: SFTConfig, *, seed: int, name: str) -> None:
        """Count the steps."""
        self.batch = batch
        self.size = config.batch_size
        self.seed = seed
        self.name = name
        self.per_epoch = -(-batch.num_rows // config.batch_size)
        planned = self.per_epoch * config.epochs
        self.total = planned if config.max_updates is None else min(planned, config.max_updates)

    def rows(self, step: int) -> Batch:
        """Return the rows of a step, from 1."""
        epoch, place = divmod(step - 1, self.per_epoch)
        order = np.random.default_rng(stable_seed(self.seed, f"{self.name}/{epoch}")).permutation(self.batch.num_rows)
        return self.batch.rows(order[place * self.size : (place + 1) * self.size])


def run(phase: Phase, config: SFTConfig) -> None:
    """Clone demonstrations (see the module's docstring); resumes from the phase's last checkpoint.

    Raises:
        TrainingStopped: If a watchdog stops it.
        UsageError: If there is nothing to clone.
    """
    done, state = phase.resume()
    episodes, too_long = load_demonstrations(phase, config)
    batch = imitation_batch(episodes, config)
    passes = Passes(batch, config, seed=phase.recipe.seed, name=phase.name)
    total = passes.total
    learner = SFTLearner(phase.policy, config, total=total)
    if state is not None:
        learner.load(state)

    for step in range(done + 1, total + 1):
        started = time.perf_counter()
        rows = passes.rows(step)
        metrics = learner.learn(rows, step)
        seconds = time.perf_counter() - started
        metrics |= {
            "epoch": step / passes.per_epoch,
            "episodes": float(len(episodes)),
            "episodes_too_long": float(too_long),
            "trained_tokens": float(rows.attention_mask.sum()),
            "seconds_update": seconds,
        }
        phase.log(step, metrics, total=total)
        ends = step == total or phase.stops_early(step)
        if ends or phase.is_save_due(step, last=total):
            phase.save(step, learner.state(), finished=ends)
        if ends:
            return


METRICS = frozenset({"loss", "likely_tokens", "padding_waste", *OPTIMISER_METRICS})
"""Names of what an optimiser step logs."""

_OF_EPISODES = {"epoch", "episodes", "episodes_too_long", "trained_tokens", "seconds_update"}

ALGORITHM = Algorithm("sft", SFTConfig, learner=SFTLearner, run=run, arm="cloned", plays=False, metrics=METRICS | _OF_EPISODES)


def _source(phase: Phase, config: SFTConfig) -> list[Trajectory]:
    """Return recorded episodes from where the recipe says."""
    left_out = LeftOut()
    if config.source == "expert":
        plans = phase.demonstrations(config.episodes)
        episodes = expert_episodes(plans, engine=phase.engine, slip_rate=config.slip_rate, seed=phase.recipe.seed)
    else:
        (recorded,) = config.recorded()
        episodes = recorded.episodes(phase.store, left_out)
    phase.admit(episodes, config.source, left_out)
    envs = phase.recipe.envs
    # where a file does not say where it was played, a mixture leaves it open
    return [one if one.env_id or len(envs) > 1 else replace(one, env_id=envs[0].id) for one in episodes]


def _only_last_turn(batch: Batch) -> Batch:
    """Leave only the last sampled turn of every episode in the loss."""
    last: dict[int, int] = {}
    for row, episode in enumerate(batch.episode_index.tolist()):
        turns = batch.turn_index[row][batch.action_mask[row]]
        last[episode] = max(last.get(episode, -1), int(turns.max()) if turns.numel() else -1)
    wanted = torch.tensor([last[episode] for episode in batch.episode_index.tolist()]).unsqueeze(1)
    return batch.with_action_mask(batch.action_mask & (batch.turn_index == wanted))
