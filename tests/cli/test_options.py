from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.cli.options import parse_each, parse_settings, parse_value
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
    with pytest.raises(ConfigError, match=r"--option got 'x'; expected KEY=VALUE, e.g. --option max_turns=12"):
        parse_settings(["x"], "--option")


@pytest.mark.parametrize("assignment", ["a", "=1", "", "  =x"])
def test_what_is_no_assignment_is_refused(assignment):
    with pytest.raises(ConfigError, match="expected KEY=VALUE"):
        parse_settings([assignment])


def test_each_gives_every_combination_of_values():
    assert parse_each(None) == [{}]
    assert parse_each(["mode=fc, sfc"]) == [{"mode": "fc"}, {"mode": "sfc"}]
    assert parse_each(["a=1,2", "b=true,x"]) == [
        {"a": 1, "b": True},
        {"a": 1, "b": "x"},
        {"a": 2, "b": True},
        {"a": 2, "b": "x"},
    ]
    assert [list(map(str, values.values())) for values in parse_each(["a=1,true"])] == [["1"], ["True"]]
    assert parse_each(['a=["x,y", "z"]']) == [{"a": "x,y"}, {"a": "z"}]


@pytest.mark.parametrize("assignment", ["a", "=1,2", "", "a=", "a=1,1", "a=1,,2", "a=[]"])
def test_what_gives_no_values_to_try_is_refused(assignment):
    with pytest.raises(ConfigError, match="--each got"):
        parse_each([assignment])


def test_a_key_is_given_to_each_once():
    with pytest.raises(ConfigError, match="names a twice"):
        parse_each(["a=1,2", "a=3"])


@given(st.text(max_size=30))
def test_any_text_is_some_value(text):
    assert isinstance(parse_value(text), (bool, int, float, str, list, dict))
