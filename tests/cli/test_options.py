from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.cli.options import parse_settings, parse_value
from palaestra.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('{a = "b"}', {"a": "b"}),
        ('"3"', "3"),
        ("workshop", "workshop"),
        ("../data/recipes", "../data/recipes"),
        ("True", "True"),
        ("2031-03-03", "2031-03-03"),
        ("", ""),
        ('1\nother = "2"', '1\nother = "2"'),
    ],
)
def test_values_are_toml_literals_or_else_text(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_settings_split_at_the_first_equals_sign():
    assert parse_settings(["a=1", "b = x=y", "c="]) == {"a": 1, "b": "x=y", "c": ""}
    assert parse_settings(None) == {}


@pytest.mark.parametrize("assignment", ["a", "=1", "", "  =x"])
def test_what_is_no_assignment_is_refused(assignment):
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        parse_settings([assignment])


@given(st.text(max_size=30))
def test_any_text_is_some_value(text):
    assert isinstance(parse_value(text), (bool, int, float, str, list, dict))
