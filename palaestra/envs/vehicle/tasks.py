"""Where tasks come from (made here, read from a path, given), and what a task says about the car that it is played in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from palaestra.envs.core.snapshots import digest
from palaestra.envs.core.tasks import FixedTasks, Task, TaskSet
from palaestra.envs.vehicle.car.car import Profile
from palaestra.envs.vehicle.car.tables import MODULES
from palaestra.envs.vehicle.protocol import Rules
from palaestra.envs.vehicle.requests.task import CarTask
from palaestra.errors import ConfigError, UsageError


def car_task(task: Task) -> CarTask:
    """Return the content of a task.

    Raises:
        UsageError: If its data describe no task of the car.
    """
    try:
        found = CarTask.from_json(task.data)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"Task {task.key!r} describes no dialogue in a car ({error!r}); see CarTask.to_json().") from None
    if not found.requests:
        raise UsageError(f"Task {task.key!r} has no request; a dialogue has at least one.")
    return found


def modules_of(key: str, task: CarTask, rules: Rules) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the modules that there are, and those that the published scoring looks at."""
    if rules.extra_modules is None:
        return MODULES, task.modules
    needed = {*task.modules, *(call.module for request in task.requests for call in request.calls)}
    others = [module for module in MODULES if module not in needed]
    rng = np.random.default_rng(int(digest(["modules", key])[:16], 16))  # the same modules for every mode and run
    extra = {others[int(index)] for index in rng.permutation(len(others))[: rules.extra_modules]}
    return tuple(module for module in MODULES if module in needed or module in extra), (*task.modules, *sorted(extra))


def find_tasks(tasks: str | Path | TaskSet | None, profile: Profile, generator: Mapping[str, Any]) -> TaskSet:
    """Return the tasks asked for: made here, read from a path, or given."""
    if tasks is None:
        from palaestra.envs.vehicle.requests import vehicle_tasks

        return vehicle_tasks(profile=profile, **generator)
    if generator:
        raise ConfigError(f"{sorted(generator)[0]} is for tasks that are made; leave it out where tasks={tasks!r} gives them.")
    if isinstance(tasks, TaskSet):
        return tasks
    if not isinstance(tasks, str | Path):
        raise ConfigError(f"tasks is {tasks!r}; expected None, a path or a TaskSet.")
    from palaestra.envs.vehicle.published.tasks import load_published

    return FixedTasks(load_published(str(tasks)))


__all__ = ["car_task", "find_tasks", "modules_of"]
