"""Floors: what chance brings is no alarm, and what is more certainly is one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.audit.floors import ALPHA, CHANCE, FREE, is_more_than


def tail(paid, n, rate):
    """Return the chance that at least `paid` of `n` episodes are paid."""
    return sum(math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(paid, n + 1))


@given(st.integers(1, 200), st.data())
def test_more_than_a_bound_is_what_the_bound_brings_seldom(n, data):
    paid = data.draw(st.integers(0, n))
    for bound in (CHANCE, FREE):
        assert is_more_than(bound, paid / n, n) == (tail(paid, n, bound) < ALPHA)


@pytest.mark.parametrize(("paid", "n"), [(1, 1), (2, 2), (2, 5), (6, 100)])
def test_what_chance_does_not_bring_is_an_alarm(paid, n):
    assert is_more_than(CHANCE, paid / n, n)


@pytest.mark.parametrize(("paid", "n"), [(1, 2), (1, 5), (1, 20), (5, 100), (0, 0)])
def test_what_chance_brings_is_none(paid, n):
    assert not is_more_than(CHANCE, paid / max(n, 1), n)


def test_shares_of_returns_outside_0_and_1_are_compared_as_well():
    assert is_more_than(CHANCE, 1.7, 3)
    assert not is_more_than(CHANCE, -0.4, 3)
