from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.core.typed import fits, typed

HINTS = {
    bool: st.booleans(),
    int: st.integers(-(2**100), 2**100),
    float: st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 9),
    str: st.text(max_size=3),
    None: st.none(),
    int | None: st.none() | st.integers(0, 9),
    list[str]: st.lists(st.text(max_size=2), max_size=3),
    tuple[int, ...]: st.lists(st.integers(0, 9), max_size=3),
    tuple[str, int]: st.tuples(st.text(max_size=2), st.integers(0, 9)).map(list),
    dict[str, list[int]]: st.dictionaries(st.text(max_size=2), st.lists(st.integers(0, 9), max_size=2), max_size=2),
    Mapping[str, float]: st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=2),
    Literal["a", "b"]: st.sampled_from("ab"),
    Any: st.none() | st.text(max_size=2),
}


@given(st.data())
def test_values_of_a_type_fit_it(data):
    hint = data.draw(st.sampled_from(list(HINTS)))
    assert fits(data.draw(HINTS[hint]), hint)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1, bool),
        (True, int),
        (True, float),
        (1.0, int),
        (2**129, int),
        (float("inf"), float),
        (float("nan"), float),
        (None, str),
        (0, None),
        ("a", int | None),
        ("abc", list[str]),
        ([1], list[str]),
        ([["a", True]], list[tuple[str, int]]),
        ([["a"]], list[tuple[str, int]]),
        ({"a": "b"}, dict[str, int]),
        ([], dict[str, int]),
        ("c", Literal["a", "b"]),
        ([], Literal["a", "b"]),
    ],
)
def test_other_values_do_not(value, hint):
    assert not fits(value, hint)


@dataclass
class Thing:
    name: str
    counts: dict[str, int]


def test_a_dataclass_is_made_of_fields_of_their_types_only():
    assert typed(Thing, {"name": "a", "counts": {"b": 1}}) == Thing("a", {"b": 1})
    for wrong in (
        {"name": 1, "counts": {}},
        {"name": "a"},
        {"name": "a", "counts": {}, "other": 1},
        {"name": "a", "counts": 1},
    ):
        with pytest.raises(TypeError):
            typed(Thing, wrong)
