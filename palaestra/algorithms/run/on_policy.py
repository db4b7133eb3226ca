"""The outer loop of on-policy training: plan, play, update, log, evaluate, save; the same for every learner.

    plans of the step (tasks, group size, horizon) -> episodes with the current policy -> learner.update -> metrics
    -> collapse watch -> learning curve -> checkpoint

A learner is what an algorithm writes: it turns the episodes of one step into a better policy. The horizon comes from the
phase (ScalingInter), so that any learner trains under any schedule.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from palaestra.algorithms.learner.learner import Learner, OnPolicyConfig
from palaestra.algorithms.run.alarms import SOLVED, CollapseWatchdog
from palaestra.algorithms.run.extension import Collection
from palaestra.algorithms.run.metrics import measured
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.registry import Algorithm
from palaestra.algorithms.scale.ranks import ranks
from palaestra.errors import ConfigError, TrainingStopped
from palaestra.types import Trajectory

log = logging.getLogger(__name__)

AnyLearner = TypeVar("AnyLearner", bound=Learner)


def run_algorithm(algorithm: Algorithm, phase: Phase, config: Any) -> None:
    """Run a phase: with the algorithm's own loop if it has one, else with the shared one around its learner.

    Raises:
        TrainingStopped: If a watchdog stops it; the last checkpoint is good.
    """
    if algorithm.run is not None:
        algorithm.run(phase, config)
    elif algorithm.learner is not None:
        train_on_policy(phase, config, build_learner(phase, config, algorithm.learner))


def build_learner(phase: Phase, config: Any, make: Callable[..., AnyLearner]) -> AnyLearner:
    """Build the learner of a phase.

    Args:
        phase: Whose policy it trains.
        config: Its settings.
        make: A `MakeLearner`.
    """
    start = phase.reference_path
    return make(
        phase.policy,
        config,
        reference=None if start is None else partial(phase.policy.frozen_copy, start),
        temperature=phase.recipe.agent.temperature,
        seed=phase.recipe.seed,
    )


def train_on_policy(phase: Phase, config: OnPolicyConfig, learner: Learner) -> None:
    """Run all steps of a phase, from its last checkpoint on.

    Args:
        phase: Tasks, rollouts, logs, checkpoints.
        config: Steps, tasks per step, group size, what to do on collapse.
        learner: Turns episodes into a better policy.

    Raises:
        TrainingStopped: If a watchdog stops it; the last checkpoint is good.
    """
    if learner.needs_states:
        phase.record_states()
    watch = CollapseWatchdog()
    counts = {"no_signal_steps": 0, "rollbacks": 0, "warnings": 0, "env_steps": 0, "sampled_tokens": 0}
    done, state = phase.resume()
    if state is not None:
        learner.load(state["learner"])
        watch.load(state["watch"])
        counts = dict(state["counts"])

    collection = phase.extensions.collection(phase, config, learner) or _StepByStep(phase, config)
    with contextlib.closing(collection):
        if state is not None and "rollouts" in state:
            collection.load(state["rollouts"])
        _run_steps(phase, config, learner, collection, watch, counts, None if state is None else done)


def _run_steps(
    phase: Phase,
    config: OnPolicyConfig,
    learner: Learner,
    collection: Collection,
    watch: CollapseWatchdog,
    counts: dict[str, int],
    done: int | None,
) -> None:
    """Run the steps after `done`; None is a phase that has no checkpoint yet."""

    def save(step: int, *, finished: bool = False) -> None:
        kept: dict[str, Any] = {"learner": learner.state(), "watch": watch.state(), "counts": dict(counts)}
        if (rollouts := collection.state()) is not None:
            kept["rollouts"] = rollouts
        phase.save(step, kept, finished=finished)

    def is_last(step: int) -> bool:
        is_spent = config.max_env_steps is not None and counts["env_steps"] >= config.max_env_steps
        return step == config.steps or is_spent

    if done is None:
        done = 0
        save(0)
    for step in range(done + 1, config.steps + 1):
        started = time.perf_counter()
        max_turns = phase.max_turns(step)
        trajectories = collection.collect(step)
        collected = time.perf_counter()
        metrics = measured(trajectories) | collection.metrics(trajectories) | {"no_signal": 0.0}
        metrics |= collection.update(partial(learner.update, trajectories, step))
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
            "total_skipped_updates": float(learner.skipped_updates),
        }
        collapsed = False
        if "within_group_std" in metrics:  # a learner that measures its batches
            # the sampled entropy is there even when a collapsed policy leaves nothing to learn from
            collapsed = watch.observe(
                step, spread=metrics["within_group_std"], entropy=metrics["entropy_sampled"], return_=metrics["return_mean"]
            )
            metrics["collapsed"] = float(collapsed)
        phase.log(step, metrics, total=config.steps)
        if collapsed and metrics["success"] < SOLVED:
            _answer_collapse(phase, learner, config, counts, step)
        ends = is_last(step) or phase.stops_early(step)
        if ends or phase.is_save_due(step, last=config.steps):
            save(step, finished=ends)
        if ends:
            return


class _StepByStep:
    """Every step plays exactly its own episodes, and the update begins when all of them are over."""

    def __init__(self, phase: Phase, config: OnPolicyConfig) -> None:
        self._phase = phase
        self._config = config

    def collect(self, step: int) -> list[Trajectory]:
        return collect_step(self._phase, self._config, step)

    def update(self, update: Callable[[], dict[str, float]]) -> dict[str, float]:
        return update()

    def metrics(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        del trajectories
        return {}

    def state(self) -> None:
        return None

    def load(self, state: Any) -> None:
        raise ConfigError(
            "The checkpoint holds episodes in play, and the phase has no [asynchronous] table; resume it with the same recipe."
        )

    def close(self) -> None:
        return None


def collect_step(phase: Phase, config: OnPolicyConfig, step: int) -> list[Trajectory]:
    """Play the episodes of a step; with dynamic sampling, further tasks in place of groups that cannot teach.

    Args:
        phase: Tasks and rollouts.
        config: Tasks per step, group size, refills.
        step: Training step, from 1.

    Source: Yu et al. 2025, DAPO (arXiv:2503.14476), section 3.2.
    """
    trajectories = phase.collect(phase.plans(step, num_tasks=config.tasks_per_step, group_size=config.group_size))
    for refill in range(1, config.sampling.max_refills + 1 if config.sampling.drop_equal_groups else 1):
        taught = [group for group in _groups(trajectories) if len({t.return_ for t in group}) > 1]
        missing = config.tasks_per_step - len(taught)
        if not missing:
            break
        # tasks behind those of all steps, so that a refill neither repeats nor uses up the tasks of another one
        first = config.refill_start + ((step - 1) * config.sampling.max_refills + refill - 1) * config.tasks_per_step
        plans = phase.plans(step, num_tasks=missing, group_size=config.group_size, part=f"refill-{refill}", first=first)
        trajectories = [t for group in taught for t in group] + phase.collect(plans)
    return trajectories


def _groups(trajectories: Sequence[Trajectory]) -> list[list[Trajectory]]:
    """Return the scored episodes of each group."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        if trajectory.outcome.error is None:
            groups.setdefault(trajectory.group_id, []).append(trajectory)
    return list(groups.values())


def _answer_collapse(phase: Phase, learner: Learner, config: OnPolicyConfig, counts: dict[str, int], step: int) -> None:
    """Warn, stop, or go back to the last checkpoint once with half the rate and twice the KL weight."""
    message = f"Step {step}: the spread of returns and the entropy (or the return) are below a quarter of what they were"
    if config.on_collapse == "stop":
        raise TrainingStopped(f"{message}. Resume with a lower {phase.name}.lr or a higher {phase.name}.entropy_coefficient.")
    found = ranks().on_main(phase.checkpoints.latest) if config.on_collapse == "rollback" and not counts["rollbacks"] else None
    if found is None:
        if not counts["warnings"]:
            log.warning("%s; the policy may have collapsed.", message)
        counts["warnings"] += 1
        return
    log.warning("%s; going back to the policy of step %d with half the learning rate.", message, found.step)
    learner.load(phase.roll_back(found)["learner"])
    learner.slow_down()
    counts["rollbacks"] += 1
