"""Values of arguments as models write them: bare text by its schema, Python's literals, Gemma's notation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.formats.call_values import MAX_PYTHON_CHARS, read_gemma_object, read_python_calls, typed_value
from palaestra.types import MAX_DEPTH, Json, ToolCall

bare = st.sampled_from(["5", "1.5", "true", "True", "null", "None", "[1]", '{"a": 1}', '"x"', "x", "", " 5 ", "NaN", "1e999"])
READ: dict[str, Json] = {"5": 5, "1.5": 1.5, "true": True, "null": None, "[1]": [1], '{"a": 1}': {"a": 1}, '"x"': "x"}
READ |= {"True": True, "None": None}
KINDS = ["string", "integer", "null", "array", "boolean"]


def schemas_of(kinds: list[str]) -> list[dict[str, Any]]:
    """Return the ways to say that a value is of one of these types."""
    single = [{"type": kind} for kind in kinds]
    return [
        *(single if len(kinds) == 1 else []),
        {"type": kinds},
        {"anyOf": single},
        {"oneOf": [True, *single]},
        {"anyOf": [single[0]], "oneOf": single[1:]},
        {"type": kinds[0], "anyOf": single[1:]},
        {"anyOf": [{"type": kinds}]},
    ]


@given(bare, st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True), st.integers(0, 6))
def test_a_text_stays_one_where_a_text_is_allowed_and_is_read_elsewhere(text: str, kinds: list[str], way: int) -> None:
    made = schemas_of(kinds)
    found = typed_value(text, made[way % len(made)])
    word = text.strip()
    if "string" in kinds and not (word in ("null", "None") and "null" in kinds):
        assert found == text
        assert isinstance(found, str)
    else:
        expected = READ.get(word, text)
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("schema", [None, {}, True, {"type": 3}, {"enum": [1, None]}, {"anyOf": None}, {"description": "x"}])
@pytest.mark.parametrize("text", [*READ, "x", "", "NaN"])
def test_a_text_whose_type_is_not_known_is_read_if_it_can_be(schema: Any, text: str) -> None:
    assert typed_value(text, schema) == READ.get(text, text)


def test_choices_say_what_is_allowed() -> None:
    assert typed_value("5", {"enum": ["5", "6"]}) == "5"
    assert typed_value("5", {"anyOf": [{"enum": ["5"]}, {"type": "integer"}]}) == "5"
    assert typed_value("5", {"enum": [5, 6]}) == 5
    assert typed_value("5", {"type": "integer", "enum": ["5"]}) == 5
    deep = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    assert typed_value(deep, {"type": "array"}) == deep
    assert typed_value(deep[1:-1], {"type": "array"}) == json.loads(deep[1:-1])


literals = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["find", "a.b", "a.b.c_1"])
arguments = st.dictionaries(st.sampled_from(["x", "y", "z"]), literals, max_size=3)
SCHEMAS: dict[str, Any] = {"find": {"x": {}, "y": {}, "z": {}}, "a.b": {"x": {}}, "a.b.c_1": {}, "go.call": {}}


def code(value: Json) -> str:
    """Write a literal, its constants as JSON has them."""
    if isinstance(value, list):
        return f"[{', '.join(map(code, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {code(item)}" for key, item in value.items()) + "}"
    return repr(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else json.dumps(value)


@given(st.lists(st.tuples(names, arguments), min_size=1, max_size=3), st.booleans(), st.sampled_from(["", " then", ")"]))
@settings(max_examples=60)
def test_calls_in_python_are_read_with_constants_of_either_language(
    calls: list[tuple[str, dict[str, Json]]], as_json: bool, after: str
) -> None:
    written = [
        f"{name}({', '.join(f'{key}={(code if as_json else repr)(v)}' for key, v in given.items())})" for name, given in calls
    ]
    expected = tuple(ToolCall(name, given) for name, given in calls)
    text = f"[{', '.join(written)}]"
    assert read_python_calls(f"ab {text}{after}", 2, SCHEMAS) == (expected, len(text) + 3)
    assert read_python_calls(written[0] + after, 0, SCHEMAS) == (expected[:1], len(written[0]))


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("find(1, 'b')", ToolCall("find", {"x": 1, "y": "b"})),
        ("find(1, z=(2, 3))", ToolCall("find", {"x": 1, "z": [2, 3]})),
        ("find.call(x=1)", ToolCall("find", {"x": 1})),
        ("go.call()", ToolCall("go.call", {})),
        ("unknown(x=-1)", ToolCall("unknown", {"x": -1})),
        ("find(x='a)', y=\"(\\\"'\")", ToolCall("find", {"x": "a)", "y": "(\"'"})),
        ("find(x={'a': {'b': null}}, y='\\\\')", ToolCall("find", {"x": {"a": {"b": None}}, "y": "\\"})),
        ("find(x='\\d')", ToolCall("find", {"x": "\\d"})),
    ],
)
def test_values_without_a_name_go_by_their_order(text: str, call: ToolCall) -> None:
    assert read_python_calls(text, 0, SCHEMAS) == ((call,), len(text))


@pytest.mark.parametrize(
    "text",
    [
        "", "find", "find(", "find)", "find(x=1", "find(x='a)", "[]", "[find]", "1()", "'a'.b()", "find(x=y)", "find(*[1])",
        "find(**{'x': 1})", "find(1, 2, 3, 4)", "unknown(1)", "find(1, x=2)", "find(x=1, x=2)", "find(x={1: 2})",
        "find(x={**y})", "find(x=b'a')", "find(x={1, 2})", "find(x=1j)", "find(x=...)", "find(x=1e999)", "find(x=f())",
        "[find(), 1]", "lambda: (1)", "find(x=" + "[" * MAX_DEPTH + "]" * MAX_DEPTH + ")",
        "find(x='" + "a" * MAX_PYTHON_CHARS + "')",
    ],
)  # fmt: skip
def test_what_is_no_call_with_literals_is_not_read(text: str) -> None:
    assert read_python_calls(text, 0, SCHEMAS) is None


def test_python_is_read_up_to_its_deepest_level_and_longest_text() -> None:
    depth = MAX_DEPTH - 1
    text = "find(x=" + "[" * depth + "]" * depth + ")"
    assert read_python_calls(text, 0, SCHEMAS) is not None
    text = "find(x='')"
    longest = f"find(x='{'a' * (MAX_PYTHON_CHARS - len(text))}')"
    assert read_python_calls(longest, 0, SCHEMAS) is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ('{a:1,b:<|"|>x,y}<|"|>}', {"a": 1, "b": "x,y}"}),
        ('{ a : 1 , <|"|>b c<|"|>:true, "d:e": null }', {"a": 1, "b c": True, "d:e": None}),
        ('{a:["x, y",z w,[]],b:{c:{}}}', {"a": ["x, y", "z w", []], "b": {"c": {}}}),
        ("{a:1.5,b:-2,c:word}", {"a": 1.5, "b": -2, "c": "word"}),
        ("{a:1}", {"a": 1}),
        ("{a:[1,],}", {"a": [1]}),
    ],
)
def test_gemmas_objects_are_read_where_they_stand(text: str, value: Json) -> None:
    assert read_gemma_object(f"call:f{text}<tool_call|>", 6) == (value, 6 + len(text))


@pytest.mark.parametrize(
    "text",
    ["", "x", "[1]", "{a}", "{a:}", "{a:1", "{a:1 b:2", '{a:<|"|>x}', '{a:"x}', "{:1}", "{a:1\n,b:}", "{a:[1}", '{a:"x"y}'],
)
def test_what_is_no_object_of_gemmas_is_not_read(text: str) -> None:
    assert read_gemma_object(text, 0) is None


def test_gemmas_objects_are_read_up_to_their_deepest_level() -> None:
    depths = [depth for depth in range(1, 99) if read_gemma_object("{a:" * depth + "1" + "}" * depth, 0) is not None]
    assert depths == list(range(1, MAX_DEPTH + 1))
