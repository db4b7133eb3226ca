from __future__ import annotations

import math

import pytest
import torch

from palaestra.algorithms.math.losses import (
    clipped_policy_loss,
    divergence_of,
    entropy,
    entropy_of,
    kl_estimate,
    log_ratio,
    policy_loss,
    token_weights,
)


def surrogate(ratio: float, advantage: float, **options: float) -> float:
    log_prob = torch.tensor(math.log(ratio), dtype=torch.float64)
    zero = torch.tensor(0.0, dtype=torch.float64)
    return float(clipped_policy_loss(log_prob, zero, torch.tensor(advantage, dtype=torch.float64), **options))


@pytest.mark.parametrize(
    ("ratio", "advantage", "options", "expected"),
    [
        (1.3, 1.0, {}, -1.2),
        (1.3, -1.0, {}, 1.3),
        (0.7, -1.0, {}, 0.8),
        (1.3, 1.0, {"clip_high": 0.28}, -1.28),
        (4.0, -1.0, {"dual_clip": 3.0}, 3.0),
        (4.0, -1.0, {}, 4.0),
        (1.0, 0.5, {}, -0.5),
    ],
)
def test_clipped_surrogate(ratio: float, advantage: float, options: dict[str, float], expected: float) -> None:
    assert surrogate(ratio, advantage, **options) == pytest.approx(expected)


def test_clipped_tokens_have_exactly_zero_gradient() -> None:
    log_prob = torch.tensor([math.log(1.3), math.log(0.7), math.log(1.3), 0.0], requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, -1.0, 1.0])
    clipped_policy_loss(log_prob, torch.zeros(4), advantage).sum().backward()
    assert log_prob.grad is not None
    assert log_prob.grad[:2].tolist() == [0.0, 0.0]
    assert (log_prob.grad[2:] != 0).all()


def test_on_policy_gradient_is_that_of_reinforce() -> None:
    log_prob = torch.tensor([-0.3, -2.0], requires_grad=True)
    advantage = torch.tensor([0.7, -1.4])
    clipped_policy_loss(log_prob, log_prob.detach(), advantage).sum().backward()
    torch.testing.assert_close(log_prob.grad, -advantage)


def test_masked_tokens_have_exactly_zero_gradient_whatever_stands_there() -> None:
    log_prob = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = torch.tensor([[True, False, True, False], [False, False, False, False]])
    advantage = torch.full((2, 4), 1e6)
    weights = token_weights(mask, torch.tensor([0, 1]), "token_mean")
    (weights * clipped_policy_loss(log_prob, torch.zeros(2, 4), advantage)).sum().backward()
    assert log_prob.grad is not None
    assert (log_prob.grad[~mask] == 0).all()


def test_log_ratio_is_clamped() -> None:
    assert log_ratio(torch.tensor([100.0, -100.0]), torch.zeros(2)).tolist() == [20.0, -20.0]


def test_kl_estimators() -> None:
    log_prob, ref = torch.tensor(-1.0, dtype=torch.float64), torch.tensor(-1.2, dtype=torch.float64)
    assert float(kl_estimate(log_prob, ref, "k1")) == pytest.approx(0.2)
    assert float(kl_estimate(log_prob, ref, "k2")) == pytest.approx(0.02)
    assert float(kl_estimate(log_prob, ref, "k3")) == pytest.approx(0.0187308, abs=1e-7)
    assert float(kl_estimate(torch.tensor(-50.0), torch.tensor(0.0), "k3")) == 10.0


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_kl_estimates_and_their_gradients_are_those_of_the_formula_and_finite_far_away(kind: str) -> None:
    differences = [-1e4, -100.0, -30.0, -3.0, -0.5, 0.0, 0.5, 2.0, 3.0, 30.0, 100.0, 1e4]  # ref - log_prob
    value = {"k1": lambda d: -d, "k2": lambda d: d * d / 2, "k3": lambda d: math.expm1(d) - d}[kind]
    slope = {"k1": lambda d: 1.0, "k2": lambda d: -d, "k3": lambda d: -math.expm1(d)}[kind]
    log_prob = torch.zeros(len(differences), requires_grad=True)
    found = kl_estimate(log_prob, torch.tensor(differences), kind)  # type: ignore[arg-type]
    found.sum().backward()
    assert log_prob.grad is not None
    for d, one, gradient in zip(differences, found.tolist(), log_prob.grad.tolist(), strict=True):
        if kind == "k3" and not -11 < d < 3:  # the bound is reached, where it does not push
            assert (one, gradient) == (10.0, 0.0), d
        else:
            assert one == pytest.approx(value(d), rel=1e-5), d
            assert gradient == pytest.approx(slope(d), rel=1e-5), d


def test_entropy() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]], dtype=torch.float64)
    found = entropy(logits)
    assert float(found[0]) == pytest.approx(0.5623351, abs=1e-6)
    assert float(found[1]) == pytest.approx(math.log(2), abs=1e-6)


def test_tokens_of_probability_0_add_nothing_to_entropies_divergences_and_their_gradients() -> None:
    few = torch.tensor([[0.3, -0.5, 1.1]], requires_grad=True)
    many = torch.cat([few, torch.full((1, 2), -math.inf)], dim=1)
    other = torch.cat([few.detach() * 2, torch.full((1, 2), -math.inf)], dim=1)
    found = [entropy(many), entropy_of(many.log_softmax(-1)), divergence_of(many.log_softmax(-1), other.log_softmax(-1))]
    wanted = [entropy(few), entropy(few), divergence_of(few.log_softmax(-1), (few.detach() * 2).log_softmax(-1))]
    for one, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, expected)
        (gradient,) = torch.autograd.grad(one.sum(), few, retain_graph=True)
        (right,) = torch.autograd.grad(expected.sum(), few, retain_graph=True)
        torch.testing.assert_close(gradient, right)
    assert float(entropy(torch.tensor([0.0, -math.inf]))) == 0.0


def test_a_divergence_from_what_says_never_is_large_and_finite() -> None:
    even, never = torch.zeros(2).log_softmax(0), torch.tensor([0.0, -math.inf])
    assert float(divergence_of(even, even)) == 0.0
    assert 1e3 < float(divergence_of(even, never)) < math.inf


MASK = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
LOSS = torch.tensor([[1.0] * 4, [3.0] * 4])
EPISODES = torch.tensor([0, 1])


def test_aggregations_of_two_and_four_tokens() -> None:
    def total(name: str, **options: object) -> float:
        return float((token_weights(MASK, EPISODES, name, **options) * LOSS).sum())  # type: ignore[arg-type]

    assert total("token_mean") == pytest.approx(2.3333333)
    assert total("sequence_mean") == pytest.approx(2.0)
    assert total("sequence_sum") == pytest.approx(7.0)
    assert total("constant", constant_length=8) == pytest.approx(0.875)
    turns = torch.tensor([[0, 1, -1, -1], [0, 0, 0, 1]])  # turn means 1, 1, 3, 3
    assert total("turn_mean", turn_index=turns) == pytest.approx(2.0)


def test_fully_masked_episodes_count_nowhere() -> None:
    mask = torch.cat([MASK, torch.zeros(1, 4, dtype=torch.bool)])
    loss = torch.cat([LOSS, torch.full((1, 4), 99.0)])
    turns = torch.tensor([[0, 1, -1, -1], [0, 0, 0, 1], [0, 0, 0, 0]])
    expected = {"token_mean": 14 / 6, "sequence_mean": 2.0, "sequence_sum": 7.0, "constant": 0.875, "turn_mean": 2.0}
    for name, value in expected.items():
        weights = token_weights(mask, torch.tensor([0, 1, 2]), name, constant_length=8, turn_index=turns)  # type: ignore[arg-type]
        assert float((weights * loss).sum()) == pytest.approx(value)
        assert (weights[2] == 0).all()


def test_a_batch_without_action_tokens_weighs_nothing() -> None:
    nothing = token_weights(torch.zeros(2, 3, dtype=torch.bool), EPISODES, "sequence_mean")
    assert nothing.sum() == 0


def test_segments_of_one_episode_count_as_one_sequence() -> None:
    weights = token_weights(MASK, torch.tensor([7, 7]), "sequence_mean")
    assert weights[MASK].tolist() == pytest.approx([1 / 6] * 6)


def test_missing_needs_are_named() -> None:
    with pytest.raises(ValueError, match="constant_length is None"):
        token_weights(MASK, EPISODES, "constant")
    with pytest.raises(ValueError, match="needs turn_index"):
        token_weights(MASK, EPISODES, "turn_mean")


@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "sequence_sum", "constant", "turn_mean"])
def test_order_of_the_rows_does_not_matter(aggregation: str) -> None:
    order = torch.tensor([1, 0])
    turns = torch.tensor([[0, 1, -1, -1], [0, 0, 0, 1]])
    one = token_weights(MASK, EPISODES, aggregation, constant_length=8, turn_index=turns)  # type: ignore[arg-type]
    two = token_weights(MASK[order], EPISODES[order], aggregation, constant_length=8, turn_index=turns[order])  # type: ignore[arg-type]
    torch.testing.assert_close(one[order], two)


def test_the_defaults_of_a_policy_loss_are_those_of_ppo_by_token() -> None:
    generator = torch.Generator().manual_seed(0)
    new, old, advantage = (3 * torch.randn(4, 6, generator=generator) for _ in range(3))
    mask = torch.rand(4, 6, generator=generator) < 0.8
    plain = policy_loss(new, old, advantage, mask)
    spelled = policy_loss(new, old, advantage, mask, kind="ppo", ratio="token", clip_low=0.2, clip_high=0.2, dual_clip=None)
    assert torch.equal(plain, spelled)
    weight = (new - old).exp()
    by_hand = -torch.minimum(weight * advantage, weight.clamp(0.8, 1.2) * advantage)
    assert torch.allclose(plain, torch.where(mask, by_hand, 0.0), rtol=1e-4)
    cispo = policy_loss(new, old, advantage, mask, kind="cispo")
    assert torch.equal(cispo, policy_loss(new, old, advantage, mask, kind="cispo", max_weight=5.0))
