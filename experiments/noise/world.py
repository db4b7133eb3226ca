"""What the noise experiment is made of: FeedbackKeys whose training scores lie, critics, and an exact value to compare with.

Everything of a seed is equal in all arms and at all levels: the hidden map, the base model, tasks, the draws behind the
sampled actions, and the draws that decide which scores are flipped (an episode that is flipped at .2 is flipped at .3).
Evaluation is always clean.

The transformers of this experiment compute their last block only where something is read: at the tokens before actions, 4 of
24, unless a loss reads every token. Results are the same, a step takes two thirds of the time (`AtDecisions`).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, scaled_dot_product_attention
from transformers import GPT2Model

from experiments.common.base_model import BaseConfig, trained_base
from experiments.common.token_world import Episodes
from experiments.feedback_keys.world import (
    ASK_PLACE,
    KEY_PLACE,
    TURN_LENGTH,
    FeedbackKeys,
    Tasks,
    play,
    random_play,
    right_by_turn,
)
from palaestra.algorithms.data.reward_noise import debiased
from palaestra.algorithms.learner.critic import Critic, CriticConfig, make_value_model
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import Batch
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.vrpo import VRPOConfig, VRPOCriticConfig, make_critic
from palaestra.envs.wrappers import NoiseModel


def world_of(seed: int) -> FeedbackKeys:
    """Return the standard world with the map of a seed."""
    return FeedbackKeys(map_seed=seed)


def base_policy(seed: int, updates: int = BaseConfig.updates) -> Policy:
    """Return the base model of a seed, trained on random play in its world (cached on disk)."""
    world = world_of(seed)

    def episodes(count: int, generator: torch.Generator) -> Episodes:
        return random_play(world, count, generator)

    config = BaseConfig(seed=seed, updates=updates)
    return trained_base("feedback_keys", world.vocabulary, world.num_tokens, episodes, config, world=world)


def generator(seed: int, name: str) -> torch.Generator:
    """Return a stream of its own for a purpose."""
    return torch.Generator().manual_seed(stable_seed(seed, name))


def flipped(episodes: Episodes, rate: float, *, seed: int, name: str, debias: bool = False) -> Episodes:
    """Return episodes whose scores lie, each with probability `rate`; flips depend on seed, name and row only.

    Args:
        episodes: Clean ones, paid at the end.
        rate: Probability of a flip.
        seed: Of the run.
        name: What these episodes are, e.g. "step/12".
        debias: Undo the known rate in expectation.
    """
    model = NoiseModel("flip", rate)
    clean = episodes.return_.double().numpy()
    paid = clean + model.noise(np.random.default_rng(stable_seed(seed, f"flips/{name}")), clean)
    if debias:
        paid = debiased(paid, model)
    reward = torch.zeros_like(episodes.reward)
    reward[:, -1] = torch.from_numpy(paid).float()
    return dataclasses.replace(episodes, reward=reward)


def noisy_value(value: Tensor, rate: float) -> Tensor:
    """Expected noisy score where the clean one is expected to be `value`: V (1 - 2 rate) + rate."""
    return value * (1.0 - 2.0 * rate) + rate


def random_values(world: FeedbackKeys, episodes: Episodes) -> Tensor:
    """Exact clean value of the state before each action of random play: [B, K]."""
    right = right_by_turn(world, episodes).long()
    turn = torch.arange(world.num_turns).expand_as(right)
    return world.value(right.cumsum(1) - right, turn, torch.full((world.num_turns,), 1.0 / world.num_actions))


class AtDecisions(GPT2Model):
    """A GPT-2 transformer that computes its last block only at `places`, the tokens before actions; zeros elsewhere.

    Reading with a cache, as samplers do, goes through the whole transformer. Made of an ordinary one by `at_decisions`.
    """

    places: Tensor

    def forward(self, input_ids: Tensor, use_cache: bool = False, past_key_values: Any = None) -> Any:
        """Return an object with `last_hidden_state` [B, T, d]."""
        if past_key_values is not None:
            return super().forward(input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache)
        places = self.places[self.places < input_ids.shape[1]]
        states = self.wte(input_ids) + self.wpe.weight[: input_ids.shape[1]]
        *blocks, last = self.h
        for block in blocks:
            states = _block(block, states, None)
        if len(places) == input_ids.shape[1]:
            return _States(self.ln_f(_block(last, states, None)))
        found = self.ln_f(_block(last, states, places))
        return _States(found.new_zeros(*input_ids.shape, found.shape[-1]).index_copy(1, places, found))


def at_decisions(transformer: Any, world: FeedbackKeys, *, everywhere: bool = False) -> None:
    """Make a transformer, in place, compute its last block only where the world asks for an action.

    Args:
        transformer: Of a policy or a critic.
        world: Where decisions are.
        everywhere: Compute it at every token all the same; still faster than the ordinary one.
    """
    transformer.__class__ = AtDecisions
    transformer.places = torch.arange(world.num_turns * TURN_LENGTH) if everywhere else decision_places(world)


@dataclasses.dataclass(frozen=True)
class _States:
    """What a transformer returns, as far as it is asked."""

    last_hidden_state: Tensor


def _linear(layer: Any, inputs: Tensor, columns: slice = slice(None)) -> Tensor:
    """Apply (some columns of) one of GPT-2's transposed linear layers."""
    flat = torch.addmm(layer.bias[columns], inputs.flatten(0, -2), layer.weight[:, columns])
    return flat.view(*inputs.shape[:-1], -1)


def _block(block: Any, states: Tensor, places: Tensor | None) -> Tensor:
    """Compute a transformer block at all tokens, or at these places only: [B, T or N, d]."""
    rows, length, width = states.shape
    heads = block.attn.num_heads
    normed = block.ln_1(states)
    keys, values = (
        _linear(block.attn.c_attn, normed, slice(width, None)).view(rows, length, 2, heads, -1).permute(2, 0, 3, 1, 4)
    )
    chosen, asking = (states, normed) if places is None else (states[:, places], normed[:, places])
    queries = _linear(block.attn.c_attn, asking, slice(0, width)).view(rows, asking.shape[1], heads, -1).transpose(1, 2)
    at = torch.arange(length) if places is None else places
    sees = torch.arange(length) <= at.unsqueeze(1)
    mixed = scaled_dot_product_attention(queries, keys, values, attn_mask=sees).transpose(1, 2).flatten(2)
    chosen = chosen + _linear(block.attn.c_proj, mixed)
    return chosen + _linear(block.mlp.c_proj, gelu(_linear(block.mlp.c_fc, block.ln_2(chosen))))


def decision_places(world: FeedbackKeys) -> Tensor:
    """Indices of the tokens before the actions: int64 [K]."""
    return torch.arange(world.num_turns) * TURN_LENGTH + ASK_PLACE


def trimmed(policy: Policy, world: FeedbackKeys) -> Policy:
    """Make a policy, in place, compute its last block at decisions only; for what reads nothing else."""
    at_decisions(policy.model.transformer, world)
    return policy


def build_critic(policy: Policy, world: FeedbackKeys, kind: str, options: Mapping[str, Any], *, seed: int) -> Critic:
    """Return a critic that begins with a policy's weights.

    Args:
        policy: The base model, not trimmed.
        world: Where decisions are.
        kind: "ppo" or "vrpo".
        options: Settings of its table.
        seed: Of head, minibatches and latents.
    """
    reads_all = False
    if kind == "ppo":
        table = CriticConfig(**options)
        critic = Critic(make_value_model(policy, table, seed=seed), table, seed=seed)
    else:
        config = VRPOConfig(critic=VRPOCriticConfig(**options))
        reads_all = config.critic.entropy_weight > 0 or config.critic.perplexity_weight > 0  # the auxiliary losses
        frozen = policy.frozen_copy() if reads_all else None
        if frozen is not None:
            at_decisions(frozen.model.transformer, world, everywhere=True)
        critic = make_critic(policy, config, language_model=frozen, temperature=1.0, seed=seed)
    at_decisions(critic.model.backbone, world, everywhere=reads_all)
    return critic


class ExactCritic:
    """In a critic's place: the exact value of the noisy score under the present policy, nothing learned.

    The chance to be right now is the policy's own in this state; for the turns to come it is the mean over the batch.

    Args:
        world: The world.
        policy: Whose value.
        rate: Probability of a flip.
    """

    def __init__(self, world: FeedbackKeys, policy: Policy, rate: float) -> None:
        """Keep the parts."""
        self.world = world
        self.policy = policy
        self.rate = rate

    @torch.no_grad()
    def values(self, batch: Batch) -> Tensor:
        """Value of the state before each action: [B, T], 0 elsewhere."""
        world = self.world
        turns = batch.ids.view(len(batch.ids), world.num_turns, TURN_LENGTH)
        answer = world.right_action[turns[:, :, KEY_PLACE] - world.token("key0")]  # [B, K]
        states = self.policy.model.base_model(input_ids=batch.ids, use_cache=False).last_hidden_state
        logits = self.policy.model.get_output_embeddings()(states[:, decision_places(world)])
        chance = torch.log_softmax(logits.float(), dim=-1).exp().gather(2, answer.unsqueeze(2)).squeeze(2)  # [B, K]
        right = (turns[:, :, -1] == answer).float()
        mean = chance.mean(dim=0)
        later = mean.flip(0).cumsum(0).flip(0) - mean
        value = noisy_value((right.cumsum(1) - right + chance + later) / world.num_turns, self.rate)
        spread = torch.zeros(turns.shape)
        spread[:, :, -1] = value
        return spread.flatten(1)

    def fit(self, batch: Batch, step: int) -> dict[str, float]:
        """Learn nothing."""
        return {}


def play_training(world: FeedbackKeys, policy: Policy, count: int, *, seed: int, name: str, group_size: int = 1) -> Episodes:
    """Play training tasks with streams of their own; clean scores."""
    tasks: Tasks = world.draw(count // group_size, generator(seed, f"tasks/{name}"))
    return play(world, policy, tasks.repeated(group_size), generator(seed, f"actions/{name}"))


def digest(policy: Policy) -> str:
    """Return eight hexadecimal digits that tell weights apart."""
    found = hashlib.blake2b(digest_size=4)
    for tensor in policy.model.state_dict().values():
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


@functools.lru_cache(maxsize=1)
def _base(seed: int, updates: int) -> Policy:
    return base_policy(seed, updates)


def fresh_policy(seed: int, updates: int = BaseConfig.updates) -> Policy:
    """Return a copy of the seed's base model that can be trained."""
    twin = _base(seed, updates).frozen_copy()
    twin.model.requires_grad_(True)
    return twin
