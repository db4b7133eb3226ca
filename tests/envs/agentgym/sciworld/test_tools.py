"""Commands of SciWorld as calls: there and back, under all names."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.sciworld.tools import FUNCTIONS, Commands, TeleportCommands
from palaestra.envs.tools import sample_call
from palaestra.types import ToolCall

CALLS = [
    ("open", {"obj": "door to kitchen"}, "open door to kitchen"),
    ("lookaround", {}, "look around"),
    ("lookat", {"obj": "stove"}, "look at stove"),
    ("lookin", {"obj": "cupboard"}, "look in cupboard"),
    ("read", {"info": "recipe"}, "read recipe"),  # as the schema says
    ("read", {"obj": "recipe"}, "read recipe"),  # as the parser says
    ("eat", {"food": "apple"}, "eat apple"),
    ("mix", {"container": "jar"}, "mix jar"),
    ("connect", {"obj1": "battery anode", "obj2": "red wire terminal 1"}, "connect battery anode to red wire terminal 1"),
    ("use", {"tool": "thermometer", "obj": "water"}, "use thermometer on water"),
    ("use", {"tool": "stopwatch"}, "use stopwatch"),
    ("move", {"obj": "apple", "container": "table"}, "move apple to table"),
    ("pickup", {"obj": "apple"}, "pick up apple"),
    ("drop", {"obj": "apple"}, "drop apple"),
    ("pour", {"liq": "water", "container": "jar"}, "pour water into jar"),
    ("dunk", {"liq": "water", "container": "jar"}, "dunk jar in water"),
    ("goto", {"loc": "kitchen"}, "go to kitchen"),
    ("focus", {"obj": "ice"}, "focus on ice"),
    ("wait", {"duration": 1}, "wait1"),
    ("wait", {"obj": 1}, "wait1"),  # as "required" of the schema says
    ("wait", {"duration": "10"}, "wait"),
    ("wait", {}, "wait"),
    ("choose", {"option": 3}, "3"),
    ("choose", {"obj": "3"}, "3"),
    ("examine", {"obj": "ice"}, "examine ice"),
    ("task", {}, "task"),
    ("inventory", {}, "inventory"),
]


@pytest.mark.parametrize(("name", "arguments", "command"), CALLS)
def test_a_call_is_the_command_that_upstream_made_of_it(name: str, arguments: dict[str, Any], command: str) -> None:
    made = Commands().call(ToolCall(name, arguments))
    assert (made.status, made.content) == ("ok", command)
    back = Commands().call_of(command)
    assert back is not None
    assert back.name == name
    assert Commands().call(back).content == command


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("wait", {"duration": 5}),
        ("wait", {"duration": "a while"}),
        ("choose", {"option": "the first"}),
        ("choose", {}),
        ("open", {}),
        ("open", {"obj": "door", "with": "key"}),
        ("open", {"obj": ["door"]}),
        ("lookaround", {"obj": "room"}),
        ("use", {"obj": "water"}),
    ],
)
def test_what_does_not_fit_is_refused(name: str, arguments: dict[str, Any]) -> None:
    assert Commands().call(ToolCall(name, arguments)).status == "invalid_arguments"


def test_functions_that_there_are_not_are_refused() -> None:
    assert Commands().call(ToolCall("dance", {})).status == "unknown_tool"
    assert Commands().call(ToolCall("teleport", {"loc": "kitchen"})).status == "unknown_tool"
    assert TeleportCommands().call(ToolCall("teleport", {"loc": "kitchen"})).content == "teleport to kitchen"


@pytest.mark.parametrize("command", ["dance", "help", "objects", "reset task", "wait5", "wait for it", "", "choose", "open"])
def test_commands_without_a_function_have_no_call(command: str) -> None:
    assert Commands().call_of(command) is None


def test_putting_down_is_dropping() -> None:
    assert Commands().call_of("put down apple in inventory") == ToolCall("drop", {"obj": "apple in inventory"})


NAMES = st.sampled_from(["metal pot", "door to kitchen", "jug in sink", "cup on table", "air into it", "dunk", "7"])


@given(st.sampled_from(sorted(set(FUNCTIONS) - {"wait", "choose"})), NAMES, NAMES)
def test_any_command_that_has_a_call_comes_back_from_it(name: str, one: str, two: str) -> None:
    function = FUNCTIONS[name]
    command = function.templates[0].format(**dict(zip(function.arguments, (one, two), strict=False)))
    call = Commands().call_of(command)
    assert call is not None
    assert Commands().call(call).content == command


def test_drawn_calls_are_commands() -> None:
    rng, commands = np.random.default_rng(0), Commands()
    for _ in range(300):
        assert commands.call(sample_call(commands.schemas(), rng)).status == "ok"
