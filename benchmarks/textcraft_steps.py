"""TextCraft steps per CPU second through `gymnasium.make`: expert play mixed with sampled actions, replayed."""

from __future__ import annotations

import time

import gymnasium
import numpy as np

import palaestra  # noqa: F401  (registers the environments)
from benchmarks.rows import Row

FLOOR = 50_000
NUM_EPISODES = 200
NUM_REPEATS = 5


def run() -> list[Row]:
    """Replay the same episodes several times; the best repeat counts, resets are not timed."""
    rows = []
    for name, kwargs in (("built-in book", {}), ("procedural", {"recipes": "procedural"})):
        env = gymnasium.make("palaestra/TextCraft-v0", **kwargs)
        episodes = [_record(env, seed) for seed in range(NUM_EPISODES)]
        steps = max(_replay(env, episodes) for _ in range(NUM_REPEATS))
        rows.append(
            Row(
                name=f"TextCraft steps, {name}",
                ours=steps,
                unit="steps/CPU s",
                peer="floor",
                peer_value=float(FLOOR),
                target=f">= {FLOOR:,}",
                ok=steps >= FLOOR,
            )
        )
        env.close()
    return rows


def _record(env: gymnasium.Env, seed: int) -> list[str]:
    """Return the actions of one episode: before each of the expert's, every other time a sampled one."""
    rng = np.random.default_rng(seed)
    env.action_space.seed(seed)
    env.reset(seed=seed)
    actions: list[str] = []
    for planned in env.unwrapped.expert():
        for action in [env.action_space.sample()] * int(rng.integers(2)) + [planned]:
            actions.append(action)
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                return actions
    return actions


def _replay(env: gymnasium.Env, episodes: list[list[str]]) -> float:
    """Return steps per CPU second over all episodes."""
    seconds, num_steps = 0.0, 0
    for seed, actions in enumerate(episodes):
        env.reset(seed=seed)
        begin = time.process_time()
        for action in actions:
            env.step(action)
        seconds += time.process_time() - begin
        num_steps += len(actions)
    return num_steps / seconds


if __name__ == "__main__":
    for row in run():
        print(row)
