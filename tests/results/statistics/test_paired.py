import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from palaestra.errors import ConfigError
from palaestra.results.statistics import holm, mcnemar, paired_difference, paired_rates, rate_estimate, sign_flips
from palaestra.results.statistics.paired import difference_ends


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_agrees_with_statsmodels(only_first: int, only_second: int) -> None:
    exact, mid_p = mcnemar(only_first, only_second)
    assert exact == pytest.approx(statsmodels_mcnemar([[3, only_first], [only_second, 4]], exact=True).pvalue, rel=1e-9)
    assert mid_p < exact or only_first + only_second == 0


def test_mid_p_of_a_published_example() -> None:
    # airway hyper-responsiveness before and after transplantation, 1 and 7 flips: Fagerland et al. 2013, table 4
    assert mcnemar(1, 7) == pytest.approx((0.0703, 0.0391), abs=5e-5)


@settings(max_examples=60)
@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flips_are_those_of_all_signs(numbers: list[int]) -> None:
    sums = [
        abs(sum(a * b for a, b in zip(signs, numbers, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(numbers))
    ]
    reached = abs(sum(numbers))
    at, beyond = sums.count(reached) / len(sums), sum(value > reached for value in sums) / len(sums)
    exact, mid_p = sign_flips([number / 4 for number in numbers], 4)
    assert exact == pytest.approx(at + beyond)
    assert mid_p == pytest.approx(beyond + at / 2 if any(numbers) else 1.0)


def test_sign_flips_of_many_parts_are_those_of_few() -> None:
    rng = np.random.default_rng(1)
    numbers = rng.integers(-9, 11, size=400)
    exact, _ = sign_flips(numbers / 12, 12)
    nearly, _ = sign_flips(numbers / 12, 12 * 1009)
    assert nearly == pytest.approx(exact, abs=0.01)


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(outcomes)
def test_difference_of_rates_turns_over_with_its_arms_and_keeps_its_bounds(pairs: list[tuple[bool, bool]]) -> None:
    first, second = ([[float(pair[i])] for pair in pairs] for i in (0, 1))
    found, turned = paired_rates(first, second), paired_rates(second, first)
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-found.mean, -found.high, -found.low))
    assert turned.p_value == pytest.approx(found.p_value)
    assert -1 <= found.low <= found.mean <= found.high <= 1
    assert found.high - found.low > 0


@pytest.mark.parametrize(
    ("both", "only_first", "only_second", "neither", "ends"),
    [
        (36, 12, 2, 0, (0.0569, 0.3404)),
        (1, 1, 1, 47, (-0.0656, 0.0656)),  # hardly anything solved
        (20, 12, 2, 16, (0.0562, 0.3292)),
        (0, 29, 0, 1, None),
        (0, 30, 0, 0, None),
        (2, 14, 0, 14, None),
    ],
)
def test_difference_of_rates_is_newcombes(both: int, only_first: int, only_second: int, neither: int, ends: object) -> None:
    first = [[1.0]] * (both + only_first) + [[0.0]] * (only_second + neither)
    second = [[1.0]] * both + [[0.0]] * only_first + [[1.0]] * only_second + [[0.0]] * neither
    found = paired_rates(first, second)
    n = len(first)
    one, other = rate_estimate(first), rate_estimate(second)
    product = both * neither - only_first * only_second
    room = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    phi = (max(product - n / 2, 0) if product > 0 else product) / math.sqrt(room) if room else 0.0
    down, up = one.mean - one.low, other.high - other.mean
    assert found.low == pytest.approx(found.mean - math.sqrt(down**2 - 2 * phi * down * up + up**2), abs=1e-12)
    if ends is not None and (both, neither) == (36, 0):
        assert (found.low, found.high) == pytest.approx(ends, abs=5e-4)  # Newcombe 1998, table II, method 10


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_difference_of_independent_rates_agrees_with_statsmodels(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    one, other = (rate_estimate([[1.0]] * k + [[0.0]] * (size - k)) for k, size in ((a, n), (b, m)))
    assert difference_ends(one, other) == pytest.approx(
        confint_proportions_2indep(a, n, b, m, method="newcomb", compare="diff"), abs=1e-9
    )


def test_nothing_differs_is_not_certainty_and_one_pair_says_little() -> None:
    same = paired_rates([[1.0]] * 20, [[1.0]] * 20)
    assert same.mean == 0
    assert same.low < -0.1 < 0.1 < same.high
    assert same.p_value == 1
    single = paired_rates([[1.0]], [[0.0]])
    assert single.low < 0 < single.high
    assert single.p_value == 1
    nothing = paired_rates([], [])
    assert (nothing.n, nothing.low, nothing.high) == (0, -1, 1)
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.p_value)


def test_an_interval_of_two_tasks_leaves_out_no_difference_that_the_test_does_not_exclude() -> None:
    won = [[1.0], [1.0]]
    lost = [[0.0], [0.0]]
    for samples in (1, 3):
        better = paired_rates([values * samples for values in won], [values * samples for values in lost])
        assert (better.low, better.mean, better.high) == (0, 1, 1)
        worse = paired_rates([values * samples for values in lost], [values * samples for values in won])
        assert (worse.low, worse.mean, worse.high) == (-1, -1, 0)
    assert better.p_value == pytest.approx(0.5)
    assert paired_rates(won, lost, 0.4).low > 0  # at this confidence the test excludes it


def test_coverage_of_two_tasks_is_exact() -> None:
    """All outcomes are equally likely where the four cells have a flat distribution: the mean of what they hold."""
    rng = np.random.default_rng(3)
    held = []
    for first in range(4):
        for second in range(first, 4):
            found = paired_rates([[float(x < 2)] for x in (first, second)], [[float(x % 2 == 0)] for x in (first, second)])
            cells = rng.dirichlet(1 + np.bincount([first, second], minlength=4), size=40_000)
            true = cells[:, 1] - cells[:, 2]
            held.append(((found.low <= true) & (true <= found.high)).mean())
    assert np.mean(held) == pytest.approx(0.952, abs=0.003)  # without 0 it is .942


def test_tasks_without_an_outcome_are_refused() -> None:
    with pytest.raises(ConfigError, match="each with an outcome"):
        paired_rates([[1.0], []], [[1.0], [0.0]])
    with pytest.raises(ConfigError, match="flips are impossible"):
        mcnemar(-1, 2)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_coverage_of_paired_rates_over_drawn_agents() -> None:
    rng = np.random.default_rng(4)
    for n in (5, 50):
        held = 0
        for _ in range(2000):
            cells = rng.dirichlet([1, 1, 1, 1])
            drawn = rng.choice(4, size=n, p=cells)
            found = paired_rates([[float(x < 2)] for x in drawn], [[float(x % 2 == 0)] for x in drawn])
            held += found.low <= cells[1] - cells[2] <= found.high
        assert held / 2000 == pytest.approx(0.95, abs=0.016)  # Student's interval: 84 % of 5 tasks


def test_mid_p_of_as_many_flips_either_way_leaves_out_half_of_what_was_seen() -> None:
    assert mcnemar(2, 2) == pytest.approx((1.0, 1 - 6 / 16 / 2))
    assert mcnemar(0, 0) == (1.0, 1.0)


@pytest.mark.parametrize("differences", [[1.0, 2.0, 4.0], [-1.0, 1.0, 0.5, 3.0], [0.0, 2.0], [-3.0, 1.0, 1.0, 1.0, 2.0]])
@pytest.mark.parametrize("exponent", [0, 1, 600, 1000, 1020])
def test_a_paired_difference_is_a_t_test_at_any_scale(differences: list[float], exponent: int) -> None:
    first = [math.ldexp(value, exponent) for value in differences]
    found = paired_difference(first, [0.0] * len(first), 0.9)
    told = stats.ttest_1samp(differences, 0.0)
    low, high = told.confidence_interval(0.9)
    assert found.p_value == pytest.approx(told.pvalue, rel=1e-9)
    assert [math.ldexp(value, -exponent) for value in (found.mean, found.low, found.high)] == pytest.approx(
        [float(np.mean(differences)), low, high], rel=1e-9
    )


@pytest.mark.parametrize(("differences", "p_value"), [([0.0] * 4, 1.0), ([2.0] * 4, 0.125), ([-0.5, -0.5], 0.5)])
def test_equal_differences_have_the_p_value_of_flipped_signs(differences: list[float], p_value: float) -> None:
    found = paired_difference(differences, [0.0] * len(differences))
    assert (found.mean, found.low, found.high, found.p_value) == (*[differences[0]] * 3, p_value)
