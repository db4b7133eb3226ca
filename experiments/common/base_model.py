"""The base model of the learning benchmarks: a transformer of about 60 thousand weights that has read random play.

It is an ordinary `transformers` causal LM (GPT-2 from a config: pre-LayerNorm, GELU, learned positions) with a word-level
tokenizer over the words of the world, so `Policy` and the critics use it like any other. From random play it learns what
the feedback says about keys and actions, but plays no better than chance. Trained weights are kept in a folder under the
hash of everything that went into them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from experiments.common.token_world import PAD, Episodes
from palaestra.algorithms.learner.policy import Policy

RandomPlay = Callable[[int, torch.Generator], Episodes]

# never used in the benchmarks, which work on tokens; a policy wants to know how it would be talked to
_CHAT_TEMPLATE = "{% for message in messages %}{{ message.content }} {% endfor %}"


@dataclass(frozen=True)
class BaseConfig:
    """Shape and training of a base model.

    Attributes:
        width: Width of the residual stream.
        layers: Transformer blocks.
        heads: Attention heads.
        updates: Optimiser steps.
        batch_size: Episodes of random play per step.
        lr: Peak of the one-cycle learning rate.
        embedding_std: Scale of the embeddings at the start; with small ones the first layer is slow to tell keys apart.
        tied: Whether the output layer is the embedding of the words.
        seed: Of weights and episodes.
    """

    width: int = 48
    layers: int = 2
    heads: int = 2
    updates: int = 1500
    batch_size: int = 64
    lr: float = 2e-3
    embedding_std: float = 0.5
    tied: bool = True
    seed: int = 0


def default_cache() -> Path:
    """Return the folder in which trained base models are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "palaestra" / "base_lm"


def build_policy(vocabulary: Sequence[str], max_positions: int, config: BaseConfig) -> Policy:
    """Return an untrained policy over a vocabulary; equal arguments give equal weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = GPT2Config(
        vocab_size=len(vocabulary),
        n_positions=max_positions,
        n_embd=config.width,
        n_layer=config.layers,
        n_head=config.heads,
        activation_function="gelu",
        initializer_range=config.width**-0.5,  # the usual .02 is meant for widths of a thousand
        tie_word_embeddings=config.tied,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = GPT2LMHeadModel(shape)
        for table in (model.transformer.wte, model.transformer.wpe):
            torch.nn.init.normal_(table.weight, std=config.embedding_std)
    return Policy(model, _tokenizer(vocabulary))


def trained_base(
    name: str,
    vocabulary: Sequence[str],
    max_positions: int,
    random_play: RandomPlay,
    config: BaseConfig,
    *,
    world: Any,
    cache: Path | None = None,
) -> Policy:
    """Return a policy that has read random play, from the cache if it is there.

    Args:
        name: Of the world, part of the folder's name.
        vocabulary: Words.
        max_positions: Longest sequence, tokens.
        random_play: Plays a number of episodes with random actions.
        config: Shape and training.
        world: What else decides the result: a dataclass, part of the hash.
        cache: Folder of trained models; `default_cache()` if None.
    """
    policy = build_policy(vocabulary, max_positions, config)
    parts = [list(vocabulary), max_positions, dataclasses.asdict(config), dataclasses.asdict(world)]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    folder = (cache or default_cache()) / f"{name}-{digest}"
    if (folder / "config.json").exists():
        policy.load_weights(folder)
        return policy
    pretrain(policy, random_play, config)
    # written elsewhere and renamed, so that a run that is stopped leaves no half of a model behind
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    policy.save(unfinished)
    if not folder.exists():
        unfinished.rename(folder)
    return policy


def pretrain(policy: Policy, random_play: RandomPlay, config: BaseConfig) -> list[float]:
    """Train on random play, next token by next token; returns the loss of every update."""
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.Adam(policy.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=config.lr, total_steps=config.updates)
    losses = []
    for _ in range(config.updates):
        batch = random_play(config.batch_size, generator).batch()
        loss = next_token_loss(policy.model, batch.ids, batch.attention_mask)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    optimiser.zero_grad(set_to_none=True)  # or the first update of whoever trains on would add the last gradient to its own
    policy.version += 1
    return losses


def next_token_loss(model: Any, ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean negative log-likelihood of every real token after the first, nats."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    real = attention_mask[:, 1:]
    return cross_entropy(logits[real], ids[:, 1:][real])


def _tokenizer(vocabulary: Sequence[str]) -> Any:
    """Return a word-level tokenizer over the vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(vocabulary)}
    core = Tokenizer(models.WordLevel(words, unk_token=vocabulary[PAD]))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=vocabulary[PAD], unk_token=vocabulary[PAD], padding_side="right"
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer
