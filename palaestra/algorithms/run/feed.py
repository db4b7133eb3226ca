"""Which tasks are trained on, in which order: one environment, or a mixture of several by weight.

Everything is a pure function of the seed and of the place in the order, so a run that resumes at any step gets the tasks that
it would have got. The order is one for the whole run, and each phase has a stretch of it of its own (`stream_starts`): what is
played after cloning are tasks that were not cloned, as long as there are any. In a mixture whole groups are dealt out: the
episodes of a group share task, seed and environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Any, Protocol

import gymnasium
import numpy as np

from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.recipe_configs import EnvConfig, Recipe
from palaestra.envs.core.tasks import TaskSet
from palaestra.errors import ConfigError, UsageError, unknown_name
from palaestra.types import Trajectory

UNKNOWN_TASKS = 10_000
"""Tasks that are left to a phase whose settings do not say how many it plays."""

MARK = "@"
"""Stands before the name of the environment in the ids of a mixture's groups."""


class Feed(Protocol):
    """Deals out training tasks."""

    def plans(
        self,
        phase: str,
        step: int,
        *,
        num_tasks: int,
        group_size: int = 1,
        max_turns: int | None = None,
        first: int | None = None,
    ) -> list[EpisodePlan]:
        """Plan the episodes of one training step.

        Args:
            phase: Name of the phase; part of the episode ids.
            step: Training step, from 1.
            num_tasks: Tasks of the step.
            group_size: Episodes per task; they share task and seed and differ in what the policy samples.
            max_turns: Horizon of these episodes.
            first: Place of the first task in the endless order; by default that after steps of as many tasks.
        """
        ...


class TaskFeed:
    """Deals out the training tasks of an environment, shuffled again for every epoch.

    Args:
        env_id: Registered id.
        env_kwargs: Arguments of the environment.
        split: Split the tasks come from.
        seed: Seed of the shuffling and of the episodes.
    """

    def __init__(self, env_id: str, env_kwargs: Mapping[str, Any], *, split: str, seed: int) -> None:
        """Look at the task set once."""
        self.env_id = env_id
        self.env_kwargs = dict(env_kwargs)
        self.split = split
        self.seed = seed
        env = make_env(env_id, self.env_kwargs)
        try:
            tasks = getattr(env.unwrapped, "tasks", None)
        finally:
            env.close()
        self._tasks: TaskSet | None = tasks
        self._size = None if tasks is None else tasks.size(tasks.split(split).name)
        if self._size == 0:
            raise UsageError(f"Split {split!r} of {env_id!r} holds no tasks; choose another with --set env.train_split=NAME.")

    def key(self, position: int) -> str | None:
        """Return the key of the task at a position of the endless stream; None if the environment has no task set."""
        if self._tasks is None:
            return None
        if self._size is None:
            return self._tasks.at(self.split, position).key
        epoch, place = divmod(position, self._size)
        order = np.random.default_rng([self.seed, epoch]).permutation(self._size)
        return self._tasks.at(self.split, int(order[place])).key

    def plans(
        self,
        phase: str,
        step: int,
        *,
        num_tasks: int,
        group_size: int = 1,
        max_turns: int | None = None,
        first: int | None = None,
    ) -> list[EpisodePlan]:
        """See `Feed.plans`."""
        begin = (step - 1) * num_tasks if first is None else first
        plans = []
        for index in range(num_tasks):
            group = f"{phase}/{step:05d}/{index:03d}"
            plans += self.group(group, begin + index, size=group_size, max_turns=max_turns, seed=self.seed)
        return plans

    def group(self, name: str, position: int, *, size: int, max_turns: int | None, seed: int) -> list[EpisodePlan]:
        """Plan the episodes of one task.

        Args:
            name: Id of the group.
            position: Of the task in the stream.
            size: Episodes.
            max_turns: Their horizon.
            seed: Their seed follows from it and the name.
        """
        key, seed = self.key(position), stable_seed(seed, name)
        return [
            EpisodePlan(
                episode_id=f"{name}/{sample:02d}",
                env_id=self.env_id,
                env_kwargs=self.env_kwargs,
                task_key=key,
                seed=seed,
                sample=sample,
                group_id=name,
                max_turns=max_turns,
            )
            for sample in range(size)
        ]


class Shares:
    """An endless order of a few items in which each has its share at every point: after n places, n times its share +- 1.

    At each place, of the items that would not be ahead of their share, the one comes whose next place is due first. Ties go by
    an order that follows from the seed.

    Args:
        weights: Relative shares, above 0.
        seed: Of the ties.

    Source: Tijdeman 1980, The chairman assignment problem, Discrete Mathematics 32.
    """

    def __init__(self, weights: Sequence[float], *, seed: int = 0) -> None:
        """Bring the weights to whole numbers, so that nothing is ever rounded."""
        exact = [Fraction(str(weight)) for weight in weights]
        scale = lcm(*(weight.denominator for weight in exact))
        self._weights = [int(weight * scale) for weight in exact]
        self._total = sum(self._weights)
        self._ties = np.random.default_rng(stable_seed(seed, "shares")).permutation(len(exact)).tolist()
        self._counts = [0] * len(exact)
        self._order: list[tuple[int, int]] = []

    def at(self, place: int) -> tuple[int, int]:
        """Return which item has a place, from 0, and how many places before it were the item's own."""
        # after as many places as the weights sum up to, each item has had exactly its weight: the order begins again
        rounds, place = divmod(place, self._total)
        while len(self._order) <= place:
            item = self._next()
            self._order.append((item, self._counts[item]))
            self._counts[item] += 1
        item, count = self._order[place]
        return item, count + rounds * self._weights[item]

    def _next(self) -> int:
        """Return the item that takes the next place."""
        place = len(self._order)
        k = len(self._weights)
        if k == 1:
            return 0
        # with weights w of a total W, an item may take place n (from 0) if count <= (n + 1) w / W - 1 / (2k - 2), exactly
        slack = 2 * k - 2
        due = []
        for item, weight in enumerate(self._weights):
            ahead = slack * self._counts[item] * self._total + self._total
            if slack * (place + 1) * weight >= ahead:
                deadline = Fraction(self._total * (slack * (self._counts[item] + 1) - 1), slack * weight)
                due.append((deadline, self._ties[item], item))
        return min(due)[2]


class MixtureFeed:
    """Deals out the tasks of several environments by weight; each has a stream of its own, with nothing left out.

    Args:
        envs: The environments.
        seed: Seed of order, shuffling and episodes.
    """

    def __init__(self, envs: Sequence[EnvConfig], *, seed: int) -> None:
        """Look at each task set once."""
        self.seed = seed
        self.feeds = {
            env.name: TaskFeed(env.id, env.arguments, split=env.train_split, seed=stable_seed(seed, f"env/{env.name}"))
            for env in envs
        }
        self._shares = Shares([env.weight for env in envs], seed=seed)

    def plans(
        self,
        phase: str,
        step: int,
        *,
        num_tasks: int,
        group_size: int = 1,
        max_turns: int | None = None,
        first: int | None = None,
    ) -> list[EpisodePlan]:
        """See `Feed.plans`."""
        begin = (step - 1) * num_tasks if first is None else first
        names = list(self.feeds)
        plans = []
        for index in range(num_tasks):
            item, position = self._shares.at(begin + index)
            group = f"{phase}/{step:05d}/{index:03d}{MARK}{names[item]}"
            feed = self.feeds[names[item]]
            plans += feed.group(group, position, size=group_size, max_turns=max_turns, seed=self.seed)
        return plans


def stream_starts(recipe: Recipe) -> dict[str, int]:
    """Return, by phase, the place in the order of tasks at which its own stretch begins: after those of the phases before it.

    The first phase begins at the recipe's `first_task`. How many tasks a phase plays at most its settings say
    (`planned_tasks`); for settings that do not, it counts as `UNKNOWN_TASKS`.

    Args:
        recipe: Its phases, in their order.
    """
    starts, place = {}, recipe.first_task
    for phase in recipe.phases:
        starts[phase.name] = place
        place += int(getattr(phase.settings, "planned_tasks", UNKNOWN_TASKS))
    return starts


def make_feed(envs: Sequence[EnvConfig], *, seed: int) -> Feed:
    """Return the feed of a recipe's environments."""
    if len(envs) == 1:
        (env,) = envs
        return TaskFeed(env.id, env.arguments, split=env.train_split, seed=seed)
    return MixtureFeed(envs, seed=seed)


def env_of(id_: str) -> str:
    """Return the name of the environment in the id of an episode or a group of a mixture; empty where there is none."""
    return id_.partition(MARK)[2].partition("/")[0].partition("#")[0]


def by_env(trajectories: Sequence[Trajectory]) -> dict[str, list[Trajectory]]:
    """Return the episodes of a mixture by the name of their environment; empty where they come from no mixture."""
    found: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        if name := env_of(trajectory.episode_id):
            found.setdefault(name, []).append(trajectory)
    return found


def make_env(env_id: str, env_kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Make an environment; what the user got wrong is one clear error."""
    try:
        return gymnasium.make(env_id, **env_kwargs)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.VersionNotFound) as error:
        raise unknown_name("environment", env_id, gymnasium.registry, hint="List all with palaestra list.") from error
    except TypeError as error:
        raise ConfigError(f"Environment {env_id!r} refuses the arguments {dict(env_kwargs)} of [env]: {error}") from error


__all__ = [
    "UNKNOWN_TASKS",
    "Feed",
    "MixtureFeed",
    "Shares",
    "TaskFeed",
    "by_env",
    "env_of",
    "make_env",
    "make_feed",
    "stream_starts",
]
