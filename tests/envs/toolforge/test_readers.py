"""How the published profile reads messages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.toolforge.readers import PARSERS, read_published, text_of_arguments
from palaestra.types import Message, ToolCall

CALL = {"name": "f", "arguments": {"x": 1}}


@pytest.mark.parametrize(
    ("text", "parser", "content", "calls"),
    [
        ("hello <|im_end|>", "tags", "hello", []),
        (f"a<tool_call>{json.dumps(CALL)}</tool_call>", "auto", "a", [ToolCall("f", {"x": 1})]),
        ('<tool_call>{"name": 5, "arguments": "[1]"}</tool_call>', "tags", "", [ToolCall("5", "[1]")]),
        (json.dumps(CALL), "json", "", [ToolCall("f", {"x": 1})]),
        (json.dumps([CALL, CALL]), "json", "", [ToolCall("f", {"x": 1})] * 2),
        ("[]", "json", "[]", []),
        ('{"name": "f"}', "json", '{"name": "f"}', []),
        ("1931", "json", "1931", []),
        (json.dumps({"content": "a", "tool_calls": [{"function": CALL}]}), "openai", "a", [ToolCall("f", {"x": 1})]),
        (json.dumps({"content": "a"}), "openai", "a", []),
        ('{"tool_calls": [{}]}', "openai", '{"tool_calls": [{}]}', []),
        ("a", "openai", "a", []),
    ],
)
def test_readings(text, parser, content, calls):
    reading = read_published(text, parser)
    assert (reading.content, list(reading.calls)) == (content, calls)


def test_lost_blocks_and_marks_are_named():
    reading = read_published(f"<tool_call>{json.dumps(CALL)}</tool_call> and <tool_call>{{bad</tool_call>", "auto")
    assert len(reading.calls) == 1
    assert reading.errors == ("1 of 2 blocks between <tool_call> and </tool_call> could not be read",)
    assert not reading.is_malformed
    assert read_published("</tool_call>", "auto").is_malformed


def test_native_calls_are_taken_as_they_are():
    message = Message("assistant", "a", (ToolCall("f", "{bad"),))
    assert read_published(message, "json").calls == message.tool_calls
    assert text_of_arguments(message.tool_calls[0]) == "{bad"
    assert text_of_arguments(ToolCall("f", {"é": 1})) == '{"é": 1}'


@given(st.text(st.sampled_from('<tool_call>{}":,/[] \\ud8anmeruts5'), max_size=60), st.sampled_from(PARSERS))
def test_any_text_can_be_read(text, parser):
    reading = read_published(text, parser)
    assert all(isinstance(call.name, str) for call in reading.calls)
    assert all(isinstance(text_of_arguments(call), str) for call in reading.calls)
