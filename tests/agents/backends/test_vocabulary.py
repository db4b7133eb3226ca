"""Sizes of tokenizer and embedding: what an embedding has beyond the tokenizer's ids is never sampled and never scored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch

from palaestra.agents.backends.local import LocalBackend
from palaestra.agents.core import Request, Sampling
from palaestra.algorithms.learner.policy import Policy
from palaestra.errors import UsageError
from palaestra.models.tiny_lm import build_tiny_lm
from palaestra.types import Message

TEXTS = ["Goal: craft dark oak planks.", "get 12 oak log inventory"] * 4


def padded(rows: int = 40) -> tuple[Any, Any]:
    """Return a model that likes the ids of its padding best."""
    model, tokenizer = build_tiny_lm(TEXTS, hidden_size=32, num_layers=1, num_heads=2)
    size = len(tokenizer)
    model.resize_token_embeddings(size + rows, mean_resizing=False)
    with torch.no_grad():
        table = model.get_output_embeddings().weight
        table[size:] = 4.0 * table[torch.arange(rows) % size]
    return model, tokenizer


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.5])
def test_ids_of_padding_are_never_sampled_and_scored_as_if_they_were_not_there(temperature: float) -> None:
    model, tokenizer = padded()
    policy = Policy(model, tokenizer)
    backend = policy.sampler()

    async def play() -> list[Any]:
        request = [
            Request((Message("user", f"hello {k}"),), (), Sampling(temperature, max_tokens=20), f"s{k}") for k in range(4)
        ]
        found = [await backend.generate(one) for one in request]
        await backend.aclose()
        return found

    for generation in asyncio.run(play()):
        tokens = generation.tokens
        assert max(tokens.completion_ids) < len(tokenizer)
        ids = torch.tensor([tokens.prompt_ids + tokens.completion_ids])
        with torch.no_grad():
            scores = policy.token_log_probs(ids, torch.ones_like(ids), temperature=temperature or 1.0, entropy=True)
            logits = model(ids).logits[0, :-1, : len(tokenizer)].float() / (temperature or 1.0)
        start = len(tokens.prompt_ids)
        torch.testing.assert_close(scores.log_prob[0, start:], torch.tensor(tokens.log_probs), atol=1e-5, rtol=1e-4)
        own = torch.distributions.Categorical(logits=logits).entropy()
        assert scores.entropy is not None
        torch.testing.assert_close(scores.entropy[0, 1:], own, atol=1e-4, rtol=1e-4)


def test_a_tokenizer_with_more_ids_than_the_model_is_refused_with_both_numbers() -> None:
    model, tokenizer = build_tiny_lm(TEXTS, hidden_size=32, num_layers=1, num_heads=2)
    size = len(tokenizer)
    tokenizer.add_tokens(["one more", "and one more"])
    for build in (Policy, LocalBackend):
        with pytest.raises(UsageError, match=rf"tokenizer has {size + 2} ids and the model an embedding for {size};"):
            build(model, tokenizer)
    model.resize_token_embeddings(size + 2, mean_resizing=False)
    Policy(model, tokenizer)
