"""What the harness itself costs per single-turn rollout: CPU time of planning, playing, recording and storing.

Ours plays a one-turn environment with an `LLMAgent` on the scripted backend, 64 episodes at once, through the rollout engine
into the run store: reset, one model call, one step, one crash-safe transaction. inspect-ai does its like (a task of
one sample, one `generate` of its mock model, one score, its log file), in CPU time of a process of its own, in the same run;
it has no figure where the Python named by PALAESTRA_PEERS cannot import it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import gymnasium

from benchmarks.rows import Row
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.store.store import RunStore
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.types import Json, Message, Trajectory

NUM_EPISODES = 2000
NUM_REPEATS = 3
TARGET_MS = 0.5

_INSPECT = """
import logging, sys, tempfile, time
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import match
from inspect_ai.solver import generate

def play(n):
    output = ModelOutput.from_content("mockllm/model", "yes")
    output.usage = ModelUsage(input_tokens=8, output_tokens=1, total_tokens=9)  # counting them would need a download
    model = get_model("mockllm/model", custom_outputs=(output for _ in range(n)), memoize=False)
    dataset = MemoryDataset([Sample(input=f"Task {i}: say yes.", target="yes") for i in range(n)])
    task = Task(dataset=dataset, solver=generate(), scorer=match())
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        [log] = evaluate(task, model=model, log_dir=folder, display="none", max_samples=64, max_connections=64)
        assert log.status == "success", log.error
        return time.process_time() - begin

few, many = 100, 300
play(few)
first, second = play(few), play(many)
print("ms", (second - first) / (many - few) * 1000)
"""


class EchoEnv(TextEnv):
    """One question, one answer."""

    def __init__(self) -> None:
        """Make its tasks without end."""
        super().__init__(GeneratedTasks(lambda split, i: Task(f"{split}/{i}", split), {"train": None, "test": None}))

    def _begin(self, task: Task) -> str:
        return f"Task {task.key}: say yes."

    def _act(self, action: str | Message) -> Turn:
        text = action if isinstance(action, str) else action.content
        return Turn("Thank you.", float(text == "yes"), terminated=True, success=text == "yes")

    def _save(self) -> Json:
        return None

    def _load(self, task: Task, state: Json) -> None:
        pass


def run() -> list[Row]:
    """Compare CPU milliseconds per rollout."""
    ours = min(_play(NUM_EPISODES) for _ in range(NUM_REPEATS))
    target, ok = f"<= {TARGET_MS} ms", ours <= TARGET_MS
    return [Row("harness per single-turn rollout, stored", ours, "ms CPU", "inspect-ai", _inspect_ms(), target, ok)]


def _play(n: int) -> float:
    """Return CPU milliseconds per rollout, storing included."""
    agent = LLMAgent(ScriptedBackend(lambda request: "yes"), format="text")
    plans = (EpisodePlan(f"episode-{i}", "benchmarks/Echo", task_key=f"test/{i}", seed=i) for i in range(n))
    with tempfile.TemporaryDirectory() as folder, RunStore(folder) as store:
        run_id = store.create_run({})

        def keep(trajectory: Trajectory) -> Any:
            return store.add(run_id, trajectory)

        begin = time.process_time()
        RolloutEngine(64).collect(plans, agent, make_env=_make_env, on_finish=keep)
        elapsed = time.process_time() - begin
        summary = store.run(run_id)
        assert summary.num_success == n, summary
    return elapsed / n * 1000


def _make_env(plan: EpisodePlan) -> gymnasium.Env[Any, Any]:
    return EchoEnv()


def _inspect_ms() -> float | None:
    """Return inspect-ai's CPU milliseconds per sample, its fixed costs left out; None where it is not installed."""
    python = os.environ.get("PALAESTRA_PEERS", sys.executable)
    try:
        done = subprocess.run([python, "-c", _INSPECT], capture_output=True, text=True, timeout=300, check=False)
    except OSError:
        return None
    words = done.stdout.split()
    return float(words[words.index("ms") + 1]) if done.returncode == 0 and "ms" in words else None


if __name__ == "__main__":
    for row in run():
        print(row)
