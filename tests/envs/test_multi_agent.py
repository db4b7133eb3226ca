import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from palaestra_toys.envs import MEETING_ID, register
from palaestra_toys.meeting import PLACES
from pettingzoo.utils.env import AECEnv, ParallelEnv

import palaestra
from palaestra.envs import registration
from palaestra.envs.multi_agent import list_multi_agent, make_multi_agent
from palaestra.errors import UnknownNameError, UsageError
from tests.envs.miniature import COUNTER_ID, register_miniatures
from tests.envs.seated_toys import GUESS_ID, register_seated_toys

register()
register_miniatures()
register_seated_toys()

SAYINGS = [*PLACES, "nowhere", ""]


def test_ids_with_several_seats_are_listed(monkeypatch):
    monkeypatch.setattr(registration, "_plugin_ids", {MEETING_ID, COUNTER_ID})
    listed = list_multi_agent()
    assert MEETING_ID in listed
    assert COUNTER_ID not in listed
    assert "palaestra/TextCraft-v0" not in listed
    assert palaestra.list_multi_agent is list_multi_agent
    assert palaestra.make_multi_agent is make_multi_agent


def test_what_has_no_such_face_is_refused():
    with pytest.raises(UsageError, match="has one seat"):
        make_multi_agent(COUNTER_ID)
    with pytest.raises(UsageError, match="take turns"):
        make_multi_agent(GUESS_ID, parallel=True)
    with pytest.raises(UnknownNameError, match="environment with several seats 'tests/Gess-v0'"):
        make_multi_agent("tests/Gess-v0")


def test_the_face_is_pettingzoos_and_its_spaces_are_each_seats():
    aec, parallel = make_multi_agent(GUESS_ID, judge="each"), make_multi_agent(MEETING_ID, parallel=True)
    assert isinstance(aec, AECEnv)
    assert isinstance(parallel, ParallelEnv)
    assert aec.possible_agents == ["ann", "bob", "judge"]
    assert aec.metadata["is_parallelizable"] is False
    assert aec.metadata["name"] == GUESS_ID
    assert parallel.metadata["is_parallelizable"] is True
    rng = np.random.default_rng(0)
    assert {aec.action_space("judge").sampler(rng) for _ in range(40)} == {"fair", "9", "0"}
    assert aec.action_space("ann") is aec.action_space("ann")


def test_an_aec_game_pays_everybody_and_each_agent_leaves_after_its_last_step():
    env = make_multi_agent(GUESS_ID)
    env.reset(seed=0, options={"split": "test", "unknown": 1})
    assert env.infos["ann"]["task"]["split"] == "test"
    assert env.infos["bob"]["private"] == {"secret": env.env.state["secret"]}
    total = dict.fromkeys(env.possible_agents, 0.0)
    for agent in env.agent_iter(100):
        observation, reward, terminated, truncated, _ = env.last()
        assert observation in env.observation_space(agent)
        total[agent] += reward
        env.step(None if terminated or truncated else next(env.env.expert(agent)))
    assert total == {"ann": 1.0, "bob": 1.0}
    assert env.agents == []


def test_an_agent_that_fails_ends_the_game_for_all():
    env = make_multi_agent(GUESS_ID)
    env.reset(seed=0)
    for _ in range(3):
        assert env.agent_selection == "bob"
        env.step("no such move")
    assert env.truncations == {"ann": True, "bob": True}
    assert "three times" in env.infos["bob"]["action_error"] or "3 times" in env.infos["bob"]["action_error"]
    parallel = make_multi_agent(MEETING_ID, parallel=True)
    parallel.reset(seed=0)
    for _ in range(3):
        *_, truncations, infos = parallel.step({"ann": "park", "cleo": "park"})
    assert truncations == dict.fromkeys(("ann", "bob", "cleo"), True)
    assert "3 times" in infos["bob"]["action_error"]
    assert parallel.agents == []


def test_an_agent_without_an_action_passes_in_the_parallel_face():
    env = make_multi_agent(MEETING_ID, parallel=True)
    env.reset(seed=0)
    seen, _, _, _, infos = env.step({"cleo": "park", "ann": "x" * 100_001})
    assert seen["cleo"] == "ann: (silence), bob: (silence), cleo: park"
    assert seen["bob"].startswith("You gave no action.\n")
    assert "100001 characters" in infos["ann"]["action_error"]
    assert not infos["cleo"]["action_error"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.lists(st.tuples(*[st.sampled_from(SAYINGS)] * 3), min_size=1, max_size=10))
def test_both_faces_play_the_same_game(seed, rounds):
    aec, parallel = make_multi_agent(MEETING_ID), make_multi_agent(MEETING_ID, parallel=True)
    aec.reset(seed=seed)
    seen, _ = parallel.reset(seed=seed)
    for sayings in rounds:
        assert {agent: aec.observe(agent) for agent in aec.agents} == seen
        actions = dict(zip(parallel.agents, sayings, strict=True))
        seen, rewards, terminations, truncations, _ = parallel.step(actions)
        earned = dict.fromkeys(actions, 0.0)
        for agent, action in actions.items():
            if aec.terminations[agent] or aec.truncations[agent]:
                break
            assert aec.agent_selection == agent
            aec.step(action)
            earned = {name: earned[name] + aec.rewards[name] for name in earned}
        assert earned == rewards
        assert (aec.terminations, aec.truncations) == (terminations, truncations)
        if not parallel.agents:
            return


def test_gymnasium_and_pettingzoo_see_one_environment():
    env = make_multi_agent(MEETING_ID)
    assert env.env.spec.id == MEETING_ID
    assert type(gymnasium.make(MEETING_ID).unwrapped) is type(env.env)
    env.reset(seed=0)
    env.close()
