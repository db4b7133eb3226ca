from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.math.advantages import (
    debias_scores,
    group_statistics,
    grpo_advantages,
    mixed_groups,
    most_uncertain_groups,
    overlong_penalty,
    rloo_advantages,
)

ONE_GROUP = torch.zeros(4, dtype=torch.long)
BINARY = torch.tensor([1.0, 0.0, 0.0, 1.0])
SPREAD = torch.tensor([1.0, 2.0, 3.0, 6.0])


def near(actual: torch.Tensor, expected: list[float], tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), atol=tolerance, rtol=tolerance)


def test_grpo_on_binary_returns() -> None:
    near(grpo_advantages(BINARY, ONE_GROUP), [0.8658754, -0.8658754, -0.8658754, 0.8658754])
    near(grpo_advantages(BINARY, ONE_GROUP, ddof=0, eps=0.0), [1.0, -1.0, -1.0, 1.0])
    near(grpo_advantages(BINARY, ONE_GROUP, std="none"), [0.5, -0.5, -0.5, 0.5])


def test_rloo_on_binary_returns() -> None:
    near(rloo_advantages(BINARY, ONE_GROUP), [0.6666667, -0.6666667, -0.6666667, 0.6666667])


def test_grpo_and_rloo_on_spread_returns() -> None:
    assert float(SPREAD.std(correction=1)) == pytest.approx(2.1602469)
    near(grpo_advantages(SPREAD, ONE_GROUP), [-0.9257773, -0.4628887, 0.0, 1.3886659])
    near(rloo_advantages(SPREAD, ONE_GROUP), [-2.6666667, -1.3333333, 0.0, 4.0])


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1e6])
def test_equal_returns_give_exactly_zero(value: float) -> None:
    return_ = torch.full((3,), value)
    group = torch.zeros(3, dtype=torch.long)
    for std in ("group", "batch", "none"):
        assert grpo_advantages(return_, group, std=std).tolist() == [0.0] * 3  # type: ignore[arg-type]
    assert rloo_advantages(return_, group).tolist() == [0.0] * 3


def test_a_group_of_one_gets_zero_and_never_its_return() -> None:
    return_, group = torch.tensor([5.0, 1.0, 0.0]), torch.tensor([0, 1, 1])
    assert grpo_advantages(return_, group)[0] == 0.0
    assert rloo_advantages(return_, group)[0] == 0.0
    assert group_statistics(return_, group).num_single == 1


def test_failed_members_are_left_out_of_the_baseline() -> None:
    return_ = torch.tensor([1.0, math.nan, 0.0, 0.0, 1.0, math.nan])
    group = torch.zeros(6, dtype=torch.long)
    near(grpo_advantages(return_, group), [0.8658754, 0.0, -0.8658754, -0.8658754, 0.8658754, 0.0])
    near(rloo_advantages(return_, group), [0.6666667, 0.0, -0.6666667, -0.6666667, 0.6666667, 0.0])


def test_all_but_one_failed_gives_zero() -> None:
    return_ = torch.tensor([1.0, math.nan, math.nan])
    assert grpo_advantages(return_, torch.zeros(3, dtype=torch.long)).tolist() == [0.0, 0.0, 0.0]


def test_batch_spread_divides_all_groups_alike() -> None:
    return_, group = torch.tensor([0.0, 1.0, 0.0, 4.0]), torch.tensor([0, 0, 1, 1])
    spread = float(return_.std(correction=1)) + 1e-4
    near(grpo_advantages(return_, group, std="batch"), [-0.5 / spread, 0.5 / spread, -2 / spread, 2 / spread])


def test_rloo_scaled_by_the_group_is_dr_grpo() -> None:
    near(rloo_advantages(SPREAD, ONE_GROUP) * 3 / 4, grpo_advantages(SPREAD, ONE_GROUP, std="none").tolist())


@given(
    scores=st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=12),
    data=st.data(),
)
def test_order_within_the_batch_does_not_matter(scores: list[float], data: st.DataObject) -> None:
    group = torch.tensor([i % 3 for i in range(len(scores))])
    order = torch.tensor(data.draw(st.permutations(range(len(scores)))))
    return_ = torch.tensor(scores)
    for estimate in (grpo_advantages, rloo_advantages):
        torch.testing.assert_close(
            estimate(return_, group)[order], estimate(return_[order], group[order]), atol=1e-4, rtol=1e-4
        )


def test_group_statistics_tell_dropped_single_equal_and_spread() -> None:
    return_ = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.5, math.nan, math.nan])
    group = torch.tensor([0, 0, 1, 1, 2, 2, 3])
    found = group_statistics(return_, group)
    assert (found.num_groups, found.num_dropped, found.num_single, found.num_equal) == (3, 1, 1, 1)
    assert found.within_std == pytest.approx((math.sqrt(0.5) + 0.0) / 2)
    assert found.has_signal
    assert not group_statistics(torch.tensor([1.0, 1.0]), torch.tensor([0, 0])).has_signal


def test_mixed_groups_are_those_with_signal() -> None:
    return_ = torch.tensor([1.0, 0.0, 1.0, 1.0, math.nan])
    assert mixed_groups(return_, torch.tensor([0, 0, 1, 1, 0])).tolist() == [True, True, False, False, False]


def test_the_most_uncertain_quarter_is_kept() -> None:
    return_ = torch.tensor([0.0, 0.1, 0.0, 0.2, 0.0, 1.0, 0.0, 0.3])
    group = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    assert most_uncertain_groups(return_, group).tolist() == [False] * 4 + [True] * 2 + [False] * 2
    with pytest.raises(ValueError, match="share is 0"):
        most_uncertain_groups(return_, group, share=0)


def test_overlong_penalty_falls_over_the_buffer() -> None:
    near(overlong_penalty(torch.tensor([70, 90, 100, 110]), limit=100, buffer=20), [0.0, -0.5, -1.0, -1.0])


def test_known_label_noise_is_undone_in_expectation() -> None:
    near(debias_scores(torch.tensor([0.0, 1.0]), false_positive=0.1, false_negative=0.2), [-0.1428571, 1.2857143])
    with pytest.raises(ValueError, match="add up to 1"):
        debias_scores(torch.tensor([0.0]), false_positive=0.5, false_negative=0.5)
