import gymnasium as gym
import pytest

import palaestra  # noqa: F401  (registers the environments)
from palaestra.agents.reference import ExpertAgent, HumanAgent, NothingAgent, RandomAgent
from palaestra.agents.registry import make_agent
from palaestra.errors import ConfigError, UnknownNameError, UsageError


def play(agent, env, *, seed=3, turns=40):
    observation, info = env.reset(seed=seed)
    agent.reset(info, env=env, session=f"episode-{seed}")
    actions, total = [], 0.0
    for _ in range(turns):
        action = agent.act(observation, info)
        actions.append(action)
        observation, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        if terminated or truncated:
            break
    return actions, total, info


@pytest.mark.parametrize("env_id", ["palaestra/TextCraft-v0", "palaestra/Desk-v0"])
def test_the_expert_solves_and_the_random_agent_repeats_itself(env_id):
    env = gym.make(env_id)
    _, total, info = play(ExpertAgent(), env)
    assert total == pytest.approx(1.0)
    assert info["success"]
    first, _, _ = play(RandomAgent(seed=1), env, turns=5)
    again, _, _ = play(RandomAgent(seed=1), env, turns=5)
    other, _, _ = play(RandomAgent(seed=2), env, turns=5)
    assert first == again
    assert first != other
    env.close()


def test_the_random_agent_plays_foreign_action_spaces(recwarn):
    env = gym.make("CartPole-v1")
    agent = RandomAgent()
    agent.reset({}, env=env, session="x")
    assert agent._space is not None
    env.close()


def test_the_agent_that_does_nothing_ends_the_desk_without_a_call():
    actions, total, info = play(make_agent("nothing"), gym.make("palaestra/Desk-v0"))
    assert (len(actions), total, info["success"]) == (1, 0.0, False)
    assert not actions[0].tool_calls


@pytest.mark.parametrize("agent", [RandomAgent(), ExpertAgent()])
def test_agents_that_need_the_environment_say_so(agent):
    with pytest.raises(UsageError, match="env=env"):
        agent.reset({})


def test_the_human_sees_instructions_and_observations_and_types():
    shown: list[str] = []
    agent = HumanAgent(read=lambda prompt: "look", write=shown.append)
    agent.reset({"instructions": "Rules."})
    assert agent.act("A room.", {}).content == "look"
    assert shown == ["Rules.", "A room."]


def test_agents_by_name():
    assert isinstance(make_agent("random", seed=4), RandomAgent)
    assert isinstance(make_agent("expert"), ExpertAgent)
    assert isinstance(make_agent("nothing"), NothingAgent)
    with pytest.raises(UnknownNameError, match="Did you mean 'expert'"):
        make_agent("expart")
    with pytest.raises(ConfigError, match="does not take"):
        make_agent("expert", temperature=1)


def test_make_agent_takes_text_only():
    with pytest.raises(UsageError, match="make_agent got a function; expected a text"):
        make_agent(lambda observation, info: "look")
