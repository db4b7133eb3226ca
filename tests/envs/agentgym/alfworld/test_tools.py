"""AgentGym's functions and the commands that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.alfworld.tools import Commands
from palaestra.envs.tools import sample_call
from palaestra.types import ToolCall
from tests.envs.agentgym.alfworld.toys import ALL_TYPES, made_world

COMMANDS = Commands()


@pytest.mark.parametrize(
    ("name", "arguments", "command"),
    [
        ("goto", {"recep": "desk 1"}, "go to desk 1"),
        ("take", {"obj": "mug 1", "recep": "desk 1"}, "take mug 1 from desk 1"),
        ("put", {"obj": "mug 1", "recep": "desk 1"}, "put mug 1 in/on desk 1"),
        ("toggle", {"obj": "desklamp 1"}, "use desklamp 1"),
        ("use", {"obj": "desklamp 1"}, "use desklamp 1"),
        ("open", {"recep": "fridge 1"}, "open fridge 1"),
        ("close", {"receptacle": "fridge 1"}, "close fridge 1"),
        ("heat", {"obj": "mug 1", "recep": "microwave 1"}, "heat mug 1 with microwave 1"),
        ("cool", {"object": "mug 1", "recep": "fridge 1"}, "cool mug 1 with fridge 1"),
        ("clean", {"obj": "mug 1", "recep": "sinkbasin 1"}, "clean mug 1 with sinkbasin 1"),
        ("slice", {"obj": "bread 1", "knife": "knife 1"}, "slice bread 1 with knife 1"),
        ("examine", {"recep": "desk 1"}, "examine desk 1"),
        ("examine", {"recep": "desk 1", "obj": "mug 1"}, "examine mug 1"),
        ("examine", {"obj": "mug 1"}, "examine mug 1"),
        ("look", {}, "look"),
        ("inventory", {}, "inventory"),
    ],
)
def test_each_function_stands_for_its_command(name, arguments, command):
    result = COMMANDS.call(ToolCall(name, arguments))
    assert (result.status, result.content) == ("ok", command)


@pytest.mark.parametrize("task_type", ALL_TYPES)
def test_every_command_but_help_has_a_call_that_stands_for_it(task_type):
    world = made_world(task_type)
    for played in [*world.game.file.walkthrough, "look"]:
        for command in world.commands():
            call = COMMANDS.call_of(command)
            if command == "help":
                assert call is None
                continue
            assert call is not None
            back = COMMANDS.call(call).content
            assert back == command or (command.startswith("move") and back.startswith("put"))
        world.act(played)


def test_the_schemas_name_the_published_functions_and_ours():
    names = [schema["function"]["name"] for schema in COMMANDS.schemas()]
    published = {
        "goto",
        "take",
        "put",
        "toggle",
        "open",
        "close",
        "heat",
        "cool",
        "clean",
        "examine",
        "use",
        "look",
        "inventory",
    }
    assert set(names) == published | {"slice"}


@given(st.integers(0, 2**32 - 1))
def test_whatever_the_schemas_allow_is_a_command(seed):
    call = sample_call(COMMANDS.schemas(), np.random.default_rng(seed))
    assert COMMANDS.call(call).status == "ok", call


def test_an_object_alone_may_be_examined_though_the_schema_asks_for_a_receptacle():
    schema = next(schema for schema in COMMANDS.schemas() if schema["function"]["name"] == "examine")
    assert schema["function"]["parameters"]["required"] == ["recep"]
    assert COMMANDS.call(ToolCall("examine", {})).status == "invalid_arguments"
