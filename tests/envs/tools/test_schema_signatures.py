"""What a schema allows and the callable cannot take is the agent's mistake; whole numbers reach the callable as ints."""

from functools import partial
from keyword import iskeyword
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from palaestra.envs.tools import SchemaTool, Toolkit
from palaestra.errors import EnvironmentFault
from palaestra.types import ToolCall
from tests.envs.tools import schemas

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}


def tool_of(parameters: Any, run: Any) -> SchemaTool:
    function = {"name": "look_up", "description": "Look something up.", "parameters": parameters}
    return SchemaTool({"type": "function", "function": function}, run, quiet=True)


def answer(parameters: Any, run: Any, arguments: Any, *, lenient: bool = False) -> tuple[str, str]:
    result = Toolkit(tool_of(parameters, run), lenient=lenient).call(ToolCall("look_up", arguments))
    return result.status, result.content.removeprefix("Error: look_up was not run: ")


class Office:
    def look_up(self, city, *, days=1):
        return f"{city} {days}"

    def __call__(self, city, days=1):
        return f"{city} {days}"


@pytest.mark.parametrize(
    "run",
    [
        lambda city, days=1: f"{city} {days}",
        Office().look_up,
        Office(),
        partial(lambda ending, city, days=1: f"{city} {days}{ending}", ""),
        lambda city="x", days=1, *rest: f"{city} {days}",
    ],
)
def test_arguments_that_the_callable_does_not_take_are_the_agents_mistake(run):
    status, text = answer(CITY, run, {"city": "Graz", "unit": "C"})
    assert status == "invalid_arguments"
    assert text.startswith("there is no argument 'unit'; the arguments are: city, days. A right call: ")
    assert "did you mean 'days'?" in answer(CITY, run, {"city": "Graz", "dayz": 2})[1]
    assert answer(CITY, run, {"city": "Graz", "days": 2}) == ("ok", "Graz 2")


def test_arguments_that_only_the_callable_needs_are_the_agents_mistake_and_drawn():
    optional = {**CITY, "required": []}
    for run in (lambda city, days=1: city, lambda city, **others: city):
        tool = tool_of(optional, run)
        status, text = answer(optional, run, {})
        assert status == "invalid_arguments"
        assert text.startswith("argument 'city' is missing; expected a string. A right call: ")
        assert text.endswith(': {"city": "city"}}')
        assert "its callable needs 'city', which the schema does not require" in tool.warnings
        kit = Toolkit(tool)
        assert all(kit.call(kit.sample_call(np.random.default_rng(seed))).status == "ok" for seed in range(20))
        assert tool.schema()["function"]["parameters"] == optional


def test_a_described_argument_that_the_callable_does_not_take_is_said_and_never_drawn():
    tool = tool_of(CITY, lambda city: city)
    assert tool.warnings == ("its callable does not take 'days', which the schema describes",)
    kit = Toolkit(tool)
    assert kit.call(ToolCall("look_up", {"city": "x", "days": 1})).content.startswith(
        "Error: look_up was not run: there is no argument 'days'; the arguments are: city."
    )
    assert all("days" not in kit.sample_call(np.random.default_rng(seed)).arguments for seed in range(20))


def test_open_callables_get_what_the_schema_allows_and_errors_within_stay_faults():
    assert answer(CITY, lambda **arguments: arguments, {"city": "x", "unit": "C"}) == ("ok", '{"city": "x", "unit": "C"}')
    with pytest.raises(EnvironmentFault, match="TypeError"):
        answer(CITY, lambda city: len(3), {"city": "x"})


@settings(max_examples=100)
@given(schemas.parameters, st.data())
def test_calls_drawn_for_any_signature_are_taken_by_it(parameters, data):
    taken = data.draw(st.sets(st.sampled_from([*parameters["properties"], "more"])))
    names = [name for name in sorted(taken) if name.isidentifier() and not iskeyword(name)]
    needed = data.draw(st.sets(st.sampled_from(names))) if names else set()
    run = signature_of(names, needed)
    kit = Toolkit(tool_of(parameters, run))
    assume(kit.declarations[0].example is not None)
    for seed in range(3):
        call = kit.sample_call(np.random.default_rng(seed))
        assert needed <= set(call.arguments) <= set(names)
        assert kit.call(call).status == "ok"


def signature_of(names, needed):
    import inspect

    class Run:
        def __call__(self, **arguments):
            return sorted(arguments)

    def default(name):
        return inspect.Parameter.empty if name in needed else None

    run = Run()
    kind = inspect.Parameter.KEYWORD_ONLY
    run.__signature__ = inspect.Signature([inspect.Parameter(name, kind, default=default(name)) for name in names])
    return run


WHOLE = [
    ({"type": "integer"}, 2.0, 2),
    ({"type": "integer"}, 1e20, 10**20),
    ({"type": "integer"}, -0.0, 0),
    ({"type": ["integer", "null"]}, 2.0, 2),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 2.0, 2),
    ({"$ref": "#/$defs/count"}, 2.0, 2),
    ({"allOf": [{"minimum": 1}, {"type": "integer"}]}, 2.0, 2),
    ({"if": {"type": "string"}, "then": {}, "else": {"type": "integer"}}, 2.0, 2),
    ({"type": "array", "items": {"type": "integer"}}, [1, 2.0], [1, 2]),
    ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "number"}}, [1.0, 2.0], [1, 2.0]),
    ({"type": "object", "properties": {"x": {"type": "integer"}}}, {"x": 3.0, "y": 3.0}, {"x": 3, "y": 3.0}),
    ({"type": "object", "patternProperties": {"^n": {"type": "integer"}}}, {"n1": 3.0, "x": 3.0}, {"n1": 3, "x": 3.0}),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 3.0}, {"a": 3}),
    ({"type": "number"}, 2.0, 2.0),
    ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, 2.0, 2.0),
    ({"type": ["integer", "number"]}, 2.0, 2.0),
    ({}, 2.0, 2.0),
]


@pytest.mark.parametrize(("schema", "value", "wanted"), WHOLE)
def test_whole_numbers_reach_the_callable_as_ints_where_the_schema_says_integer(schema, value, wanted):
    seen: list[Any] = []
    parameters = {"type": "object", "properties": {"a": schema}, "required": ["a"], "$defs": {"count": {"type": "integer"}}}
    given_arguments = {"a": value}
    assert answer(parameters, lambda a: seen.append(a), given_arguments)[0] == "ok"
    assert repr(seen) == repr([wanted])
    assert repr(given_arguments) == repr({"a": value})


def test_fractions_are_not_integers():
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert answer(parameters, lambda a: a, {"a": 2.5})[1].startswith("argument 'a' is 2.5; expected an integer.")


LENIENT = [
    ({"type": "array", "items": {"type": "string"}}, '["Paris", "New York"]', ["Paris", "New York"]),
    ({"type": "object"}, '{"Name": "Ann"}', {"Name": "Ann"}),
    ({"type": "boolean"}, " True ", True),
    ({"type": ["integer", "null"]}, "NULL", None),
    ({"type": "integer"}, "3.0", 3),
    ({"type": "number"}, "1E3", 1000.0),
]


@pytest.mark.parametrize(("schema", "text", "wanted"), LENIENT)
def test_texts_are_read_without_changing_a_letter_of_them(schema, text, wanted):
    seen: list[Any] = []
    parameters = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    assert answer(parameters, lambda a: seen.append(a), {"a": text}, lenient=True)[0] == "ok"
    assert repr(seen) == repr([wanted])


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e999", "[" * 3000, "[" * 3000 + "]" * 3000, "[" * 90 + "]" * 90, "nul"]
)
def test_texts_that_are_no_usable_json_stay_texts(text):
    parameters = {"type": "object", "properties": {"a": {"type": ["array", "number"]}}, "required": ["a"]}
    status, content = answer(parameters, lambda a: a, {"a": text}, lenient=True)
    assert status == "invalid_arguments"
    assert content.startswith("argument 'a' is \"")
    assert answer(parameters, lambda a: a, '{"a": ' + text + "}", lenient=True)[0] == "invalid_arguments"


def test_deep_arguments_are_refused_in_every_form():
    value: Any = 1
    for _ in range(900):
        value = [value]
    for lenient in (False, True):
        status, content = answer({"type": "object", "properties": {}}, lambda **a: "OK", {"a": value}, lenient=lenient)
        assert status == "invalid_arguments"
        assert content.startswith("the arguments are nested deeper than 64 levels; send flatter ones. A right call")
