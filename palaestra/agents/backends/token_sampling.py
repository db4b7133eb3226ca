"""Drawing tokens for a batch of rows, each with its own temperature, nucleus and random stream.

A row's draw is the inverse of its cumulative distribution at one uniform number from the row's own stream: it does not
depend on the other rows of the batch, or on how the batch was put together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class RowSampling:
    """How one row draws.

    Attributes:
        temperature: 0 takes the most likely token.
        top_p: Share of the probability that is kept, most likely tokens first; 1 keeps everything.
        stream: Source of uniform numbers.
    """

    temperature: float
    top_p: float
    stream: Random


def random_stream(*parts: object) -> Random:
    """Return a source of uniform numbers that depends on nothing but `parts` (numbers and strings)."""
    digest = hashlib.blake2b("\x1f".join(map(repr, parts)).encode(), digest_size=16).digest()
    return Random(int.from_bytes(digest, "big"))


def draw_tokens(logits: Any, rows: Sequence[RowSampling]) -> tuple[list[int], list[float]]:
    """Draw the next token of every row.

    Args:
        logits: Shape (rows, vocabulary).
        rows: One per row of `logits`.

    Returns:
        Token ids, and their log-probabilities `log_softmax(logits / temperature)` in float32 over the full vocabulary,
        also where a nucleus was used (at temperature 0: at temperature 1). A row with NaN logits has log-probability NaN.
    """
    with torch.inference_mode():
        logits = logits.float()
        scales = [row.temperature or 1.0 for row in rows]
        if any(scale != 1.0 for scale in scales):
            logits = logits / torch.tensor(scales, device=logits.device)[:, None]
        log_probs = torch.log_softmax(logits, dim=-1)
        if all(row.temperature == 0 for row in rows):
            chosen = log_probs.argmax(dim=-1)
        else:
            uniform = [row.stream.random() if row.temperature else 0.0 for row in rows]
            chosen = _inverse_cdf(log_probs, [row.top_p for row in rows], uniform)
            if any(row.temperature == 0 for row in rows):
                greedy = torch.tensor([row.temperature == 0 for row in rows], device=logits.device)
                chosen = torch.where(greedy, log_probs.argmax(dim=-1), chosen)
        picked = log_probs.gather(1, chosen[:, None])[:, 0]
        return chosen.tolist(), picked.tolist()


def _inverse_cdf(log_probs: Any, top_p: Sequence[float], uniform: Sequence[float]) -> Any:
    """Return per row the first token at which the cumulative probability passes the uniform number."""
    weights = log_probs.double().exp()
    if any(share < 1.0 for share in top_p):
        ordered, order = weights.sort(dim=-1, descending=True)
        before = ordered.cumsum(dim=-1) - ordered  # what stands before a token; the first always stays
        share = torch.tensor(list(top_p), dtype=torch.float64, device=weights.device)[:, None]
        keep = (before < share) | (share >= 1.0)
        weights = torch.zeros_like(weights).scatter(1, order, ordered * keep)
    cumulative = weights.cumsum(dim=-1)
    total = cumulative[:, -1:].contiguous()
    target = torch.tensor(list(uniform), dtype=torch.float64, device=weights.device)[:, None] * total
    chosen = torch.searchsorted(cumulative, target, right=True)
    # Rounding may lift the target to the total; the first token that reaches the total still has weight.
    last = torch.searchsorted(cumulative, total)
    return torch.minimum(chosen, last)[:, 0].clamp(max=weights.shape[1] - 1)
