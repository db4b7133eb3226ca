"""A car served in three ways: by function calls, by writing state, and by both after a choice of modules.

Everything runs offline: the "model" below is a script that says what the expert says. Put
`make_agent("openai:NAME")` in its place to let a real one play.
"""

import gymnasium as gym

import palaestra  # noqa: F401  (registers the environments)
from palaestra import make_agent
from palaestra.agents import LLMAgent, ScriptedBackend

TASK = {"task": "test/0"}


def play(agent, env):
    """Play one dialogue and return the results of its requests."""
    observation, info = env.reset(seed=0, options=TASK)
    agent.reset(info, env=env)
    results, done = [], False
    while not done:
        action = agent.act(observation, info)
        observation, _, terminated, truncated, info = env.step(action)
        results += [info["request_result"]] if "request_result" in info else []
        done = terminated or truncated
    return results, info["score"]


def script(mode):
    """Return a backend that knows what to say."""
    env = gym.make("palaestra/VehicleWorld-v0", mode=mode)
    env.reset(seed=0, options=TASK)
    says = []
    for action in env.unwrapped.expert():  # each action has to be played before the next one is asked for
        says.append(action)
        env.step(action)
    return ScriptedBackend(says)


for mode in ("fc", "sfc", "hybrid"):
    env = gym.make("palaestra/VehicleWorld-v0", mode=mode)
    for agent in (make_agent("nothing"), make_agent("expert"), LLMAgent(script(mode))):
        results, score = play(agent, env)
        calls, writes = sum(r["calls"] for r in results), sum(r["writes"] for r in results)
        accuracy = sum(r["scores"]["accuracy"] for r in results) / len(results)
        print(f"{mode:6} {agent.name:8} score {score:.2f}  accuracy {accuracy:.2f}  {calls} calls, {writes} writes")

first = results[0]
print(f'\n"{first["request"]}" changes')
for change in first["changed"]:
    print(f"  {change['path']}: {change.get('old')} -> {change.get('new')}")

# one car, both interfaces, native tools: everything in one episode
env = gym.make("palaestra/VehicleWorld-v0", calls="tools", mixed=True)
observation, info = env.reset(seed=0, options=TASK)
print(f"\n{len(info['tools'])} tools, e.g. {info['tools'][1]['function']['name']}")
print(env.step("```python\nvw['environment']['volume'] = 20\n```")[0].splitlines()[0])
print(env.step("```python\nvw.music.music_soundVolume_increase(value=5)\n```")[0].splitlines()[0])
