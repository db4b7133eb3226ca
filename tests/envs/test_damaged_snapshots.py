"""restore() of anything but a snapshot is one kind of error, in every environment, and the next reset plays."""

import contextlib
import json

import gymnasium
import numpy as np
import pytest

from experiments.reliability.settings import name_of, players
from palaestra.envs.core.snapshots import seal
from palaestra.errors import EpisodeStateError

PLAYERS = players()

every_player = pytest.mark.parametrize(("env_id", "options"), PLAYERS, ids=[name_of(*setting) for setting in PLAYERS])


@pytest.fixture
def begun():
    made = []

    def make(env_id, options):
        made.append(gymnasium.make(env_id, disable_env_checker=True, **options))
        made[0].reset(seed=3)
        made[0].action_space.seed(3)
        made[0].step(made[0].action_space.sample())
        return made[0]

    yield make
    made[0].close()


@every_player
def test_damaged_bytes_are_refused_and_nothing_changes(begun, env_id, options):
    env = begun(env_id, options)
    snapshot = env.unwrapped.snapshot()
    before, rng = env.unwrapped.state_hash(), np.random.default_rng(7)
    for _ in range(60):
        damaged = bytearray(snapshot)
        at = int(rng.integers(len(damaged)))
        damaged[at] ^= int(rng.integers(1, 256))
        for wrong in (bytes(damaged), snapshot[:at], snapshot[at + 1 :]):
            with pytest.raises(EpisodeStateError):
                env.unwrapped.restore(wrong)
    for wrong in (None, 7, "x", {}, [], json.loads(snapshot), snapshot.decode(), b"", b"null"):
        with pytest.raises(EpisodeStateError):
            env.unwrapped.restore(wrong)
    assert env.unwrapped.state_hash() == before
    env.unwrapped.restore(snapshot)
    assert env.unwrapped.state_hash() == before


def broken_worlds(state, rng):
    """Yield the contents of snapshots with a world that no environment has saved."""
    for world in (None, 7, "x", [], {}, [[]], {"a": 1}, "[" * 100):
        yield {**state, "world": world}
    world = state["world"]
    if isinstance(world, dict):
        for key in world:
            yield {**state, "world": {name: value for name, value in world.items() if name != key}}
            yield {**state, "world": {**world, key: None}}
            yield {**state, "world": {**world, key: [{"a": [1]}, "x", -1][int(rng.integers(3))]}}
    for data in (None, [], {}, "x", {"a": 1}):
        yield {**state, "task": {**state["task"], "data": data}}


@every_player
def test_a_state_that_no_world_has_is_refused_and_the_next_reset_plays(begun, env_id, options):
    env = begun(env_id, options)
    state = json.loads(env.unwrapped.snapshot())
    for contents in broken_worlds(state, np.random.default_rng(7)):
        with contextlib.suppress(EpisodeStateError):
            env.unwrapped.restore(seal(contents))
    env.reset(seed=3)
    env.step(env.action_space.sample())
