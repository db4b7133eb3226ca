"""Which episodes a training run may learn from, by its recipe: checked before anything is stored, and for every source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from palaestra.agents.export.origins import Origin
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.data.provenance import TrainedEnv, is_same_env, provenance_of
from palaestra.algorithms.run.feed import make_env
from palaestra.algorithms.run.recipe_configs import EnvConfig, Recipe
from palaestra.envs.core.tasks import TaskSet
from palaestra.errors import ConfigError
from palaestra.types import Json, Trajectory


def trained_envs(recipe: Recipe) -> list[TrainedEnv]:
    """Return a recipe's environments as sources are held against them; task sets are made when they are asked for."""
    return [TrainedEnv(env.id, env.test_split, _tasks_of(env)) for env in recipe.envs]


def check_start(recipe: Recipe, store: RunStore) -> list[Json]:
    """Refuse a recipe that trains on its test tasks, or on episodes of environments that it does not have.

    Args:
        recipe: What is to be run; its word `allow` lets them in.
        store: Where runs are that it clones.

    Returns:
        What the run's record has to say of splits that are trained and evaluated on.

    Raises:
        ConfigError: If the split of an environment is trained and evaluated on.
        UsageError: If a source of episodes is refused, is not there or holds nothing to learn from.
    """
    envs = trained_envs(recipe)
    for phase in recipe.phases:
        for recorded in getattr(phase.settings, "recorded", tuple)():
            provenance_of(recorded.origins(store), envs, recorded.source).check(recipe.allow)
    shared = list(_shared_splits(recipe))
    if shared and "test_tasks" not in recipe.allow:
        env = shared[0]
        raise ConfigError(
            f"env.train_split is {env.train_split!r}, a split of {env.id} on which the recipe evaluates too; choose another "
            f'one, or write allow = ["test_tasks"] in the recipe, and the report says so.'
        )
    return [
        {"source": "plays", "notice": f"Trained on the split {env.train_split!r} of {env.id}, on which the recipe evaluates."}
        for env in shared
    ]


def check_plays(trajectories: Sequence[Trajectory], recipe: Recipe) -> None:
    """Refuse plays of test tasks, by the split that they name.

    Raises:
        UsageError: With the tasks.
    """
    if "test_tasks" in recipe.allow:
        return
    tested = {env.test_split for env in recipe.envs}
    suspects = [Origin.of(one) for one in trajectories if one.task.get("split") in tested]
    if suspects:
        envs = [TrainedEnv(env.id, env.test_split) for env in recipe.envs]  # what was planned is not looked up again
        provenance_of(suspects, envs, "Episodes to train on").check(["other_envs"])


def _shared_splits(recipe: Recipe) -> Iterator[EnvConfig]:
    """Yield the environments whose train split another entry, or they themselves, evaluate on."""
    for env in recipe.envs:
        tests = {other.test_split for other in recipe.envs if is_same_env(env.id, other.id)}
        if env.train_split in tests and _tasks_of(env)() is not None:
            yield env


def _tasks_of(env: EnvConfig) -> Callable[[], TaskSet | None]:
    """Return a maker of an environment's task set, called once; None if it has none."""

    @cache
    def tasks() -> TaskSet | None:
        made = make_env(env.id, env.arguments)
        try:
            found: TaskSet | None = getattr(made.unwrapped, "tasks", None)
            return found
        finally:
            made.close()

    return tasks


__all__ = ["check_plays", "check_start", "trained_envs"]
