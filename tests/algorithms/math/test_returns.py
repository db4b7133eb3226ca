import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.math.returns import (
    adaptive_lambda,
    decayed_sums,
    discounted_returns,
    generalised_advantages,
    moments,
    standardised,
    step_group_advantages,
    turn_baseline_advantages,
    whiten,
)
from palaestra.algorithms.math.sequences import token_sequences, turn_sequences
from palaestra.errors import ConfigError


def near(got: torch.Tensor, expected: list, atol: float = 1e-5) -> None:
    torch.testing.assert_close(got, torch.tensor(expected), atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("reward", "value", "boot", "gamma", "lam", "advantage", "return_"),
    [
        ([0.0, 0, 1], [0.5, 0.4, 0.6], None, 0.9, 0.8, [0.16816, 0.428, 0.4], [0.66816, 0.828, 1.0]),
        ([0.0, 0, 1], [0.5, 0.4, 0.6], None, 1.0, 1.0, [0.5, 0.6, 0.4], [1.0, 1, 1]),
        ([0.0, 0, 1], [0.5, 0.4, 0.6], None, 1.0, 0.0, [-0.1, 0.2, 0.4], [0.4, 0.6, 1.0]),
        ([0.0, 0, 0], [0.5, 0.4, 0.6], 0.7, 0.9, 0.8, [-0.023648, 0.1616, 0.03], [0.476352, 0.5616, 0.63]),
    ],
)
def test_generalised_advantages_agree_with_the_closed_forms(reward, value, boot, gamma, lam, advantage, return_) -> None:
    mask = torch.tensor([[True] * 3 + [False]])
    pad = [9.0]
    result = generalised_advantages(
        torch.tensor([reward + pad]),
        torch.tensor([value + pad]),
        mask,
        gamma=gamma,
        lam=lam,
        bootstrap=None if boot is None else torch.tensor([boot]),
    )
    near(result.advantage, [[*advantage, 0.0]])
    near(result.return_, [[*return_, 0.0]])


def looped(reward, value, mask, *, gamma, lam, bootstrap):
    """Equation 16 step by step, from the last one back, in float64."""
    advantage = torch.zeros(mask.shape, dtype=torch.float64)
    for row in range(len(mask)):
        steps = int(mask[row].sum())
        carried, following = 0.0, 0.0 if bootstrap is None else float(bootstrap[row])
        for step in range(steps - 1, -1, -1):
            decay = gamma * (lam if isinstance(lam, float) else float(lam[row]))
            carried = float(reward[row, step]) + gamma * following - float(value[row, step]) + decay * carried
            following = float(value[row, step])
            advantage[row, step] = carried
    return advantage


@given(
    st.lists(st.integers(0, 37), min_size=1, max_size=5),
    st.sampled_from([1.0, 0.99, 0.5]),
    st.sampled_from([1.0, 0.95, 0.0, "each"]),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_the_scan_is_the_loop_over_time_on_ragged_batches(lengths, gamma, lam, boots, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    episodes, steps = len(lengths), max(lengths)
    mask = torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)
    reward, value = (torch.randn((episodes, steps), generator=generator) for _ in range(2))
    reward[~mask] = value[~mask] = float("nan")  # padding is never read
    decay = torch.rand(episodes, generator=generator) if lam == "each" else lam
    bootstrap = torch.randn(episodes, generator=generator) if boots else None
    found = generalised_advantages(reward, value, mask, gamma=gamma, lam=decay, bootstrap=bootstrap)
    expected = looped(reward, value, mask, gamma=gamma, lam=decay, bootstrap=bootstrap)
    torch.testing.assert_close(found.advantage.double(), expected, atol=1e-6, rtol=1e-6)
    returns = torch.where(mask, expected + value.double(), 0.0)
    torch.testing.assert_close(found.return_.double(), returns, atol=1e-6, rtol=1e-6)


def test_long_episodes_are_as_exact_as_short_ones() -> None:
    steps = 5000
    ones = torch.ones((1, steps), dtype=torch.float64)
    near(decayed_sums(ones, torch.tensor(1.0)).float(), [list(map(float, range(steps, 0, -1)))])
    near(decayed_sums(ones, torch.tensor([0.5])).float()[:, :9], [[2.0] * 9])
    assert decayed_sums(torch.zeros((3, 0)), torch.tensor(1.0)).shape == (3, 0)


def test_observation_tokens_are_skipped_not_zeroed() -> None:
    turn = torch.tensor([[0, 0, -1, -1, 1]])
    mask = turn >= 0
    sequences = token_sequences(mask, torch.tensor([0]), turn)
    reward, value = torch.tensor([[0.0, 0.2, 0, 0, 1.0]]), torch.tensor([[0.3, 0.35, 9.0, 9.0, 0.5]])
    result = generalised_advantages(sequences.total(reward), sequences.at_first(value), sequences.mask, gamma=0.99, lam=0.9)
    near(sequences.spread(result.advantage), [[0.7508355, 0.7905, 0, 0, 0.5]])
    near(sequences.spread(result.return_), [[1.0508355, 1.1405, 0, 0, 1.0]])


def test_the_reward_of_the_last_turn_reaches_every_action_token() -> None:
    turn = torch.tensor([[0, 0, -1, -1, 1, 1, -1]])
    sequences = token_sequences(turn >= 0, torch.tensor([0]), turn)
    reward = torch.tensor([[0.0, 0, 0, 0, 0, 1, 0]])
    zero = torch.zeros_like(reward)
    result = generalised_advantages(sequences.total(reward), sequences.at_first(zero), sequences.mask, gamma=1.0, lam=0.95)
    near(sequences.spread(result.advantage), [[0.857375, 0.9025, 0, 0, 0.95, 1, 0]])


def test_turn_advantages_agree_with_the_closed_form_and_are_copied_to_the_tokens() -> None:
    turn = torch.tensor([[-1, 0, 0, -1, 1, 1, 1]])
    sequences = turn_sequences(turn >= 0, torch.tensor([0]), turn)
    reward = torch.tensor([[0.0, 0, 0.2, 0, 0, 0, 1.0]])
    value = torch.tensor([[0.0, 0.3, 8.0, 8.0, 0.5, 8.0, 8.0]])
    result = generalised_advantages(sequences.total(reward), sequences.at_first(value), sequences.mask, gamma=0.99, lam=0.9)
    near(result.advantage, [[0.8405, 0.5]])
    near(result.return_, [[1.1405, 1.0]])
    near(sequences.spread(result.advantage), [[0, 0.8405, 0.8405, 0, 0.5, 0.5, 0.5]])


def test_without_values_and_decay_the_advantage_is_the_reward_to_go() -> None:
    reward = torch.rand((3, 5), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    expected = torch.where(mask, reward * mask, 0.0).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(discounted_returns(reward, mask), torch.where(mask, expected, 0.0))


def test_the_decay_suits_the_length() -> None:
    near(adaptive_lambda(torch.tensor([100, 400, 1])), [0.8, 0.95, 0.0])
    with pytest.raises(ConfigError):
        adaptive_lambda(torch.tensor([1]), alpha=0.0)


def test_a_decay_per_episode_is_each_episodes_own() -> None:
    reward, value = torch.tensor([[0.0, 1.0]] * 2), torch.tensor([[0.2, 0.5]] * 2)
    mask = torch.ones((2, 2), dtype=torch.bool)
    both = generalised_advantages(reward, value, mask, lam=torch.tensor([0.0, 1.0])).advantage
    assert torch.equal(both[0], generalised_advantages(reward, value, mask, lam=0.0).advantage[0])
    assert torch.equal(both[1], generalised_advantages(reward, value, mask, lam=1.0).advantage[1])


def test_returns_of_turns_are_whitened_over_the_batch() -> None:
    values = torch.tensor([1, 0.9, 0.81, 0, 0, 0.5])
    expected = [1.1397252, 0.8946230, 0.6740310, -1.3112969, -1.3112969, -0.0857858]
    near(whiten(values, torch.ones(6, dtype=torch.bool), eps=1e-9), expected)


def test_ranks_that_add_their_moments_up_whiten_as_one() -> None:
    values = torch.rand(12, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(12) != 5
    alone = whiten(values, mask)
    parts = [moments(v, m) for v, m in zip(values.split(3), mask.split(3), strict=True)]
    count, total, squares = (torch.stack(part).sum() for part in zip(*parts, strict=True))
    pieces = zip(values.split(3), mask.split(3), strict=True)
    together = torch.cat([standardised(v, m, count, total, squares) for v, m in pieces])
    torch.testing.assert_close(together, alone)


def test_equal_values_carry_no_signal() -> None:
    assert not whiten(torch.full((4,), 0.1), torch.ones(4, dtype=torch.bool)).any()
    assert not whiten(torch.zeros(0), torch.zeros(0, dtype=torch.bool)).any()


def test_turns_are_compared_with_the_same_turn_of_the_others() -> None:
    rewards = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])
    mask = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    returns = discounted_returns(rewards, mask)
    near(turn_baseline_advantages(returns, mask, torch.zeros(3, dtype=torch.long)), [[0.5, 1, 0], [0.5, 0, 0], [-1, -0.5, 0]])
    assert not turn_baseline_advantages(returns, mask, torch.arange(3)).any()


def test_steps_from_equal_states_are_compared_with_each_other() -> None:
    returns = torch.tensor([[0.9, 0.3], [0.0, 0.3], [0.1, 0.5]])
    mask = torch.ones((3, 2), dtype=torch.bool)
    states = [["s", "x"], ["s", "x"], ["s", None]]
    group = torch.zeros(3, dtype=torch.long)
    near(step_group_advantages(returns, mask, group, states)[:, 0], [0.5666667, -0.3333333, -0.2333333])
    scaled = step_group_advantages(returns, mask, group, states, scale_by_std=True)
    near(scaled[:, 0], [1.1487535, -0.6757374, -0.4730162])
    assert not step_group_advantages(returns, mask, group, states)[:, 1].any()  # equal returns, and one without a state
    assert not step_group_advantages(returns, mask, torch.arange(3), states).any()


def test_the_turn_baseline_is_unbiased_about_when_to_stop_and_normalising_each_turn_is_not() -> None:
    """One decision after a first reward of .5: stop with probability p, or go on for a second reward of .5 and end."""
    p_stop, groups, size = 0.5, 20_000, 4
    generator = torch.Generator().manual_seed(0)
    goes_on = torch.rand((groups, size), generator=generator) > p_stop
    # gradient of log pi(going on) with respect to the logit of going on: 1 - q if it went on, else -q
    q = 1.0 - p_stop
    score = torch.where(goes_on, 1.0 - q, -q)
    first = torch.where(goes_on, 0.5, 0.0)  # what the decision brings, return from turn 0 on
    exact = q * (1 - q) * 0.5
    mask = torch.stack([torch.ones(groups * size, dtype=torch.bool), goes_on.flatten()], dim=1)
    returns = torch.stack([first.flatten(), torch.where(goes_on, 0.5, 0.0).flatten()], dim=1)
    group = torch.arange(groups).repeat_interleave(size)
    advantage = _fast_turn_baseline(returns, mask, groups, size)
    few = slice(0, 40 * size)
    torch.testing.assert_close(advantage[few], turn_baseline_advantages(returns[few], mask[few], group[few]))
    per_group = (advantage[:, 0].view(groups, size) * score).mean(dim=1)
    error = float(per_group.std() / groups**0.5)
    assert abs(float(per_group.mean()) - exact) < 3 * error
    # biased: rewards centred over the episodes that have the turn, summed up to the episode's own last turn
    present = mask.view(groups, size, 2)
    rewards = torch.stack([torch.full_like(first, 0.5), first], dim=2)
    centred = rewards - (rewards * present).sum(1, keepdim=True) / present.sum(1, keepdim=True).clamp(min=1)
    naive = ((centred * present).sum(2) * score).mean(dim=1)
    assert abs(float(naive.mean()) - exact) > 3 * float(naive.std() / groups**0.5)


def _fast_turn_baseline(returns: torch.Tensor, mask: torch.Tensor, groups: int, size: int) -> torch.Tensor:
    values = torch.where(mask, returns, 0.0).view(groups, size, -1)
    others = (values.sum(1, keepdim=True) - values) / (size - 1)
    return torch.where(mask, (values - others).view(groups * size, -1), 0.0)
