"""The escape list: every source ends with the right status, nothing gets out, and the next call is right."""

import pytest

from palaestra.envs.sandbox import Sandbox
from tests.envs.sandbox.hostile_list import Listener, descendants, hostile_sources

SOURCES = hostile_sources()


@pytest.fixture(scope="module")
def sandboxes(executor):
    """One sandbox a time limit."""
    limits = sorted({hostile.timeout_s for hostile in SOURCES})
    before = descendants()
    found = {timeout_s: Sandbox(executor, timeout_s=timeout_s, memory_mb=128) for timeout_s in limits}
    yield found
    started = descendants() - before
    for sandbox in found.values():
        sandbox.close()
    assert started
    assert descendants() & started == set()


@pytest.fixture(scope="module")
def listening():
    listener = Listener()
    yield listener
    listener.close()


def test_the_list_is_long_enough():
    assert len(SOURCES) >= 60


@pytest.mark.parametrize("hostile", SOURCES, ids=[hostile.name for hostile in SOURCES])
def test_nothing_gets_out(hostile, executor, sandboxes, listening, tmp_path):
    marker = tmp_path / "marker"
    program = sandboxes[hostile.timeout_s].load(hostile.source)
    result = program.call("attack", {"port": listening.port, "marker": str(marker)})
    assert result.status in hostile.expected[executor], result
    assert result.executor == executor
    if result.ok and hostile.content is not None:
        assert result.content == hostile.content
    assert not marker.exists()
    assert listening.heard() == 0
    assert str(marker) not in result.content
    after = program.call("fine", {"number": 2})
    assert (after.status, after.content) == ("ok", "3")
