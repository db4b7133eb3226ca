import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.formats.published import (
    ActionFormatError,
    format_code_call,
    format_json_call,
    format_react,
    parameter_names,
    parse_code_call,
    parse_json_call,
    parse_react,
    signature,
)
from palaestra.types import ToolCall

KNOWN = {"goto": ["place"], "take": ["item", "place"], "look": []}
SCHEMA = {
    "type": "function",
    "function": {
        "name": "take",
        "description": "Take an item.",
        "parameters": {
            "type": "object",
            "properties": {
                "item": {"type": "string", "description": "What to take."},
                "count": {"type": "integer", "default": 1},
                "kind": {"enum": ["big", "small"]},
            },
            "required": ["item", "kind"],
        },
    },
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


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
def test_react_splits_at_the_last_action_marker(text, thought, action):
    assert parse_react(text) == (thought, action)


@given(thought=st.text(), action=st.text())
def test_react_round_trip(thought, action):
    if "Action:" in action or "Thought:" in thought or not action.strip():
        return
    assert parse_react(format_react(thought, action)) == (thought.strip(), action.strip())


@given(thought=st.text(), arguments=st.dictionaries(st.text(), json_values, max_size=4))
def test_json_call_round_trip_with_prose_around(thought, arguments):
    call = ToolCall("take", arguments)
    text = format_json_call(thought, call)
    assert parse_json_call(f"Sure:\n```json\n{text}\n```") == (thought, call)


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


identifiers = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


@given(thought=st.text(alphabet="abc ,.", max_size=40), values=st.lists(json_values, min_size=2, max_size=2))
def test_code_call_round_trip(thought, values):
    call = ToolCall("take", dict(zip(["item", "place"], values, strict=True)))
    parsed = parse_code_call(format_code_call(thought, call), KNOWN)
    assert parsed.call == call


def test_code_call_binds_positions_to_names_and_reads_comments():
    thought, call = parse_code_call("```python\n# first\n# second\ntake('cup', place='shelf')\n```", KNOWN)
    assert thought == "first\nsecond"
    assert call == ToolCall("take", {"item": "cup", "place": "shelf"})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("```python\nlook()\n```\n```python\nlook()\n```", "2 code blocks"),
        ("import os", "expected exactly one call"),
        ("look(); look()", "2 statements"),
        ("__import__('os').system('true')", "expected exactly one call"),
        ("rm('x')", "Unknown function 'rm'"),
        ("take(open('x'), 'y')", "must be a literal"),
        ("take(*['a'])", "must be a literal"),
        ("take(**{'item': 1})", "not allowed"),
        ("take('a', item='b')", "got 'item' twice"),
        ("take(1, 2, 3)", "takes 2 arguments"),
        ("take({1}, 2)", "must be a literal"),
        ("look(", "could not be read"),
        ("x = look()", "expected exactly one call"),
        ("look\x00()", "could not be read"),
    ],
)
def test_code_call_refuses_everything_but_one_literal_call(code, message):
    with pytest.raises(ActionFormatError, match=message):
        parse_code_call(code, KNOWN)


@given(st.text())
def test_parsers_never_fail_in_another_way(text):
    parse_react(text)
    for parse in (parse_json_call, lambda t: parse_code_call(t, KNOWN)):
        with contextlib.suppress(ActionFormatError):
            parse(text)


def test_signature_shows_types_defaults_and_descriptions():
    text = signature(SCHEMA)
    assert text.startswith("def take(item: str, count: int = 1, kind: Literal['big', 'small']):")
    assert "What to take." in text
    assert parameter_names([SCHEMA]) == {"take": ["item", "count", "kind"]}
    assert json.dumps(SCHEMA)
