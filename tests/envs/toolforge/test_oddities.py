"""What is odd about tools that arrive as data."""

import pytest

from palaestra.envs.toolforge import warnings_of
from palaestra.envs.toolforge.oddities import stand_in
from palaestra.errors import UsageError
from tests.envs.toolforge.made import chain, made


def test_sound_tools_have_no_warnings_but_those_of_arguments():
    value = chain()
    value["tools"] = [one for one in value["tools"] if one["function"]["name"] != "founder_of"]
    del value["impl"]["founder_of"]
    value.update(nodes=value["nodes"][1:], scenario="single_hop")
    value["nodes"][0]["deps"] = []
    assert warnings_of(made(value)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"required": None}, "does not say what is required"),
        ({"properties": {"person": {"type": "string", "optional": True}}}, "'optional'"),
        (
            {"properties": {"person": {}, "age": {"type": "integer", "default": "3"}}},
            "the default of 'age' is a str",
        ),
        ({"properties": {"person": {}, "age": {"type": "integer", "default": True}}}, "is a bool"),
        ({"properties": {"person": {"type": "string"}, "place": {"type": "string"}}}, "does not take 'place'"),
        ({"required": [], "properties": {"person": {"type": "string"}}}, "needs 'person', which the schema does not require"),
    ],
)
def test_schemas_that_say_less_or_other_than_the_code(changes, message):
    value = chain()
    parameters = value["tools"][1]["function"]["parameters"]
    parameters.update(changes)
    if parameters["required"] is None:
        del parameters["required"]
    assert any("'born_in'" in line and message in line for line in warnings_of(made(value)))


def test_sources_that_do_not_parse_or_lack_the_function():
    value = chain()
    value["impl"]["born_in"]["source"] = "def born_in(:"
    value["impl"]["sunk_in"]["source"] = "def other(ship): ..."
    found = "\n".join(warnings_of(made(value)))
    assert "tool 'born_in': the source does not parse" in found
    assert "tool 'sunk_in': the source defines no function" in found


def test_a_stand_in_runs_nothing():
    run = stand_in("print('no')\ndef f(a, /, b=1, *c, d, e=2, **g):\n    raise ValueError", "f")
    assert str(__import__("inspect").signature(run)) == "(a, b=None, *, d, e=None, **g)"
    assert run(a=1) == {"a": 1}
    with pytest.raises(UsageError, match="no function"):
        stand_in("f = 1", "f")
