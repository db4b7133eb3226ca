import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.formats import ACTION_FORMATS
from palaestra.envs.formats.action_format import ActionFormatError, CallFormat
from palaestra.envs.formats.json_call import format_json_call, parse_json_call
from palaestra.types import Message, ToolCall

TAKE = {"type": "object", "properties": {"item": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "take", "description": "Take.", "parameters": TAKE}}]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(thought=st.text(), arguments=st.dictionaries(st.text(), json_values, max_size=4))
def test_json_call_round_trip_with_prose_around(thought, arguments):
    call = ToolCall("take", arguments)
    text = format_json_call(thought, call)
    assert parse_json_call(f"Sure:\n```json\n{text}\n```") == (thought, call)


@pytest.mark.parametrize("name", [name for name, form in ACTION_FORMATS.items() if isinstance(form, CallFormat)])
@pytest.mark.parametrize("thought", ["", "Hm."])
@pytest.mark.parametrize("reasoning", ["", "Long ago."])
def test_a_call_and_a_final_answer_keep_what_was_thought(name, thought, reasoning):
    form = ACTION_FORMATS[name]
    tags = f"<think>{reasoning}</think>" if reasoning else ""
    thoughts = "\n\n".join(text for text in (reasoning, thought) if text)
    call = form.parse(tags + form.write_call(thought, ToolCall("take", {"item": "a"})), TOOLS)
    assert call == Message("assistant", "", (ToolCall("take", {"item": "a"}),), reasoning=thoughts)
    if not form.answers:
        return
    for answer, content in (("Done.", "Done."), (["a", 1], '["a", 1]'), (None, "null")):
        read = form.parse(tags + form.write_call(thought, ToolCall("final_answer", {"answer": answer})), TOOLS)
        assert read == Message("assistant", content, reasoning=thoughts)


def test_an_action_that_react_writes_as_a_call_is_one():
    react = ACTION_FORMATS["react"]
    calls = [
        '{"function_name": "take", "arguments": {"item": "a"}}',
        '`{"function_name": "take", "arguments": {"item": "a"}}`',
    ]
    calls += ["take(item='a')", 'take\nAction Input: {"item": "a"}']
    for written in calls:
        read = react.parse(f"<think>Long ago.</think>Thought: Hm.\nAction: {written}", TOOLS)
        assert read == Message("assistant", "", (ToolCall("take", {"item": "a"}),), reasoning="Long ago.\n\nHm."), written
    assert react.parse("Thought: Hm.\nAction: go north", TOOLS) == Message("assistant", "go north", reasoning="Hm.")
    with pytest.raises(ActionFormatError):
        react.parse("Thought: Hm.\nAction: take(item='a')\ntake(item='b')", TOOLS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no object", "No JSON object was found"),
        ("{'a': 1}", "could not be read"),
        ('{"thought": "x"}', 'no "function_name"'),
        ('{"function_name": "f", "arguments": [1]}', "expected an object"),
        ('{"function_name": "", "arguments": {}}', 'no "function_name"'),
        ("[" * 100_000 + "{}", "function_name"),
        ("{" * 5_000 + "}", "could not be read"),
    ],
)
def test_json_call_says_what_is_wrong(text, message):
    with pytest.raises(ActionFormatError, match=message):
        parse_json_call(text)
