import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.formats.action_format import ActionFormatError
from palaestra.envs.formats.react import ReActFormat, format_react, parse_react
from palaestra.errors import UnknownNameError
from palaestra.types import Message, ToolCall

TOOLS = [{"type": "function", "function": {"name": "move", "description": "", "parameters": {"properties": {"day": {}}}}}]
PARTS = ("Thought:", "Action:", "get 1 log", " ", "\n", "\n\n", "**x.**", "é", "$", "search[")
MARKED = st.lists(st.sampled_from(PARTS), max_size=9).map("".join)


@pytest.mark.parametrize(
    ("text", "thought", "action"),
    [
        ("Thought: go on\nAction: go north", "go on", "go north"),
        ("Thought:\nI say Action: twice\n\nAction:\nopen door", "I say Action: twice", "open door"),
        ("just words", "just words", ""),
        ("I will search[red shoes]", "", "I will search[red shoes]"),
        ("click[Buy Now]", "", "click[Buy Now]"),
        ("Action: x", "", "x"),
        ("", "", ""),
    ],
)
def test_the_last_action_counts(text, thought, action):
    assert parse_react(text) == (thought, action)


@given(thought=st.text(), action=st.text())
def test_what_is_written_is_read_again(thought, action):
    if "Action:" in action or "Thought:" in thought or not action.strip():
        return
    assert parse_react(format_react(thought, action)) == (thought.strip(), action.strip())


@pytest.mark.parametrize(
    ("text", "thought", "action"),
    [
        ("Thought: a\nAction: b\nAction: c", "a", "b\nAction: c"),
        ("Action: b", "", "b"),
        ("no marker", "no marker", ""),
    ],
)
def test_the_first_action_counts_where_servers_read_so(text, thought, action):
    assert parse_react(text, marker="first") == (thought, action)


def published_command(text: str) -> str | None:
    """The reading of AgentGym's TextCraft client, written a second time; None for a refusal."""
    found = re.findall(r"Action:\s*(.*?)(?=\n|$)", text, re.DOTALL)
    if len(found) > 1:
        return None
    kept = "".join(c for c in (found or [""])[0] if c in ", " or (c.isascii() and c.isalnum()))
    return re.sub(" +", " ", kept).strip(" ")


@given(MARKED)
def test_the_only_action_is_read_as_the_published_client_does(text):
    wanted = published_command(text)
    if wanted is None:
        with pytest.raises(ActionFormatError, match="Only one 'Action' is allowed"):
            parse_react(text, marker="only", sanitise=True)
    else:
        assert parse_react(text, marker="only", sanitise=True).action == wanted


@pytest.mark.parametrize("text", ["Action: a\nAction: b", "Action: a\n\nThought: no\nAction: b\nAction: c"])
def test_several_actions_are_refused_where_only_one_is_read(text):
    for sanitise in (False, True):
        with pytest.raises(ActionFormatError, match="Only one 'Action' is allowed"):
            parse_react(text, marker="only", sanitise=sanitise)


@pytest.mark.parametrize(
    ("text", "thought", "action"),
    [
        ("Thought: t\nAction: get 1 log\nObservation: none", "t", "get 1 log"),
        ("Action: a Action: b", "", "a Action: b"),  # one line is one action
        ("Thought: t\n\nAction:\n\n  **get 1   log.**\n", "t", "**get 1   log.**"),
    ],
)
def test_the_only_action_is_a_line(text, thought, action):
    assert parse_react(text, marker="only") == (thought, action)


@given(MARKED)
def test_the_readings_agree_on_a_text_of_the_form_asked_for(text):
    well_formed = format_react(text.replace("Action:", "").replace("Thought:", ""), "get 1 oak log")
    for marker in ("last", "first", "only"):
        for sanitise in (False, True):
            assert parse_react(well_formed, marker=marker, sanitise=sanitise).action == "get 1 oak log"


def test_an_answer_without_an_action_is_refused_unless_the_servers_play_what_remains():
    with pytest.raises(ActionFormatError, match="No action was found"):
        ReActFormat().parse("I think.")
    assert ReActFormat(marker="only", sanitise=True).parse("I think.") == Message("assistant", "", reasoning="I think.")


def test_calls_are_read_where_there_are_tools_unless_told_otherwise():
    text = 'Thought: t\nAction: {"name": "move", "arguments": {"day": 1}}'
    call = Message("assistant", "", (ToolCall("move", {"day": 1}),), reasoning="t")
    assert ReActFormat().parse(text, TOOLS) == ReActFormat(calls=True).parse(text) == call
    assert ReActFormat(calls=False).parse(text, TOOLS).content == ReActFormat().parse(text).content == text[19:]


def test_the_form_is_described_as_it_is_read():
    assert "move" in ReActFormat().describe(TOOLS)
    assert "move" not in ReActFormat(calls=False).describe(TOOLS)


def test_an_unknown_marker_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'first'"):
        ReActFormat(marker="frist")
