import os

import pytest
from hypothesis import settings

import palaestra

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; more threads only make them wait for each other

settings.register_profile("palaestra", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("palaestra")


@pytest.fixture(scope="session", params=palaestra.list_envs())
def env_id(request: pytest.FixtureRequest) -> str:
    return str(request.param)
