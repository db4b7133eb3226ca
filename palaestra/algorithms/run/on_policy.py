"""The outer loop of on-policy training: plan, play, update, log, evaluate, save; the same for every learner.

    plans of the step (tasks, group size, horizon) -> episodes with the present policy -> learner.update -> metrics
    -> collapse watch -> learning curve -> checkpoint

A learner is what an algorithm writes: it turns the episodes of one step into a better policy. The horizon comes from the
phase (ScalingInter), so that any learner trains under any schedule.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.learner.policy_update import PolicyConfig, PolicyUpdate
from palaestra.algorithms.run.alarms import CollapseWatchdog
from palaestra.algorithms.run.metrics import episode_metrics
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.scale.asynchronous import AsyncCollector, staleness_metrics
from palaestra.algorithms.scale.ranks import ranks
from palaestra.errors import ConfigError, TrainingStopped
from palaestra.types import Trajectory

log = logging.getLogger(__name__)

SOLVED = 0.9  # with this success a policy without spread and entropy is done, not collapsed


class Learner(Protocol):
    """What an algorithm gives to the loop.

    Attributes:
        policy_update: Updates the policy; its optimiser is slowed down when training is rolled back.
    """

    policy_update: PolicyUpdate

    def update(self, trajectories: Sequence[Trajectory], step: int) -> dict[str, float]:
        """Improve the policy with the episodes of one step; metrics hold `no_signal` and `within_group_std`."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything a resumed run needs beside the policy's weights."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        ...


def reference_policy(phase: Phase, table: PolicyConfig) -> Policy | None:
    """Return a frozen copy of the policy that the phase began with, if the KL term needs one.

    Raises:
        ConfigError: If the phase names no starting policy.
    """
    if table.kl_coefficient == 0:
        return None
    if phase.reference_path is None:
        raise ConfigError("kl_coefficient needs the folder of the starting policy, and the phase names none.")
    return phase.policy.frozen_copy(phase.reference_path)


def train_on_policy(phase: Phase, table: PolicyConfig, learner: Learner) -> None:
    """Run all steps of a phase, from its last checkpoint on.

    Args:
        phase: Tasks, rollouts, logs, checkpoints.
        table: Steps, tasks per step, group size, what to do on collapse.
        learner: Turns episodes into a better policy.

    Raises:
        TrainingStopped: If a watchdog stops it; the last checkpoint is good.
    """
    watch = CollapseWatchdog()
    counts = {"no_signal_steps": 0, "rollbacks": 0, "warnings": 0, "env_steps": 0, "sampled_tokens": 0}
    done, state = phase.resume()
    if state is not None:
        learner.load(state["learner"])
        watch.load(state["watch"])
        counts = dict(state["counts"])

    with asynchronous_collection(phase, table, learner) as collector:
        if collector is not None and state is not None and "rollouts" in state:
            collector.load(state["rollouts"][ranks().rank])
        _run_steps(phase, table, learner, collector, watch, counts, None if state is None else done)


def _run_steps(
    phase: Phase,
    table: PolicyConfig,
    learner: Learner,
    collector: AsyncCollector | None,
    watch: CollapseWatchdog,
    counts: dict[str, int],
    done: int | None,
) -> None:
    """Run the steps after `done`; None is a phase that has no checkpoint yet."""

    def save(step: int) -> None:
        kept: dict[str, Any] = {"learner": learner.state(), "watch": watch.state(), "counts": dict(counts)}
        if collector is not None:
            kept["rollouts"] = ranks().gather([collector.state()])
        phase.save(step, kept, finished=is_last(step))

    def is_last(step: int) -> bool:
        is_spent = table.max_env_steps is not None and counts["env_steps"] >= table.max_env_steps
        return step == table.steps or is_spent

    if done is None:
        done = 0
        save(0)
    for step in range(done + 1, table.steps + 1):
        started = time.perf_counter()
        max_turns = phase.max_turns(step)
        if collector is None:
            trajectories = collect_step(phase, table, step, max_turns)
        else:
            _refresh(phase, collector)
            trajectories = phase.observed(_collected(collector))
        collected = time.perf_counter()
        metrics = episode_metrics(trajectories)
        if collector is not None:
            metrics |= staleness_metrics(trajectories, version=phase.policy.version, max_staleness=collector.max_staleness)
        metrics |= _updated(phase, learner, collector, trajectories, step)
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
            "total_skipped_updates": float(learner.policy_update.optimiser.watchdog.total),
        }
        # the sampled entropy is there even when a collapsed policy leaves nothing to learn from
        collapsed = watch.observe(
            step, spread=metrics["within_group_std"], entropy=metrics["entropy_sampled"], return_=metrics["return_mean"]
        )
        metrics["collapsed"] = float(collapsed)
        if phase.evaluate is not None and phase.is_evaluation_due(step):
            metrics |= {f"test_{name}": value for name, value in phase.evaluate().items()}
        phase.log(step, metrics, total=table.steps)
        if collapsed and metrics["success"] < SOLVED:
            _answer_collapse(phase, learner, table, counts, step)
        if is_last(step) or phase.is_save_due(step, last=table.steps):
            save(step)
        if is_last(step):
            return


@contextlib.contextmanager
def asynchronous_collection(phase: Phase, table: PolicyConfig, learner: Learner) -> Iterator[AsyncCollector | None]:
    """Collect as the table `[asynchronous]` of the recipe says; None where it has none.

    Raises:
        ConfigError: If the update does not correct for older weights, or the algorithm wants to refill its batches.
    """
    wanted = phase.recipe.asynchronous
    if wanted is None:
        yield None
        return
    wanted.refuse(phase.name, table)  # recipes are checked when they are read; settings may come from elsewhere
    learner.policy_update.max_staleness = wanted.max_staleness
    team = ranks()
    if phase.sampler is not None and team.size > 1:
        raise ConfigError(
            f"[asynchronous] and [sampler] were asked for on {team.size} processes: turns in flight on one of them would meet "
            f"new weights from another. Take out [asynchronous], or train in one process."
        )
    mine = len(team.share(range(table.tasks_per_step)))
    if mine * team.size != table.tasks_per_step:
        raise ConfigError(
            f"{phase.name}.tasks_per_step is {table.tasks_per_step}; asynchronous collection divides it among {team.size} "
            f"processes, expected a multiple of that."
        )

    def plans(number: int) -> list[EpisodePlan] | None:
        index, place = divmod(number, table.tasks_per_step)
        if index >= table.steps:
            return None
        sizes = {"num_tasks": table.tasks_per_step, "group_size": table.group_size}
        step = phase.feed.plans(phase.name, index + 1, max_turns=phase.max_turns(index + 1), **sizes)
        return step[place * table.group_size : (place + 1) * table.group_size]

    collector = AsyncCollector(
        phase.engine,
        phase.agent,
        plans,
        batch_groups=mine,
        max_staleness=wanted.max_staleness,
        first=team.rank,
        stride=team.size,
    )
    try:
        yield collector
    finally:
        collector.close()


def _updated(
    phase: Phase, learner: Learner, collector: AsyncCollector | None, trajectories: list[Trajectory], step: int
) -> dict[str, float]:
    """Update the policy; where a server samples asynchronous episodes, these play on meanwhile, then get the new weights."""
    if collector is None or phase.sampler is None:
        return learner.update(trajectories, step)
    metrics: dict[str, float] = collector.until(asyncio.to_thread(learner.update, trajectories, step))
    _refresh(phase, collector)
    return metrics


def _refresh(phase: Phase, collector: AsyncCollector) -> None:
    """Give a server that samples the present weights, between turns of the episodes in flight."""
    if phase.sampler is not None:
        phase.sampler.refresh(collector.until)


def _collected(collector: AsyncCollector) -> list[Trajectory]:
    """Return the batch of all ranks, oldest group first."""
    groups = sorted(ranks().gather(collector.collect_groups()), key=lambda group: group[0])
    return [trajectory for _, members in groups for trajectory in members]


def collect_step(phase: Phase, table: PolicyConfig, step: int, max_turns: int | None) -> list[Trajectory]:
    """Play the episodes of a step; with dynamic sampling, further tasks in place of groups that cannot teach.

    Args:
        phase: Tasks and rollouts.
        table: Tasks per step, group size, refills.
        step: Training step, from 1.
        max_turns: Horizon of the step.

    Source: Yu et al. 2025, DAPO (arXiv:2503.14476), section 3.2.
    """
    sizes = {"num_tasks": table.tasks_per_step, "group_size": table.group_size}
    trajectories = phase.collect(phase.feed.plans(phase.name, step, max_turns=max_turns, **sizes))
    for refill in range(1, table.max_refills + 1 if table.drop_equal_groups else 1):
        taught = [group for group in _groups(trajectories) if len({t.return_ for t in group}) > 1]
        missing = table.tasks_per_step - len(taught)
        if not missing:
            break
        # tasks of steps that never come, so that a refill neither repeats nor uses up the tasks of another step
        sizes["num_tasks"] = missing
        later = step + refill * table.steps
        more = phase.collect(phase.feed.plans(f"{phase.name}-refill", later, max_turns=max_turns, **sizes))
        trajectories = [t for group in taught for t in group] + more
    return trajectories


def _groups(trajectories: Sequence[Trajectory]) -> list[list[Trajectory]]:
    """Return the scored episodes of each group."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        if trajectory.outcome.error is None:
            groups.setdefault(trajectory.group_id, []).append(trajectory)
    return list(groups.values())


def _answer_collapse(phase: Phase, learner: Learner, table: PolicyConfig, counts: dict[str, int], step: int) -> None:
    """Warn, stop, or go back to the last checkpoint once with half the rate and twice the KL weight."""
    message = f"Step {step}: the spread of returns and the entropy (or the return) are below a quarter of what they were"
    if table.on_collapse == "stop":
        raise TrainingStopped(f"{message}. Resume with a lower {phase.name}.lr or a higher {phase.name}.entropy_coefficient.")
    found = ranks().on_main(phase.checkpoints.latest) if table.on_collapse == "rollback" and not counts["rollbacks"] else None
    if found is None:
        if not counts["warnings"]:
            log.warning("%s; the policy may have collapsed.", message)
        counts["warnings"] += 1
        return
    log.warning("%s; going back to the policy of step %d with half the learning rate.", message, found.step)
    phase.policy.load_weights(found.policy_path)
    learner.load(found.state()["learner"])
    learner.policy_update.optimiser.lr_factor *= 0.5
    learner.policy_update.kl_coefficient *= 2.0
    counts["rollbacks"] += 1
