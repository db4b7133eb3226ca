"""Fixed and growing horizons on KeyDoors: GRPO under each, with equal environment steps.

Everything but the cap is the same: learner, settings, base model, corridors of each step. Every policy is evaluated under the
longest cap. A run ends when its environment steps are used up; those of all arms are equal, so an arm with short episodes
makes more updates.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from experiments.common.base_model import BaseConfig, trained_base
from experiments.key_doors.world import TURN_LENGTH, KeyDoors, feedback_probability, random_walk, success_by_length, walk
from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.scaling_inter import horizon

EVALUATION_CAP = 24
BASE = BaseConfig(updates=250, batch_size=32)


@dataclass(frozen=True)
class HorizonArm:
    """A schedule of caps, and the settings it is run with.

    Attributes:
        name: Of the arm.
        rounds: Turns allowed in each stage.
        num_zones: Of the world.
        interval: Training steps per stage.
        lr: Learning rate.
        tasks_per_step: Corridors per step.
        group_size: Episodes per corridor.
        epochs: Passes over the episodes of a step.
        entropy_coefficient: Weight of the entropy bonus.
        env_steps: Turns to be played in training, over all episodes.
        evaluations: Points of the learning curve after the start, evenly spread over the environment steps.
        per_length: Test corridors of each length at a point; four times as many at the last.
    """

    name: str
    rounds: tuple[int, ...]
    num_zones: int = 3
    interval: int = 15
    lr: float = 1e-3
    tasks_per_step: int = 12
    group_size: int = 8
    epochs: int = 2
    entropy_coefficient: float = 0.02
    env_steps: int = 40_000
    evaluations: int = 8
    per_length: int = 20

    @property
    def digest(self) -> str:
        """Hash of everything that decides a run but the seed."""
        parts = dataclasses.asdict(self) | {"cap": EVALUATION_CAP, "base": dataclasses.asdict(BASE)}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class HorizonResult:
    """What a run found.

    Attributes:
        curve: (environment steps, mean success over all lengths) at each point, the base model first.
        final: Success by length at the end.
        area: Area under the curve, divided by the environment steps: mean success over training.
        updates: Training steps.
        cpu_s: CPU seconds of playing and learning, without evaluations.
        base: Probability that the base model gives to the right feedback.
    """

    curve: tuple[tuple[int, float], ...]
    final: dict[int, float]
    area: float
    updates: int
    cpu_s: float
    base: float

    def final_success(self, shortest: int, longest: int) -> float:
        """Mean final success over corridors of `shortest` to `longest` rooms."""
        chosen = [share for rooms, share in self.final.items() if shortest <= rooms <= longest]
        return sum(chosen) / len(chosen)


ARMS = {
    arm.name: arm for arm in (HorizonArm("fixed_6", (6,)), HorizonArm("fixed_24", (24,)), HorizonArm("growing", (6, 12, 24)))
}


def base_policy(seed: int, *, num_zones: int, cache: Path | None = None) -> tuple[KeyDoors, Policy]:
    """Return the world of a seed and a base model that has read its random walks."""
    world = KeyDoors(map_seed=seed, num_zones=num_zones)
    walks = functools.partial(random_walk, world, cap=EVALUATION_CAP)
    config = dataclasses.replace(BASE, seed=seed)
    width = EVALUATION_CAP * TURN_LENGTH
    return world, trained_base("key_doors", world.vocabulary, width, walks, config, world=world, cache=cache)


def run_arm(arm: HorizonArm, seed: int, *, cache: Path | None = None) -> HorizonResult:
    """Train one arm with one seed; the seed decides the map, the base model and the corridors of each training step."""
    world, policy = base_policy(seed, num_zones=arm.num_zones, cache=cache)
    base = feedback_probability(world, policy, cap=EVALUATION_CAP)
    learner = GRPOLearner(policy, _config(arm), seed=seed)
    test_seed = stable_seed(seed, "test")

    def evaluate(per_length: int) -> dict[int, float]:
        return success_by_length(world, policy, cap=EVALUATION_CAP, per_length=per_length, seed=test_seed)

    curve = [(0, _mean(evaluate(arm.per_length)))]
    played = step = 0
    cpu_s = 0.0
    while played < arm.env_steps:
        started = time.process_time()
        step += 1
        played += train_step(arm, world, policy, learner, step, seed=seed)
        cpu_s += time.process_time() - started
        if played < arm.env_steps and played >= len(curve) * arm.env_steps / arm.evaluations:
            curve.append((played, _mean(evaluate(arm.per_length))))
    final = evaluate(4 * arm.per_length)
    curve.append((played, _mean(final)))
    rounded = {rooms: round(share, 4) for rooms, share in final.items()}
    points = tuple((steps, round(share, 4)) for steps, share in curve)
    return HorizonResult(points, rounded, round(area_under(points), 5), step, round(cpu_s, 2), round(base, 4))


def train_step(arm: HorizonArm, world: KeyDoors, policy: Policy, learner: GRPOLearner, step: int, *, seed: int) -> int:
    """Walk and learn once; returns the environment steps it took."""
    generator = torch.Generator().manual_seed(stable_seed(seed, f"train/{step}"))
    corridors = world.draw(arm.tasks_per_step, generator).repeated(arm.group_size)
    episodes = walk(world, policy, corridors, generator, cap=horizon(step, arm.rounds, arm.interval))
    groups = torch.arange(len(episodes.ids)) // arm.group_size
    learner.learn(episodes.batch(groups, version=policy.version), step)
    return episodes.num_turns


def area_under(points: tuple[tuple[int, float], ...]) -> float:
    """Area under a curve by the trapezium rule, divided by its width."""
    area = sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairwise(points))
    return area / (points[-1][0] - points[0][0])


def _config(arm: HorizonArm) -> GRPOConfig:
    return GRPOConfig(
        lr=arm.lr,
        tasks_per_step=arm.tasks_per_step,
        group_size=arm.group_size,
        epochs=arm.epochs,
        entropy_coefficient=arm.entropy_coefficient,
    )


def _mean(by_length: dict[int, float]) -> float:
    return sum(by_length.values()) / len(by_length)
