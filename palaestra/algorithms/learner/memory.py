"""Bytes that training holds, by formula: weights, gradients, moments, what autograd keeps, logits, the key-value cache.

The formulas count what PyTorch allocates for a model of the Llama kind (gated MLP, fused attention without a mask); what a
CUDA allocator loses to fragments is not in them. Other models are counted by a forward pass on the `meta` device, which sees
their shapes and computes nothing.

A learner says itself what it holds: it is built on a model without storage, and what it reaches is counted (`held_by`), so
that references, critics and frozen heads of any algorithm are found, a third party's included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

LOGIT_BYTES = 4  # log-softmax is taken in float32 whatever the weights are
BOOKKEEPING_BYTES = 60  # ids, masks, positions, log-probs, advantages, weights: per token of a micro-batch
_LOGIT_COPIES = 6  # log-softmax, probabilities, entropies and their gradients at the peak; measured, see the tests
_PROBE_TOKENS = (256, 512)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the memory of a model follows from.

    Attributes:
        parameters: Number of weights, tied ones counted once.
        item: Bytes of a weight.
        hidden_size: Width of the residual stream.
        num_layers: Transformer blocks.
        vocab_size: Rows of the output matrix.
        key_value_width: Key-value heads times their width.
        kept_per_layer: Numbers that autograd keeps per token and block.
    """

    parameters: int
    item: int
    hidden_size: int
    num_layers: int
    vocab_size: int
    key_value_width: int
    kept_per_layer: int


@dataclass(frozen=True, slots=True)
class Held:
    """Weights that a learner reaches, in numbers.

    Attributes:
        trained: Those that an optimiser moves.
        frozen: All others: references, frozen heads, and a policy of which another copy is trained.
    """

    trained: int
    frozen: int


@dataclass(frozen=True, slots=True)
class UpdateBytes:
    """Bytes of one update on one device.

    Attributes:
        weights: Of everything that is trained, as far as this device holds it.
        frozen: Of references, frozen heads and copies that only sample.
        gradients: One number for each trained weight.
        moments: AdamW's two, in the format of the weights.
        temporary: What the optimiser's step needs on top.
        activations: What autograd keeps of a micro-batch.
        logits: Of a micro-batch, with the working memory of log-probs and entropies.
    """

    weights: int
    frozen: int
    gradients: int
    moments: int
    temporary: int
    activations: int
    logits: int

    @property
    def peak(self) -> int:
        """Largest sum at any moment: the backward pass, or the optimiser's step."""
        always = self.weights + self.frozen + self.gradients + self.moments
        return always + max(self.temporary, self.activations + self.logits)


def shape_of(model: Any) -> Shape:
    """Return the shape of a causal language model of `transformers`, on any device."""
    config = model.config.get_text_config(decoder=True)
    heads = int(config.num_attention_heads)
    head = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    groups = int(getattr(config, "num_key_value_heads", None) or heads)
    first = next(model.parameters())
    output = model.get_output_embeddings()
    rows = int(output.weight.shape[0]) if output is not None else int(config.vocab_size)
    shape = Shape(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        item=first.element_size(),
        hidden_size=int(config.hidden_size),
        num_layers=int(config.num_hidden_layers),
        vocab_size=rows,
        key_value_width=groups * head,
        kept_per_layer=0,
    )
    kept = _kept_by_formula(model, heads, head, groups) or _kept_by_probe(model, shape.num_layers)
    return replace(shape, kept_per_layer=kept)


def held_by(learner: object) -> Held:
    """Count the weights that a learner reaches: its policy, and whatever stands next to it."""
    found = list(_reached(learner))
    trained = {
        id(tensor)
        for one in found
        if isinstance(one, torch.optim.Optimizer)
        for group in one.param_groups
        for tensor in group["params"]
    }
    weights = {id(one): one.numel() for one in found if isinstance(one, nn.Parameter)}
    moved = sum(size for key, size in weights.items() if key in trained)
    return Held(moved, sum(weights.values()) - moved)


def update_bytes(
    shape: Shape,
    held: Held,
    *,
    tokens: int,
    scored: int,
    max_logits: int = 2**24,
    shards: int = 1,
) -> UpdateBytes:
    """Return the bytes of an update on one device.

    Args:
        shape: Of the policy.
        held: Weights that are trained, and those that are not.
        tokens: Tokens of a micro-batch, padding included.
        scored: Those of them whose log-prob is taken.
        max_logits: Most logits that are held at a time; see `Policy`.
        shards: Devices among which the trained weights are cut (FSDP); each also keeps a whole copy, which samples.
    """
    whole = held.trained if shards > 1 else 0
    trained = -(-held.trained // shards)
    states = tokens * (2 * shape.hidden_size + 3) * shape.item
    kept = tokens * shape.num_layers * shape.kept_per_layer * shape.item + states + BOOKKEEPING_BYTES * tokens
    logits = min(scored * shape.vocab_size, max_logits) * LOGIT_BYTES
    # the logits themselves are kept where they fit at once, and computed again where they do not
    again = logits if scored * shape.vocab_size <= max_logits else 0
    return UpdateBytes(
        weights=trained * shape.item,
        frozen=(held.frozen + whole) * shape.item,
        gradients=trained * shape.item,
        moments=2 * trained * shape.item,
        temporary=trained * shape.item,
        activations=kept + scored * shape.hidden_size * shape.item,
        logits=again + _LOGIT_COPIES * logits,
    )


def cache_bytes(shape: Shape, *, rows: int, length: int) -> int:
    """Return the bytes of keys and values while so many dialogues of so many tokens are played at once."""
    return 2 * shape.num_layers * shape.key_value_width * shape.item * (length + 1) * rows


def _kept_by_formula(model: Any, heads: int, head: int, groups: int) -> int:
    """Return the numbers kept per token and block of a gated MLP and fused attention; 0 for other models."""
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if not {"gate_proj", "up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "o_proj"} <= names:
        return 0
    config = model.config.get_text_config(decoder=True)
    # gate, its activation, up, their product | two norms: input and output, and the inputs of two groups of projections |
    # queries and output | keys and values | log-sum-exp, two scales of norms
    wide = 4 * int(config.intermediate_size) + 6 * int(config.hidden_size)
    return wide + 2 * heads * head + 2 * groups * head + heads + 2


def _kept_by_probe(model: Any, num_layers: int) -> int:
    """Return the numbers kept per token and block, by two forward passes that compute nothing.

    On the `meta` device attention is not fused and keeps a square of the tokens as well; two lengths tell the two apart.
    """
    import copy

    from transformers import DynamicCache

    twin = copy.deepcopy(model).to("meta")
    own = {parameter.untyped_storage()._cdata for parameter in twin.parameters()}
    sums = []
    for tokens in _PROBE_TOKENS:
        kept: dict[int, Any] = {}

        def keep(tensor: Any, kept: dict[int, Any] = kept) -> Any:
            storage = tensor.untyped_storage()
            if storage._cdata not in own:
                kept[storage._cdata] = (storage, storage.nbytes() // tensor.element_size())
            return tensor

        ids = torch.zeros((1, tokens), dtype=torch.long, device="meta")
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            twin.base_model(input_ids=ids, past_key_values=DynamicCache(), use_cache=True)
        sums.append(sum(size for _, size in kept.values()) / tokens)
    short, long = _PROBE_TOKENS
    per_square = (sums[1] - sums[0]) / (long - short)
    return int((sums[0] - per_square * short) / num_layers)


def _reached(root: object) -> Iterator[object]:
    """Yield weights and optimisers that an object reaches through attributes, containers and modules."""
    seen: set[int] = set()
    todo: list[object] = [root]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            todo += one.parameters()
        elif isinstance(one, nn.Parameter | torch.optim.Optimizer):
            yield one
        elif isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one
        elif hasattr(one, "__dict__") and not isinstance(one, type) and not callable(one):
            todo += vars(one).values()


__all__ = ["Held", "Shape", "UpdateBytes", "cache_bytes", "held_by", "shape_of", "update_bytes"]
