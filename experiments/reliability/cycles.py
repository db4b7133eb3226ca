"""What do many cycles of create, reset, step and close leave behind, in every registered environment and every seat?

    python -m experiments.reliability.cycles -n 10000 [--warm-up 2000] [--seeds 50] [--only WORD] [--at NUMBER]

One row a setting is added to `cycles.jsonl`: memory blocks, resident memory, descriptors, threads and child processes after
the warm-up and after the cycles. A cycle makes the environment, resets it, plays the expert's action and two drawn ones and
closes it; settings with seats are also played from each seat, and with all seats at an open table. Whatever is kept by task
is there after the warm-up; what then grows by a block a cycle is a leak. A bounded cache may fill later (`BOUNDED`). Few
cycles tell of large leaks only: each row says from how many blocks a cycle on one would have been told.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium

from experiments.common.rows import append_row, folder_of
from experiments.reliability.settings import name_of, players
from palaestra.envs.core.seated import SeatedEnv

SEEDS = 50  # played in turn, so that whatever is kept by task is full after the warm-up
STEPS = 3
BLOCKS_A_CYCLE = 1
NOISE = 200  # blocks that Python keeps for itself: interned texts, specialised code, free lists
BOUNDED = {"palaestra/VehicleWorld-v0": (20, 30_000)}  # its 5,000 kept texts of records: blocks a cycle, and in all
TABLE = "table"


@dataclass(frozen=True)
class Held:
    """What the process holds: memory blocks of Python, resident memory, descriptors, threads, child processes."""

    blocks: int
    resident_kb: int
    descriptors: int
    threads: int
    children: int

    @classmethod
    def now(cls) -> Held:
        """Collect what is not needed, and count the rest.

        CPython keeps names in its cache of attributes, one in each of 4,096 places, chosen by the name's address: names that
        are made anew, as where an entry point is split, fill it one by one. It is emptied first.
        """
        gc.collect()
        _empty_attribute_cache()
        children = len(multiprocessing.active_children())
        return cls(sys.getallocatedblocks(), _resident_kb(), _descriptors(), threading.active_count(), children)


def settings() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield every registered id with its options and the seat that is played: "" for the one face, "table" for all."""
    for env_id, options in players():
        yield env_id, options, ""
        env = gymnasium.make(env_id, disable_env_checker=True, **options).unwrapped
        if isinstance(env, SeatedEnv):
            yield from ((env_id, options, seat) for seat in (*env.seats, TABLE))
        env.close()


def cycle(env_id: str, options: dict[str, Any], seat: str, seed: int) -> None:
    """Make an environment, play a little of the episode of a seed and close it."""
    seated = {"seat": seat} if seat not in ("", TABLE) else {}
    env = gymnasium.make(env_id, disable_env_checker=True, **options, **seated)
    inner: Any = env.unwrapped
    chosen = {"seats": tuple(inner.seats)} if seat == TABLE else {}
    _, info = env.reset(seed=seed, options=chosen)
    env.action_space.seed(seed)
    acting = {"seat": info["seat"]} if seat == TABLE else {}
    action = next(iter(inner.expert(**acting)), None)
    for _ in range(STEPS):
        *_, terminated, truncated, _ = env.step(env.action_space.sample() if action is None else action)
        if terminated or truncated:
            break
        action = None
    env.close()


def left_behind(
    env_id: str, options: dict[str, Any], seat: str, *, warm_up: int, count: int, seeds: int = SEEDS
) -> tuple[Held, Held]:
    """Return what the process holds after the warm-up, and after `count` further cycles over the same seeds."""
    for number in range(warm_up):
        cycle(env_id, options, seat, number % seeds)
    before = Held.now()
    for number in range(warm_up, warm_up + count):
        cycle(env_id, options, seat, number % seeds)
    return before, Held.now()


def told_from(count: int, bounded: tuple[int, int] = (0, 0)) -> float:
    """Return from how many blocks a cycle on a leak is told after so many cycles.

    Args:
        count: Cycles.
        bounded: Blocks a cycle, and in all, that bounded caches may take.
    """
    return max(BLOCKS_A_CYCLE * count, min(bounded[0] * count, bounded[1]), NOISE) / count


def leaks(before: Held, after: Held, count: int, bounded: tuple[int, int] = (0, 0)) -> list[str]:
    """Name what grew: descriptors, threads or children at all, blocks by as many a cycle as can be told."""
    grown = [f"{name} {old} -> {new}" for name in ("descriptors", "threads", "children")
             if (new := getattr(after, name)) > (old := getattr(before, name))]  # fmt: skip
    if after.blocks - before.blocks >= told_from(count, bounded) * count:
        grown.append(f"blocks {before.blocks} -> {after.blocks}")
    return grown


def main(arguments: list[str] | None = None) -> int:
    """Play the cycles of all settings, print and write what they left behind; 1 if anything leaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000, help="cycles of each setting")
    parser.add_argument("--warm-up", type=int, default=2_000, help="cycles before the first count")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="played in turn; fewer where a task is slow to begin")
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--at", type=int, help="only the setting of this number, from 0: a process for each")
    asked = parser.parse_args(arguments)
    if asked.warm_up < asked.seeds:
        parser.error(
            f"--warm-up is {asked.warm_up}; at least {asked.seeds} cycles are needed: as many seeds are played in turn."
        )
    any_leak = False
    for number, (env_id, options, seat) in enumerate(settings()):
        name = name_of(env_id, options) + (f",seat={seat}" if seat else "")
        if asked.only not in name or asked.at not in (None, number):
            continue
        before, after = left_behind(env_id, options, seat, warm_up=asked.warm_up, count=asked.n, seeds=asked.seeds)
        bounded = BOUNDED.get(env_id, (0, 0))
        grown, least = leaks(before, after, asked.n, bounded), told_from(asked.n, bounded)
        any_leak |= bool(grown)
        row = {"setting": name, "warm_up": asked.warm_up, "cycles": asked.n, "seeds": asked.seeds}
        row |= {"before": asdict(before), "after": asdict(after), "leaks": grown, "told_from_blocks_a_cycle": least}
        append_row(folder_of("reliability") / "cycles.jsonl", row)
        said = [*grown, f"memory is not judged below {least:.3g} blocks a cycle"] if least > BLOCKS_A_CYCLE else grown
        print(f"{name}: {after.blocks - before.blocks:+d} blocks, {after.resident_kb - before.resident_kb:+d} kB", *said,
              sep="\n  ", flush=True)  # fmt: skip
    return int(any_leak)


def _empty_attribute_cache() -> None:
    """Have the interpreter let go of the names in its cache of attributes."""
    empty = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache", None)
    if empty is not None:
        empty()


def _descriptors() -> int:
    """Return the number of open descriptors, where the system says it."""
    return len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 0


def _resident_kb() -> int:
    """Return the resident memory in kB, where the system says it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
