"""Rollout and update of a tiny policy: our GRPO step against TRL's `GRPOTrainer` step, same model, tasks and episodes.

Both play the same number of episodes of the same tasks with the same weights at temperature 1, and make one update with
the same loss (token mean, clip .2, group advantages, no KL). TRL plays in its own tool loop, with `environment_factory`;
ours with the rollout engine and kept caches, in TRL's prompt format for calls. A policy that has learned to call tools
plays, so that episodes have several turns. Figures are tokens that the policy read and wrote (prompt once, per episode, up
to its end) per CPU second, in turns within one process; the median of the rounds counts.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

ENV = "palaestra/TextCraft-v0"
WORLD: dict[str, Any] = {"recipes": "procedural", "name_words": 1, "num_names": 12, "depth": [1, 1], "distractors": 0}
TASKS, GROUP, TURNS, ROUNDS, TOKENS = 4, 8, 5, 3, 32
TARGET = 2.0


def run() -> list[Row]:
    """Measure both steps, and TRL's update on our rollouts."""
    import torch

    torch.set_num_threads(1)
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", FutureWarning)
        path = _policy(Path(folder))
        ours = _ours(path)
        mine: list[Measured] = []

        def between() -> None:  # in turns, so that a busy machine slows all alike
            mine.append(ours())

        found = {
            "tools": _trl(path, folder, between, by_rollouts=False),
            "rollouts": _trl(path, folder, None, by_rollouts=True),
        }
    found["ours"] = mine
    rate = {name: statistics.median(m.tokens / m.cpu_s for m in steps[1:]) for name, steps in found.items()}
    turns = {name: statistics.mean(m.turns for m in steps[1:]) for name, steps in found.items()}
    title = f"GRPO step, {TASKS * GROUP} episodes of TextCraft"
    return [
        Row(
            f"{title} ({turns['ours']:.1f} turns, TRL's {turns['tools']:.1f})",
            rate["ours"],
            "tokens/CPU s",
            "TRL GRPOTrainer, environment_factory",
            rate["tools"],
            f">= {TARGET:g}x",
            rate["ours"] >= TARGET * rate["tools"],
        ),
        Row(f"{title}, ours against TRL's update", rate["ours"], "tokens/CPU s", "TRL on our rollouts", rate["rollouts"]),
    ]


@dataclass(frozen=True, slots=True)
class Measured:
    """One step: tokens of its episodes (prompt, calls, results), CPU seconds, turns per episode."""

    tokens: int
    cpu_s: float
    turns: float


def _policy(folder: Path) -> str:
    """Clone a tiny policy from experts that call tools, in the prompts that TRL will show."""
    from palaestra.algorithms.batch import collate
    from palaestra.algorithms.demonstrations import tokenize
    from palaestra.algorithms.policy import Policy
    from palaestra.algorithms.sft import Cloner, SFTConfig
    from palaestra.algorithms.trl import response_template
    from palaestra.models.tiny_lm import build_tiny_lm, save

    episodes = _demonstrations()
    texts = [message.content for episode in episodes for message in episode.messages()] + [str(episodes[0].tools)] * 8
    model, tokenizer = build_tiny_lm(texts, hidden_size=64, num_layers=2, num_heads=2, vocab_size=600, max_positions=2048)
    tokenizer.response_template = response_template(tokenizer)
    policy = Policy(model, tokenizer)
    found, _ = tokenize(episodes, _agent(policy), policy.template, max_context=2048)
    batch = collate(found)
    cloner = Cloner(policy, SFTConfig(lr=1e-2, warmup_updates=5), total=120)
    for step in range(120):
        cloner.update(batch.rows([(step * 4 + i) % batch.num_rows for i in range(4)]))
    return str(save(model, tokenizer, folder / "policy"))


def _demonstrations() -> list[Any]:
    """Episodes in which the inventory is looked at until the horizon: every episode has the same shape."""
    import dataclasses

    from palaestra.agents.core import Agent
    from palaestra.agents.rollout import EpisodePlan, RolloutEngine
    from palaestra.algorithms.trl import environment_class, task_rows
    from palaestra.algorithms.trl.tool_environment import shown_tools
    from palaestra.types import Message, ToolCall

    class Looker(Agent):
        name = "looker"

        def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
            pass

        async def aact(self, observation: str, info: Any) -> Message:
            return Message("assistant", tool_calls=(ToolCall("inventory", {}, "call_1"),))

    rows = task_rows(ENV, WORLD, num_tasks=24, instructions="")
    plans = [EpisodePlan(str(i), ENV, WORLD, row["task"], row["seed"], max_turns=TURNS) for i, row in enumerate(rows)]
    tools = tuple(shown_tools(environment_class(ENV, WORLD)))
    played = RolloutEngine(24).collect(plans, Looker())
    # half with the tools as TRL shows them, half as the environment does
    return [
        dataclasses.replace(trajectory, instructions="", tools=tools if index % 2 else trajectory.tools)
        for index, trajectory in enumerate(played)
    ]


def _agent(policy: Any) -> Any:
    """Return the player: native calls, no instructions."""
    from palaestra.agents.core import Sampling
    from palaestra.agents.llm import LLMAgent

    sampling = Sampling(temperature=1.0, max_tokens=TOKENS, seed=0)
    return LLMAgent(policy.sampler(max_batch=TASKS * GROUP), format="tools", sampling=sampling, instructions_as="none")


def _ours(path: str) -> Callable[[], Measured]:
    """Return our step: collect, advantages, one update."""
    from palaestra.agents.rollout import RolloutEngine
    from palaestra.algorithms.grpo import GRPOConfig, Learner
    from palaestra.algorithms.phase import TaskFeed
    from palaestra.algorithms.policy import Policy

    policy = Policy.from_path(path)
    agent = _agent(policy)
    engine = RolloutEngine(TASKS * GROUP)
    feed = TaskFeed(ENV, WORLD, split="train", seed=0)
    learner = Learner(policy, GRPOConfig(lr=1e-5, epochs=1, aggregation="token_mean", group_size=GROUP))
    numbers = itertools.count(1)

    def step() -> Measured:
        number = next(numbers)
        begin = time.process_time()
        plans = feed.plans("bench", number, num_tasks=TASKS, group_size=GROUP, max_turns=TURNS)
        played = [_scored(trajectory, index) for index, trajectory in enumerate(engine.collect(plans, agent))]
        learner.update(played, number)
        cpu_s = time.process_time() - begin
        return Measured(_tokens(played), cpu_s, statistics.mean(trajectory.num_turns for trajectory in played))

    return step


def _tokens(played: list[Any]) -> int:
    """Return the tokens of all episodes."""
    return sum(len(segment.ids) for trajectory in played for segment in trajectory.segments)


def _scored(trajectory: Any, index: int) -> Any:
    """Give every second episode a reward: looking around earns none, and without a difference there is no update."""
    import dataclasses

    from palaestra.types import Outcome

    reward = float(index % 2)
    steps = (*trajectory.steps[:-1], dataclasses.replace(trajectory.steps[-1], reward=reward))
    return dataclasses.replace(trajectory, steps=steps, outcome=Outcome(score=reward, success=bool(reward)))


def _trl(path: str, folder: str, between: Callable[[], None] | None, *, by_rollouts: bool) -> list[Measured]:
    """Let TRL train for a few steps, and measure each from its beginning to the update."""
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from palaestra.agents.rollout import RolloutEngine
    from palaestra.algorithms.trl import EnvironmentRollouts, environment_class, task_rows

    settings: dict[str, Any] = {"use_cpu": True, "bf16": False, "activation_checkpointing": False, "save_strategy": "no"}
    settings |= {"logging_strategy": "no", "report_to": "none", "disable_tqdm": True, "log_level": "error"}
    args = GRPOConfig(
        output_dir=folder,
        **settings,
        dataloader_pin_memory=False,
        beta=0.0,
        max_steps=ROUNDS + 1,  # the first one warms up
        per_device_train_batch_size=TASKS * GROUP,
        num_generations=GROUP,
        learning_rate=1e-5,
        max_completion_length=TURNS * 2 * TOKENS,
        max_tool_calling_iterations=TURNS - 1,
    )
    engine = RolloutEngine(TASKS * GROUP)
    rollouts = EnvironmentRollouts(
        ENV, WORLD, format="tools", instructions=False, max_tokens_per_turn=TOKENS, max_turns=TURNS, engine=engine
    )
    if by_rollouts:
        options = {"rollout_func": rollouts, "train_dataset": rollouts.dataset(TASKS * ROUNDS * 2)}
    else:
        made = environment_class(ENV, WORLD, answer=False)
        rows = task_rows(ENV, WORLD, num_tasks=TASKS * ROUNDS * 2, instructions="")
        options = {"environment_factory": made, "train_dataset": rows}
    seen: dict[str, Any] = {}
    steps: list[Measured] = []

    def reward(**columns: Any) -> list[float]:
        seen.update(columns)
        return [float(index % 2) for index in range(len(columns["completions"]))]

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.begin = time.process_time()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            cpu_s = time.process_time() - self.begin
            if by_rollouts:
                played = rollouts.trajectories
                steps.append(Measured(_tokens(played), cpu_s, statistics.mean(t.num_turns for t in played)))
            else:
                turns = statistics.mean(environment.num_turns for environment in seen["environments"])
                steps.append(Measured(_shown_tokens(trainer, seen), cpu_s, turns))
            if between is not None:
                between()

    trainer = GRPOTrainer(path, reward_funcs=reward, args=args, callbacks=[Clock()], **options)
    trainer.train()
    return steps


def _shown_tokens(trainer: Any, seen: dict[str, Any]) -> int:
    """Return the tokens of TRL's episodes: rendered prompts, and completions with results of tools."""
    lengths: dict[str, int] = {}
    for prompt in seen["prompts"]:
        text = prompt[-1]["content"]
        if text not in lengths:
            ids = trainer.processing_class.apply_chat_template(
                prompt, tools=trainer.tools, add_generation_prompt=True, return_dict=False
            )
            lengths[text] = len(ids)
    return sum(lengths[prompt[-1]["content"]] for prompt in seen["prompts"]) + sum(map(len, seen["completion_ids"]))
