import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.core.actions import refused_results, show_turn, unusable
from palaestra.envs.core.tasks import Task
from palaestra.envs.formats.hermes import parse_message
from palaestra.errors import UsageError
from palaestra.spaces import MAX_ACTION_CHARS, ActionSpace
from palaestra.types import MAX_DEPTH, Message, ToolCall, is_deep

TASK = Task("train/0", "train")


@given(st.text(st.characters(), max_size=30))
def test_an_action_is_usable_exactly_if_its_space_contains_it(text):
    assert (unusable(text) is None) == ActionSpace().contains(text)
    assert (unusable(Message("assistant", text)) is None) == ActionSpace().contains(Message("assistant", text))


any_text = st.text(st.characters(codec=None), max_size=6)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)


def nested(depth, leaf=0):
    for _ in range(depth):
        leaf = [leaf]
    return leaf


def deepest(value):
    return (
        1 + max(map(deepest, value.values() if isinstance(value, dict) else value), default=0)
        if isinstance(value, (dict, list))
        else 0
    )


@given(any_text, any_text, st.dictionaries(any_text, any_json, max_size=3) | any_text, any_text)
def test_calls_are_usable_exactly_if_they_are_json_and_all_their_text_is_unicode(name, identifier, arguments, content):
    message = Message("assistant", content, (ToolCall("move", {}), ToolCall(name, arguments, identifier)))
    try:
        json.dumps([name, identifier, arguments, content], ensure_ascii=False, allow_nan=False).encode()
        is_usable = True
    except ValueError:  # half a surrogate pair, or a number that JSON does not have
        is_usable = False
    assert (unusable(message) is None) == is_usable == ActionSpace().contains(message)


@pytest.mark.parametrize("depth", [1, 63, 64, 65, 300, 900, 990, 10_000])
def test_arguments_are_usable_down_to_a_depth(depth):
    is_usable = depth + 1 <= MAX_DEPTH
    message = Message("assistant", "", (ToolCall("move", {"n": nested(depth)}),))
    assert (unusable(message) is None) == is_usable == ActionSpace().contains(message)
    assert is_deep({"n": nested(depth)}) != is_usable
    text = f'<tool_call>\n{{"name": "move", "arguments": {{"n": {"[" * depth}{"]" * depth}}}}}\n</tool_call>'
    read = parse_message(text)
    assert is_usable == (read.tool_calls[0].name == "move")


@given(any_json)
def test_is_deep_counts_levels(value):
    room = MAX_DEPTH - deepest(value)
    assert not is_deep(nested(room, value))
    assert is_deep(nested(room + 1, value)) == (deepest(value) > 0 or room + 1 > MAX_DEPTH)


def test_what_is_large_or_endless_is_refused_without_looking_at_all_of_it():
    shared, endless = [0], [0]
    for _ in range(60):
        shared = [shared, shared]
    endless.append(endless)
    assert "nested deeper" in unusable(Message("assistant", "", (ToolCall("move", {"n": endless}),)))
    start = time.process_time()
    for value in (shared, "x" * 10**8, [None] * 10**7, {str(i): i for i in range(10**5)}, ["x" * 10**4] * 10**5):
        assert "larger than 100000 characters" in (unusable(Message("assistant", "", (ToolCall("move", {"n": value}),))) or "")
    assert time.process_time() - start < 5  # seconds, where looking at everything takes for ever


def test_the_size_of_a_message_is_that_of_its_content_and_its_calls():
    def message(content, argument):
        return Message("assistant", "x" * content, (ToolCall("move", {"n": "x" * argument}, "1"),))

    overhead = len("move") + len("1") + len("n") + 4  # one for each value: name, id, arguments, and the argument
    for content in (0, 10, MAX_ACTION_CHARS - overhead):
        argument = MAX_ACTION_CHARS - overhead - content
        assert unusable(message(content, argument)) is None
        assert "larger than" in unusable(message(content, argument + 1))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n": 10**5000}, "too many digits"),
        ({"n": {1, 2}}, "is a set, which is not JSON"),
        ({"n": b"x"}, "is a bytes"),
        ({"n": {1: 2}}, "a key that is not a text"),
        ({"n": object()}, "is a object"),
    ],
)
def test_what_is_not_json_is_refused(arguments, says):
    message = Message("assistant", "", (ToolCall("move", arguments),))
    assert says in unusable(message)
    assert message not in ActionSpace()


def test_a_refusal_can_be_said():
    assert unusable(Message("assistant", "up", error="no \ud800")) == "no \\ud800"
    results = refused_results([ToolCall("\ud800", {}, "1"), ToolCall("move", {}, "\udfff")], "No.")
    assert [(r.name, r.call_id, r.status) for r in results] == [
        ("\\ud800", "1", "invalid_arguments"),
        ("move", "\\udfff", "invalid_arguments"),
    ]


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
