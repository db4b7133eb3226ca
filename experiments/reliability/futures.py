"""Does a restored episode go on as the one that was saved? Every registered environment, at random points of many seeds.

    python -m experiments.reliability.futures [--seeds 200] [--from 1000] [--only WORD] [--cpu SECONDS]

An episode is played for up to 12 turns, saved, and played for 30 more; a fresh environment is restored from the snapshot and
given the same actions. Everything that comes back is compared to the byte, and the snapshots at the end. One row a setting
and share of expert actions is added to `futures.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import gymnasium
import numpy as np

from experiments.common.rows import append_row, folder_of
from experiments.reliability.settings import name_of, players
from palaestra.types import plain

TURNS = 30
SHARES = (0.0, 0.5, 0.9)
SHOWN = 5


def told(result: Any) -> bytes:
    """Return what came back as bytes; the order of keys counts."""
    return json.dumps(plain(list(result)), ensure_ascii=False).encode()


def next_action(env: Any, rng: np.random.Generator, share_of_expert: float) -> Any:
    """Return what the expert would do, or a drawn action."""
    if rng.random() < share_of_expert:
        action = next(iter(env.unwrapped.expert()), None)
        if action is not None:
            return action
    return env.action_space.sample()


def reset_if_over(env: Any, result: Any) -> bytes:
    """Begin another episode after the end of one, in the stream of chance that there is."""
    return told(env.reset()) if result[2] or result[3] else b""


def saved_midway(
    env: Any, seed: int, share_of_expert: float, most: int = 8
) -> tuple[Any, list[Any], list[tuple[bytes, bytes]]]:
    """Play some turns of an episode, save it, and play on.

    Args:
        env: The environment.
        seed: Of the episode and of the drawn actions.
        share_of_expert: Share of the turns from there on that the expert plays.
        most: Turns before the snapshot are fewer than these.

    Returns:
        The snapshot, the actions played from there on, and what came back: of the step, and of a reset after an end.
    """
    rng = np.random.default_rng([seed, int(100 * share_of_expert)])
    env.action_space.seed(seed)
    env.reset(seed=seed)
    for _ in range(int(rng.integers(0, most))):
        reset_if_over(env, env.step(next_action(env, rng, 0.3)))
    snapshot, actions, future = env.unwrapped.snapshot(), [], []
    for _ in range(TURNS):
        action = next_action(env, rng, share_of_expert)
        result = env.step(action)
        actions.append(action)
        future.append((told(result), reset_if_over(env, result)))
    return snapshot, actions, future


def difference(env_id: str, options: dict[str, Any], seed: int, share_of_expert: float, most: int = 8) -> str:
    """Return where a fresh environment that is restored goes on otherwise than the one that was saved; "" if nowhere."""
    env = gymnasium.make(env_id, disable_env_checker=True, **options)
    twin: Any = gymnasium.make(env_id, disable_env_checker=True, **options)
    try:
        snapshot, actions, future = saved_midway(env, seed, share_of_expert, most)
        twin.unwrapped.restore(snapshot)
        if twin.unwrapped.snapshot() != snapshot:
            return f"seed {seed}: a restored episode has another snapshot"
        for number, (action, expected) in enumerate(zip(actions, future, strict=True)):
            result = twin.step(action)
            if (told(result), reset_if_over(twin, result)) != expected:
                return f"seed {seed}, action {number}: {action!r}"
        same = twin.unwrapped.snapshot() == env.unwrapped.snapshot()  # type: ignore[attr-defined]
        return "" if same else f"seed {seed}: the last snapshots differ"
    finally:
        env.close()
        twin.close()


def main() -> int:
    """Play all settings; print and write what differs; 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="of each setting and share of expert actions")
    parser.add_argument("--from", type=int, default=1_000, dest="first", help="the first seed")
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--cpu", type=float, default=float("inf"), help="seconds of CPU after which a setting ends")
    asked = parser.parse_args()
    any_wrong = False
    for env_id, options in players():
        name = name_of(env_id, options)
        for share in SHARES if asked.only in name else ():
            start, wrong, played = time.process_time(), [], 0
            for seed in range(asked.first, asked.first + asked.seeds):
                if time.process_time() - start > asked.cpu / len(SHARES):
                    break
                played += 1
                try:
                    found = difference(env_id, options, seed, share, most=13)
                except Exception as error:  # a row of its own: the other seeds are tried all the same
                    found = f"seed {seed}: {type(error).__name__}: {error}"
                wrong += [found] if found else []
            any_wrong |= bool(wrong)
            row = {"setting": name, "share_of_expert": share, "first_seed": asked.first, "episodes": played}
            append_row(folder_of("reliability") / "futures.jsonl", {**row, "differ": len(wrong), "examples": wrong[:SHOWN]})
            print(f"{name} {share}: {played} seeds, {len(wrong)} differ", *wrong[:SHOWN], sep="\n  ", flush=True)
    return int(any_wrong)


if __name__ == "__main__":
    sys.exit(main())
