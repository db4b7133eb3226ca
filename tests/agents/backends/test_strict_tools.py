from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palaestra  # noqa: F401  registers the environments
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.strict_tools import _NOT_STRICT, strict_function, strict_parameters, without_nulls
from palaestra.agents.core import Request
from palaestra.errors import UsageError
from palaestra.types import Message, ToolCall

jsonschema_rs = pytest.importorskip("jsonschema_rs")

leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": ["number", "null"]},
        {"enum": ["a", "b"], "type": "string"},
        {"const": 3},
    ]
)
names = st.sampled_from(["a", "b", "c", "d"])


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def made(properties: dict[str, Any], required: set[str]) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "required": sorted(required & set(properties))}

    return st.builds(made, st.dictionaries(names, inner, max_size=4), st.sets(names))


schemas = objects(
    st.recursive(
        leaves,
        lambda inner: (
            objects(inner)
            | st.builds(lambda items: {"type": "array", "items": items}, inner)
            | st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner)
        ),
        max_leaves=6,
    )
)


def value_of(schema: dict[str, Any], choose: Any) -> Any:
    """Draw a value that fits a strict schema, as a server that holds to it makes the model write one."""
    if "anyOf" in schema:
        return value_of(choose(st.sampled_from(schema["anyOf"])), choose)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return choose(st.sampled_from(schema["enum"]))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = choose(st.sampled_from(kinds))
    if kind == "object":
        return {name: value_of(inner, choose) for name, inner in schema["properties"].items()}
    if kind == "array":
        return [value_of(schema["items"], choose) for _ in range(choose(st.integers(0, 2)))]
    return {"string": "x", "integer": 1, "number": 0.5, "null": None}[kind]


def no_any_of(schema: Any) -> bool:
    return "anyOf" not in json.dumps(schema)


@settings(max_examples=200, deadline=None)
@given(schemas, st.data())
def test_what_fits_the_strict_schema_fits_the_tools_own_without_its_nulls(schema: dict[str, Any], data: st.DataObject) -> None:
    strict = strict_parameters(schema)
    assert strict is not None
    jsonschema_rs.meta.validate(strict)
    value = value_of(strict, data.draw)
    assert jsonschema_rs.is_valid(strict, value)
    tool = {"type": "function", "function": {"name": "t", "parameters": schema}}
    read = without_nulls(Message("assistant", "", (ToolCall("t", value, "c"),)), [tool]).tool_calls[0].arguments
    if no_any_of(schema):  # which of several a value was meant for cannot be told
        assert jsonschema_rs.is_valid(schema, read), (value, read)


def closed(schema: Any) -> bool:
    """Whether every object requires all it has and takes nothing else."""
    if isinstance(schema, list):
        return all(map(closed, schema))
    if not isinstance(schema, dict):
        return True
    if isinstance(schema.get("properties"), dict):
        if schema.get("additionalProperties") is not False or set(schema["required"]) != set(schema["properties"]):
            return False
        return all(map(closed, schema["properties"].values()))
    return all(map(closed, schema.values()))


@settings(max_examples=100, deadline=None)
@given(schemas)
def test_strict_schemas_are_closed_and_leave_the_tools_own_alone(schema: dict[str, Any]) -> None:
    before = json.dumps(schema)
    assert closed(strict_parameters(schema))
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    ("schema", "takes_null"),
    [
        ({"type": "string"}, False),
        ({"type": "null"}, True),
        ({"type": ["string", "null"]}, True),
        ({"enum": ["a", None]}, True),
        ({"enum": ["a"]}, False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, True),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, True),
        ({"oneOf": [{"type": "string"}, {"anyOf": [{"enum": [None]}]}]}, True),
        ({"anyOf": [{"type": "string"}]}, False),
        (True, True),
    ],
)
def test_a_null_is_left_out_only_where_it_is_not_taken_and_not_required(schema: Any, takes_null: bool) -> None:
    for required in ([], ["a"]):
        parameters = {"type": "object", "properties": {"a": schema, "b": {"type": "string"}}, "required": required}
        tool = {"type": "function", "function": {"name": "t", "parameters": parameters}}
        call = ToolCall("t", {"a": None, "b": "x", "c": None, "d": [{"e": None}]}, "c")
        [read] = without_nulls(Message("assistant", "", (call,)), [tool]).tool_calls
        kept = {"a": None} if takes_null or required else {}
        assert read.arguments == {**kept, "b": "x", "c": None, "d": [{"e": None}]}


@pytest.mark.parametrize("env_id", ["palaestra/Desk-v0", "palaestra/TextCraft-v0"])
def test_the_tools_of_environments_have_a_strict_form(env_id: str) -> None:
    env = gym.make(env_id)
    _, info = env.reset(seed=0)
    env.close()
    for tool in info["tools"]:
        strict = strict_function(tool)["function"]
        assert strict["strict"] is True
        assert closed(strict["parameters"])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}]}}},
        *({"type": "object", "properties": {"a": {"type": "string", key: []}}} for key in _NOT_STRICT),
        {"type": "object", "properties": {"a": {"type": ["null", "array"]}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {}]}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {}}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {}}},
        {"type": "object", "properties": {"a": True}},
    ],
)
def test_a_schema_without_a_strict_form_is_offered_as_it_is(schema: dict[str, Any]) -> None:
    tool = {"type": "function", "function": {"name": "t", "parameters": schema}}
    assert strict_parameters(schema) is None
    assert strict_function(tool) == tool


def test_chat_completions_offer_strict_tools_and_refuse_too_many() -> None:
    tool = {
        "type": "function",
        "function": {"name": "t", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    request = Request((Message("user", "x"),), tools=(tool,) * 129)
    own = Endpoint(name="m", model="m", base_url="http://127.0.0.1:9/v1", strict_tools=True)
    assert own.body(request)["tools"][0]["function"]["parameters"]["required"] == ["a"]
    with pytest.raises(UsageError, match="129 tools"):
        Endpoint(name="m", model="m", base_url="https://api.openai.com/v1").body(request)
