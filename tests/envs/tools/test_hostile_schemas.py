"""Whatever a schema asks for, tools are made, described and drawn in a bounded time."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from palaestra.envs.formats.hermes import parse_message
from palaestra.envs.tools import SchemaTool, Toolkit, drawing
from palaestra.envs.tools.drawing import MAX_DRAWN_CHARS, MAX_DRAWN_ITEMS
from palaestra.envs.tools.json_schema import matches, pointed, validator_of
from palaestra.envs.tools.pattern_texts import draw_match
from palaestra.envs.tools.sampling import ToolSampler
from palaestra.types import ToolCall

HARD = {
    "long text": {"type": "string", "minLength": 10**11},
    "long list": {"type": "array", "minItems": 10**9},
    "longer than numpy counts": {"type": "array", "minItems": 10**30},
    "many that are contained": {"type": "array", "contains": {"type": "integer"}, "minContains": 10**9},
    "many fields of one name": {"type": "object", "minProperties": 10**8, "patternProperties": {"^a$": {}}},
    "many fields of two names": {"type": "object", "minProperties": 900, "propertyNames": {"enum": ["a", "b"]}},
    "long texts together": {"type": "array", "minItems": 900, "items": {"type": "string", "minLength": 900}},
    "long pattern": {"type": "string", "pattern": "^a{30000}$"},
    "circle": {"$ref": "#/$defs/a"},
    "wide circle": {"anyOf": [{"$ref": "#/$defs/a"}] * 50},
    "enumerations of nothing in common": {
        "allOf": [{"enum": [f"a{i}" for i in range(2000)]}, {"enum": [f"b{i}" for i in range(2000)]}]
    },
    "never two of them": {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "boolean"}},
}


def tool_of(inner: Any, **more: Any) -> SchemaTool:
    circle = {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}
    parameters = {"type": "object", "properties": {"s": inner}, "required": ["s"], "$defs": circle, **more}
    function = {"name": "f", "description": "Do.", "parameters": parameters}
    return SchemaTool({"type": "function", "function": function}, lambda **arguments: "done", quiet=True)


def in_time(code: str) -> str:
    """Run code that may hang in a process that is killed then."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=True).stdout


def test_hostile_schemas_are_taken_and_said_to_be_undrawable():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))\n"
        "from tests.envs.tools.test_hostile_schemas import HARD, tool_of\n"
        "for name, inner in HARD.items():\n"
        "    print(name, tool_of(inner).warnings[-1])"
    )
    lines = in_time(code).splitlines()
    assert len(lines) == len(HARD)
    assert all("no right call could be found" in line for line in lines), lines


def test_patterns_of_names_that_backtrack_are_cut_off():
    code = (
        "from tests.envs.tools.test_hostile_schemas import tool_of\n"
        "key = 'a' * 40 + '!'\n"
        "for pattern in ('^(a+)+$', '^(a|aa)+(?=b)$', '^([a-z]+ ?)*$'):\n"
        "    tool = tool_of({'type': 'object', 'required': [key], 'patternProperties': {pattern: {'type': 'integer'}}})\n"
        "    print(list(tool.example['s']))"
    )
    assert in_time(code) == f"['{'a' * 40}!']\n" * 3
    assert matches("^(a+)+$", "aaa")
    assert matches(r"^\p{L}+$", "é")
    assert not matches("^(a+)+$", "aab")
    assert not matches("((", "a")


def test_what_is_large_within_the_bounds_is_drawn():
    rng = np.random.default_rng(0)
    for inner, size in (
        ({"type": "string", "minLength": MAX_DRAWN_CHARS - 50}, MAX_DRAWN_CHARS - 50),
        ({"type": "array", "minItems": MAX_DRAWN_ITEMS, "items": {"type": "boolean"}}, MAX_DRAWN_ITEMS),
        ({"type": "object", "minProperties": 300, "propertyNames": {"pattern": "^[a-z]{4}$"}}, 300),
        ({"type": "string", "pattern": "^a{900}$"}, 900),
    ):
        tool = tool_of(inner)
        assert tool.example is not None
        kit = Toolkit(tool)
        call = kit.sample_call(rng)
        assert kit.call(call).status == "ok"
        assert len(call.arguments["s"]) >= size


@pytest.mark.parametrize("pattern", ["((a{900}){900}){900}", "(((){900}){900}){900}", r"(a{900})(\1{900}){900}", "(" * 3000])
def test_patterns_that_ask_for_too_much_have_no_text(pattern):
    assert draw_match(pattern, np.random.default_rng(0)) is None


def test_calls_of_tools_that_cannot_be_drawn_are_checked_all_the_same():
    kit = Toolkit(tool_of(HARD["long text"]))
    assert kit.call(ToolCall("f", {"s": "x"})).content == (
        "Error: f was not run: argument 's' is \"x\"; expected a string of at least this many characters: 100000000000."
    )


def test_words_for_references_in_a_circle_end():
    code = (
        "from palaestra.envs.tools.schema import describe, example_value, resolve\n"
        "root = {'$defs': {'a': {'$ref': '#/$defs/b'}, 'b': {'$ref': '#/$defs/a'}}}\n"
        "print(resolve({'$ref': '#/$defs/a'}, root), describe({'$ref': '#/$defs/b'}, root))"
    )
    assert in_time(code) == "{} any JSON value\n"


def test_slow_patterns_are_cut_off_after_some_hundred_thousand_steps():
    pattern = r"^(?=(a|a)*\1c|)a*$"  # matches after some 2 ** n steps
    assert matches(pattern, "a" * 10)
    assert not matches(pattern, "a" * 16)


def test_pointers_undo_their_escapes_in_order():
    assert pointed({"a~1": 5, "a/b": 6, "~": 7}, "#/a~01") == 5
    assert pointed({"a~1": 5, "a/b": 6, "~": 7}, "#/a~1b") == 6
    assert pointed({"a~1": 5, "a/b": 6, "~": 7}, "#/~0") == 7


AT_ONCE = [
    {"type": "integer", "exclusiveMinimum": 3, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 3, "minimum": 1},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "multipleOf": 0.5},
    {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.5},
    {"type": "integer", "multipleOf": 1.5},
    {"type": "integer", "multipleOf": 0.5, "minimum": 2},
    {"type": "object", "properties": {name: {} for name in "abcdefgh"}, "maxProperties": 2, "additionalProperties": False},
    {"type": "object", "properties": {name: {} for name in "abcdefgh"}, "maxProperties": 2, "required": ["h"]},
]


@pytest.mark.parametrize("inner", AT_ONCE)
def test_bounds_are_kept_by_the_draw_itself_and_not_only_by_the_validator(inner, monkeypatch):
    verdicts = []

    class Listening:
        def __init__(self, text):
            self.validator = validator_of(text)

        def is_valid(self, value):
            verdicts.append(self.validator.is_valid(value))
            return verdicts[-1]

    monkeypatch.setattr(drawing, "validator_of", Listening)
    drawing.simplest_arguments.cache_clear()
    kit = Toolkit(tool_of(inner))
    for seed in range(40):
        kit.sample_call(np.random.default_rng(seed))
    assert len(verdicts) == 41
    assert all(verdicts)


def test_messages_hold_up_to_four_calls():
    kit = Toolkit(tool_of({"type": "boolean"}))
    sampler = ToolSampler(kit.sampler().schemas, answer_rate=0.0, parallel_rate=1.0, from_data=frozenset({"f"}))
    assert len(parse_message(sampler(np.random.default_rng(0))).tool_calls) == 4
