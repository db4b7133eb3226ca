import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.formats.action_format import ActionFormatError
from palaestra.envs.formats.json_call import format_json_call, parse_json_call
from palaestra.types import ToolCall

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
