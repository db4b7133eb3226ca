"""Whatever schema comes: verdicts are those of `jsonschema`, samples are right, and wrong calls are told why."""

import copy
import json
import pickle
from typing import Any

import jsonschema
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from palaestra.envs.formats.hermes import parse_message
from palaestra.envs.tools import SchemaTool, Toolkit
from palaestra.types import ToolCall
from tests.envs.tools import schemas


def tool_of(parameters: dict[str, Any], name: str = "look_up") -> SchemaTool:
    function = {"name": name, "description": "Look something up.", "parameters": parameters}
    return SchemaTool({"type": "function", "function": function}, lambda **arguments: arguments, quiet=True)


def is_right(parameters: dict[str, Any], arguments: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(parameters).is_valid(arguments))


@settings(max_examples=150)
@given(schemas.parameters, st.integers(0, 2**32 - 1))
def test_sampled_arguments_are_right_and_the_same_after_the_same_seed(parameters, seed):
    kit = Toolkit(tool_of(parameters))
    assume(kit.declarations[0].example is not None)
    calls = [kit.sample_call(np.random.default_rng(seed)) for _ in range(2)]
    assert calls[0] == calls[1]
    assert is_right(parameters, calls[0].arguments)
    result = kit.call(calls[0])
    assert (result.status, json.loads(result.content)) == ("ok", calls[0].arguments)


@settings(max_examples=80)
@given(schemas.parameters)
def test_nearly_every_schema_has_an_example_which_is_right(parameters):
    tool = tool_of(parameters)
    if tool.example is None:
        assert "no right call could be found" in tool.warnings[-1]
        # what is left: required fields that nothing fits, such as a text of a pattern that is too short or long
        assert parameters.get("required") or parameters.get("minProperties")
    else:
        assert is_right(parameters, tool.example)


@settings(max_examples=200)
@given(schemas.parameters, st.dictionaries(schemas.NAMES, schemas.values, max_size=4))
def test_verdicts_are_those_of_jsonschema_and_wrong_arguments_are_told_why(parameters, arguments):
    kit = Toolkit(tool_of(parameters))
    optional_nulls = {k: v for k, v in arguments.items() if v is not None or k in parameters.get("required", ())}
    named = {k: v for k, v in arguments.items() if k in optional_nulls or k not in parameters["properties"]}
    result = kit.call(ToolCall("look_up", arguments, "c1"))
    expected = is_right(parameters, arguments) or is_right(parameters, named)
    assert (result.status == "ok") == expected, result.content
    if result.status != "ok":
        assert result.status == "invalid_arguments"
        assert result.content.startswith("Error: look_up was not run: ")
        said = ("expected ", "is missing", "there is no argument", "unexpected field", "are not right: ")
        assert any(words in result.content for words in said), result.content
        if kit.declarations[0].example is not None:
            shown = json.loads(result.content.partition(" A right call: ")[2])
            assert kit.call(ToolCall(shown["name"], shown["arguments"])).status == "ok"


@settings(max_examples=80)
@given(schemas.parameters, st.data())
def test_one_wrong_value_is_named_with_what_came(parameters, data):
    typed = {k: v for k, v in parameters["properties"].items() if isinstance(v, dict) and isinstance(v.get("type"), str)}
    assume(typed)
    kit = Toolkit(tool_of(parameters))
    assume(kit.declarations[0].example is not None)
    name = data.draw(st.sampled_from(sorted(typed)))
    arguments = {**kit.declarations[0].example, name: {"strange": True} if typed[name]["type"] != "object" else [True]}
    assume("dependentRequired" not in parameters)
    result = kit.call(ToolCall("look_up", arguments))
    assert result.status == "invalid_arguments"
    assert f"argument {name!r} is {json.dumps(arguments[name])}; expected " in result.content


@settings(max_examples=60)
@given(schemas.parameters, schemas.names)
def test_schemas_stay_as_they_came_and_survive_pickling(parameters, name):
    given_schema = {"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}
    before = copy.deepcopy(given_schema)
    tool = SchemaTool(given_schema, str, quiet=True)
    assert given_schema == before
    assert tool.schema() == before
    twin = pickle.loads(pickle.dumps(tool))
    assert (twin.schema(), twin.warnings, twin.example, twin.run) == (before, tool.warnings, tool.example, str)


@settings(max_examples=40)
@given(st.lists(schemas.parameters, min_size=1, max_size=3), st.integers(0, 1000))
def test_whole_actions_in_their_text_form_hold_right_calls(given_schemas, seed):
    tools = [tool_of(parameters, f"tool_{i}") for i, parameters in enumerate(given_schemas)]
    kit = Toolkit(*tools)
    sampler = pickle.loads(pickle.dumps(kit.sampler()))
    rng = np.random.default_rng(seed)
    for _ in range(5):
        message = parse_message(sampler(rng))
        assert all(result.status == "ok" for result in kit.call_all(message.tool_calls))
