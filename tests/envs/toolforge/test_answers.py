"""When an answer is the expected one: examples of each type, and properties of whole and contained values."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from palaestra.envs.toolforge.answers import is_right, leaves, number_in, numbers_in, occurs, plain, same, value_at

WORDS = st.lists(st.text(st.sampled_from("abcäß"), min_size=1, max_size=5), min_size=1, max_size=3).map(" ".join)


@pytest.mark.parametrize(
    ("value", "answer", "kind", "verdict"),
    [
        (5, 5, "int", True),
        ("5,000", 5000, "int", True),
        (5.0, 5, "int", True),
        (True, 1, "int", False),
        (5.0000001, 5, "int", False),
        (5.0000001, 5, "float", True),
        (5.1, 5, "float", False),
        (1e-10, 0, "float", True),
        (10**400, 10**400, "float", True),
        (float("nan"), 1, "float", False),
        ("2007-1-9", "2007-01-09", "date", True),
        ("2007-01-19", "2007-01-09", "date", False),
        ("  iska  TARN.", "Iska Tarn", "entity", True),
        ("Ｐrüm", "prüm", "text", True),
        ("Iska", "Iska Tarn", "entity", False),
        (None, "none", "text", False),
        (True, True, "bool", True),
        ("yes", True, "bool", True),
        ("maybe", True, "bool", False),
        (["a", "B", 1.0], [1, "b", "A"], "list", True),
        (["a"], ["a", "a"], "list", False),
        ("a", ["a"], "list", False),
    ],
)
def test_whole_values(value, answer, kind, verdict):
    assert same(value, answer, kind) is verdict


@pytest.mark.parametrize(
    ("answer", "text", "verdict"),
    [
        ("2", "12", False),
        ("2", "2.5", False),
        ("2", "-2", False),
        ("2", "1,2", False),
        ("2", "about 2.", True),
        ("2", "2,000", False),
        ("5,700", '{"area": 5700}', True),
        ("4,845", "4845.0 cubic metres", True),
        ("0.5", "0.50", True),
        ("187,040,000", "187039999", False),
        ("2007-10-10", "on 2007-10-10.", True),
        ("2007-10-09", "on 2007-10-9", True),
        ("10", "2007-10-10", False),
        ("Paris", "Parisian", False),
        ("Paris", "in paris, France", True),
        ("Abdel Fattah el-Sisi.", "Abdel Fattah el-Sisi", True),
        ("a, b", "b and a", True),
        ("a, b", "a", False),
        ("12, 12", "12", True),
        ("", "anything", False),
        ("C++", "C++ and C", True),
    ],
)
def test_values_in_a_text_stand_alone(answer, text, verdict):
    assert occurs(answer, text) is verdict


@given(WORDS, WORDS, WORDS)
def test_a_name_is_found_between_other_words_and_not_inside_of_one(before, name, after):
    assert occurs(name, f"{before} {name.upper()}, {after}", "entity") or plain(name.upper()) != plain(name)
    assume(plain(name) not in plain(f"{before} {after}"))
    assert not occurs(name, f"{before}x{name}x{after}", "entity")


@given(st.integers(-(10**6), 10**6), st.integers(0, 9))
def test_a_number_is_not_found_in_a_longer_one(number, digit):
    assert occurs(number, f"it is {number:,}", "int")
    assert not occurs(number, f"it is {number}{digit}", "int") or number == 0 == digit
    assert not occurs(number, f"it is x{number}", "int") or number < 0


@given(st.text(max_size=60), st.sampled_from(["int", "float", "date", "entity", "text", "bool", "list"]), st.text(max_size=8))
def test_any_text_can_be_looked_at(text, kind, answer):
    occurs(answer, text, kind)
    same(text, answer, kind)
    is_right(text, [answer] if kind == "list" else answer, kind)
    assert all(number == number for number in numbers_in(text))
    assert number_in(text) is None or isinstance(number_in(text), int | float)


@pytest.mark.parametrize(
    ("text", "answer", "kind", "verdict"),
    [
        ("The year is 1931.", 1931, "int", True),
        ("Between 1930 and 1931.", 1931, "int", False),
        ("Of the 3 founders, the first was born in 1931.", 1931, "int", True),
        ("It was 1931.\nOr 1948?", 1931, "int", False),
        ("I think 1948.\n<answer>1931</answer>", 1931, "int", True),
        ("<answer>1948</answer> <answer>1,931</answer>", 1931, "int", True),
        ("<answer>1931 or 1948</answer>", 1931, "int", False),
        ("Iska Tarn", "Iska Tarn", "entity", True),
        ("It is Iska Tarn!", "Iska Tarn", "entity", True),
        ("<answer>It is Iska Tarn</answer>", "Iska Tarn", "entity", False),
        ("Iska Tarnos", "Iska Tarn", "entity", False),
        ("Pell Quist and Iska Tarn", ["Iska Tarn", "Pell Quist"], "list", True),
        ("<answer>pell quist,Iska Tarn</answer>", ["Iska Tarn", "Pell Quist"], "list", True),
        ("Iska Tarn", ["Iska Tarn", "Pell Quist"], "list", False),
        ("<answer>Iska Tarn, Pell Quist, Ada Voss</answer>", ["Iska Tarn", "Pell Quist"], "list", False),
        ("yes", True, "bool", True),
        ("yes and no", True, "bool", False),
        ("", "x", "text", False),
        ("x", None, "text", False),
        ("anything", "", "text", False),
    ],
)
def test_final_messages(text, answer, kind, verdict):
    assert is_right(text, answer, kind, question="Which of the 3 founders?") is verdict


def test_the_order_of_a_ranking_counts():
    ranked = ["Ost", "Nord", "Sud"]
    assert is_right("Ost, Nord, Sud", ranked, "list", ordered=True)
    assert is_right("<answer>Ost, Nord, Sud</answer>", ranked, "list", ordered=True)
    assert not is_right("Nord, Ost, Sud", ranked, "list", ordered=True)
    assert not is_right("<answer>Nord, Ost, Sud</answer>", ranked, "list", ordered=True)
    assert is_right("Nord, Ost, Sud", ranked, "list")


def test_places_and_leaves():
    result = {"a": [{"b": 1}, {"b": 2}], "c": "x"}
    assert value_at(result, "a.1.b") == 2
    assert value_at(result, "a.7.b") is value_at(result, "c.d") is value_at("x", "a") is None
    assert sorted(leaves({"k": ["v", 1, True, None, {"m": 2.5}]})) == ["1", "2.5", "k", "m", "v"]
