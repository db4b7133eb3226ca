"""The extensions that are active in one phase, or in the evaluations of a run, as one object with the same hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
from pydantic import BaseModel

from palaestra.agents.core import Agent, Backend
from palaestra.agents.rollout.env_pool import make_planned_env
from palaestra.agents.rollout.env_slots import MakeEnv
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.run.extension import Collection, Extension, ExtensionContext, RunCoroutine, WrapEnv
from palaestra.algorithms.run.extension_registry import get_extension
from palaestra.algorithms.run.registry import get_algorithm
from palaestra.types import Json, Trajectory

if TYPE_CHECKING:
    from torch import Tensor

    from palaestra.algorithms.run.recipe_configs import Recipe


class ActiveExtensions:
    """Calls each hook of several extensions, in their order.

    Args:
        tables: Checked tables by name, in the order in which the hooks are called.
        context: Where they are used.
    """

    def __init__(self, tables: Mapping[str, BaseModel], context: ExtensionContext) -> None:
        """Create them."""
        self._members: list[Extension] = [get_extension(name)(table, context) for name, table in tables.items()]
        self._backend = next((found for member in self._members if (found := member.backend()) is not None), None)

    def __iter__(self) -> Iterator[Extension]:
        """Iterate over the extensions in their order."""
        return iter(self._members)

    def __len__(self) -> int:
        """Count the extensions."""
        return len(self._members)

    @property
    def samples_elsewhere(self) -> bool:
        """Whether another process samples, so that episodes may be played while the policy is updated."""
        return self._backend is not None

    def start(self) -> None:
        """See `Extension.start`."""
        for member in self._members:
            member.start()

    def max_turns(self, step: int) -> int | None:
        """Return the horizon of a training step; where several give one, that of the last."""
        given = [found for member in self._members if (found := member.max_turns(step)) is not None]
        return given[-1] if given else None

    def env_arguments(self) -> dict[str, Json]:
        """See `Extension.env_arguments`."""
        return {name: value for member in self._members for name, value in member.env_arguments().items()}

    def plans(self, plans: list[EpisodePlan], step: int) -> list[EpisodePlan]:
        """See `Extension.plans`."""
        for member in self._members:
            plans = member.plans(plans, step)
        return plans

    def ready(self, run: RunCoroutine = asyncio.run) -> None:
        """See `Extension.ready`."""
        for member in self._members:
            member.ready(run)

    def backend(self) -> Backend | None:
        """Return the backend that the policy's agent samples from; where several give one, that of the first."""
        return self._backend

    def agent(self, agent: Agent) -> Agent:
        """See `Extension.agent`."""
        for member in self._members:
            agent = member.agent(agent)
        return agent

    def make_env(self) -> MakeEnv | None:
        """Return the maker of the training environments; None where no extension wraps them."""
        wrappers = [found for member in self._members if (found := member.wrapper()) is not None]
        return _Wrapped(tuple(wrappers)) if wrappers else None

    def played(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """See `Extension.played`."""
        for member in self._members:
            trajectories = member.played(trajectories)
        return trajectories

    def observed(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """See `Extension.observed`."""
        for member in self._members:
            trajectories = member.observed(trajectories)
        return trajectories

    def after_step(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics of a step with those that the extensions add."""
        found = dict(metrics)
        for member in self._members:
            found |= member.after_step(step, found)
        return found

    def result_weights(self) -> Mapping[str, Tensor] | None:
        """See `Extension.result_weights`; where several return some, those of the last."""
        given = [found for member in self._members if (found := member.result_weights()) is not None]
        return given[-1] if given else None

    def collection(self, phase: Any, settings: Any, learner: Any) -> Collection | None:
        """Return how episodes are collected; where several ask for a way of their own, that of the first."""
        return next(
            (found for member in self._members if (found := member.collection(phase, settings, learner)) is not None), None
        )

    def state(self) -> dict[str, Any]:
        """Return the state of each extension that has one, by name."""
        return {member.name: state for member in self._members if (state := member.state())}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`; an extension that is not in it begins again."""
        for member in self._members:
            if member.name in state:
                member.load(state[member.name])


@dataclass(frozen=True)
class _Wrapped:
    """Makes the environment of a plan and puts wrappers around it, the first one innermost; travels to workers."""

    wrappers: tuple[WrapEnv, ...]

    def __call__(self, plan: EpisodePlan) -> gymnasium.Env[Any, Any]:
        env = make_planned_env(plan)
        for wrap in self.wrappers:
            env = wrap(env)
        return env


def check_tables(recipe: Recipe) -> None:
    """Let the algorithm and every active table of every phase look for what they need; see `Extension.check`.

    Raises:
        UsageError: If a table does not fit the recipe, or something that it names is missing on this machine.
    """
    for phase in recipe.phases:
        if (check := get_algorithm(phase.algorithm).check) is not None:
            check()
        for name, table in phase.active.items():
            get_extension(name).check(table, recipe)


def demonstrated(tables: Mapping[str, BaseModel], plans: list[EpisodePlan]) -> list[EpisodePlan]:
    """Return the episodes that experts play where these tables hold; see `Extension.demonstrated`."""
    for name, table in tables.items():
        plans = get_extension(name).demonstrated(table, plans)
    return plans


def own_weights(tables: Mapping[str, BaseModel]) -> tuple[str, ...]:
    """Return the names of the weights that a phase with these tables trains apart; see `Extension.own_weights`."""
    return tuple(found for name, table in tables.items() for found in get_extension(name).own_weights(table))


__all__ = ["ActiveExtensions", "check_tables", "demonstrated", "own_weights"]
