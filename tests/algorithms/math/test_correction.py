import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from palaestra.algorithms.math.correction import importance_weights, staleness_weights
from palaestra.errors import ConfigError

TWO = torch.ones((1, 2), dtype=torch.bool)


def weights(gaps: list[float], mask: torch.Tensor = TWO, **options):
    old = torch.tensor([gaps])
    return importance_weights(old, torch.zeros_like(old), mask, **options)


def test_token_weights_are_truncated_ratios() -> None:
    assert weights([0.5, 0.0]).weight.tolist() == [pytest.approx([1.6487213, 1.0])]
    assert weights([0.5, 0.0], cap=1.5).weight.tolist() == [pytest.approx([1.5, 1.0])]


def test_sequence_weights_are_truncated_products() -> None:
    assert weights([0.5, 0.5], level="sequence", cap=10.0).weight.tolist() == [pytest.approx([math.e, math.e], abs=1e-5)]
    assert weights([0.5, 0.5], level="sequence").weight.tolist() == [[2.0, 2.0]]


def test_equal_policies_weigh_nothing() -> None:
    found = weights([0.0, 0.0], mean_ratio_bounds=(0.99, 1.01), max_mean_k3=0.0)
    assert found.weight.tolist() == [[1.0, 1.0]]
    assert found.metrics == {
        "off_policy_mean": 0.0,
        "off_policy_max": 0.0,
        "effective_share": 1.0,
        "weight_mean": 1.0,
        "rejected_rows": 0.0,
        "missing_log_probs": 0.0,
    }


def test_rows_too_far_from_the_policy_are_rejected_and_counted() -> None:
    old = torch.tensor([[0.5, 0.5], [0.001, -0.001]])
    mask = torch.ones((2, 2), dtype=torch.bool)
    for options in ({"mean_ratio_bounds": (0.99, 1.01)}, {"max_mean_k3": 0.01}):
        found = importance_weights(old, torch.zeros_like(old), mask, level="off", **options)
        assert found.weight.tolist() == [[0.0, 0.0], [1.0, 1.0]]
        assert found.metrics["rejected_rows"] == 0.5
        assert found.metrics["effective_share"] == pytest.approx(0.5)


@given(
    gaps=st.lists(st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3), min_size=1, max_size=6),
    low=st.floats(0.3, 0.99),
    high=st.floats(1.01, 3.0),
    level=st.sampled_from(["off", "token", "sequence"]),
)
def test_a_row_is_rejected_on_either_side_of_the_bounds_and_nowhere_else(gaps, low, high, level) -> None:
    old = torch.tensor(gaps)
    ratios = [math.exp(sum(row) / 3) for row in old.tolist()]
    assume(all(abs(ratio - bound) > 1e-4 for ratio in ratios for bound in (low, high)))
    found = importance_weights(
        old, torch.zeros_like(old), torch.ones_like(old, dtype=torch.bool), level=level, mean_ratio_bounds=(low, high)
    )
    inside = [low < ratio < high for ratio in ratios]
    assert found.weight.bool().all(dim=1).tolist() == inside
    assert found.weight.bool().any(dim=1).tolist() == inside
    assert found.metrics["rejected_rows"] == pytest.approx(1 - sum(inside) / len(inside))


@pytest.mark.parametrize(("gap", "rejected"), [(-0.75, 1.0), (-0.6, 0.0), (0.6, 0.0), (0.75, 1.0)])
def test_a_ratio_of_less_than_a_half_is_rejected_like_one_of_more_than_two(gap: float, rejected: float) -> None:
    assert weights([gap, gap], mean_ratio_bounds=(0.5, 2.0)).metrics["rejected_rows"] == rejected


def test_tokens_without_a_sampling_log_prob_weigh_1_and_are_counted() -> None:
    found = importance_weights(torch.tensor([[-1.0, -1.0]]), torch.tensor([[math.nan, -1.5]]), TWO)
    assert found.weight.tolist() == [pytest.approx([1.0, 1.6487213])]
    assert found.metrics["missing_log_probs"] == 1.0


def test_nothing_outside_the_mask_has_a_weight() -> None:
    found = importance_weights(torch.tensor([[1.0, math.nan]]), torch.zeros(1, 2), torch.tensor([[True, False]]))
    assert found.weight[0, 1] == 0.0
    assert not found.weight.isnan().any()


def test_a_cap_below_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        weights([0.0, 0.0], cap=0.5)


def test_tokens_of_old_policies_weigh_nothing() -> None:
    version = torch.tensor([[3, 2, 1, -1]])
    mask = torch.tensor([[True, True, True, False]])
    assert staleness_weights(version, mask, current=3, max_staleness=1).tolist() == [[1.0, 1.0, 0.0, 0.0]]
