"""Functions that stand for text commands."""

from collections.abc import Mapping
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.function_calls import Argument, Function, FunctionCommands
from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.registration import env_class, missing
from palaestra.envs.tools import sample_call
from palaestra.types import ToolCall


class Kitchen(FunctionCommands):
    functions: ClassVar[Mapping[str, Function]] = {
        "use": Function(
            "Use a thing, perhaps on another.",
            ("use {tool} on {obj}", "use {tool}"),
            {"tool": Argument("the thing to use", ("instrument",), examples=("knife 1",)), "obj": Argument("the other")},
        ),
        "wait": Function(
            "Wait.", ("wait{duration}",), {"duration": Argument("how long", ("time",), type="integer", examples=(1, 10))}
        ),
        "look": Function("Look around.", ("look",)),
    }


COMMANDS = Kitchen()


def said(name: str, arguments: object) -> tuple[str, str]:
    result = COMMANDS.call(ToolCall(name, arguments))  # type: ignore[arg-type]
    return result.status, result.content


@pytest.mark.parametrize(
    ("name", "arguments", "command"),
    [
        ("use", {"tool": "knife 1"}, "use knife 1"),
        ("use", {"tool": " knife 1 ", "obj": None}, "use knife 1"),
        ("use", {"tool": "knife 1", "obj": "bread 2"}, "use knife 1 on bread 2"),
        ("use", {"instrument": "knife 1"}, "use knife 1"),
        ("wait", {"duration": 10}, "wait10"),
        ("wait", {"time": "1"}, "wait1"),
        ("look", {}, "look"),
    ],
)
def test_a_call_is_a_command_under_every_name_of_its_arguments(name, arguments, command):
    assert said(name, arguments) == ("ok", command)


@pytest.mark.parametrize(
    ("name", "arguments", "status", "problem"),
    [
        ("fly", {}, "unknown_tool", "Use one of: use, wait, look"),
        ("use", {}, "invalid_arguments", "argument 'tool' is missing; expected a text: the thing to use, e.g. \"knife 1\""),
        ("use", {"tool": 5}, "invalid_arguments", "argument 'tool' is 5; expected a text: the thing to use"),
        ("wait", {"duration": [1]}, "invalid_arguments", "argument 'duration' is [1]; expected an integer: how long, e.g. 1"),
        ("use", {"tool": None}, "invalid_arguments", "'tool' is null"),
        ("use", {"tool": "a", "instrument": "b"}, "invalid_arguments", "given twice, also as 'instrument'"),
        ("use", {"tool": "a", "on": "b"}, "invalid_arguments", "there is no argument 'on'"),
        ("use", {"tool": "a\nlook"}, "invalid_arguments", "expected a text: the thing to use"),
        ("use", {"tool": True}, "invalid_arguments", "argument 'tool' is true"),
        ("use", {"tool": ["a"]}, "invalid_arguments", "argument 'tool' is"),
        ("use", "tool", "invalid_arguments", "not a JSON object"),
        ("look", {"at": "b"}, "invalid_arguments", "there is no argument 'at'"),
    ],
)
def test_a_wrong_call_is_refused_and_says_why(name, arguments, status, problem):
    found, text = said(name, arguments)
    assert found == status
    assert problem in text


def test_only_arguments_of_every_template_are_required():
    required = {schema["function"]["name"]: schema["function"]["parameters"]["required"] for schema in COMMANDS.schemas()}
    assert required == {"use": ["tool"], "wait": ["duration"], "look": []}


@given(st.integers(0, 2**32 - 1))
def test_a_drawn_call_comes_back_from_its_command(seed):
    import numpy as np

    call = sample_call(COMMANDS.schemas(), np.random.default_rng(seed))
    result = COMMANDS.call(call)
    if result.status == "ok":
        back = COMMANDS.call_of(result.content)
        assert back is not None
        assert COMMANDS.call(back).content == result.content


def test_a_text_that_no_function_stands_for_has_no_call():
    assert COMMANDS.call_of("dance") is None
    assert COMMANDS.call_of("use knife 1 on bread 2") == ToolCall("use", {"tool": "knife 1", "obj": "bread 2"})
    assert COMMANDS.call_of("wait10") == ToolCall("wait", {"duration": 10})


AGENTGYM = ("ALFWorld", "BabyAI", "Maze", "SciWorld", "TextCraft", "Wordle")
WRONG = {
    "string": st.integers() | st.floats(allow_nan=False) | st.booleans() | st.lists(st.text(max_size=3), max_size=2),
    "integer": st.text("abc ", max_size=4) | st.floats(0.1, 0.9) | st.booleans() | st.lists(st.integers(), max_size=2),
    "array": st.text(max_size=4) | st.integers() | st.booleans(),
}
WRONG = {kind: wrong | st.dictionaries(st.text(max_size=3), st.integers(), max_size=1) for kind, wrong in WRONG.items()}


def arguments_of_tools():
    """Return environment, schema and argument of every tool of AgentGym's worlds."""
    for name in AGENTGYM:
        spec = gymnasium.spec(f"palaestra/{name}-v0")
        if missing(spec.id):
            continue
        env = env_class(spec.id)()
        for schema in env.tools():
            for argument in schema["function"]["parameters"]["properties"]:
                yield pytest.param(env, schema, argument, id=f"{name}.{schema['function']['name']}.{argument}")


@pytest.mark.parametrize(("env", "schema", "argument"), list(arguments_of_tools()))
@given(data=st.data())
@settings(max_examples=15)
def test_a_value_of_a_wrong_type_is_told_what_was_expected(env: CommandEnv, schema, argument, data):
    function = schema["function"]
    call = sample_call([schema], np.random.default_rng(data.draw(st.integers(0, 99))))
    value = data.draw(WRONG[function["parameters"]["properties"][argument].get("type", "string")])
    result = env._commands.call(ToolCall(function["name"], {**call.arguments, argument: value}))
    assert result.status == "invalid_arguments", result
    assert argument in result.content
    assert "expected" in result.content or "send" in result.content or "can" in result.content or "needs" in result.content
