from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from datasets import Dataset, load_from_disk
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from palaestra.agents.core import Agent
from palaestra.agents.export.export import export_trajectories
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.trl.datasets import task_rows, to_dataset
from palaestra.algorithms.trl.rollouts import EnvironmentRollouts, rollout_rows
from palaestra.algorithms.trl.tool_environment import environment_class, shown_tools
from palaestra.algorithms.trl.trainers import response_template
from palaestra.models.tiny_lm import build_tiny_lm, save
from palaestra.types import Json, Message, ToolCall, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.test_grpo import gradient
from tests.algorithms.toy_recipe import toy_policy
from tests.algorithms.updates import failed, play

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v6:FutureWarning")

CRAFT: dict[str, Json] = {"recipes": "procedural", "depth": [1, 1], "distractors": 0}
CRAFT_ID = "palaestra/TextCraft-v0"


class Gradients(TrainerCallback):
    """Keeps the gradient of every update."""

    def __init__(self) -> None:
        self.found: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.found.append(torch.cat([p.grad.flatten().clone() for p in model.parameters()]))


class Looker(Agent):
    """Takes a look and no more."""

    name = "looker"

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        """Nothing to remember."""

    async def aact(self, observation: str, info: Any) -> Message:
        return Message("assistant", tool_calls=(ToolCall("inventory", {}, "call_1"),))


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """The toy policy as a folder: TRL loads a reference from nowhere else."""
    return str(toy_policy().save(tmp_path / "model"))


def looks() -> list[Trajectory]:
    """Episodes of one look each, on the tasks of `task_rows`."""
    feed = TaskFeed(CRAFT_ID, CRAFT, split="train", seed=0)
    rows = task_rows(CRAFT_ID, CRAFT, num_tasks=2, instructions="")
    assert rows["task"] == [feed.key(0), feed.key(1)]
    plans = [EpisodePlan(str(i), CRAFT_ID, CRAFT, row["task"], row["seed"], max_turns=1) for i, row in enumerate(rows)]
    played = RolloutEngine(2).collect(plans, Looker())
    tools = tuple(shown_tools(environment_class(CRAFT_ID, CRAFT)))
    return [dataclasses.replace(trajectory, instructions="", tools=tools) for trajectory in played]


def tool_model(folder: Path, quiet: dict[str, Any]) -> tuple[str, list[float]]:
    """Teach a tiny model to look into its inventory, with TRL's SFT on exported chats; return its folder and the losses."""
    played = looks()
    texts = [message.content for t in played for message in t.messages()] + [str(t.tools) for t in played]
    model, tokenizer = build_tiny_lm(texts * 2, hidden_size=32, num_layers=1, num_heads=2, vocab_size=500, max_positions=2048)
    args = SFTConfig(
        **quiet,
        max_steps=45,
        per_device_train_batch_size=2,
        learning_rate=2e-2,
        lr_scheduler_type="constant",
        assistant_only_loss=True,
        max_length=None,
    )
    trainer = SFTTrainer(model, args=args, train_dataset=to_dataset(played), processing_class=tokenizer)
    trainer.train()
    tokenizer.response_template = response_template(tokenizer)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    # TRL has wrapped the model's forward, so a fresh one is loaded from the folder
    return str(save(model, tokenizer, folder)), losses


def test_sft_of_trl_sees_the_plain_messages_in_an_exported_data_set(quiet: Any, tmp_path: Path) -> None:
    """Under a template that quotes arguments which are texts, and shows an empty list of tools."""
    call = ToolCall("craft", {"item": "oak planks", "count": 4}, "call_1")
    first, second = looks()
    asked = dataclasses.replace(first.steps[0], action=Message("assistant", tool_calls=(call,)))
    asked = dataclasses.replace(asked, info={"tool_results": [{"call_id": "call_1", "name": "craft", "content": "Crafted."}]})
    untold = dataclasses.replace(second.steps[0], action=Message("assistant", "inventory"), info={})
    episodes = [dataclasses.replace(first, steps=(asked,)), dataclasses.replace(second, steps=(untold,), tools=())]
    path = export_trajectories(episodes, tmp_path / "rows", "dataset", select="all").path
    texts = [message.content for t in episodes for message in t.messages()]
    model, tokenizer = build_tiny_lm(texts * 2, hidden_size=32, num_layers=1, num_heads=2, vocab_size=500, max_positions=4096)
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates/qwen2_5_training.jinja").read_text()
    args = SFTConfig(**quiet, max_steps=1, per_device_train_batch_size=2, assistant_only_loss=True, max_length=None)
    trainer = SFTTrainer(model, args=args, train_dataset=load_from_disk(str(path)), processing_class=tokenizer)
    trainer.train()
    seen = [tokenizer.decode(row["input_ids"]) for row in trainer.train_dataset]
    assert '<tool_call>\n{"name": "craft", "arguments": {"item": "oak planks", "count": 4}}\n</tool_call>' in seen[0]
    assert "<tool_response>\nCrafted.\n</tool_response>" in seen[0]
    assert "# Tools" in seen[0]
    assert "# Tools" not in seen[1]
    rows = list(trainer.train_dataset)
    trained = [[i for i, kept in zip(row["input_ids"], row["labels"], strict=True) if kept != -100] for row in rows]
    assert tokenizer.decode(trained[1]).strip() == "inventory<|im_end|>"


def test_a_model_taught_by_sft_on_exported_chats_uses_the_tools_of_an_environment(quiet: Any, tmp_path: Path) -> None:
    path, losses = tool_model(tmp_path / "model", quiet)
    assert losses[-1] < 0.1 < losses[0]
    used = []

    class Watched(environment_class(CRAFT_ID, CRAFT)):  # type: ignore[misc]
        def get_reward(self) -> float | None:
            used.append((self.num_turns, self.error))
            return float(len(used) % 2)  # an untrained policy earns nothing to learn from

    args = GRPOConfig(
        **quiet,
        max_steps=1,
        per_device_train_batch_size=4,
        num_generations=2,
        max_completion_length=120,
        max_tool_calling_iterations=2,
        beta=0.0,
        learning_rate=1e-3,
    )
    rows = task_rows(CRAFT_ID, CRAFT, num_tasks=2, instructions="")
    trainer = GRPOTrainer(path, environment_factory=Watched, train_dataset=rows, args=args)
    before = weights(trainer.model)
    trainer.train()
    logged = trainer.state.log_history[0]
    assert logged["tools/call_frequency"] > 0.5
    assert logged["tools/failure_frequency"] == 0.0
    assert sum(turns for turns, _ in used) == pytest.approx(4 * logged["tools/call_frequency"])
    assert all(error is None for _, error in used)
    assert not torch.equal(weights(trainer.model), before)


def test_an_environment_without_tools_takes_text_and_a_failed_episode_has_no_reward(quiet: Any, tmp_path: Path) -> None:
    toy_env.register()
    model, tokenizer = build_tiny_lm(["act action start red"] * 3, hidden_size=32, num_layers=1, num_heads=2, vocab_size=300)
    tokenizer.response_template = response_template(tokenizer)
    path = str(save(model, tokenizer, tmp_path / "model"))

    class Failing(environment_class(toy_env.ENV_ID)):  # type: ignore[misc]
        count = 0

        def reset(self, **row: Any) -> str:
            shown = super().reset(**row)
            Failing.count += 1
            if Failing.count == 2:
                shown = self._fail(RuntimeError("the engine died"))
            else:
                self.score = 1.0 if Failing.count == 1 else 0.0
            return shown

    args = GRPOConfig(
        **quiet, max_steps=1, per_device_train_batch_size=4, max_completion_length=6, num_generations=4, beta=0.0
    )
    rows = task_rows(toy_env.ENV_ID, num_tasks=1, instructions="")
    trainer = GRPOTrainer(path, environment_factory=Failing, train_dataset=rows, args=args)
    trainer.train()
    assert trainer.state.log_history[0]["rewards/Failing/mean"] == pytest.approx(1 / 3)  # of three, not of four


def test_rollouts_of_our_engine_train_a_policy(quiet: Any, saved: str) -> None:
    toy_env.register()
    rollouts = EnvironmentRollouts(
        toy_env.ENV_ID, format="text", instructions=False, max_tokens_per_turn=4, engine=RolloutEngine(8)
    )
    args = GRPOConfig(**quiet, max_steps=2, per_device_train_batch_size=8, num_generations=4, beta=0.0, learning_rate=1e-3)

    def length(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
        return [float(len(ids)) for ids in completion_ids]  # something an untrained policy differs in

    trainer = GRPOTrainer(
        saved, reward_funcs=[rollouts.reward, length], rollout_func=rollouts, train_dataset=rollouts.dataset(4), args=args
    )
    before = weights(trainer.model)
    trainer.train()
    assert trainer.state.global_step == 2
    assert trainer.state.log_history[0]["episodes_failed"] == 0.0
    assert {version for t in rollouts.trajectories for s in t.segments for version in s.version} == {-1, 1}
    assert not torch.equal(weights(trainer.model), before)


@pytest.mark.parametrize("case", ["all played", "one failed"])
def test_our_gradient_is_that_of_trl_on_the_same_episodes(case: str, quiet: Any, saved: str) -> None:
    policy = toy_policy()
    played = play(policy)
    if case == "one failed":
        played[2] = failed(played[2])
    ours = gradient(policy, played, aggregation="token_mean", clip_low=0.2, clip_high=0.2, group_size=4)

    names = [f"group {index // 4}" for index in range(8)]
    waiting = {name: [t for t, group in zip(played, names, strict=True) if group == name] for name in names}
    filler = policy.tokenizer.pad_token_id

    def replay(prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        return rollout_rows([waiting[prompt].pop(0) for prompt in prompts], filler=filler)

    args = GRPOConfig(
        **quiet,
        max_steps=1,
        per_device_train_batch_size=8,
        num_generations=4,
        loss_type="dapo",
        epsilon=0.2,
        beta=0.0,
        max_grad_norm=0.0,
        scale_rewards="group",
        shuffle_dataset=False,
    )
    caught = Gradients()
    trainer = GRPOTrainer(
        saved,
        reward_funcs=lambda reward, **_: list(reward),
        rollout_func=replay,
        train_dataset=Dataset.from_dict({"prompt": ["group 0", "group 1"]}),
        args=args,
        callbacks=[caught],
    )
    trainer.train()
    (theirs,) = caught.found
    assert theirs.abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_log_probs_we_hand_over_are_those_trl_computes(quiet: Any, saved: str) -> None:
    policy = Policy.from_path(saved)
    played = play(policy)
    rows = rollout_rows(played, filler=policy.tokenizer.pad_token_id)
    args = GRPOConfig(**quiet, per_device_train_batch_size=8, num_generations=4, max_steps=1)
    trainer = GRPOTrainer(saved, reward_funcs=lambda **_: [], train_dataset=Dataset.from_dict({"prompt": ["x"]}), args=args)
    for index in range(8):
        ids = torch.tensor([rows["prompt_ids"][index] + rows["completion_ids"][index]])
        labels = ids.clone()
        labels[:, : len(rows["prompt_ids"][index])] = -100
        with torch.no_grad():
            scored = trainer.model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs[0]
        told = torch.tensor(rows["logprobs"][index])
        chosen = torch.tensor(rows["env_mask"][index]).bool()
        torch.testing.assert_close(scored[-len(told) :][chosen], told[chosen], atol=1e-4, rtol=0)
