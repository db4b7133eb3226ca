from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.textcraft.tools import Commands, command_of
from palaestra.envs.tools import sample_call
from palaestra.types import ToolCall


def test_schemas_are_openai_functions() -> None:
    assert [schema["function"]["name"] for schema in Commands().schemas()] == ["craft", "get", "inventory"]
    for schema in Commands().schemas():
        assert schema["type"] == "function"
        parameters = schema["function"]["parameters"]
        assert parameters["type"] == "object"
        assert set(parameters["required"]) <= set(parameters["properties"])


@pytest.mark.parametrize(
    ("name", "arguments", "command"),
    [
        ("inventory", {}, "inventory"),
        ("get", {"item": "oak log", "count": 2}, "get 2 oak log"),
        ("craft", {"item": "pick", "ingredients": [{"item": "stick", "count": 2}]}, "craft pick using 2 stick"),
        (
            "craft",
            {"item": "pick", "count": 1, "ingredients": [{"item": "stick", "count": 2}, {"item": "pebble", "count": 3}]},
            "craft 1 pick using 2 stick, 3 pebble",
        ),
    ],
)
def test_a_call_is_a_command(name: str, arguments: dict[str, Any], command: str) -> None:
    assert command_of(ToolCall(name, arguments)) == command


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("get", "{broken", "not a JSON object"),
        ("get", {"item": "log"}, "'count' is 'None'; expected a whole number"),
        ("get", {"item": "log", "count": "2"}, "'count' is '2'"),
        ("get", {"item": "log", "count": True}, "'count' is 'True'"),
        ("get", {"item": "log", "count": 0}, "'count' is '0'"),
        ("get", {"item": "", "count": 1}, "'item' is ''"),
        ("get", {"item": "log\nget 9 log", "count": 1}, "'item' is"),
        ("get", {"item": "log", "count": 1, "amount": 2}, "no argument 'amount'. Its arguments: item, count"),
        ("inventory", {"x": 1}, "no argument 'x'. Its arguments: none"),
        ("craft", {"item": "pick"}, "craft needs 'ingredients'"),
        ("craft", {"item": "pick", "ingredients": ["2 stick"]}, "An ingredient is '2 stick'"),
        ("craft", {"item": "pick", "ingredients": [{"item": "stick, 3 pebble", "count": 2}]}, "expected the name of one"),
        ("craft", {"item": "a using 1 b", "ingredients": [{"item": "stick", "count": 2}]}, "expected the name of one"),
    ],
)
def test_wrong_arguments_are_explained(name: str, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        command_of(ToolCall(name, arguments))


def test_an_unknown_tool_is_told_apart() -> None:
    with pytest.raises(LookupError, match=r"Unknown tool 'fetch'. Use one of: craft, get, inventory"):
        command_of(ToolCall("fetch", {}))


@given(seed=st.integers(0, 2**32 - 1))
def test_what_the_schemas_allow_is_a_command(seed: int) -> None:
    call = sample_call(Commands().schemas(), np.random.default_rng(seed))
    result = Commands().call(call)
    assert result.status == "ok", result.content
    assert result.content.startswith(call.name)


def test_a_call_that_could_not_be_read_is_explained() -> None:
    result = Commands().call(ToolCall("", "<tool_call>\n{broken\n</tool_call>", "a"))
    assert (result.status, result.call_id) == ("invalid_arguments", "a")
    assert "not valid JSON" in result.content
