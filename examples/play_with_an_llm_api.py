"""Play one episode with any model: `python play_with_an_llm_api.py openai:MODEL` or `... http://HOST:PORT/v1#MODEL`.

Without an argument a scripted model plays: no key, no network.
"""

import sys

import gymnasium as gym

import palaestra  # noqa: F401  (registers palaestra/*)
from palaestra import make_agent
from palaestra.agents import LLMAgent, ScriptedBackend

env = gym.make("palaestra/TextCraft-v0", max_turns=12)
observation, info = env.reset(seed=0, options={"split": "test"})

if len(sys.argv) > 1:
    agent = make_agent(sys.argv[1], format="react", temperature=0.0)
else:
    plan = []
    for action in env.unwrapped.expert():  # each action has to be played before the next one is asked for
        plan.append(f"Thought: the next step of the plan.\nAction: {action}")
        env.step(action)
    agent = LLMAgent(ScriptedBackend(plan), format="react")
    observation, info = env.reset(seed=0, options={"split": "test"})

agent.reset(info)
print(observation.splitlines()[-1])
done = False
while not done:
    action = agent.act(observation, info)
    observation, reward, terminated, truncated, info = env.step(action)
    print(f"{agent.name}: {action.content}\nworld: {observation}")
    done = terminated or truncated
print("solved:", info["success"], "|", agent.record().usage.calls, "calls")
