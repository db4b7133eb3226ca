"""The interval of rates over clusters: where it can be worked out in another way, it is the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from palaestra.results.statistics.clustered import beta_binomial_interval


@pytest.mark.parametrize(("solved", "tasks"), [(0, 1), (0, 20), (3, 10), (50, 100), (990, 1000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_of_one_sample_a_task_it_is_that_of_a_uniform_prior(solved: int, tasks: int, confidence: float) -> None:
    found = beta_binomial_interval([1] * tasks, [1] * solved + [0] * (tasks - solved), confidence)
    tail = (1 - confidence) / 2
    assert found == pytest.approx(stats.beta.ppf((tail, 1 - tail), 1 + solved, 1 + tasks - solved), abs=0.004)


def worked(sizes: list[int], solved: list[int], confidence: float) -> tuple[float, float]:
    """Return the interval from the beta-binomial probability itself, on a grid."""
    rates, likeness = (np.arange(400) + 0.5) / 400, (np.arange(16) + 0.5) / 16
    a, b = rates[:, None] * (1 / likeness - 1), (1 - rates)[:, None] * (1 / likeness - 1)
    density = np.exp(sum(stats.betabinom.logpmf(k, n, a, b) for n, k in zip(sizes, solved, strict=True))).sum(axis=1)
    cumulated = np.concatenate(([0.0], np.cumsum(density))) / density.sum()
    tail = (1 - confidence) / 2
    low, high = np.interp((tail, 1 - tail), cumulated, np.arange(401) / 400)
    return float(low), float(high)


@pytest.mark.parametrize(
    ("sizes", "solved"), [([2], [1]), ([4, 4, 4], [4, 0, 2]), ([1, 3, 5, 2], [0, 3, 4, 1]), ([8] * 6, [8, 8, 0, 8, 0, 8])]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_is_that_of_the_model_it_is_named_for(sizes: list[int], solved: list[int], confidence: float) -> None:
    assert beta_binomial_interval(sizes, solved, confidence) == pytest.approx(worked(sizes, solved, confidence), abs=0.005)


tasks = st.lists(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1, max_size=12)


@settings(max_examples=30)
@given(tasks)
def test_failures_are_successes_seen_from_the_other_side(drawn: list[tuple[int, int]]) -> None:
    sizes, solved = [n for n, _ in drawn], [k for _, k in drawn]
    low, high = beta_binomial_interval(sizes, solved, 0.9)
    mirrored = beta_binomial_interval(sizes, [n - k for n, k in drawn], 0.9)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)
    assert 0 <= low < high <= 1
    wider = beta_binomial_interval(sizes, solved, 0.99)
    assert wider[0] <= low
    assert wider[1] >= high
