"""Calls that a reader returns hold JSON and nothing else, whatever the form they were written in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.wire import message_to_wire, read_arguments
from palaestra.agents.store.records import written
from palaestra.envs.formats.action_format import ActionFormatError
from palaestra.envs.formats.hermes import explain_malformed, format_message, parse_message
from palaestra.envs.formats.hermes_format import HermesFormat
from palaestra.envs.formats.json_call import JsonCallFormat
from palaestra.envs.formats.python_call import PythonCallFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.spaces import calls_problem
from palaestra.types import Message, Step, ToolCall, Trajectory
from palaestra.types.plain_json import strict_json, strict_text

TOOLS = [
    {
        "type": "function",
        "function": {"name": "take", "parameters": {"type": "object", "properties": {"item": {}, "place": {}}}},
    }
]
HERMES, CODE = HermesFormat(), PythonCallFormat()
JSON_FORMS = {
    "json": (JsonCallFormat(), '{{"function_name": "take", "arguments": {{"item": {}}}}}'),
    "react": (ReActFormat(), 'Thought:\nx\n\nAction:\n{{"function_name": "take", "arguments": {{"item": {}}}}}'),
    "code": (CODE, "```python\ntake({})\n```"),
    "hermes": (HERMES, '<tool_call>\n{{"name": "take", "arguments": {{"item": {}}}}}\n</tool_call>'),
    "hermes, as text": (HERMES, '<tool_call>\n{{"name": "take", "arguments": "{{\\"item\\": {}}}"}}\n</tool_call>'),
}
NO_JSON = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[1, 1e999]"]

atoms = st.sampled_from(
    [
        "1",
        "-0.0",
        "1e308",
        *NO_JSON,
        "True",
        "true",
        "None",
        "null",
        "'a'",
        "b'a'",
        "1j",
        "(1, 2)",
        "()",
        "{1}",
        "0x1f",
        "-(1)",
    ]
)
atoms |= st.text(max_size=4).map(json.dumps) | st.text(max_size=4).map(repr)
keys = atoms | st.sampled_from(["'a'", '"a"', "'\\x61'", "'a' ''"])
literals = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, max_size=3).map(lambda items: f"({', '.join(items)},)"),
        st.lists(st.tuples(keys, inner), max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=6,
)


@given(st.sampled_from(list(JSON_FORMS)), literals)
def test_whatever_a_reader_returns_has_the_canonical_text_form(form, literal):
    reader, text = JSON_FORMS[form]
    try:
        message = reader.parse(text.format(literal), TOOLS)
    except ActionFormatError:
        return
    for call in message.tool_calls:
        arguments = call.arguments if isinstance(call.arguments, str) else dict(call.arguments)
        assert json.loads(json.dumps(arguments, allow_nan=False)) == arguments
    message = replace(message, raw="", error="")
    assert parse_message(format_message(message)) == message


@pytest.mark.parametrize("number", NO_JSON)
@pytest.mark.parametrize("form", list(JSON_FORMS))
def test_no_reader_takes_numbers_that_json_does_not_have(form, number):
    reader, text = JSON_FORMS[form]
    text = text.format(number)
    told = "must be a literal|number that is too large; write a finite one|(is not JSON|is too large for a number).*Send one"
    if reader is HERMES:
        (call,) = reader.parse(text, TOOLS).tool_calls
        assert isinstance(call.arguments, str)
        if not call.name:
            assert "This call is not valid JSON: " in explain_malformed(call)
        return
    with pytest.raises(ActionFormatError, match=told):
        reader.parse(text, TOOLS)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("take((1, 2))", "item holds a tuple; write a list"),
        ("take([1, [()]])", "item holds a tuple; write a list"),
        ("take(1, place={'a': (1,)})", "place holds a tuple"),
        ("take({1: 2})", "key that is not text; write every key in quotes"),
        ("take({None: 2})", "key that is not text"),
        ("take([{True: 2}])", "key that is not text"),
        ("take({'a': 1, 'a': 2})", "a key twice; write every key once"),
        ("take({'a': {'b': 1, '\\x62': 2}})", "a key twice"),
        ("take(1e999)", "item holds a number that is too large; write a finite one."),
        ("take([-1e999])", "item holds a number that is too large; write a finite one."),
        ("take(1, '\\ud83d\\ude00')", "place holds a character as two halves of a surrogate pair; write the character."),
        ("take({'\\ud83d\\ude00': 1})", "item holds a character as two halves of a surrogate pair; write the character."),
    ],
)
def test_python_that_json_does_not_have_is_refused_with_advice(code, told):
    with pytest.raises(ActionFormatError, match=told):
        CODE.parse(code, TOOLS)
    assert CODE.parse("take([1, {'a': [], 'b': {}}], place=-1.5)", TOOLS) == Message(
        "assistant",
        "",
        (parse_message(JSON_FORMS["hermes"][1].format('[1, {"a": [], "b": {}}], "place": -1.5')).tool_calls[0],),
    )


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
def test_arguments_that_a_server_sends_are_json_too(number):
    text = f'{{"item": [{number}]}}'
    assert read_arguments(text) == text
    assert isinstance(read_arguments(json.loads(text)), str)


numbers = st.floats() | st.sampled_from([float("inf"), float("-inf"), float("nan"), 1e308, -0.0])
loose = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def is_finite(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@given(loose)
def test_whatever_leaves_is_strict_json_and_what_is_strict_is_unchanged(value):
    text = strict_text(value)
    assert is_finite(strict_json(text))
    assert not is_finite(value) or text == json.dumps(value)


@given(st.dictionaries(st.text(max_size=3), loose, max_size=3))
def test_calls_with_numbers_that_json_does_not_have_are_refused_and_never_sent_or_stored(arguments):
    call = ToolCall("take", arguments, "c1")
    assert bool(calls_problem([call])) == (not is_finite(arguments))
    sent = message_to_wire(Message("assistant", "", (call,)))["tool_calls"][0]["function"]["arguments"]
    assert is_finite(strict_json(sent))
    step = Step("o", Message("assistant", "", (call,)), info={"x": arguments})
    stored = written(Trajectory("e", "x/E-v0", {"key": "t"}, steps=(step,)))
    assert is_finite(strict_json(stored))


@pytest.mark.parametrize("inner", ['{"a": 1, "a": 2}', '{"x": {"a": 1, "a": 1}}', '{"x": [{"a": 1, "b": 2, "a": 3}]}'])
def test_a_key_twice_makes_a_call_unreadable_and_the_key_is_named(inner):
    for lenient in (False, True):
        (call,) = parse_message(
            f'<tool_call>\n{{"name": "f", "arguments": {inner}}}\n</tool_call>', lenient=lenient
        ).tool_calls
        assert call.name == ""
        assert "the key 'a' stands twice in one object; write every key once" in explain_malformed(call)
    with pytest.raises(ActionFormatError, match="the key 'a' stands twice in one object"):
        JsonCallFormat().parse(f'{{"thought": "", "function_name": "f", "arguments": {inner}}}', TOOLS)
