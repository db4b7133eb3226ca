from __future__ import annotations

import inspect
from typing import Any, Literal, get_type_hints

import gymnasium
import pytest
from transformers.utils import get_json_schema

import palaestra  # noqa: F401  (registers the environments)
from palaestra.algorithms.trl.tool_methods import make_method, type_hint
from palaestra.errors import ConfigError
from palaestra.types import Json


def tool(name: str = "paint", **properties: Json) -> dict[str, Json]:
    required = [key for key, schema in properties.items() if not schema.pop("optional", False)]
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": "Paint it.", "parameters": parameters}}


def echo(self: object, name: str, arguments: dict[str, Json]) -> str:
    return f"{name} {arguments}"


@pytest.mark.parametrize(
    ("schema", "hint"),
    [
        ({"type": "string"}, str),
        ({"type": "array", "items": {"type": "integer"}}, list[int]),
        ({"enum": ["red", "blue"]}, Literal["red", "blue"]),
        ({"type": "array", "items": {"enum": ["a"]}}, list[Literal["a"]]),
        ({"type": ["number", "null"]}, float | None),
        ({"anyOf": [{"type": "string"}, {"type": "boolean"}]}, str | bool),
        ({"type": "object", "properties": {}}, dict[str, Any]),
        ({}, Any),
    ],
)
def test_hints_are_those_of_the_schema(schema: Json, hint: Any) -> None:
    assert type_hint(schema) == hint


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("palaestra/Desk-v0", {}),
        ("palaestra/TextCraft-v0", {"recipes": "procedural"}),
        ("palaestra/VehicleWorld-v0", {"calls": "tools"}),
    ],
)
def test_transformers_reads_the_tools_of_every_world_back(env_id: str, kwargs: dict[str, Json]) -> None:
    env = gymnasium.make(env_id, **kwargs)
    tools = env.reset(seed=0)[1]["tools"]
    env.close()
    assert tools
    for schema in tools:
        wanted = schema["function"]
        method = make_method(schema, echo)
        read = get_json_schema(method)["function"]
        parameters = wanted["parameters"]
        assert (read["name"], read["description"]) == (wanted["name"], " ".join(wanted["description"].split()))
        assert set(read["parameters"]["properties"]) == set(parameters["properties"])
        assert set(read["parameters"].get("required", ())) == set(parameters.get("required", ()))
        for key, told in parameters["properties"].items():
            found = read["parameters"]["properties"][key]
            assert found.get("enum") == told.get("enum"), (wanted["name"], key)
            assert found.get("type") == told.get("type", found.get("type")), (wanted["name"], key)
            assert " ".join(told.get("description", "").split()) in found["description"]


def test_what_hints_cannot_say_stands_in_the_description() -> None:
    item = {"type": "object", "properties": {"name": {"type": "string"}, "count": {"type": "integer"}}, "required": ["name"]}
    method = make_method(
        tool(
            items={"type": "array", "items": item, "minItems": 1, "description": "What."},
            day={"type": "string", "pattern": "^[0-9]+$", "default": "7", "optional": True},
        ),
        echo,
    )
    read = get_json_schema(method)["function"]["parameters"]["properties"]
    assert read["items"]["description"] == 'What. (minItems 1; items of the form {"name": "string", "count?": "integer"})'
    assert read["day"]["description"] == 'day (pattern ^[0-9]+$; default "7")'


def test_signature_hints_and_docstring_agree() -> None:
    method = make_method(tool(size={"type": "integer", "optional": True}, colour={"enum": ["red", "blue"]}), echo)
    assert str(inspect.signature(method)) == "(self, colour: Literal['red', 'blue'], size: int | None = None) -> str"
    assert get_type_hints(method) == {"colour": Literal["red", "blue"], "size": int | None, "return": str}
    assert inspect.getdoc(method) is not None


def test_texts_that_look_like_sections_stay_descriptions() -> None:
    schema = tool(note={"type": "string", "description": "One\nnote:\nArgs: none\nReturns: nothing (choices: x)"})
    schema["function"]["description"] = "Writes.\n\nReturns: it."
    read = get_json_schema(make_method(schema, echo))["function"]
    assert read["description"] == "Writes. Returns - it."
    assert read["parameters"]["properties"]["note"] == {
        "type": "string",
        "description": "One note: Args - none Returns - nothing (choices - x)",
    }


def test_arguments_reach_the_call_as_given_and_null_for_an_optional_one_is_left_out() -> None:
    method = make_method(tool(size={"type": "integer", "optional": True}, colour={"type": "string"}), echo)
    assert method(object(), colour=None, size=None) == "paint {'colour': None}"
    assert method(object(), wrong=1) == "paint {'wrong': 1}"  # the environment says what is wrong with it


@pytest.mark.parametrize(("name", "argument"), [("a.b", "x"), ("class", "x"), ("paint", "from"), ("paint", "self")])
def test_names_that_python_cannot_have_are_refused(name: str, argument: str) -> None:
    with pytest.raises(ConfigError, match="which no Python function can have; rename it"):
        make_method(tool(name, **{argument: {"type": "string"}}), echo)
