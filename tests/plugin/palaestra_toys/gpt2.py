"""A tiny GPT-2: a kind of model added from outside, in one file and one line of the package's metadata.

A recipe uses it by name:

    [model]
    kind = "toys_gpt2"
    width = 32
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from transformers import GPT2Config, GPT2LMHeadModel

from palaestra.models import BuildContext, ModelConfig, ModelKind
from palaestra.models.tiny_lm import train_tokenizer


class GPT2KindConfig(ModelConfig):
    """Table `[model]`, kind `toys_gpt2`: a GPT-2 with learned positions."""

    width: int = Field(default=32, ge=8)
    """Width of the residual stream."""
    layers: int = Field(default=2, ge=1)
    """Transformer blocks."""
    positions: int = Field(default=256, ge=64)
    """Longest sequence, tokens."""
    episodes: int = Field(default=16, ge=1)
    """Expert episodes whose texts the tokenizer is made from."""


def build(config: GPT2KindConfig, context: BuildContext) -> tuple[Any, Any]:
    """Return the model and its tokenizer."""
    tokenizer = train_tokenizer(context.texts(config.episodes), vocab_size=320, max_positions=config.positions)
    shape = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=config.width,
        n_layer=config.layers,
        n_head=2,
        n_positions=config.positions,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        return GPT2LMHeadModel(shape).eval(), tokenizer


KIND = ModelKind("toys_gpt2", GPT2KindConfig, build=build)
