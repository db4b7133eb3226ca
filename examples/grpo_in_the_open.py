"""The whole of GRPO in one screen, on public functions: a tiny model learns to write vowels from reward alone. 10 s of CPU."""

import gymnasium as gym
import torch

from palaestra.agents import EpisodePlan, LLMAgent, RolloutEngine, Sampling
from palaestra.algorithms import Policy, collate, grpo_advantages, policy_loss, token_weights
from palaestra.envs import GeneratedTasks, Task, TextEnv, Turn
from palaestra.models import build_tiny_lm


class VowelsEnv(TextEnv):
    """Write something; the reward is the share of vowels in it."""

    def __init__(self, **options):
        """All tasks are alike."""
        super().__init__(GeneratedTasks(lambda split, i: Task(f"{split}/{i}", split), {"train": None}), **options)

    def _begin(self, task):
        return "write"

    def _act(self, action):
        text = action if isinstance(action, str) else action.content
        share = sum(letter in "aeiou" for letter in text) / max(1, len(text))
        return Turn("read", reward=share, terminated=True, success=share > 0.9)

    def _save(self):
        return None

    def _load(self, task, state):
        pass


gym.register("example/Vowels-v0", entry_point=VowelsEnv)


def main(steps=40, tasks=4, group=8):
    """Train from scratch and print the mean reward."""
    model, tokenizer = build_tiny_lm(
        ["write read aeiou bcdfg hjklm npqrs tvwxyz"] * 8, hidden_size=32, num_layers=2, num_heads=2, vocab_size=280
    )
    policy = Policy(model, tokenizer)
    sampling = Sampling(max_tokens=6, seed=0)
    agent = LLMAgent(
        policy.sampler(max_batch=tasks * group), format="text", sampling=sampling, instructions_as="none", cut="play"
    )
    engine, adam = RolloutEngine(tasks * group), torch.optim.AdamW(policy.parameters(), lr=3e-3)

    for step in range(1, steps + 1):
        plans = [
            EpisodePlan(f"{step}/{task}/{sample}", "example/Vowels-v0", seed=task, group_id=f"{step}/{task}", sample=sample)
            for task in range(tasks)
            for sample in range(group)
        ]
        batch = collate(engine.collect(plans, agent))  # B rows of T tokens, of E episodes
        advantage = batch.spread(grpo_advantages(batch.return_, batch.group_index))  # [E] -> [B, T], 0 at what was read
        weight = token_weights(batch.action_mask, batch.episode_index, "token_mean")  # [B, T], sums to 1
        log_prob = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob  # [B, T]
        loss = (weight * policy_loss(log_prob, batch.rollout_log_prob, advantage, batch.action_mask)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        policy.version += 1  # the sampler drops what it has cached
        if step in (1, steps):
            print(f"step {step}: mean reward {float(batch.return_.mean()):.2f}")


if __name__ == "__main__":
    main()
