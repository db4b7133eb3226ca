import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from palaestra.results.statistics import rate_estimate, share_interval, wilson_interval
from palaestra.results.statistics.clustered import beta_binomial_interval
from palaestra.results.statistics.estimates import cluster_freedom, cluster_variance, mean_interval


@given(st.integers(1, 2000), st.data(), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(n: int, data: st.DataObject, confidence: float) -> None:
    k = data.draw(st.integers(0, n))
    assert wilson_interval(k, n, confidence) == pytest.approx(
        proportion_confint(k, n, 1 - confidence, method="wilson"), abs=1e-12
    )
    assert rate_estimate([[1.0]] * k + [[0.0]] * (n - k), confidence).low == wilson_interval(k, n, confidence)[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.data())
def test_with_one_sample_each_the_interval_of_unlike_tasks_is_that_of_a_beta(n: int, data: st.DataObject) -> None:
    solved = data.draw(st.integers(0, n))
    ends = beta_binomial_interval([1] * n, [1] * solved + [0] * (n - solved), 0.95)
    exact = stats.beta.ppf([0.025, 0.975], solved + 1, n - solved + 1)
    assert ends == pytest.approx(exact, abs=0.02 * (exact[1] - exact[0]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_solved_and_failed_are_mirrors(pairs: list[tuple[int, int]]) -> None:
    clusters = [[1.0] * solved + [0.0] * (5 - solved) for solved, _ in pairs]
    found = rate_estimate(clusters)
    mirrored = rate_estimate([[1 - value for value in cluster] for cluster in clusters])
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


def test_one_task_is_one_task_however_often_it_is_played() -> None:
    assert rate_estimate([[1.0] * 100]).low < 0.5
    assert rate_estimate([[1.0, 0.0] * 50]).low < 0.2


def test_tasks_that_weigh_by_their_size_are_at_most_as_many_trials_as_samples() -> None:
    clusters = [[1.0, 0.0, 1.0], [0.0], [1.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    found, whole = rate_estimate(clusters), wilson_interval(5, 10)
    assert found.low <= whole[0] < whole[1] <= found.high


def test_average_coverage_over_rates_and_likenesses_is_the_confidence() -> None:
    rng = np.random.default_rng(0)
    for tasks, samples in ((3, 4), (10, 16)):
        held = 0
        for _ in range(1200):
            rate, likeness = rng.uniform(size=2)
            own = rng.beta(rate * (1 - likeness) / likeness, (1 - rate) * (1 - likeness) / likeness, size=tasks)
            low, high = beta_binomial_interval([samples] * tasks, rng.binomial(samples, own), 0.95)
            held += low <= rate <= high
        assert held / 1200 == pytest.approx(0.95, abs=0.02)  # over three standard errors; 90 % with an estimated variance


def test_clusters_of_one_size_leave_students_interval_and_others_fewer_degrees_of_freedom() -> None:
    assert cluster_freedom([3, 3, 3, 3]) == 3
    assert 1 <= cluster_freedom([1, 1, 1, 50]) < 1.2
    clusters = [[1.0, 2.0], [4.0, 4.0], [0.0, 3.0]]
    means = [1.5, 4.0, 1.5]
    found = mean_interval(clusters)
    ends = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert (found.low, found.high) == pytest.approx(ends)


@given(st.lists(st.lists(st.floats(-9, 9), min_size=1, max_size=4), min_size=2, max_size=6))
def test_the_variance_of_a_mean_is_that_of_the_regression_on_a_constant(clusters: list[list[float]]) -> None:
    # Bell & McCaffrey's CR2 by its matrices: residuals of cluster g times (I - H_gg)^(-1/2)
    whole = sum(map(len, clusters))
    values = [value for cluster in clusters for value in cluster]
    mean = math.fsum(values) / whole
    middle = 0.0
    for cluster in clusters:
        n = len(cluster)
        inverse = np.eye(n) - np.ones((n, n)) / whole
        w, v = np.linalg.eigh(inverse)
        middle += float(np.ones(n) @ (v @ np.diag(w**-0.5) @ v.T) @ (np.array(cluster) - mean)) ** 2
    sizes, totals = [len(cluster) for cluster in clusters], [math.fsum(cluster) for cluster in clusters]
    assert cluster_variance(sizes, totals, mean) == pytest.approx(middle / whole**2, rel=1e-6, abs=1e-12)


@given(st.integers(2, 200), st.floats(0, 1), st.sampled_from([0.8, 0.95]))
def test_equal_shares_leave_room_for_what_was_not_seen(n: int, value: float, confidence: float) -> None:
    found = share_interval([[value]] * n, confidence)
    # the largest part of other tasks of which n see none in 1 - confidence of all cases, all of them 0 or all 1
    unseen = 1 - found.low / value if value > 1e-9 else (found.high - value) / (1 - value)
    assert (1 - unseen) ** n == pytest.approx(1 - confidence, rel=1e-6)
    assert 0 <= found.low <= value + 1e-12
    assert value - 1e-12 <= found.high <= 1
    assert share_interval([[value]] * n, confidence, widens_equal=False).high == pytest.approx(value)


@pytest.mark.parametrize(
    "clusters", [[[1, 1, 0], [0], [1, 0]], [[1], [0, 0], [1, 1, 1, 1], [0, 1]], [[1, 0, 1, 1]] * 3 + [[0, 0]]]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_clusters_of_unlike_sizes_say_as_much_as_their_design_effect_leaves(
    clusters: list[list[float]], confidence: float
) -> None:
    n, rate = sum(map(len, clusters)), sum(map(sum, clusters)) / sum(map(len, clusters))
    variance = cluster_variance([len(c) for c in clusters], [sum(c) for c in clusters], rate)
    upper = 0.5 + confidence / 2
    shrunk = rate * (1 - rate) / variance * (stats.norm.ppf(upper) / stats.t.ppf(upper, len(clusters) - 1)) ** 2
    effective = min(max(shrunk, len(clusters)), n)
    found = rate_estimate(clusters, confidence)
    assert (found.low, found.high) == pytest.approx(wilson_interval(rate * effective, effective, confidence), rel=1e-9)
