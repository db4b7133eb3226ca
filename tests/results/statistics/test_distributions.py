import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from palaestra.errors import ConfigError
from palaestra.results.statistics.distributions import (
    beta_cdf,
    binomial_cdf,
    student_t_cdf,
    student_t_quantile,
    student_t_tails,
)

sizes = st.floats(0.5, 2000)


@given(st.floats(0, 1), sizes, sizes)
def test_beta_agrees_with_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-9, abs=1e-12)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.01, 0.99))
def test_binomial_agrees_with_scipy(successes: int, n: int, p: float) -> None:
    assert binomial_cdf(successes, n, p) == pytest.approx(stats.binom.cdf(successes, n, p), rel=1e-9, abs=1e-12)


@given(st.floats(-1e3, 1e3), st.floats(1, 1e6))
def test_student_agrees_with_scipy(t: float, df: float) -> None:
    assert student_t_cdf(t, df) == pytest.approx(stats.t.cdf(t, df), rel=1e-8, abs=1e-14)
    assert student_t_tails(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-8, abs=1e-300)


@given(st.floats(0.001, 0.999), st.floats(1, 1e5))
def test_student_quantiles_agree_with_scipy(probability: float, df: float) -> None:
    assert student_t_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-8, abs=1e-9)


def test_small_tails_are_not_lost_to_rounding() -> None:
    assert student_t_tails(60, 30) == pytest.approx(2 * stats.t.sf(60, 30), rel=1e-9)
    assert student_t_tails(math.inf, 3) == student_t_tails(1e200, 3) == 0


@pytest.mark.parametrize("arguments", [(-0.1, 1, 1), (1.1, 1, 1), (0.5, 0, 1), (math.nan, 1, 1)])
def test_impossible_arguments_are_refused(arguments: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="expected 0 <= x <= 1"):
        beta_cdf(*arguments)
