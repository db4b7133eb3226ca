"""An evaluation that is killed again and again ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import sqlite3
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.store.store import FILE_NAME, RunStore
from palaestra.types import Trajectory
from tests.agents.countdown import ENV_ID, Wavering

NUM_KILLS = 24
NUM_TASKS, NUM_SAMPLES = 1000, 2


def play(folder: str, run_id: str, started: Connection | None = None, *, at_once: bool = False) -> None:
    reports: list[int] = []

    def tell(done: int, total: int) -> None:
        reports.append(done)
        if started is not None and not at_once and len(reports) == 2:  # the first episode of this process is stored
            started.send("playing")

    if started is not None and at_once:
        started.send("starting")
    evaluate(
        ENV_ID,
        Wavering(),
        split="train",
        n=NUM_TASKS,
        samples=NUM_SAMPLES,
        max_turns=4,
        store=folder,
        run_id=run_id,
        concurrency=32,
        progress=tell,
    )


def untimed(trajectory: Trajectory) -> dict[str, Any]:
    data = trajectory.to_json()
    data["usage"].pop("model_s")
    data["usage"].pop("env_s")
    return data


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_run_killed_at_random_instants_ends_with_every_episode_exactly_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    rng = random.Random(20)
    kills, counts = 0, [[0]]
    while kills < NUM_KILLS:
        run_id = f"killed-{len(counts)}"
        mine, theirs = context.Pipe()
        # one in four is killed while it opens the store and plans, the others while they play and write
        at_once = kills % 4 == 3
        child = context.Process(target=play, args=(str(tmp_path), run_id, theirs), kwargs={"at_once": at_once})
        child.start()
        theirs.close()
        with contextlib.suppress(EOFError):  # it ended without having anything to play
            mine.recv()
        time.sleep(rng.uniform(0, 0.1 if at_once else 0.04))
        child.kill()
        child.join()
        mine.close()
        with RunStore(tmp_path) as store:
            runs = {run.run_id: run for run in store.runs()}
            counts[-1].append(runs[run_id].num_episodes if run_id in runs else 0)
            if child.exitcode == 0:  # it was faster than the kill: begin another one
                counts.append([0])
                continue
            kills += 1
            if counts[-1][-1] > counts[-1][-2]:
                assert runs[run_id].status in ("interrupted", "finished")
                if runs[run_id].status == "interrupted":
                    assert runs[run_id].note.startswith(f"{runs[run_id].num_episodes:,} of ")
    assert counts == [sorted(part) for part in counts], "a finished episode was lost"
    assert len({count for part in counts for count in part}) > NUM_KILLS / 2, "the kills did not fall into play"

    play(str(tmp_path), "whole")
    with RunStore(tmp_path) as store:
        whole = {trajectory.episode_id: untimed(trajectory) for trajectory in store.trajectories("whole")}
    for number in range(1, len(counts) + 1):
        run_id = f"killed-{number}"
        play(str(tmp_path), run_id)
        with RunStore(tmp_path) as store:
            killed = [untimed(trajectory) for trajectory in store.trajectories(run_id)]
            assert len(killed) == store.run(run_id).num_episodes == NUM_TASKS * NUM_SAMPLES
            assert {data["episode_id"]: data for data in killed} == whole
            assert store.status(run_id) == "finished"
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
