"""Seeds follow from number and name alone: runs of earlier versions are repeated with the same ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.math.seeds import stable_seed


@pytest.mark.parametrize(("seed", "name", "found"), [(0, "policy", 160504537), (7, "é", 955493598), (-1, "", 952769250)])
def test_seeds_never_change(seed: int, name: str, found: int) -> None:
    assert stable_seed(seed, name) == found


@given(st.integers(), st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_seeds_are_of_31_bits_and_differ_by_name(seed: int, name: str, other: str) -> None:
    assert 0 <= stable_seed(seed, name) < 2**31
    assert name == other or stable_seed(seed, name) != stable_seed(seed, other)
