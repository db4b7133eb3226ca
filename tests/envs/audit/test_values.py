"""Values that a question names, and the forms of actions that they are put into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.audit.values import MAX_VALUES, fill, frame, templates, values_in

WORDS = st.text("abcdefgh", min_size=1, max_size=6)
SOME = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Take one:\n- blue kettle: it is old\n- lamp", "blue kettle"),
        ("Write 'Winter tasting' into it.", "Winter tasting"),
        ("Ask mara.lind@example.org today", "mara.lind@example.org"),
        ("then call Mara Lind", "Mara Lind"),
        ("Goal: birch plank.", "birch plank"),
        ("It is on 2026-03-04 at 17:30.", "17:30"),
    ],
)
def test_values_are_found(text, value):
    assert value in values_in(text)


@given(st.text())
def test_values_are_few_without_doubles_and_not_empty(text):
    found = values_in(text)
    assert len(found) == len(set(found)) <= MAX_VALUES
    assert all(value and value == value.strip() for value in found)


def test_a_form_is_one_that_several_questions_share():
    examples = [(f"Find 'item{n}'.", [f"look item{n} now", "bye"]) for n in range(3)]
    assert templates(examples) == [("look ", " now")]
    assert templates(examples[:1]) == []
    assert fill([("look ", " now")], ["a", "b"]) == ["look a now", "look b now"]


@given(SOME, st.lists(WORDS, min_size=2, max_size=6, unique=True), SOME)
def test_a_frame_is_what_all_have_in_common_around_what_differs(before, values, after):
    actions = [f"{before} <{value}> {after}" for value in values]
    ((head, tail),) = frame(actions)
    assert all(action.startswith(head) and action.endswith(tail) for action in actions)
    assert head.startswith(f"{before} <"[: len(head)])
    assert len(head) >= len(before)
    assert len(tail) >= len(after)


@given(st.lists(st.text(max_size=8), max_size=5))
def test_a_frame_never_overlaps_and_leaves_something_between(actions):
    for head, tail in frame(actions):
        assert head.strip()
        assert all(len(head) + len(tail) < len(action) for action in actions)


@pytest.mark.parametrize("actions", [[], ["Done."], ["Done.", "Done."], ["yes", "no"], ["say", "say so"]])
def test_equal_and_unlike_actions_have_no_frame(actions):
    assert frame(actions) == []
