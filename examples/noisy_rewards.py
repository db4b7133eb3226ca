"""Put noise on rewards: how far a study of robustness may trust its own numbers."""

import gymnasium as gym

import palaestra  # noqa: F401  (registers palaestra/*)
from palaestra.envs import RewardNoise


def play(env, seed):
    """Let the expert play an episode on every second seed, and give up at once on the others; return what was paid."""
    env.reset(seed=seed)
    paid, actions = 0.0, env.unwrapped.expert() if seed % 2 else iter(["inventory"] * 10)
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        paid += float(reward)
        if terminated or truncated:
            break
    return paid, info["success"]


for rate in (0.0, 0.1, 0.3, 0.5):
    env = RewardNoise(gym.make("palaestra/TextCraft-v0", max_turns=10), mode="flip", rate=rate, seed=1)
    episodes = [play(env, seed) for seed in range(200)]
    paid_solved = [paid for paid, success in episodes if success]
    paid_failed = [paid for paid, success in episodes if not success]
    solved, failed = sum(paid_solved) / len(paid_solved), sum(paid_failed) / len(paid_failed)
    print(f"rate {rate:.1f}: solved pay {solved:.2f}, failed {failed:.2f}, signal {solved - failed:.2f}")
