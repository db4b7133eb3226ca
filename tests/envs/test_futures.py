"""What was saved goes on as what was not: to the byte, in a fresh environment and in a fresh process."""

import json
from functools import partial

import gymnasium
import pytest

from experiments.reliability.futures import difference, saved_midway
from experiments.reliability.settings import name_of, players
from palaestra.envs.check.replay import Job, run_elsewhere

PLAYERS = players()
every_player = pytest.mark.parametrize(("env_id", "options"), PLAYERS, ids=[name_of(*setting) for setting in PLAYERS])


@every_player
@pytest.mark.parametrize("share_of_expert", [0.0, 0.7])
def test_a_restored_episode_has_the_same_future_to_the_byte(env_id, options, share_of_expert):
    assert [wrong for seed in range(5) if (wrong := difference(env_id, options, seed, share_of_expert))] == []


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
