"""Stores as a killed process leaves them: what is stored lies in the log, whose index is still there."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.types import Trajectory
from tests.agents.report import build

ENDS = ("", "-wal", "-shm")
FRAME = 24 + 4096

Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    """The bytes of a store, whoever has it open."""
    return {end: path.read_bytes() for end in ENDS if (path := folder / f"{FILE_NAME}{end}").exists()}


def put(folder: Path, files: Files) -> None:
    """Write a store's files into a folder, and remove others."""
    for end in ENDS:
        (folder / f"{FILE_NAME}{end}").unlink(missing_ok=True)
    for end, data in files.items():
        (folder / f"{FILE_NAME}{end}").write_bytes(data)


def episode(number: int) -> Trajectory:
    """An episode of a few kilobytes that do not compress."""
    draw = random.Random(number)
    return replace(build.crafting(number), episode_id=f"e{number}", instructions=draw.randbytes(draw.randrange(3000)).hex())


def killed(folder: Path, *, episodes: int = 40, checkpoint_at: int | None = None) -> list[Files]:
    """Play a store; return its files after each episode, as a kill at that instant leaves them."""
    states = []
    with RunStore(folder) as store:
        for run_id in ("a", "b"):
            store.create_run({"kind": "evaluate", "name": run_id}, run_id)
        for number in range(episodes):
            store.add("ab"[number % 2], episode(number))
            if number == checkpoint_at:
                store._connection.execute("PRAGMA wal_checkpoint(RESTART)")
            states.append(files_of(folder))
    return states


def stored(folder: Path) -> dict[str, str]:
    """Every episode of a store, by run and id."""
    with RunStore(folder, read_only=True) as store:
        episodes = [(run_id, one) for run_id in store.run_ids() for one in store.trajectories(run_id)]
    return {f"{run_id} {one.episode_id}": json.dumps(one.to_json()) for run_id, one in episodes}
