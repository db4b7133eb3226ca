"""`[asynchronous]`: training steps do not wait for their slowest episodes (`scale/asynchronous.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.run.extension import Collection, Extension
from palaestra.algorithms.run.recipe_configs import PhaseConfig, Recipe
from palaestra.algorithms.scale.asynchronous import AsyncCollector, AsynchronousConfig, staleness_metrics
from palaestra.algorithms.scale.ranks import ranks
from palaestra.errors import ConfigError
from palaestra.types import Trajectory


class Asynchronous(Extension):
    """Collects the episodes of the shared outer loop with bounded staleness."""

    name: ClassVar[str] = "asynchronous"
    config_type = AsynchronousConfig
    metrics = frozenset(staleness_metrics([], version=0, max_staleness=0))
    config: AsynchronousConfig

    @classmethod
    def refuse(cls, config: AsynchronousConfig, phase: PhaseConfig, recipe: Recipe) -> None:
        """Refuse settings that do not correct for older weights or want to refill their batches, and loops of another kind."""
        from palaestra.algorithms.learner.learner import OnPolicyConfig

        if cls.name in phase.extensions and not isinstance(phase.settings, OnPolicyConfig):
            raise ConfigError(
                f"{phase.name} has a table [asynchronous], and {phase.algorithm!r} collects episodes in a loop of its own. "
                f"Take it out, or use an algorithm of the shared loop, e.g. grpo."
            )
        config.refuse(phase.name, phase.settings)

    def collection(self, phase: Any, settings: Any, learner: Any) -> Collection:
        """Keep episodes in play from one step to the next.

        Raises:
            ConfigError: If the settings cannot go with it, or this many processes cannot share the work.
        """
        self.config.refuse(phase.name, settings)  # recipes are checked when they are read; settings may come from elsewhere
        learner.accept_staleness(self.config.max_staleness)
        return AsynchronousCollection(phase, settings, self.config)


class AsynchronousCollection:
    """Takes the oldest complete groups as the batch of a step, and leaves the others in play.

    Args:
        phase: The `Phase`.
        settings: Its `PolicyConfig`: tasks of a step, group size, steps.
        config: How old episodes may be.

    Raises:
        ConfigError: If this many processes cannot share the work.
    """

    def __init__(self, phase: Any, settings: Any, config: AsynchronousConfig) -> None:
        """Open the collector; nothing is played yet."""
        team = ranks()
        if phase.extensions.samples_elsewhere and team.size > 1:
            raise ConfigError(
                f"[asynchronous] and [sampler] were asked for on {team.size} processes: turns in flight on one of them would "
                f"meet new weights from another. Take out [asynchronous], or train in one process."
            )
        mine = len(team.share(range(settings.tasks_per_step)))
        if mine * team.size != settings.tasks_per_step:
            raise ConfigError(
                f"{phase.name}.tasks_per_step is {settings.tasks_per_step}; asynchronous collection divides it among "
                f"{team.size} processes, expected a multiple of that."
            )
        self._phase = phase
        self._settings = settings
        self.collector = AsyncCollector(
            phase.engine,
            phase.agent,
            self._plans,
            batch_groups=mine,
            max_staleness=config.max_staleness,
            first=team.rank,
            stride=team.size,
            make_env=phase.extensions.make_env(),
        )

    def collect(self, step: int) -> list[Trajectory]:
        """Return the batch of all ranks, oldest group first."""
        self._phase.extensions.ready(self.collector.until)
        groups = sorted(ranks().gather(self.collector.collect_groups()), key=lambda group: group[0])
        found: list[Trajectory] = self._phase.observed([trajectory for _, members in groups for trajectory in members])
        return found

    def update(self, update: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Update the policy; where a server samples, the episodes are played on meanwhile, then get the new weights."""
        if not self._phase.extensions.samples_elsewhere:
            return update()
        metrics = self.collector.until(asyncio.to_thread(update))
        self._phase.extensions.ready(self.collector.until)
        return metrics

    def metrics(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Say how old the tokens of a batch are."""
        version, max_staleness = self._phase.policy.version, self.collector.max_staleness
        return staleness_metrics(trajectories, version=version, max_staleness=max_staleness)

    def state(self) -> Any:
        """Return the groups in play, by rank."""
        return ranks().gather([self.collector.state()])

    def load(self, state: Any) -> None:
        """Play the groups again that were in play."""
        self.collector.load(state[ranks().rank])

    def close(self) -> None:
        """Give up what is in play."""
        self.collector.close()

    def _plans(self, number: int) -> list[EpisodePlan] | None:
        """Return the plans of the group with this number; None after the last step."""
        size = self._settings.tasks_per_step
        index, place = divmod(number, size)
        if index >= self._settings.steps:
            return None
        groups: dict[str, list[EpisodePlan]] = {}
        for plan in self._phase.plans(index + 1, num_tasks=size, group_size=self._settings.group_size):
            groups.setdefault(plan.group_id or plan.episode_id, []).append(plan)
        if len(groups) != size:
            raise ConfigError(
                f"Step {index + 1} of {self._phase.name} has {len(groups)} groups after its extensions; [asynchronous] "
                f"expects tasks_per_step = {size}. Take out the extension that changes their number, or [asynchronous]."
            )
        return list(groups.values())[place]
