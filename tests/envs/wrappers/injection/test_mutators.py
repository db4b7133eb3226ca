import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.wrappers.injection import INTERNAL, KINDS, corrupt, holds, tool_list
from palaestra.envs.wrappers.injection.tool_list import is_right_call
from palaestra.errors import UnknownNameError
from palaestra.types import ToolCall
from tests.envs.wrappers.injection.drawn_tools import draw_list

SEEN = ["Jonas Beck", "2031-05-06", 4, "E3", "high"]


def rng(seed=0):
    return np.random.default_rng(seed)


def classified(call, made, tools):
    """Say what is wrong with a call, knowing the right one and the tools: written apart from the mutators."""
    if made.name not in tools:
        return {"tool_hallucination_error"}
    if made.name != call.name:
        return {"tool_select_error"}
    parameters = tools[call.name].parameters
    declared = set(parameters.get("properties", {}))
    keys = set(made.arguments)
    is_open = parameters.get("additionalProperties", False) is not False
    if set(parameters.get("required", ())) - keys or (keys - declared and not is_open):
        return {"parameters_key_error"}
    return {"parameters_value_error"}


@given(st.integers(0, 2**32 - 1), st.sampled_from(INTERNAL))
@settings(max_examples=1000, deadline=None)
def test_what_a_mutator_makes_is_what_it_says_and_nothing_else_is_touched(seed, label):
    tools, call = draw_list(seed)
    assert is_right_call(call, tools)
    before = json.dumps(call.to_json())
    made = corrupt(call, tools, label, rng(seed), context=SEEN)
    assert json.dumps(call.to_json()) == before
    assert made == corrupt(call, tools, label, rng(seed), context=SEEN)  # equal generators, equal errors
    assert made is not None  # some name is always free
    assert made.call.id == "call_7"
    assert made.kind in KINDS[made.label]
    assert holds(made.label, made.kind, call, made.call, tools)
    assert classified(call, made.call, tools) == {made.label}
    assert made.explicit is not is_right_call(made.call, tools)


@pytest.mark.parametrize("label", INTERNAL)
def test_every_kind_is_made_somewhere_and_a_kind_asked_for_is_the_one_made_where_it_can_be(label):
    for kind in KINDS[label]:
        kinds = []
        for seed in range(150):
            tools, call = draw_list(seed)
            made = corrupt(call, tools, label, rng(seed), kind=kind, context=SEEN, strict=True)
            kinds += [] if made is None else [made.kind]
        assert kinds.count(kind) >= 5, f"{label}: {kind} was made {kinds.count(kind)} times"


@pytest.mark.parametrize("wanted", [True, False])
def test_errors_can_be_asked_to_break_the_schema_or_not(wanted):
    for seed in range(40):
        tools, call = draw_list(seed)
        made = corrupt(call, tools, "parameters_value_error", rng(seed), explicit=wanted, context=SEEN)
        assert made is None or made.explicit is wanted
        assert not wanted or made is not None


LONELY = {"type": "function", "function": {"name": "stop", "description": "Stop.", "parameters": {"type": "object"}}}


@pytest.mark.parametrize("label", ["tool_select_error", "parameters_value_error"])
def test_the_only_tool_without_arguments_gets_an_error_of_another_label(label):
    tools = tool_list([LONELY])
    made = corrupt(ToolCall("stop", {}), tools, label, rng())
    assert made is not None
    assert made.label in ("tool_hallucination_error", "parameters_key_error")
    assert corrupt(ToolCall("stop", {}), tools, label, rng(), strict=True) is None


def test_a_call_that_is_not_right_is_left_alone():
    tools, call = draw_list(3)
    assert corrupt(ToolCall("no such tool", {}), tools, INTERNAL[0], rng()) is None
    assert corrupt(ToolCall(call.name, "not an object"), tools, INTERNAL[0], rng()) is None


def test_unknown_labels_and_kinds_are_refused():
    tools, call = draw_list(3)
    with pytest.raises(UnknownNameError, match="rate_limit"):
        corrupt(call, tools, "rate_limit", rng())
    with pytest.raises(UnknownNameError, match="typo"):
        corrupt(call, tools, "tool_select_error", rng(), kind="typo")
