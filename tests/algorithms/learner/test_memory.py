"""Bytes by formula against bytes that are really allocated."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, GPT2Config

from palaestra.algorithms.config import check
from palaestra.algorithms.learner.memory import Held, cache_bytes, held_by, shape_of, update_bytes
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm
from palaestra.models.tiny_lm import train_tokenizer
from tests.algorithms.build import episode, segment

TOKENIZER = train_tokenizer(["the quick brown fox"], vocab_size=272, max_positions=2048)
LEARNERS = [name for name in algorithm_names() if get_algorithm(name).learner is not None]


def built(hidden: int, layers: int, *, device: str = "cpu", **sizes: Any) -> Policy:
    config = AutoConfig.for_model(
        "qwen2",
        **{
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 272,
            "tie_word_embeddings": True,
            **sizes,
        },
    )
    with torch.device(device):
        return Policy(AutoModelForCausalLM.from_config(config), TOKENIZER)


class LiveBytes(TorchDispatchMode):
    """Counts storages that are made inside, as long as they live."""

    def __init__(self, known: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._seen and storage.nbytes():
                    self._seen.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return found

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


@pytest.mark.parametrize("entropy", [0.0, 0.01])
@pytest.mark.parametrize(("hidden", "layers"), [(64, 2), (128, 4), (192, 6)])
def test_the_peak_of_an_update_is_what_the_formula_says(hidden: int, layers: int, entropy: float) -> None:
    policy = built(hidden, layers)
    algorithm = get_algorithm("grpo")
    assert algorithm.learner is not None
    rows, length, prompt = 4, 96, 32
    settings = {"epochs": 1, "correction": "token", "max_tokens_per_microbatch": rows * length, "entropy_coefficient": entropy}
    learner = algorithm.learner(policy, check(algorithm.config, settings, "grpo"), seed=0)
    mask = [0] * prompt + [1] * (length - prompt)
    played = [episode(f"{n}", [segment([*mask], [(prompt, length, 0)])], [float(n % 2)], group="g") for n in range(2 * rows)]
    learner.update(played, 1)  # moments are made by the first step
    with LiveBytes(policy.model.parameters()) as live:
        learner.update(played, 2)
    held = held_by(learner)
    found = update_bytes(shape_of(policy.model), held, tokens=rows * length, scored=rows * (length - prompt))
    moments_and_weights = found.weights + found.moments + found.frozen
    assert live.peak == pytest.approx(found.peak - moments_and_weights, rel=0.1)


@pytest.mark.parametrize("name", LEARNERS)
def test_weights_gradients_and_moments_of_a_learner_are_counted_to_the_byte(name: str) -> None:
    algorithm = get_algorithm(name)
    assert algorithm.learner is not None
    policies = [built(32, 2, device=device) for device in ("cpu", "meta")]
    held = []
    for policy in policies:
        config = algorithm.config()
        held.append(held_by(algorithm.learner(policy, config, reference=policy.frozen_copy, temperature=1.0, seed=0)))
    assert held[0] == held[1], "a model without storage has the same sizes"
    assert held[0].trained + held[0].frozen >= policies[0].num_parameters
    with_reference = {"kl": {"coefficient": 0.1}} if "kl" in algorithm.config.model_fields else {}
    if with_reference:
        policy = policies[1]
        config = check(algorithm.config, with_reference, name)
        pulled = held_by(algorithm.learner(policy, config, reference=policy.frozen_copy, temperature=1.0, seed=0))
        assert pulled == Held(held[1].trained, held[1].frozen + policy.num_parameters)


def test_a_critic_is_trained_in_addition_and_a_shared_one_is_not_a_second_model() -> None:
    algorithm = get_algorithm("ppo")
    assert algorithm.learner is not None
    policy = built(32, 2, device="meta")
    sizes = {}
    for shared in (False, True):
        config = check(algorithm.config, {"critic": {"share_backbone": shared}}, "ppo")
        sizes[shared] = held_by(algorithm.learner(policy, config, temperature=1.0, seed=0)).trained
    head = sizes[True] - policy.num_parameters
    assert 0 < head < policy.num_parameters
    backbone = sum(parameter.numel() for parameter in policy.model.base_model.parameters())
    assert sizes[False] == sizes[True] + backbone


def test_what_autograd_keeps_of_another_kind_of_model_is_found_by_a_probe() -> None:
    config = GPT2Config(n_embd=64, n_layer=3, n_head=4, vocab_size=300, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0)
    model = AutoModelForCausalLM.from_config(config).eval()
    kept: dict[int, Any] = {}
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = (storage, storage.nbytes() // 4)
        return tensor

    tokens = 128
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.base_model(input_ids=torch.zeros((1, tokens), dtype=torch.long), use_cache=False)
    real = sum(size for _, size in kept.values()) / tokens / 3
    assert shape_of(model).kept_per_layer == pytest.approx(real, rel=0.15)


def test_keys_and_values_are_counted_to_the_byte() -> None:
    policy = built(64, 3)
    cache = DynamicCache()
    policy.model(input_ids=torch.zeros((5, 17), dtype=torch.long), past_key_values=cache, use_cache=True)
    real = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert cache_bytes(shape_of(policy.model), rows=5, length=16) == real


def test_shards_divide_what_is_trained_and_add_one_whole_copy() -> None:
    shape, held = shape_of(built(64, 2, device="meta").model), Held(1000, 10)
    alone, cut = (update_bytes(shape, held, tokens=10, scored=5, shards=n) for n in (1, 8))
    assert (alone.weights, alone.frozen) == (4000, 40)
    assert (cut.weights, cut.gradients, cut.moments, cut.frozen) == (500, 500, 1000, 4040)
    assert cut.activations == alone.activations


def test_logits_that_do_not_fit_at_once_are_computed_again_in_parts() -> None:
    shape, held = shape_of(built(64, 2, device="meta").model), Held(10, 0)
    few, many = (update_bytes(shape, held, tokens=100, scored=100, max_logits=n) for n in (shape.vocab_size * 10, 2**24))
    assert few.logits == 6 * 4 * shape.vocab_size * 10
    assert many.logits == 7 * 4 * shape.vocab_size * 100
