"""Which episodes an evaluation plays: it follows from the settings alone, and is named in the record of the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from palaestra.agents.core import Agent
from palaestra.agents.rollout.env_pool import make_planned_env
from palaestra.agents.rollout.env_slots import MakeEnv
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.rollout.seating import check_seating
from palaestra.envs.core.tasks import Task, task_seed
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Json

MAX_EPISODES = 10_000_000
"""Episodes that one run may plan; each is a record in memory before the first is played."""

MAX_KEYS = 1_000
"""Task keys that the record of a run lists; of more it has the number and the digest."""

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class PlannedTasks:
    """The tasks of one environment, as the record of a run names them.

    Two sets of tasks have one record if and only if they hold the same tasks (key, type, and data where that is plain JSON) in
    the same order.
    """

    def __init__(self) -> None:
        """There are none yet."""
        self._keys: list[str] = []
        self._count = 0
        self._digest = hashlib.blake2b(digest_size=8)

    def add(self, task: Task | None) -> None:
        """Take in the next task; None is a seed of an environment without tasks, which the run's seed says."""
        self._count += 1
        if task is None:
            return
        if self._count <= MAX_KEYS:
            self._keys.append(task.key)
        try:
            text = _encode((task.key, task.type, task.data))
        except (TypeError, ValueError, RecursionError):  # data of others may be anything
            text = _encode((task.key, task.type))
        self._digest.update(text.encode("utf-8", "surrogatepass") + b"\n")

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict: `count`, and where there are tasks `digest`, and `keys` if they are few."""
        if not self._keys:
            return {"count": self._count}
        keys = {"keys": self._keys} if self._count <= MAX_KEYS else {}
        return {"count": self._count, "digest": self._digest.hexdigest(), **keys}


def plan_evaluation(
    config: Mapping[str, Json], *, make_env: MakeEnv | None = None, agent: Agent | None = None
) -> list[EpisodePlan]:
    """Return the episodes that the configuration of an evaluation stands for, the samples of a task side by side.

    Args:
        config: `envs` (each with `env_id` and `env_kwargs`), `split`, `n`, `samples`, `seed`, `max_turns`, and
            `wrappers` where there are some.
        make_env: Makes an environment, to ask for its tasks.
        agent: Who is to play; None leaves out whether its seats are those of the environments.

    Raises:
        UsageError: If an environment or the split is unknown, the split has no tasks, the episodes are more than
            `MAX_EPISODES`, or the agent plays seats that an environment does not have.
    """
    return plan_and_record(config, make_env=make_env, agent=agent)[0]


def plan_and_record(
    config: Mapping[str, Json], *, make_env: MakeEnv | None = None, agent: Agent | None = None
) -> tuple[list[EpisodePlan], list[Json]]:
    """Return the episodes of `plan_evaluation`, and the tasks of each environment for the record of the run."""
    plans: list[EpisodePlan] = []
    records: list[Json] = []
    labels: dict[str, int] = {}
    seed = config["seed"]
    # seed 0 adds nothing, so that it draws what it drew when names of episodes held no seed
    session = f"?seed={seed}" if seed else ""
    for spec in config["envs"]:
        env_id, env_kwargs = spec["env_id"], spec["env_kwargs"]
        labels[env_id] = labels.get(env_id, 0) + 1
        # one environment with two sets of arguments is two sets of tasks
        label = env_id if labels[env_id] == 1 else f"{env_id}@{labels[env_id]}"
        tasks = PlannedTasks()
        for index, task in enumerate(_tasks(config, env_id, env_kwargs, make_env, agent)):
            tasks.add(task)
            key = None if task is None else task.key
            group = f"{label}/{key if key is not None else f'seed-{index}'}"
            for sample in range(config["samples"]):
                plans.append(
                    EpisodePlan(
                        episode_id=f"{group}#{sample}",
                        env_id=env_id,
                        env_kwargs=env_kwargs,
                        task_key=key,
                        seed=task_seed(seed, index),
                        sample=sample,
                        group_id=group,
                        max_turns=config["max_turns"],
                        session=session and f"{group}#{sample}{session}",
                        wrappers=config.get("wrappers", {}),
                    )
                )
        records.append(tasks.to_json())
    return plans, records


def _tasks(
    config: Mapping[str, Json], env_id: str, env_kwargs: Mapping[str, Json], make_env: MakeEnv | None, agent: Agent | None
) -> Iterator[Task | None]:
    """Yield the tasks to play; None for each seed where the environment has no task set."""
    split, n, samples = config["split"], config["n"], config["samples"]
    try:
        env = (make_env or make_planned_env)(EpisodePlan("planning", env_id, env_kwargs, wrappers=config.get("wrappers", {})))
    except TypeError as error:
        raise ConfigError(f"Environment {env_id!r} refuses its arguments {dict(env_kwargs)}: {error}") from error
    try:
        if agent is not None:
            check_seating(env.unwrapped, agent)  # before the run is stored: a mistake must not take its name
        tasks: Any = getattr(env.unwrapped, "tasks", None)
        if tasks is None:
            if n is None:
                raise UsageError(
                    f"Environment {env_id!r} has no task set to play whole; say how many episodes with n= (-n N)."
                )
            _expect_fewer(n, samples)
            yield from (None for _ in range(n))
            return
        tasks.split(split)
        if env_kwargs.get("split", split) != split:
            raise ConfigError(
                f"Environment {env_id!r} is given split={env_kwargs['split']!r}, and those of {split!r} are to be played. "
                f"Say which to play with split= (--split), and leave the argument (--set split=) out."
            )
        size = tasks.size(split)
        if size is None and n is None:
            raise UsageError(f"Split {split!r} of {env_id!r} has no end; say how many tasks to play with n= (-n N).")
        if size == 0:
            raise UsageError(f"Split {split!r} of {env_id!r} holds no tasks; choose one of {', '.join(tasks.splits)}.")
        num = size if n is None else n if size is None else min(n, size)
        _expect_fewer(num, samples)
        for index in count():
            if index == num:
                return
            yield tasks.at(split, index)
    finally:
        env.close()


def _expect_fewer(num: int, samples: int) -> None:
    """Refuse more episodes of an environment than fit into memory as plans."""
    if num * samples > MAX_EPISODES:
        raise ConfigError(
            f"{num:,} tasks with {samples:,} episodes each are too many; expected n times samples to be at most "
            f"{MAX_EPISODES:,}. Take fewer tasks, or several runs."
        )


__all__ = ["MAX_EPISODES", "MAX_KEYS", "PlannedTasks", "plan_and_record", "plan_evaluation", "task_seed"]
