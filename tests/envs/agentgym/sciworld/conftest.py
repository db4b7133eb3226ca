"""One simulator for the tests of this folder: starting a JVM takes seconds."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import pytest

from palaestra.envs.agentgym.sciworld.env import SciWorldEnv
from palaestra.envs.core.engines import engine_pool
from palaestra.envs.registration import missing


@pytest.fixture(scope="session")
def make() -> Iterator[Callable[..., SciWorldEnv]]:
    """Makes environments that take a single simulator from each other; closing one would end it."""
    if lack := missing("palaestra/SciWorld-v0"):
        pytest.skip(lack)
    pool, made = engine_pool(*SciWorldEnv.pool), []
    limit, pool.limit = pool.limit, 1

    def one(**arguments: Any) -> SciWorldEnv:
        env = gymnasium.make("palaestra/SciWorld-v0", **{"max_turns": None, **arguments}).unwrapped
        assert isinstance(env, SciWorldEnv)
        made.append(env)
        return env

    yield one
    pool.limit = limit
    for env in made:
        env.close()


@pytest.fixture(scope="session")
def env(make: Callable[..., SciWorldEnv]) -> SciWorldEnv:
    return make()
