"""Maze, Wordle and BabyAI: steps per CPU second through `gymnasium.make`; BabyAI's text action beside minigrid's bare step."""

from __future__ import annotations

import gc
import importlib
import time
from typing import Any

import gymnasium
import numpy as np

import palaestra  # noqa: F401  (registers the environments)
from benchmarks.rows import Row
from palaestra.envs.agentgym.wordle.world import word_list
from palaestra.envs.registration import missing

FLOOR = 100_000
MOST_BARE_STEPS = 4.0
MOST_MAKE_MS = 5.0
NUM_EPISODES = 200
NUM_REPEATS = 5
BABY_LEVEL = "BabyAI-GoTo-v0"


def run() -> list[Row]:
    """Replay the same episodes several times, each in an environment of its own; the best repeat counts.

    Resets are not timed. What words and answers were remembered is forgotten before each repeat.
    """
    rows = []
    for name in ("Maze", "Wordle"):
        env_id = f"palaestra/{name}-v0"
        rows += [_steps(name, env_id), _make(name, env_id)]
    if not missing("palaestra/BabyAI-v0"):
        rows += [_baby_action(), _make("BabyAI", "palaestra/BabyAI-v0")]
    return rows


def _steps(name: str, env_id: str) -> Row:
    """Return steps per CPU second of expert play mixed with actions drawn from the listed ones."""
    envs = [gymnasium.make(env_id) for _ in range(NUM_EPISODES)]
    episodes = [_record(env, seed) for seed, env in enumerate(envs)]
    steps = max(_replay(envs, episodes) for _ in range(NUM_REPEATS))
    for env in envs:
        env.close()
    return Row(
        name=f"{name} steps",
        ours=steps,
        unit="steps/CPU s",
        peer="floor",
        peer_value=float(FLOOR),
        target=f">= {FLOOR:,}",
        ok=steps >= FLOOR,
    )


def _make(name: str, env_id: str) -> Row:
    """Return the time that `make` takes, after the first."""
    gymnasium.make(env_id).close()
    times = []
    for _ in range(20):
        begin = time.process_time()
        gymnasium.make(env_id).close()
        times.append((time.process_time() - begin) * 1e3)
    made = min(times)
    return Row(
        name=f"{name} make",
        ours=made,
        unit="CPU ms",
        peer="limit",
        peer_value=MOST_MAKE_MS,
        target=f"<= {MOST_MAKE_MS:g} ms",
        ok=made <= MOST_MAKE_MS,
    )


def _baby_action() -> Row:
    """Return the CPU time of a text action on minigrid's level GoTo, beside a bare step of minigrid there.

    The level is not one of AgentGym's, so the world is played without the environment's tasks: the same view, search,
    primitives and texts.
    """
    from palaestra.envs.agentgym.babyai.engine import load_engine
    from palaestra.envs.agentgym.babyai.world import BabyAIWorld

    load_engine()
    spec = gymnasium.spec(BABY_LEVEL)
    module, _, attribute = str(spec.entry_point).partition(":")
    make = getattr(importlib.import_module(module), attribute)
    bare, ours = [], []
    for _ in range(NUM_REPEATS):
        level = make(**spec.kwargs)
        bare.append(_bare_steps(level))
        ours.append(_text_actions(make, spec.kwargs, BabyAIWorld))
    return Row(
        name="BabyAI text action, level GoTo",
        ours=min(ours) * 1e6,
        unit="CPU us",
        peer="a bare step of minigrid",
        peer_value=min(bare) * 1e6,
        target=f"<= {MOST_BARE_STEPS:g}x",
        ok=min(ours) <= MOST_BARE_STEPS * min(bare),
    )


def _bare_steps(level: Any) -> float:
    """Return CPU seconds of one primitive step with minigrid's own observation."""
    rng = np.random.default_rng(0)
    seconds, count = 0.0, 0
    for seed in range(5):
        level.reset(seed=seed)
        primitives = rng.integers(0, 3, 200).tolist()
        gc.collect()
        begin = time.process_time()
        for primitive in primitives:
            level.step(primitive)
        seconds += time.process_time() - begin
        count += len(primitives)
    return seconds / count


def _text_actions(make: Any, kwargs: dict[str, Any], world_class: Any) -> float:
    """Return CPU seconds of one text action with its state and its list of actions, drawn from the list."""
    rng = np.random.default_rng(0)
    seconds, count = 0.0, 0
    for seed in range(5):
        level = make(**kwargs)
        level.gen_obs = dict  # as the world's own levels have it
        level.reset(seed=seed)
        world = world_class("GoTo", level)
        for _ in range(60):
            texts = list(world.choices.actions)
            text = texts[int(rng.integers(len(texts)))]
            begin = time.process_time()
            world.act(text)
            world.listed()
            seconds += time.process_time() - begin
            count += 1
    return seconds / count


def _record(env: gymnasium.Env, seed: int) -> list[str]:
    """Return the actions of one episode: before each of the expert's, every other time one that is drawn."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    actions: list[str] = []
    for planned in env.unwrapped.expert():
        listed = env.unwrapped.available_actions()
        for action in [listed[int(rng.integers(len(listed)))]] * int(rng.integers(2)) + [planned]:
            actions.append(action)
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                return actions
    return actions


def _replay(envs: list[gymnasium.Env], episodes: list[list[str]]) -> float:
    """Return steps per CPU second over all episodes, between two looks at the clock: an episode of Wordle has three steps."""
    word_list.cache_clear()
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
    gc.collect()
    begin = time.process_time()
    for env, actions in zip(envs, episodes, strict=True):
        for action in actions:
            env.step(action)
    return sum(map(len, episodes)) / (time.process_time() - begin)


if __name__ == "__main__":
    for row in run():
        print(row)
