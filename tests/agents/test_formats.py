import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.formats import FORMATS, ToolFormat, choose, make_format
from palaestra.envs.formats.hermes import parse_message
from palaestra.envs.formats.react import ReActFormat
from palaestra.errors import UnknownNameError, UsageError
from palaestra.types import Message, ToolCall, ToolResult

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "move",
            "description": "Move an event.",
            "parameters": {
                "type": "object",
                "properties": {"event": {"type": "string"}, "day": {"type": "integer"}},
                "required": ["event", "day"],
            },
        },
    }
]
CALL = ToolCall("move", {"event": "lunch", "day": 3})


def said(text: str, *calls: ToolCall) -> Message:
    return Message("assistant", text, tool_calls=calls)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("json", 'ok {"thought": "why", "function_name": "move", "arguments": {"event": "lunch", "day": 3}}'),
        ("code", "```python\n# why\nmove('lunch', day=3)\n```"),
        ("react", 'Thought: why\nAction:\n{"name": "move", "arguments": {"event": "lunch", "day": 3}}'),
        ("react", 'Thought: why\nAction:\n```json\n{"name": "move", "arguments": {"event": "lunch", "day": 3}}\n```'),
    ],
)
def test_every_text_format_reads_the_same_call(name, text):
    played = make_format(name).read(said(text), TOOLS)
    assert played.tool_calls == (CALL,)
    assert played.reasoning == "why"
    assert played.raw == text
    assert not played.error


@pytest.mark.parametrize("name", ["json", "code", "react"])
def test_text_without_an_action_is_played_as_an_error(name):
    played = make_format(name).read(said("hm, no idea"), TOOLS)
    assert played.error
    assert played.raw == "hm, no idea"
    assert not played.tool_calls
    assert not played.content


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("json", '{"thought": "", "function_name": "final_answer", "arguments": {"answer": "done"}}'),
        ("code", "final_answer('done')"),
        ("react", "Thought: x\nAction: done"),
    ],
)
def test_a_final_answer_is_plain_content(name, text):
    played = make_format(name).read(said(text), TOOLS)
    assert (played.content, played.tool_calls) == ("done", ())


def test_react_plays_the_environments_own_text_where_there_are_no_tools():
    played = make_format("react").read(said("Thought: t\nAction: get 1 log"), [])
    assert (played.content, played.reasoning) == ("get 1 log", "t")


def test_react_may_be_told_to_play_text_although_there_are_tools():
    played = make_format(ReActFormat(calls=False)).read(said('Thought: t\nAction: {"name": "x"}'), TOOLS)
    assert played.content == '{"name": "x"}'


def test_native_calls_without_or_with_equal_ids_get_ids_of_their_own():
    played = ToolFormat().read(said("", CALL, ToolCall("move", {}, "a"), ToolCall("move", {}, "a")), TOOLS)
    ids = [call.id for call in played.tool_calls]
    assert ids[1] == "a"
    assert len(set(ids)) == 3
    assert all(ids)


def test_native_results_become_one_tool_message_per_call():
    played = ToolFormat().read(said("", CALL, CALL), TOOLS)
    info = {"tool_results": [ToolResult("move", "moved"), ToolResult("move", "no such day", "error")]}
    shown = ToolFormat().show(played, "both", info)
    assert [(m.role, m.content) for m in shown] == [("tool", "moved"), ("tool", "no such day")]
    assert [m.tool_call_id for m in shown] == [call.id for call in played.tool_calls]


def test_every_native_call_is_answered_even_if_the_environment_gave_no_results():
    played = ToolFormat().read(said("", CALL, CALL), TOOLS)
    assert [m.role for m in ToolFormat().show(played, "what?", {})] == ["tool", "tool"]


@pytest.mark.parametrize("name", ["tools", "json", "code"])
def test_formats_of_calls_refuse_environments_without_tools(name):
    with pytest.raises(UsageError, match="use 'react' or 'text'"):
        make_format(name).describe([])


@pytest.mark.parametrize("name", ["json", "code", "react"])
def test_descriptions_name_every_tool_and_argument(name):
    text = make_format(name).describe(TOOLS)
    for word in ("move", "event", "day"):
        assert word in text


def test_auto_takes_native_tools_where_there_are_some():
    assert choose("auto", TOOLS).name == "tools"
    assert choose("auto", []).name == "react"
    assert choose("auto", TOOLS, "text").name == "text"
    assert choose("auto", [], "text").name == "text"
    assert choose("react", TOOLS, "text").name == "react"


def test_unknown_format_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'react'"):
        make_format("reakt")


@given(text=st.text(), name=st.sampled_from(sorted(FORMATS)))
def test_any_text_of_a_model_can_be_read(text, name):
    played = make_format(name).read(said(text), TOOLS)
    assert played.role == "assistant"
    assert json.dumps(played.to_json())


@pytest.mark.parametrize("name", ["react", "json", "code", "hermes"])
def test_a_call_that_is_written_is_played_again(name):
    form = make_format(name)
    played = form.read(said(form.write(said("", CALL), TOOLS)), TOOLS)
    assert (played.content, played.tool_calls, played.error) == ("", (CALL,), "")


@pytest.mark.parametrize("name", ["text", "tools", "auto"])
def test_calls_of_other_formats_are_written_in_the_canonical_form(name):
    assert parse_message(make_format(name).write(said("", CALL), TOOLS)).tool_calls == (CALL,)


@pytest.mark.parametrize("name", ["json", "code"])
def test_a_final_answer_is_written_so_that_it_can_be_read(name):
    form = make_format(name)
    assert form.read(said(form.write(said("Done."), TOOLS)), TOOLS).content == "Done."


def test_a_written_answer_stays_as_it_is():
    for name, text in {"json": '{"function_name": "move", "arguments": {}}', "code": "move()", "react": "Action: go"}.items():
        assert make_format(name).write(said(text), TOOLS) == text


def test_thinking_that_the_server_reported_apart_is_kept():
    answer = Message("assistant", "Thought: aloud\nAction: go", reasoning="in private")
    assert make_format("react").read(answer, []).reasoning == "in private"
    assert make_format("react").read(said("Thought: aloud\nAction: go"), []).reasoning == "aloud"
