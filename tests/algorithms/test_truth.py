"""The estimators against the exact policy gradient of a process small enough to enumerate: 2 states, 2 actions, 3 turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from palaestra.algorithms.math.advantages import grpo_advantages, rloo_advantages
from palaestra.algorithms.math.losses import policy_loss, token_weights
from palaestra.algorithms.math.returns import discounted_returns, generalised_advantages, turn_baseline_advantages
from palaestra.algorithms.math.sequences import token_sequences, turn_sequences

TURNS, GROUP = 3, 4
EPISODES = 50_000
THETA = torch.tensor([[0.4, -0.3], [-0.2, 0.5]])  # logits of the actions, by state
NEXT = torch.tensor([[0.8, 0.3], [0.4, 0.1]])  # chance that state 1 comes next, by state and action
REWARD = torch.tensor([[0.2, -0.1], [0.0, 1.0]])  # by state and action
VALUES = torch.tensor([[0.9, 1.2], [0.5, 0.8], [0.1, 0.6]])  # a fixed guess by turn and state, nowhere exact


def exact_gradient() -> Tensor:
    """Gradient of the expected sum of rewards: all 64 courses of an episode, by their probability."""
    theta = THETA.clone().requires_grad_()
    policy = theta.softmax(dim=1)
    total = torch.zeros(())
    for course in itertools.product((0, 1), repeat=2 * TURNS):
        states, actions = course[:TURNS], course[TURNS:]
        probability, score = torch.tensor(0.5), 0.0
        for turn in range(TURNS):
            state, action = states[turn], actions[turn]
            if turn:
                up = NEXT[states[turn - 1], actions[turn - 1]]
                probability = probability * (up if state else 1 - up)
            probability = probability * policy[state, action]
            score += float(REWARD[state, action])
        total = total + probability * score
    (gradient,) = torch.autograd.grad(total, theta)
    return gradient.flatten()


class Sample:
    """Episodes in groups that begin in the same state; a row is (state, action) three times, actions being the policy's."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        draw = lambda: torch.rand(EPISODES, generator=generator)  # noqa: E731
        policy = THETA.softmax(dim=1)
        state = (torch.rand(EPISODES // GROUP, generator=generator) < 0.5).long().repeat_interleave(GROUP)
        states, actions = [], []
        for _ in range(TURNS):
            action = (draw() < policy[state, 1]).long()
            states.append(state)
            actions.append(action)
            state = (draw() < NEXT[state, action]).long()
        self.states, self.actions = torch.stack(states, 1), torch.stack(actions, 1)  # [E, turns]
        self.group = torch.arange(EPISODES // GROUP).repeat_interleave(GROUP)
        self.reward = self.at_actions(REWARD[self.states, self.actions])
        self.value = self.at_actions(VALUES[torch.arange(TURNS), self.states])
        self.mask = torch.zeros(EPISODES, 2 * TURNS, dtype=torch.bool)
        self.mask[:, 1::2] = True
        self.turn = torch.where(self.mask, torch.arange(2 * TURNS) // 2, -1)
        self.episode = torch.arange(EPISODES)

    def at_actions(self, values: Tensor) -> Tensor:
        spread = torch.zeros(EPISODES, 2 * TURNS)
        spread[:, 1::2] = values
        return spread

    def gradients(self, advantage: Tensor) -> Tensor:
        """Policy gradient of each group, [N, 4]; their mean is that of the whole batch."""
        log_policy = THETA.log_softmax(dim=1)
        log_prob = self.at_actions(log_policy[self.states, self.actions]).requires_grad_()
        weight = token_weights(self.mask, self.episode, "constant", constant_length=1)
        loss = (weight * policy_loss(log_prob, log_prob.detach(), advantage, self.mask, kind="reinforce")).sum()
        (slope,) = torch.autograd.grad(loss, log_prob)  # [E, 6]
        assert (slope[~self.mask] == 0).all()
        # d log pi(a|s) / d theta: the action taken less the policy, in the row of the state
        score = torch.zeros(EPISODES, TURNS, 2, 2)
        rows, turns = torch.meshgrid(self.episode, torch.arange(TURNS), indexing="ij")
        score[rows, turns, self.states, self.actions] = 1.0
        score[rows, turns, self.states] -= log_policy.exp()[self.states]
        by_episode = (-slope[:, 1::2, None, None] * score).sum(dim=1).flatten(1)  # [E, 4]
        return by_episode.double().view(-1, GROUP, 4).sum(dim=1) * (EPISODES // GROUP)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample()


def steps(sample: Sample, *, by: Callable[..., object] = token_sequences):
    return by(sample.mask, sample.episode, sample.turn)


def whole_return(sample: Sample) -> Tensor:
    return torch.where(sample.mask, sample.reward.sum(dim=1, keepdim=True), 0.0)


def reward_to_go(sample: Sample) -> Tensor:
    found = steps(sample)
    return found.spread(discounted_returns(found.total(sample.reward), found.mask))


def rloo(sample: Sample) -> Tensor:
    advantage = rloo_advantages(sample.reward.sum(dim=1), sample.group)
    return torch.where(sample.mask, advantage.unsqueeze(1), 0.0)


def turn_rloo(sample: Sample) -> Tensor:
    found = steps(sample, by=turn_sequences)
    returns = discounted_returns(found.total(sample.reward), found.mask)
    return found.spread(turn_baseline_advantages(returns, found.mask, sample.group[found.episodes]))


def gae(sample: Sample, *, lam: float = 1.0) -> Tensor:
    found = steps(sample)
    reward, value = found.total(sample.reward), found.at_first(sample.value)
    return found.spread(generalised_advantages(reward, value, found.mask, gamma=1.0, lam=lam).advantage)


def dr_grpo(sample: Sample) -> Tensor:
    advantage = grpo_advantages(sample.reward.sum(dim=1), sample.group, std="none")
    return torch.where(sample.mask, advantage.unsqueeze(1), 0.0)


def grpo(sample: Sample) -> Tensor:
    return torch.where(sample.mask, grpo_advantages(sample.reward.sum(dim=1), sample.group).unsqueeze(1), 0.0)


def errors(gradients: Tensor, truth: Tensor) -> Tensor:
    """Distance of the mean from the truth, in standard errors, by component."""
    return (gradients.mean(dim=0) - truth) / (gradients.std(dim=0) / len(gradients) ** 0.5)


@pytest.mark.parametrize("estimate", [whole_return, reward_to_go, rloo, turn_rloo, gae])
def test_unbiased_estimators_agree_with_the_exact_gradient(sample: Sample, estimate: Callable[[Sample], Tensor]) -> None:
    gradients = sample.gradients(estimate(sample))
    assert errors(gradients, exact_gradient().double()).abs().max() < 3


@pytest.mark.parametrize("estimate", [reward_to_go, rloo, turn_rloo, gae])
def test_baselines_and_rewards_to_go_lower_the_variance(sample: Sample, estimate: Callable[[Sample], Tensor]) -> None:
    assert sample.gradients(estimate(sample)).var(dim=0).sum() < sample.gradients(whole_return(sample)).var(dim=0).sum()


def test_a_wrong_value_biases_a_short_trace_and_the_test_can_tell(sample: Sample) -> None:
    gradients = sample.gradients(gae(sample, lam=0.0))
    assert errors(gradients, exact_gradient().double()).abs().max() > 6


def test_the_group_mean_shrinks_the_gradient_by_the_share_of_the_others(sample: Sample) -> None:
    gradients = sample.gradients(dr_grpo(sample))
    assert errors(gradients, exact_gradient().double() * (GROUP - 1) / GROUP).abs().max() < 3
    assert errors(gradients, exact_gradient().double()).abs().max() > 3


def test_dividing_by_the_spread_keeps_the_direction(sample: Sample) -> None:
    found = sample.gradients(grpo(sample)).mean(dim=0)
    assert torch.cosine_similarity(found, exact_gradient().double(), dim=0) > 0.9
