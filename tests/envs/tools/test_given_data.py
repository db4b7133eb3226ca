"""What tools give out: copies that may be changed, and texts that fit into an observation."""

import copy
import json
from typing import Any

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.tools import SchemaTool, Toolkit, ToolRefusal, tool
from palaestra.envs.tools.copies import Copies
from palaestra.envs.tools.schema import MAX_WORDS_CHARS, describe, short_type
from palaestra.envs.tools.toolkit import MAX_RESULT_CHARS
from palaestra.spaces import MAX_TEXT_CHARS
from palaestra.types import ToolCall

WITH_TOOLS = {
    "palaestra/Desk-v0": {},
    "palaestra/TextCraft-v0": {},
    "palaestra/VehicleWorld-v0": {"calls": "tools"},
}


def tool_of(inner: Any, run: Any = lambda **arguments: arguments, required: bool = True) -> SchemaTool:
    parameters = {"type": "object", "properties": {"a": inner}, "required": ["a"] if required else []}
    function = {"name": "f", "description": "Do.", "parameters": parameters}
    return SchemaTool({"type": "function", "function": function}, run, quiet=True)


@tool
def add(a: list[int]) -> str:
    """Add.

    Args:
        a: Numbers.
    """
    return str(sum(a))


def spoil(value: Any) -> None:
    """Empty all that can be changed in a value."""
    for inner in list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()):
        spoil(inner)
    if isinstance(value, (dict, list)):
        value.clear()


@pytest.mark.parametrize("env_id", WITH_TOOLS)
def test_what_a_caller_does_to_its_tools_does_not_reach_other_resets_and_environments(env_id):
    one, other = (gymnasium.make(env_id, **WITH_TOOLS[env_id]) for _ in range(2))
    _, info = one.reset(seed=0)
    before = copy.deepcopy(info["tools"])
    assert before
    spoil(info["tools"])
    spoil(one.unwrapped.tools())
    for env in (one, other):
        assert env.reset(seed=0)[1]["tools"] == before
        assert env.unwrapped.tools() == before
        json.dumps(env.unwrapped.tools())
        env.action_space.seed(0)
        assert env.step(env.action_space.sample())


@pytest.mark.parametrize("source", [add, tool_of({"type": "array", "items": {"type": "integer"}, "examples": [[1]]})])
def test_schemas_and_examples_of_declarations_are_copies(source):
    kit = Toolkit(source)
    declaration = kit.declarations[0]

    def given_out() -> list[Any]:
        strict = [kit.schemas(strict=True)] if source is add else []
        return [kit.schemas(), declaration.schema(), declaration.example, *strict]

    before = copy.deepcopy(given_out())
    for value in given_out():
        spoil(value)
    assert given_out() == before
    assert kit.signatures() == f"{declaration.name}(a: list[integer]) - {declaration.description}"


@given(
    st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
)
def test_copies_are_equal_and_apart(value):
    before = copy.deepcopy(value)
    copies = Copies(value)
    spoil(value)
    spoil(copies.one())
    assert copies.one() == before


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("a \ud800 b", "a \\ud800 b"),
        ({"a": ["\udfff"]}, '{"a": ["\\udfff"]}'),
        ({"\ud83d": 1}, '{"\\ud83d": 1}'),
        ("ö 🙂", "ö 🙂"),
    ],
)
def test_results_with_halves_of_surrogate_pairs_are_escaped(value, wanted):
    result = Toolkit(tool_of({}, lambda a: value)).call(ToolCall("f", {"a": 1}))
    assert (result.status, result.content) == ("ok", wanted)


def test_refusals_with_halves_of_surrogate_pairs_are_escaped():
    def refuse(a):
        raise ToolRefusal("no \ud800")

    result = Toolkit(tool_of({}, refuse)).call(ToolCall("f", {"a": 1}))
    assert (result.status, result.content) == ("error", "Error: no \\ud800")


@pytest.mark.parametrize("value", ["x" * (MAX_RESULT_CHARS + 1), ["y"] * MAX_RESULT_CHARS])
def test_long_results_are_cut_and_say_so(value):
    kit = Toolkit(tool_of({}, lambda a: value))
    content = kit.call(ToolCall("f", {"a": 1})).content
    whole = value if isinstance(value, str) else json.dumps(value)
    assert content == f"{whole[:MAX_RESULT_CHARS]}... (cut: these are the first 100000 of {len(whole)} characters)"
    assert 8 * len(content) < MAX_TEXT_CHARS
    exact = Toolkit(tool_of({}, lambda a: "x" * MAX_RESULT_CHARS)).call(ToolCall("f", {"a": 1})).content
    assert exact == "x" * MAX_RESULT_CHARS


def test_long_refusals_are_cut_too():
    def refuse(a):
        raise ToolRefusal("no " * MAX_RESULT_CHARS)

    assert len(Toolkit(tool_of({}, refuse)).call(ToolCall("f", {"a": 1})).content) < MAX_RESULT_CHARS + 100


MANY = {
    "enum": {"enum": [f"v{i}" for i in range(100_000)]},
    "one long": {"enum": ["x" * 100_000]},
    "const": {"const": "x" * 100_000},
    "alternatives": {"anyOf": [{"anyOf": [{"const": 1000 * i + j} for j in range(100)]} for i in range(100)]},
}


@pytest.mark.parametrize("name", MANY)
def test_what_is_said_of_a_value_has_a_bounded_length(name):
    for text in (describe(MANY[name], {}), short_type(MANY[name])):
        assert len(text) < 3 * MAX_WORDS_CHARS
        assert "more" in text or "characters)" in text
    kit = Toolkit(tool_of(MANY[name]))
    assert len(kit.call(ToolCall("f", {"a": None})).content) < 5 * MAX_WORDS_CHARS
    assert len(kit.signatures()) < 3 * MAX_WORDS_CHARS


def test_the_number_of_what_is_left_out_is_said():
    text = describe({"enum": list(range(10_000))}, {})
    said = text.removeprefix("one of ").split(", ")
    assert said[:-1] == [str(i) for i in range(len(said) - 1)]
    assert said[-1] == f"{10_000 - len(said) + 1} more"
    assert describe({"enum": ["a", "b"]}, {}) == 'one of "a", "b"'


def test_a_right_call_that_is_very_long_is_not_shown():
    content = Toolkit(tool_of({"type": "string", "minLength": 9000})).call(ToolCall("f", {"a": 1})).content
    assert content == "Error: f was not run: argument 'a' is 1; expected a string of at least this many characters: 9000."


def test_sets_are_written_in_order():
    assert Toolkit(tool_of({}, lambda a: {8, 1, 16, 3})).call(ToolCall("f", {"a": 1})).content == "[1, 3, 8, 16]"


def test_a_failed_call_leaves_no_new_attribute_on_the_world():
    class World:
        def __init__(self):
            self.kept = 1

    world = World()

    def spoil_world(a):
        world.more = a
        raise ToolRefusal("no")

    assert Toolkit(tool_of({}, spoil_world), world=world).call(ToolCall("f", {"a": 1})).status == "error"
    assert vars(world) == {"kept": 1}
