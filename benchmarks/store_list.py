"""Listing and reading back 10,000 stored trajectories of ten turns each, in CPU time: how long the disk takes is its own."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.rows import Row
from palaestra.agents.evaluation.summary import summarize
from palaestra.agents.store.store import RunStore
from palaestra.types import Message, Outcome, Step, Trajectory, Usage

NUM_EPISODES = 10_000
NUM_TURNS = 10
LIST_TARGET_S = 1.0


def run() -> list[Row]:
    """Fill a store, then time a fresh reader."""
    with tempfile.TemporaryDirectory() as folder:
        with RunStore(folder) as store:
            run_id = store.create_run({"kind": "benchmark"})
            begin = time.process_time()
            for i in range(NUM_EPISODES):
                store.add(run_id, trajectory(i))
            write_s = time.process_time() - begin
        with RunStore(folder, read_only=True) as store:
            begin = time.process_time()
            episodes = store.episodes(run_id)
            list_s = time.process_time() - begin
            begin = time.process_time()
            summarize(episodes)
            summary_s = time.process_time() - begin
            begin = time.process_time()
            num_read = sum(1 for _ in store.trajectories(run_id))
            read_s = time.process_time() - begin
            megabytes = store.file.stat().st_size / 1e6
        file = Path(folder) / "plain.jsonl"
        begin = time.process_time()
        with file.open("w") as plain:
            for i in range(NUM_EPISODES):
                plain.write(json.dumps(trajectory(i).to_json()) + "\n")
        json_write_s = time.process_time() - begin
        begin = time.process_time()
        with file.open() as plain:
            for line in plain:
                Trajectory.from_json(json.loads(line))
        json_read_s = time.process_time() - begin
        json_megabytes = file.stat().st_size / 1e6
    assert len(episodes) == num_read == NUM_EPISODES
    n = f"{NUM_EPISODES:,} trajectories"
    target, per_ms = f"<= {LIST_TARGET_S:g} s", 1000 / NUM_EPISODES
    return [
        Row(f"list {n}", list_s, "s CPU", "floor", LIST_TARGET_S, target, list_s <= LIST_TARGET_S),
        Row(f"summarise {n}", summary_s, "s CPU", "floor", LIST_TARGET_S, target, summary_s <= LIST_TARGET_S),
        Row(
            "store a trajectory of ten turns",
            write_s * per_ms,
            "ms CPU",
            "writing its JSON uncompressed to one file",
            json_write_s * per_ms,
        ),
        Row("read one back", read_s * per_ms, "ms CPU", "parsing its JSON from that file", json_read_s * per_ms),
        Row(f"size of {n}", megabytes, "MB", "that file", json_megabytes),
    ]


def trajectory(number: int) -> Trajectory:
    """Return an episode of the usual size, different from every other."""
    words = [f"item-{(number * 7919 + k * 104729) % 9973}" for k in range(40)]
    steps = tuple(
        Step(
            f"You see {', '.join(words[turn : turn + 12])}.",
            Message(
                "assistant", f"Thought:\nI need {words[turn]}.\n\nAction:\ncraft 1 {words[turn + 1]} using 2 {words[turn + 2]}"
            ),
            info={"score": 0.0, "success": False, "stop_reason": "", "reward_parts": {"task": 0.0}, "action_error": ""},
        )
        for turn in range(NUM_TURNS)
    )
    last = replace(steps[-1], reward=1.0, terminated=True)
    return Trajectory(
        episode_id=f"TextCraft/test/{number}#0",
        env_id="palaestra/TextCraft-v0",
        task={"key": f"test/{number}", "split": "test", "type": f"depth-{1 + number % 4}"},
        seed=number,
        agent="benchmark",
        instructions="You are given crafting commands and a goal. " * 20,
        steps=(*steps[:-1], last),
        final_observation="Done.",
        outcome=Outcome(1.0, True, "success"),
        usage=Usage(calls=NUM_TURNS, prompt_tokens=4000, completion_tokens=300),
    )


if __name__ == "__main__":
    for row in run():
        print(row)
