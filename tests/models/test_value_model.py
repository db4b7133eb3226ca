import math

import pytest
import torch

from palaestra.models.value_model import BottleneckValueHead, ValueHead, gaussian_divergence


def test_the_divergence_agrees_with_its_closed_form() -> None:
    mean, log_variance = torch.tensor([1.0, -0.5]), torch.tensor([0.5, 2.0]).log()
    assert float(gaussian_divergence(mean, log_variance)) == pytest.approx(0.875, abs=1e-6)
    assert float(gaussian_divergence(torch.zeros(3), torch.zeros(3))) == 0.0


def test_the_gradient_of_the_divergence_is_the_mean_and_half_the_excess_variance() -> None:
    mean = torch.tensor([1.0, -0.5], requires_grad=True)
    log_variance = torch.tensor([0.5, 2.0]).log().requires_grad_()
    gaussian_divergence(mean, log_variance).backward()
    assert mean.grad is not None
    assert log_variance.grad is not None
    torch.testing.assert_close(mean.grad, mean.detach())
    torch.testing.assert_close(log_variance.grad, 0.5 * (log_variance.detach().exp() - 1))


def test_values_without_a_drawn_latent_are_equal_bit_for_bit() -> None:
    torch.manual_seed(0)
    head = BottleneckValueHead(16, 4)
    hidden = torch.randn(2, 5, 16)
    assert torch.equal(head(hidden).value, head(hidden).value)
    assert not torch.equal(head(hidden, sample=True).value, head(hidden, sample=True).value)
    assert head(hidden).value.shape == head(hidden).divergence.shape == (2, 5)


def test_a_wide_open_bottleneck_is_the_plain_head() -> None:
    torch.manual_seed(0)
    plain, open_ = ValueHead(8), BottleneckValueHead(8, 8, log_variance=-8.0, learn_variance=False)
    with torch.no_grad():
        open_.mean.weight.copy_(torch.eye(8))
        open_.mean.bias.zero_()
    open_.predictor.load_state_dict(plain.layers.state_dict())
    hidden = torch.randn(3, 8)
    torch.testing.assert_close(open_(hidden).value, plain(hidden).value)
    assert all(not p.requires_grad for p in open_.log_variance.parameters())


def test_heads_start_small_but_never_at_zero() -> None:
    torch.manual_seed(0)
    for width in (48, 768):
        std = float(ValueHead(width).layers[-1].weight.detach().std())
        assert std == pytest.approx(0.1 / math.sqrt(width / 48), rel=0.35)
