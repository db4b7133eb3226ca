"""A pool that must end with nothing running."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from palaestra.envs.core.engines import EnginePool
from tests.envs.core.engines.machines import (
    Machine,
    wait_for,
)


@pytest.fixture(autouse=True)
def _no_machines() -> Iterator[None]:
    Machine.made.clear()
    yield
    Machine.made.clear()


@pytest.fixture
def make_pool() -> Iterator[Any]:
    pools = []

    def make(limit: int = 2, **options: Any) -> EnginePool:
        pools.append(EnginePool(limit, **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
        wait_for(lambda pool=pool: pool._keeper is None)
        assert pool.num_engines == 0
    assert [machine for machine in Machine.made if machine.is_running] == []
