"""Whatever a schema asks for, tools are made, described and drawn in a bounded time."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from palaestra.envs.tools import SchemaTool, Toolkit
from palaestra.envs.tools.drawing import MAX_DRAWN_CHARS, MAX_DRAWN_ITEMS
from palaestra.envs.tools.json_schema import matches
from palaestra.envs.tools.pattern_texts import draw_match
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
