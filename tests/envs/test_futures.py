"""What was saved goes on as what was not: to the byte, in a fresh environment and in a fresh process."""

import json
from functools import partial

import gymnasium
import numpy as np
import pytest

from experiments.reliability.settings import name_of, players
from palaestra.envs.check.replay import Job, run_elsewhere
from palaestra.types import plain

PLAYERS = players()
TURNS = 30

every_player = pytest.mark.parametrize(("env_id", "options"), PLAYERS, ids=[name_of(*setting) for setting in PLAYERS])


def told(result) -> bytes:
    """Return what came back as bytes; the order of keys counts."""
    return json.dumps(plain(list(result)), ensure_ascii=False).encode()


def next_action(env, rng, share_of_expert):
    """Return what the expert would do, or a drawn action."""
    if rng.random() < share_of_expert:
        action = next(iter(env.unwrapped.expert()), None)
        if action is not None:
            return action
    return env.action_space.sample()


def reset_if_over(env, result):
    """Begin another episode after the end of one, in the stream of chance that there is."""
    return told(env.reset()) if result[2] or result[3] else b""


def saved_midway(env, seed, share_of_expert):
    """Play some turns of an episode, return its snapshot, the actions played from there on, and what came back."""
    rng = np.random.default_rng([seed, int(100 * share_of_expert)])
    env.action_space.seed(seed)
    env.reset(seed=seed)
    for _ in range(int(rng.integers(0, 8))):
        reset_if_over(env, env.step(next_action(env, rng, 0.3)))
    snapshot, actions, future = env.unwrapped.snapshot(), [], []
    for _ in range(TURNS):
        action = next_action(env, rng, share_of_expert)
        result = env.step(action)
        actions.append(action)
        future.append((told(result), reset_if_over(env, result)))
    return snapshot, actions, future


@every_player
@pytest.mark.parametrize("share_of_expert", [0.0, 0.7])
def test_a_restored_episode_has_the_same_future_to_the_byte(env_id, options, share_of_expert):
    for seed in range(5):
        env = gymnasium.make(env_id, disable_env_checker=True, **options)
        snapshot, actions, future = saved_midway(env, seed, share_of_expert)
        twin = gymnasium.make(env_id, disable_env_checker=True, **options)
        twin.unwrapped.restore(snapshot)
        assert twin.unwrapped.snapshot() == snapshot
        for number, (action, expected) in enumerate(zip(actions, future, strict=True)):
            result = twin.step(action)
            assert (told(result), reset_if_over(twin, result)) == expected, f"seed {seed}, action {number}: {action!r}"
        assert twin.unwrapped.snapshot() == env.unwrapped.snapshot()
        env.close()
        twin.close()


@every_player
def test_a_fresh_process_goes_on_to_the_same_future(env_id, options):
    make = partial(gymnasium.make, env_id, disable_env_checker=True, **options)
    env = make()
    snapshot, actions, future = saved_midway(env, seed=11, share_of_expert=0.3)
    transcript = run_elsewhere(Job(make, tuple(actions), 11, snapshot), hash_seed=77)
    for entry, (expected, after) in zip(transcript, future, strict=False):
        assert json.dumps(entry, ensure_ascii=False).encode() == expected
        if after:
            break
    env.close()
