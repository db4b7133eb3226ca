"""Resampling against the same formula written out, other people's code, and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from palaestra.errors import ConfigError
from palaestra.results.statistics.estimates import Estimate
from palaestra.results.statistics.resampling import bca_interval, bootstrap_interval, wilcoxon_greater

VALUES = [3.0, 1.0, 7.0, 2.0, 2.5]


@pytest.mark.parametrize(("seed", "number", "confidence"), [(0, 2000, 0.95), (5, 400, 0.8)])
def test_the_bootstrap_is_the_quantiles_of_resampled_means(seed: int, number: int, confidence: float) -> None:
    picks = np.random.default_rng(seed).integers(5, size=(number, 5))
    means = np.sort(VALUES)[picks].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    found = bootstrap_interval(VALUES, confidence=confidence, num_resamples=number, seed=seed)
    assert found == Estimate(pytest.approx(3.1), low, high, 5)
    assert bootstrap_interval(VALUES[::-1], confidence=confidence, num_resamples=number, seed=seed) == found
    if (seed, number, confidence) == (0, 2000, 0.95):
        assert bootstrap_interval(VALUES) == found, "what is done where nothing is said"


def test_any_statistic_is_resampled_in_blocks() -> None:
    values, rows = np.arange(1_000_001.0), []

    def greatest(block: np.ndarray) -> np.ndarray:
        rows.append(len(block))
        return block.max(axis=1)

    found = bootstrap_interval(values, greatest, num_resamples=5)
    assert rows == [3, 2, 1]
    assert (found.mean, found.n) == (1_000_000.0, 1_000_001)
    assert 999_980 < found.low <= found.high <= 1_000_000


@pytest.mark.parametrize("interval", [bootstrap_interval, bca_interval])
def test_ends_of_few_equal_and_huge_values(interval) -> None:
    empty = interval([])
    assert (empty.n, *map(math.isnan, (empty.mean, empty.low, empty.high))) == (0, True, True, True)
    assert interval([2.0, 2.0]) == Estimate(2.0, 2.0, 2.0, 2)
    huge, small = interval([x * 2.0**1000 for x in VALUES]), interval(VALUES)
    assert (huge.mean, huge.low, huge.high, huge.n) == pytest.approx(
        (small.mean * 2.0**1000, small.low * 2.0**1000, small.high * 2.0**1000, 5)
    )
    for confidence in (0.0, 1.0, math.nan):
        with pytest.raises(ConfigError):
            interval(VALUES, confidence=confidence)


@pytest.mark.parametrize(("seed", "number", "confidence"), [(0, 10_000, 0.95), (4, 500, 0.8)])
def test_bca_is_that_of_scipy_on_sorted_values(seed: int, number: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    theirs = stats.bootstrap(
        (np.sort(VALUES),), np.mean, method="BCa", confidence_level=confidence, n_resamples=number, rng=rng
    ).confidence_interval
    found = bca_interval(VALUES, confidence=confidence, num_resamples=number, seed=seed)
    assert found == Estimate(pytest.approx(3.1), theirs.low, theirs.high, 5)
    if (seed, number, confidence) == (0, 10_000, 0.95):
        assert bca_interval(VALUES) == found
    assert bca_interval([4.0]) == Estimate(4.0, -math.inf, math.inf, 1)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([], math.nan),
        ([0.0, 0.0], 1.0),
        ([1.0, 2.0, 3.0], 1 / 8),
        ([0.0, 1.0, 2.0, 3.0], 1 / 8),
        ([-1.0, -2.0, -3.0], 1.0),
        ([-1.0, 2.0, 3.0], 2 / 8),
        ([1.0, -2.0, 3.0], 3 / 8),
        ([5.0], 1 / 2),
    ],
)
def test_signed_ranks_counted_by_hand(differences: list[float], p: float) -> None:
    assert wilcoxon_greater(differences) == pytest.approx(p, nan_ok=True)


@pytest.mark.parametrize("test", [bca_interval, wilcoxon_greater])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_was_not_measured_is_refused(test, value: float) -> None:
    with pytest.raises(ConfigError, match="not finite"):
        test([1.0, value])
