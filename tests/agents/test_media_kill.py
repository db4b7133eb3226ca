"""A run with sounds and pictures that is killed again and again never has a trajectory without the bytes it names."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.reference import RandomAgent
from palaestra.agents.store.store import RunStore
from palaestra.media import MemoryMedia, find_media, use_media
from tests.agents.test_kill import untimed
from tests.media.gallery import ENV_ID

NUM_KILLS = 16
NUM_TASKS = 60


def play(folder: str, run_id: str, started: Connection | None = None) -> None:
    reports: list[int] = []

    def tell(done: int, total: int) -> None:
        reports.append(done)
        if started is not None and len(reports) == 2:  # the first episode of this process is stored
            started.send("playing")

    with use_media(MemoryMedia()):
        evaluate(ENV_ID, RandomAgent(), n=NUM_TASKS, samples=2, store=folder, run_id=run_id, concurrency=16, progress=tell)


def stored(store: RunStore, run_id: str) -> dict[str, object]:
    """Return the episodes of a run, after looking at every byte that they name."""
    kept, found = store.media(run_id), {}
    for trajectory in store.trajectories(run_id):
        for item in find_media(repr(trajectory)):
            assert len(kept.get(item)) > 0  # raises if it is missing, or not what its name says
        found[trajectory.episode_id] = untimed(trajectory)
    return found


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_killed_run_has_the_bytes_of_everything_it_names(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    rng, counts, kills = random.Random(7), [0], 0
    while kills < NUM_KILLS:
        run_id = f"killed-{len(counts) - kills}"
        mine, theirs = context.Pipe()
        child = context.Process(target=play, args=(str(tmp_path), run_id, theirs))
        child.start()
        theirs.close()
        with contextlib.suppress(EOFError):  # it ended without having anything to play
            mine.recv()
        time.sleep(rng.uniform(0, 0.06))
        child.kill()
        child.join()
        mine.close()
        with RunStore(tmp_path) as store:
            counts.append(len(stored(store, run_id)))
        kills += child.exitcode != 0
    assert len(set(counts)) > NUM_KILLS / 2, "the kills did not fall into play"

    play(str(tmp_path), "whole")
    with RunStore(tmp_path) as store:
        whole, media = stored(store, "whole"), set(store.media("whole"))
        runs = [run.run_id for run in store.runs() if run.run_id != "whole"]
    for run_id in runs:
        play(str(tmp_path), run_id)
        with RunStore(tmp_path) as store:
            assert stored(store, run_id) == whole
            assert set(store.media(run_id)) >= media  # what a killed process wrote in addition does no harm
