"""Calls that are written as XML: named by the tag, by any key of a name, or inside; what is no argument is a doubt."""

from typing import Any

import pytest

from palaestra.envs.formats.attempt_readers import ARGUMENT_KEYS, NAME_KEYS, Doubt
from palaestra.envs.formats.attempt_xml import read_xml
from palaestra.types import ToolCall

KNOWN = {"take": {"item": {"type": "string"}, "count": {"type": "integer"}}, "look": {}}
TAKE = ToolCall("take", {"item": "key", "count": 2})


def calls(text: str) -> Any:
    found = read_xml(text, KNOWN)
    return None if found is None else found.calls


@pytest.mark.parametrize("key", NAME_KEYS)
@pytest.mark.parametrize("prefix", ["", "functions."])
def test_a_tool_is_named_by_any_attribute_of_a_name(key: str, prefix: str) -> None:
    assert calls(f'a <invoke {key}="{prefix}take" item="key" count="2" other="x"/> b') == (TAKE,)
    assert calls(f'<x {key}="{prefix}take"><item>key</item><count>2</count></x>') == (TAKE,)
    assert calls(f'<x {key}="{prefix}rob" item="key"/>') is None


@pytest.mark.parametrize("part", ["param", "parameter", "arg", "argument", "input", "property"])
def test_arguments_are_elements_by_name_or_parts_with_a_name(part: str) -> None:
    assert calls(f'<take><{part} name="item">key</{part}><count>2</count></take>') == (TAKE,)


@pytest.mark.parametrize("key", ARGUMENT_KEYS)
def test_arguments_may_stand_together_or_as_json(key: str) -> None:
    assert calls(f"<take><{key}><item>key</item><count>2</count></{key}></take>") == (TAKE,)
    assert calls(f'<take><{key}>{{"item": "key", "count": 2}}</{key}></take>') == (TAKE,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<take item="key" count="2"/>', (TAKE,)),
        ("<take item='key' count=2 ></take>", (TAKE,)),
        ("<ns:take><item>\nkey\n</item><count>2</count></ns:take>", (TAKE,)),
        ('<take>{"item": "key", "count": 2}</take>', (TAKE,)),
        ('<take item="a"/> and <look/>', (ToolCall("take", {"item": "a"}), ToolCall("look", {}))),
        ("<take><item>key</item>", None),
        ("<take >", None),
        ("no call", None),
        ("<b>bold</b>", None),
    ],
)
def test_forms_of_elements(text: str, expected: Any) -> None:
    assert calls(text) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("<take>some words</take>", "what stands in the call of 'take'"),
        ("<take><item>key</item> and more</take>", "what stands in the call of 'take'"),
        ('<take>{"item": </take>', "the input of 'take' is not a JSON object"),
        ('<take>{"item": "key"} more</take>', "the input of 'take' is not a JSON object"),
    ],
)
def test_what_is_not_an_argument_is_a_doubt(text: str, named: str) -> None:
    with pytest.raises(Doubt, match=named):
        read_xml(text, KNOWN)
