import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.core.actions import show_turn, unusable
from palaestra.envs.core.tasks import Task
from palaestra.errors import UsageError
from palaestra.spaces import MAX_ACTION_CHARS, ActionSpace
from palaestra.types import Message, ToolCall

TASK = Task("train/0", "train")


@given(st.text(st.characters(), max_size=30))
def test_an_action_is_usable_exactly_if_its_space_contains_it(text):
    assert (unusable(text) is None) == ActionSpace().contains(text)
    assert (unusable(Message("assistant", text)) is None) == ActionSpace().contains(Message("assistant", text))


@pytest.mark.parametrize("wrap", [str, lambda text: Message("assistant", text)])
def test_the_longest_action_is_usable_and_one_more_character_is_not(wrap):
    assert unusable(wrap("x" * MAX_ACTION_CHARS)) is None
    assert f"{MAX_ACTION_CHARS + 1} characters" in unusable(wrap("x" * (MAX_ACTION_CHARS + 1)))


def test_the_error_of_a_message_is_its_refusal():
    assert unusable(Message("assistant", "up", error="two actions")) == "two actions"


@pytest.mark.parametrize("action", [None, 3, b"up", ["up"], {"role": "assistant"}, Message("user", "up")])
def test_what_is_not_an_action_raises(action):
    with pytest.raises(UsageError, match="expected"):
        unusable(action)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (None, ""),
        ("go", "> go\n"),
        (Message("assistant", "go"), "> go\n"),
        (Message("assistant", "", (ToolCall("a", {}), ToolCall("b", {}))), "> a, b\n"),
    ],
)
def test_a_turn_is_shown_with_what_was_said(action, said):
    assert show_turn(TASK, 3, 0.5, action, "there") == f"[train/0] turn 3, score 0.5\n{said}there"
    assert show_turn(None, 0, 0.0, action, "") == "(not started)"
