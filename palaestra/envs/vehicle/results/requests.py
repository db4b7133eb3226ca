"""The requests of stored VehicleWorld episodes, with their scores and costs.

Every step that ends a request carries `info["request_result"]`. Requests that an episode never came to (a limit, a failed
model) count as requests in which nothing was done; they are never dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palaestra.envs.vehicle.car.former_names import current_name
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, car_tables
from palaestra.envs.vehicle.reference import do_nothing, replay
from palaestra.envs.vehicle.requests.task import CarTask
from palaestra.envs.vehicle.strict import Efficiency
from palaestra.errors import PalaestraError
from palaestra.types import Json, Trajectory


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request of an episode.

    Attributes:
        scores: Its scores, as in `request_result["scores"]`.
        do_nothing: The same scores of an agent that does nothing.
        kinds: What is special about it.
        played: Whether the episode came to it.
    """

    scores: Mapping[str, Any]
    do_nothing: Mapping[str, Any]
    kinds: tuple[str, ...]
    played: bool = True


@dataclass(frozen=True, slots=True)
class EpisodeRequests:
    """The requests of an episode.

    Attributes:
        task: Key of the task.
        requests: Its requests in order.
        modules: Modules that the task lists.
        costs: What the whole episode took.
    """

    task: str
    requests: tuple[RequestRow, ...]
    modules: tuple[str, ...]
    costs: Efficiency

    @property
    def interaction(self) -> str:
        """Class as in the paper: single or multi turn, then single or multi module ("S-S" ... "M-M")."""
        return f"{'S' if len(self.requests) <= 1 else 'M'}-{'S' if len(self.modules) <= 1 else 'M'}"

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains of the modules, each once."""
        known = car_tables().modules
        found = [known[name].domain for name in self.modules if name in known and name != ENVIRONMENT]
        return tuple(dict.fromkeys(found))


class TaskFinder:
    """Finds the task of an episode again: its environment is made once for each set of arguments."""

    def __init__(self) -> None:
        """Start without any environment."""
        self._tasks: dict[str, Any] = {}

    def find(self, trajectory: Trajectory) -> CarTask | None:
        """Return the task; None if the environment cannot be made here, or no longer has it."""
        arguments = dict(trajectory.meta.get("env_kwargs", {}))
        key = json.dumps([trajectory.env_id, arguments], sort_keys=True, default=str)
        try:
            if key not in self._tasks:
                self._tasks[key] = _tasks_of(trajectory.env_id, arguments)
            return CarTask.from_json(self._tasks[key].find(trajectory.task["key"]).data)
        except (PalaestraError, KeyError, TypeError, OSError):
            return None


def request_result(info: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the result of the request that a step ended, in today's names; None if it ended none."""
    found = next((value for key, value in info.items() if current_name(key) == "request_result"), None)
    return _renamed(found) if isinstance(found, Mapping) else None


def episode_requests(trajectory: Trajectory, finder: TaskFinder) -> EpisodeRequests | None:
    """Return the requests of an episode, those included that it never came to.

    Args:
        trajectory: The episode.
        finder: Where the task is looked up if the episode did not play all of it.

    Returns:
        None if something other than the model failed, or the requests that were not played cannot be found again: then nothing
        can be said about the agent.
    """
    error = trajectory.outcome.error
    if error is not None and error.boundary != "model":
        return None
    results = [result for step in trajectory.steps if (result := request_result(step.info)) is not None]
    requests = [RequestRow(row["scores"], row["scores"]["do_nothing"], tuple(row["kinds"])) for row in results]
    modules = tuple(results[-1]["modules"]) if results else ()
    if not (trajectory.steps and trajectory.steps[-1].terminated):
        task = finder.find(trajectory)
        if task is None:
            return None
        modules = task.modules
        requests += _unplayed(task, len(requests), str(trajectory.meta.get("env_kwargs", {}).get("profile", "fixed")))
    usage = trajectory.usage
    costs = Efficiency(
        model_calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        calls=sum(row["calls"] for row in results),
        failed_calls=sum(row["failed_calls"] for row in results),
        writes=sum(row["writes"] for row in results),
        wall_s=usage.model_s + usage.env_s,
    )
    return EpisodeRequests(str(trajectory.task["key"]), tuple(requests), modules, costs)


def _renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result or its scores with the keys of today."""
    return {current_name(key): _renamed(value) if isinstance(value, Mapping) else value for key, value in row.items()}


def _unplayed(task: CarTask, num_played: int, profile: str) -> list[RequestRow]:
    """Return the requests of a task that were not played, scored as if nothing had been done."""
    verdicts = replay(task, do_nothing, profile)[num_played:]  # type: ignore[arg-type]  # one of the two, or the env had refused
    rows = []
    for request, verdict in zip(task.requests[num_played:], verdicts, strict=True):
        scores = verdict.scores()
        rows.append(RequestRow(scores, scores["do_nothing"], request.kinds, played=False))
    return rows


def _tasks_of(env_id: str, arguments: dict[str, Json]) -> Any:
    """Return the task set of an environment."""
    import gymnasium

    import palaestra.envs.registration  # noqa: F401  # registers the ids

    env = gymnasium.make(env_id, disable_env_checker=True, **arguments)
    try:
        return getattr(env.unwrapped, "tasks")  # noqa: B009  # Gymnasium's type has no tasks
    finally:
        env.close()


__all__ = ["EpisodeRequests", "RequestRow", "TaskFinder", "episode_requests", "request_result"]
