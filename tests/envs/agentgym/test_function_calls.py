"""Functions that stand for text commands."""

from collections.abc import Mapping
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.function_calls import Argument, Function, FunctionCommands
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
        ("use", {}, "invalid_arguments", "argument 'tool' is missing; expected the thing to use"),
        ("use", {"tool": None}, "invalid_arguments", "'tool' is null"),
        ("use", {"tool": "a", "instrument": "b"}, "invalid_arguments", "given twice, also as 'instrument'"),
        ("use", {"tool": "a", "on": "b"}, "invalid_arguments", "there is no argument 'on'"),
        ("use", {"tool": "a\nlook"}, "invalid_arguments", "expected the thing to use"),
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
