"""Make an environment, play its expert, go back in time, and step many copies at once."""

import gymnasium as gym

import palaestra  # noqa: F401  (registers palaestra/*)

env = gym.make("palaestra/TextCraft-v0")
observation, info = env.reset(seed=0, options={"split": "test"})
print(observation.splitlines()[-1], f"(task {info['task']['key']})")

start = env.unwrapped.snapshot()  # plain bytes: continue from here in any process, to the same future
reward = 0.0
for action in env.unwrapped.expert():
    observation, reward, terminated, truncated, info = env.step(action)
    print(f"> {action}\n{observation}")
print("solved:", info["success"], "reward:", reward)

env.unwrapped.restore(start)
observation, reward, terminated, truncated, info = env.step("dance")
print("a wrong action is an observation:", observation, "| reward:", reward)
env.close()

envs = gym.make_vec("palaestra/TextCraft-v0", num_envs=8)
observations, infos = envs.reset(seed=0)
observations, rewards, *_ = envs.step(["inventory"] * 8)
print("eight at once:", len(observations), "observations, rewards", rewards.tolist())
envs.close()
