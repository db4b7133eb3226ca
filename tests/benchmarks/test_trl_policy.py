"""The policy of the TRL benchmark: growing it changes nothing that it says."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


def test_a_grown_policy_has_the_same_logits_and_more_weights() -> None:
    from benchmarks.trl_policy import grown
    from palaestra.models.tiny_lm import build_tiny_lm

    sizes = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 300}
    model, tokenizer = build_tiny_lm(["craft 1 red dye using 1 poppy"], **sizes)
    with torch.no_grad():
        for parameter in model.parameters():  # as after training: no norm at 1
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    large = grown(model, width=96, layers=4)
    ids = torch.tensor([tokenizer("craft 1 poppy, get red dye")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(large(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-4)
    assert large.num_parameters() > 5 * model.num_parameters()
    large(ids).logits.logsumexp(-1).sum().backward()
    assert large.model.layers[3].mlp.down_proj.weight.grad.abs().max() > 0  # what was added learns
