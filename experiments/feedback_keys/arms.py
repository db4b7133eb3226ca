"""Every algorithm on FeedbackKeys: its settings, its bar, and a run.

The learners are those of `palaestra.algorithms`, called with batches (`.learn(batch, step)`); settings are their own config
classes, with the values for tiny models. An arm is judged at fixed iterations by the mean score on fresh tasks, sampled at
temperature 1; nothing is picked after the fact.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.common.base_model import BaseConfig, trained_base
from experiments.common.token_world import Episodes
from experiments.feedback_keys.world import FeedbackKeys, expert_play, feedback_probability, play, random_play, success
from palaestra.algorithms.learner.learner import BatchLearner, OnPolicyConfig
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.advantages import mixed_groups
from palaestra.algorithms.math.batch import Batch
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.registry import get_algorithm, make_learner
from palaestra.algorithms.sft import SFTConfig, SFTLearner

TINY: dict[str, Any] = {"lr": 1e-3, "epochs": 2, "entropy_coefficient": 0.02}
GROUPS: dict[str, Any] = {**TINY, "tasks_per_step": 6, "group_size": 8}
SINGLES: dict[str, Any] = {**TINY, "tasks_per_step": 48, "group_size": 1}
IMITATION: dict[str, Any] = {"lr": 1e-3, "decay": "constant", "batch_size": 32, "epochs": 10}
CRITIC: dict[str, Any] = {"lr": 1e-3, "epochs": 4}

BASE = BaseConfig()
EVALUATION_EPISODES = 1024
EVALUATE_EVERY = 20


@dataclass(frozen=True)
class Arm:
    """An algorithm with its settings and what it has to reach.

    Attributes:
        name: Of the algorithm.
        bars: Iteration (epoch for sft, round for rft) to the mean score that is asked for there.
        settings: Of the algorithm's table in a recipe.
        dense: Reward after every right action, rather than the score at the end.
    """

    name: str
    bars: Mapping[int, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    dense: bool = False

    @property
    def iterations(self) -> int:
        """Iterations of a run: up to the last bar."""
        return max(self.bars)

    @property
    def digest(self) -> str:
        """Hash of everything that decides a run but the seed."""
        parts = {**dataclasses.asdict(self), "evaluation": EVALUATION_EPISODES, "every": EVALUATE_EVERY}
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


GROUP_BARS = {60: 0.90, 100: 0.98}

ARMS = {
    arm.name: arm
    for arm in (
        # 1.00 to two places: a policy that samples keeps a little probability for everything
        Arm("sft", {5: 0.95, 10: 0.995}, {**IMITATION, "episodes": 256}),
        Arm("rft", {2: 0.95, 3: 0.99}, {**IMITATION, "episodes": 1024}),
        Arm("ppo", {40: 0.95, 120: 0.98}, {**SINGLES, "epochs": 3, "critic": CRITIC}),
        Arm("grpo", GROUP_BARS, GROUPS),
        # advantages are not divided by their spread, about a quarter; a sum over the four tokens makes up for it
        Arm("dr_grpo", GROUP_BARS, {**GROUPS, "constant_length": 1}),
        Arm("dapo", GROUP_BARS, GROUPS),
        Arm("gspo", GROUP_BARS, {**GROUPS, "clip_low": 0.02, "clip_high": 0.02}),
        Arm("rloo", GROUP_BARS, {**GROUPS, "loss": "ppo", "aggregation": "constant", "constant_length": 1}),
        Arm("gigpo", GROUP_BARS, GROUPS),
        Arm("reinforce_pp", {100: 0.85}, SINGLES),
        Arm("rebn", {110: 0.85}, SINGLES, dense=True),
        Arm("turn_rloo", {110: 0.85}, {**GROUPS, "aggregation": "token_mean"}, dense=True),  # all episodes are of one length
        # within 8 iterations of ppo; beta as without critic pre-training
        Arm("vrpo", {48: 0.95, 128: 0.98}, {**SINGLES, "epochs": 3, "critic": {**CRITIC, "beta": 1e-3}}),
    )
}


@dataclass(frozen=True)
class RunResult:
    """What a run of an arm found.

    Attributes:
        curve: Iteration to mean score, iteration 0 being the base model.
        cpu_s: CPU seconds of playing and learning, without evaluations.
        episodes: Training episodes played (or read).
        base: Probability that the base model gives to the right feedback.
    """

    curve: dict[int, float]
    cpu_s: float
    episodes: int
    base: float

    def passed(self, bars: Mapping[int, float]) -> bool:
        """Return whether every bar was reached at its iteration."""
        return all(self.curve[iteration] >= bar for iteration, bar in bars.items())


def base_policy(seed: int, *, base: BaseConfig = BASE, cache: Path | None = None) -> tuple[FeedbackKeys, Policy]:
    """Return the world of a seed and a base model that has read its random play."""
    world = FeedbackKeys(map_seed=seed)
    policy = trained_base(
        "feedback_keys",
        world.vocabulary,
        world.num_tokens,
        functools.partial(random_play, world),
        dataclasses.replace(base, seed=seed),
        world=world,
        cache=cache,
    )
    return world, policy


def run_arm(arm: Arm, seed: int, *, base: BaseConfig = BASE, cache: Path | None = None) -> RunResult:
    """Train one arm with one seed; the seed decides the map, the base model, the tasks and what is sampled."""
    world, policy = base_policy(seed, base=base, cache=cache)
    knows = feedback_probability(world, policy)
    world = dataclasses.replace(world, dense=arm.dense)
    curve: dict[int, float] = {}
    spent = 0.0

    def evaluate(iteration: int) -> None:
        nonlocal spent
        started = time.process_time()
        curve[iteration] = round(success(world, policy, num_episodes=EVALUATION_EPISODES, seed=stable_seed(seed, "test")), 4)
        spent += time.process_time() - started

    started = time.process_time()
    evaluate(0)
    runner = {"sft": _clone, "rft": _clone_own_successes}.get(arm.name, _reinforce)
    episodes = runner(arm, world, policy, seed, evaluate)
    return RunResult(curve, round(time.process_time() - started - spent, 2), episodes, round(knows, 4))


def collect(
    world: FeedbackKeys, policy: Policy, config: OnPolicyConfig, generator: torch.Generator, *, with_digests: bool = False
) -> Batch:
    """Play the episodes of a step; with dynamic sampling, further groups in place of those that cannot teach."""

    def play_groups(num_tasks: int) -> Episodes:
        tasks = world.draw(num_tasks, generator).repeated(config.group_size)
        return play(world, policy, tasks, generator, with_digests=with_digests)

    episodes = play_groups(config.tasks_per_step)
    for _ in range(config.sampling.max_refills if config.sampling.drop_equal_groups else 0):
        kept = episodes.rows(torch.nonzero(mixed_groups(episodes.return_, _groups(episodes, config))).squeeze(1))
        missing = config.tasks_per_step - len(kept.ids) // config.group_size
        if not missing:
            break
        episodes = kept.joined(play_groups(missing))
    return episodes.batch(_groups(episodes, config), version=policy.version)


def _groups(episodes: Episodes, config: OnPolicyConfig) -> Tensor:
    """Number the groups: rows of a group stand side by side."""
    return torch.arange(len(episodes.ids)) // config.group_size


def _reinforce(arm: Arm, world: FeedbackKeys, policy: Policy, seed: int, evaluate: Callable[[int], None]) -> int:
    """Play and learn, step by step."""
    config = get_algorithm(arm.name).config(**{**arm.settings, "steps": arm.iterations})
    assert isinstance(config, OnPolicyConfig)
    learner = make_learner(arm.name, policy, config, reference=policy.frozen_copy, seed=seed)
    assert isinstance(learner, BatchLearner)  # this world makes batches, not trajectories
    episodes = 0
    for step in range(1, arm.iterations + 1):
        generator = torch.Generator().manual_seed(stable_seed(seed, f"train/{step}"))
        batch = collect(world, policy, config, generator, with_digests=learner.needs_states)
        episodes += batch.num_episodes
        learner.learn(batch, step)
        if step % EVALUATE_EVERY == 0 or step in arm.bars:
            evaluate(step)
    return episodes


def _clone(arm: Arm, world: FeedbackKeys, policy: Policy, seed: int, evaluate: Callable[[int], None]) -> int:
    """Imitate an expert."""
    config = SFTConfig(**arm.settings)
    generator = torch.Generator().manual_seed(stable_seed(seed, "experts"))
    batch = expert_play(world, config.episodes, generator).batch()
    for epoch in clone_epochs(policy, batch, config, seed=seed):
        if epoch in arm.bars:
            evaluate(epoch)
    return batch.num_episodes


def _clone_own_successes(arm: Arm, world: FeedbackKeys, policy: Policy, seed: int, evaluate: Callable[[int], None]) -> int:
    """Rejection sampling: play, keep the faultless episodes of all rounds, imitate them from the base model on.

    In a round with hardly any, the best tenth is kept for this round alone.
    """
    config = SFTConfig(**arm.settings)
    base = policy.frozen_copy()
    kept: Episodes | None = None
    for round_ in range(1, arm.iterations + 1):
        generator = torch.Generator().manual_seed(stable_seed(seed, f"round/{round_}"))
        episodes = play(world, policy, world.draw(config.episodes, generator), generator)
        best = episodes.return_ >= 1
        found = episodes.rows(torch.nonzero(best).squeeze(1))
        kept = found if kept is None else kept.joined(found)
        chosen = kept
        tenth = config.episodes // 10
        if len(kept.ids) < tenth:
            chosen = episodes.rows(episodes.return_.argsort(descending=True, stable=True)[:tenth])
        policy.model.load_state_dict(base.model.state_dict())
        policy.version += 1
        for _ in clone_epochs(policy, chosen.batch(), config, seed=stable_seed(seed, f"clone/{round_}")):
            pass
        evaluate(round_)
    return config.episodes * arm.iterations


def clone_epochs(policy: Policy, batch: Batch, config: SFTConfig, *, seed: int) -> Iterator[int]:
    """Imitate the rows of a batch, yielding the number of each epoch that is done."""
    per_epoch = -(-batch.num_rows // config.batch_size)
    learner = SFTLearner(policy, config, total=per_epoch * config.epochs)
    for epoch in range(1, config.epochs + 1):
        order = np.random.default_rng(stable_seed(seed, f"epoch/{epoch}")).permutation(batch.num_rows)
        for place in range(0, batch.num_rows, config.batch_size):
            learner.learn(batch.rows(order[place : place + config.batch_size]), epoch)
        yield epoch
