"""One training step on two processes against one: rollout and update of a tiny policy, one thread per process.

Both make the same GRPO step on procedural TextCraft: the same episodes of the same weights, then one update. Two processes
divide the episodes, exchange them, and divide the update. They take turns with the first process alone, which does all of
it while the second one waits, so that a busy machine slows both; the median of the rounds counts. The promise is about the
work itself: CPU seconds of one process against those of the busiest of two, which leaves out whatever else the machine does.
Wall clock needs two free cores, and is shown only.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

ENV = "palaestra/TextCraft-v0"
WORLD: dict[str, Any] = {"recipes": "procedural", "name_words": 1, "num_names": 40, "depth": [1, 2]}
TASKS, GROUP, TURNS, TOKENS, ROUNDS = 6, 8, 5, 16, 4
WIDTH = 256
TARGET = 1.8
LIMIT_S = 1800  # of a machine that has hardly any time for this; a quiet one needs less than a minute


def run() -> list[Row]:
    """Measure steps of one and of two processes."""
    with tempfile.TemporaryDirectory() as folder:
        size = _policy(Path(folder) / "policy")
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "benchmarks.two_processes"]
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        subprocess.run(
            [sys.executable, *command, folder], env={**os.environ, **threads}, check=True, timeout=LIMIT_S, stdout=sys.stderr
        )
        found = json.loads((Path(folder) / "steps.json").read_text("utf-8"))
    wall = {who: 1 / statistics.median(step["wall_s"] for step in steps) for who, steps in found.items()}
    cpu = {who: 1 / statistics.median(step["cpu_s"] for step in steps) for who, steps in found.items()}
    tokens = statistics.mean(step["tokens"] for step in found["two"])
    title = f"GRPO step on two processes, {TASKS * GROUP} episodes, {tokens / 1000:.0f} k tokens, {size / 1e6:.2f} M weights"
    kept = cpu["two"] >= TARGET * cpu["one"]
    apart = "two processes that each do the whole step, alone, at once"
    return [
        Row(f"{title}, busiest process", cpu["two"], "steps/CPU s", "one process", cpu["one"], f">= {TARGET:g}x", kept),
        Row("the same by wall clock", wall["two"], "steps/s", "one process", wall["one"]),
        Row(f"the ceiling of this machine: {apart}", 2 * wall["both"], "steps/s", "one process", wall["one"]),
    ]


def _policy(path: Path) -> int:
    """Save an untrained policy whose tokenizer knows the world; return the number of its weights."""
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.algorithms.data.demonstrations import expert_episodes
    from palaestra.algorithms.run.feed import TaskFeed
    from palaestra.models.tiny_lm import build_tiny_lm, save

    feed = TaskFeed(ENV, WORLD, split="train", seed=0)
    episodes = expert_episodes(feed.plans("corpus", 1, num_tasks=50), engine=RolloutEngine(50))
    texts = [message.content for episode in episodes for message in episode.messages()]
    model, tokenizer = build_tiny_lm(texts, hidden_size=WIDTH, vocab_size=768)
    save(model, tokenizer, path)
    return sum(parameter.numel() for parameter in model.parameters())


def work(folder: Path) -> None:
    """What each of the two processes does; the first one writes what was measured."""
    import torch

    from palaestra.algorithms.scale.ranks import Ranks, join_ranks, training_ranks

    torch.set_num_threads(1)
    found: dict[str, list[dict[str, float]]] = {"one": [], "two": [], "both": []}
    with join_ranks() as team:
        together = _step(folder / "policy")
        with training_ranks(Ranks()):
            alone = _step(folder / "policy")
        for number in range(ROUNDS + 1):  # the first one, a small one, warms up
            tasks = TASKS if number else 2
            team.barrier("together")
            step = together(number, tasks)
            # the slowest process is what counts
            step |= {name: team.max(step[name]) for name in ("wall_s", "cpu_s", "collect_s", "exchange_s")}
            found["two"].append(step)
            if team.is_main:
                with training_ranks(Ranks()):
                    found["one"].append(alone(number, tasks))
            team.barrier("alone")
            with training_ranks(Ranks()):
                step = alone(number, tasks)  # on both at once: what the machine gives to two processes that share nothing
            found["both"].append(step | {"wall_s": team.max(step["wall_s"]), "cpu_s": team.max(step["cpu_s"])})
        if team.is_main:
            measured = {who: steps[1:] for who, steps in found.items()}
            (folder / "steps.json").write_text(json.dumps(measured), "utf-8")


def _step(path: Path) -> Callable[[int, int], dict[str, float]]:
    """Return a training step: play, update, with the ranks that are in force when it is called."""
    from palaestra.agents.core import Sampling
    from palaestra.agents.llm import LLMAgent
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.run.feed import TaskFeed
    from palaestra.algorithms.run.phase import played_together
    from palaestra.algorithms.scale.ranks import ranks

    policy = Policy.from_path(path)
    sampling = Sampling(temperature=1.0, max_tokens=TOKENS, seed=0)
    agent = LLMAgent(
        policy.sampler(max_batch=TASKS * GROUP), format="text", sampling=sampling, instructions_as="none", cut="play"
    )
    engine = RolloutEngine(TASKS * GROUP)
    feed = TaskFeed(ENV, WORLD, split="train", seed=0)
    # larger micro-batches are no faster, and two processes that both miss the caches wait for the same memory
    config = GRPOConfig(lr=1e-5, epochs=1, group_size=GROUP, max_tokens_per_microbatch=3072)
    learner = GRPOLearner(policy, config)

    def step(number: int, tasks: int) -> dict[str, float]:
        plans = feed.plans("bench", number + 1, num_tasks=tasks, group_size=GROUP, max_turns=TURNS)
        spent = {"collect_s": 0.0}
        began, cpu_began = time.perf_counter(), time.process_time()

        def play(mine: Any) -> list[Any]:
            found = engine.collect(mine, agent)
            spent["collect_s"] = time.process_time() - cpu_began
            return found

        played = played_together(plans, play)
        exchanged_s = time.process_time() - cpu_began
        metrics = learner.update([_scored(trajectory, index) for index, trajectory in enumerate(played)], number + 1)
        assert not metrics["no_signal"]
        return {
            "wall_s": time.perf_counter() - began,
            "cpu_s": time.process_time() - cpu_began,
            **spent,
            "exchange_s": exchanged_s - spent["collect_s"],
            "tokens": float(sum(len(segment.ids) for trajectory in played for segment in trajectory.segments)),
            "ranks": float(ranks().size),
        }

    return step


def _scored(trajectory: Any, index: int) -> Any:
    """Give every second episode a reward: an untrained policy earns none, and without a difference there is no update."""
    from palaestra.types import Outcome

    reward = float(index % 2)
    steps = (*trajectory.steps[:-1], dataclasses.replace(trajectory.steps[-1], reward=reward))
    return dataclasses.replace(trajectory, steps=steps, outcome=Outcome(score=reward, success=bool(reward)))


if __name__ == "__main__":
    work(Path(sys.argv[1]))
