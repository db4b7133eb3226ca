"""Use TRL on Palaestra's environments: our engine as a rollout_func, tools as environment_factory, SFT on our tokens."""

import os
import tempfile
import warnings

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # both hooks are experimental in TRL
warnings.filterwarnings("ignore", message=".*deprecated and will be removed in v6", category=FutureWarning)

import torch  # noqa: E402
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer  # noqa: E402

from palaestra.agents import LLMAgent  # noqa: E402
from palaestra.algorithms import Policy, TaskFeed, expert_episodes, tokenize  # noqa: E402
from palaestra.algorithms.trl import EnvironmentRollouts, environment_class, response_template, task_rows, token_dataset  # noqa: E402
from palaestra.models import build_tiny_lm  # noqa: E402
from palaestra.models.tiny_lm import save  # noqa: E402

torch.set_num_threads(1)
ENV = "palaestra/TextCraft-v0"
WORLD = {"recipes": "procedural", "name_words": 1, "num_names": 20, "depth": [1, 1], "distractors": 0}
folder = tempfile.mkdtemp()
plain = {
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "output_dir": folder,
    "log_level": "error",
}

# 1. SFT: the expert's episodes in the tokens of a tiny policy, and nothing is encoded again
episodes = expert_episodes(TaskFeed(ENV, WORLD, split="train", seed=0).plans("sft", 1, num_tasks=32))
texts = [message.content for episode in episodes for message in episode.messages()[1:]]
model, tokenizer = build_tiny_lm(texts, hidden_size=48, num_layers=2, num_heads=2, vocab_size=400, max_positions=1024)
tokenizer.response_template = response_template(tokenizer)  # lets TRL read tool calls
policy = Policy(model, tokenizer)
player = LLMAgent(policy.sampler(), format="text", instructions_as="none", cut="play")
demonstrations, _ = tokenize(episodes, player, policy.template, max_context=1024)
args = SFTConfig(**plain, max_steps=160, per_device_train_batch_size=16, learning_rate=5e-3)
trainer = SFTTrainer(model, args=args, train_dataset=token_dataset(demonstrations), processing_class=tokenizer)
trainer.train()
losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
print(f"sft: loss {losses[0]:.2f} to {losses[-1]:.2f}")
path = str(save(model, tokenizer, f"{folder}/policy"))

# 2. GRPO on token-exact rollouts of our engine
rollouts = EnvironmentRollouts(ENV, WORLD, format="text", instructions=False, max_tokens_per_turn=16, max_turns=6)
common = {**plain, "num_generations": 4, "beta": 0.0, "learning_rate": 1e-4}
args = GRPOConfig(**common, max_steps=3, per_device_train_batch_size=16)
trainer = GRPOTrainer(path, reward_funcs=rollouts.reward, rollout_func=rollouts, train_dataset=rollouts.dataset(64), args=args)
trainer.train()
rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
print(f"grpo on rollouts: mean rewards {', '.join(f'{reward:.2f}' for reward in rewards)}")

# 3. GRPO in TRL's own tool loop: every tool of the environment is a typed method
tools = environment_class(ENV, WORLD)
args = GRPOConfig(
    **common, max_steps=1, per_device_train_batch_size=4, max_completion_length=48, max_tool_calling_iterations=2
)
rows = task_rows(ENV, WORLD, num_tasks=4, instructions="")
trainer = GRPOTrainer(path, environment_factory=tools, train_dataset=rows, args=args)
trainer.train()
shown = ", ".join(tool.__name__ for tool in trainer.tools)
print(f"grpo with tools: {shown}; {trainer.state.global_step} update")
