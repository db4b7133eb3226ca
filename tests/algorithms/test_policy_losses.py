import math

import pytest
import torch

from palaestra.algorithms.math.losses import (
    adapt_kl_coefficient,
    explained_variance,
    policy_loss,
    sequence_log_ratio,
    value_loss,
)

MASK = torch.ones((1, 3), dtype=torch.bool)
KINDS = ["ppo", "cispo", "none", "reinforce"]


def one(ratio: float, advantage: float, **options) -> float:
    log_prob = torch.tensor([[math.log(ratio)]])
    return float(
        policy_loss(log_prob, torch.zeros(1, 1), torch.tensor([[advantage]]), torch.ones((1, 1), dtype=torch.bool), **options)
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "options", "expected"),
    [
        (1.3, 1.0, {}, -1.2),
        (1.3, -1.0, {}, 1.3),
        (0.7, -1.0, {}, 0.8),
        (1.3, 1.0, {"clip_high": 0.28}, -1.28),
        (4.0, -1.0, {"dual_clip": 3.0}, 3.0),
        (4.0, -1.0, {}, 4.0),
        (4.0, 1.0, {"kind": "none"}, -4.0),
        (math.exp(-1), 2.0, {"kind": "reinforce"}, 2.0),
        (math.e**2, 2.0, {"kind": "cispo"}, -5.0 * 2.0 * 2.0),
    ],
)
def test_losses_agree_with_their_closed_forms(ratio, advantage, options, expected) -> None:
    assert one(ratio, advantage, **options) == pytest.approx(expected, abs=1e-5)


def test_the_ratio_of_a_sequence_is_the_mean_of_its_log_ratios() -> None:
    gaps = torch.tensor([[0.1, -0.1, 0.3]])
    near = sequence_log_ratio(gaps, MASK).exp()
    assert near.flatten().tolist() == pytest.approx([1.1051709] * 3, abs=1e-6)


def test_the_gradient_of_a_sequence_ratio_reaches_every_token_alike_and_that_of_the_token_form_each_its_own() -> None:
    weights = torch.tensor([[1.0, 0.0, 0.0]])
    for token_gradient, expected in ((False, [1 / 3] * 3), (True, [1.0, 0.0, 0.0])):
        gaps = torch.tensor([[0.1, -0.1, 0.3]], requires_grad=True)
        (sequence_log_ratio(gaps, MASK, token_gradient=token_gradient) * weights).sum().backward()
        assert gaps.grad is not None
        assert gaps.grad.flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ratio", ["token", "sequence", "sequence_token"])
def test_masked_tokens_have_exactly_zero_gradient_and_no_say(kind, ratio) -> None:
    mask = torch.tensor([[True, False, True, False]])
    results = []
    for junk in (0.0, math.nan, 1e30):
        log_prob = torch.tensor([[-1.0, junk, -2.0, junk]], requires_grad=True)
        old, advantage = torch.tensor([[-1.1, 0.0, -1.9, junk]]), torch.tensor([[1.0, junk, 0.5, junk]])
        loss = policy_loss(log_prob, old, advantage, mask, kind=kind, ratio=ratio)
        loss.sum().backward()
        assert log_prob.grad is not None
        assert log_prob.grad[~mask].tolist() == [0.0, 0.0]
        assert log_prob.grad[mask].abs().min() > 0
        results.append((loss.detach(), log_prob.grad))
    for loss, gradient in results[1:]:
        assert torch.equal(loss, results[0][0])
        assert torch.equal(gradient, results[0][1])


@pytest.mark.parametrize("kind", KINDS)
def test_on_policy_all_forms_have_the_gradient_of_reinforce(kind) -> None:
    advantage, old = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[-1.0, -0.5, -2.0]])
    log_prob = old.clone().requires_grad_()
    policy_loss(log_prob, old, advantage, MASK, kind=kind).sum().backward()
    assert log_prob.grad is not None
    torch.testing.assert_close(log_prob.grad, -advantage)


def test_the_value_loss_takes_the_worse_of_the_moved_and_the_clipped_value() -> None:
    value, target, old = torch.tensor(0.9), torch.tensor(1.2), torch.tensor(0.5)
    assert float(value_loss(value, target, old_value=old, clip=0.2)) == pytest.approx(0.125)
    assert float(value_loss(value, target)) == pytest.approx(0.045)


def test_explained_variance() -> None:
    target, value = torch.tensor([0.0, 1, 0, 1]), torch.tensor([0.25, 0.75, 0.25, 0.75])
    everything = torch.ones(4, dtype=torch.bool)
    assert explained_variance(value, target, everything) == pytest.approx(0.75)
    assert explained_variance(torch.full((4,), 0.5), target, everything) == pytest.approx(0.0)
    assert math.isnan(explained_variance(value, torch.ones(4), everything))


def test_the_kl_controller() -> None:
    assert adapt_kl_coefficient(0.2, 0.15, target=0.1, num_episodes=256, horizon=10_000) == pytest.approx(0.201024)
    assert adapt_kl_coefficient(0.2, 0.0, target=0.1, num_episodes=10_000, horizon=10_000) == pytest.approx(0.16)
