"""Arguments are scored by one rule, for injected errors and for the items of CriticTool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.critic.paper import score_args
from palaestra.envs.critic.record import Action
from palaestra.envs.wrappers.injection.arguments import argument_score
from palaestra.envs.wrappers.injection.tool_list import tool_list
from palaestra.types import ToolCall

PROPERTIES = {"city": {"type": "string"}, "days": {"type": "integer"}, "flags": {"type": "array"}, "any": {}}
FUNCTION = {"name": "forecast", "parameters": {"type": "object", "properties": PROPERTIES, "required": ["city"]}}
SCHEMA = {"type": "function", "function": FUNCTION}
TOOLS = tool_list([SCHEMA])
GOLD = ToolCall("forecast", {"city": "New York", "days": 3})
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["New York", "York", "3", ""]), st.just(["a"]), st.just(2.0)
)
ARGUMENTS = st.dictionaries(st.sampled_from([*PROPERTIES, "unknown"]), VALUES)


@pytest.mark.parametrize(
    ("given", "score"),
    [
        ({"city": "New York", "days": 3}, 1.0),
        ({"city": "New York", "days": 3.0}, 1.0),
        ({"city": "New York", "days": 4}, 0.5),
        ({"city": "New York", "days": True}, 0.5),
        ({"city": "New York"}, 0.5),  # an optional key of the right call that was not given
        ({"days": 3}, 0.0),  # a required one
        ({"city": "New York", "days": 3, "unit": "C"}, 0.0),  # an unknown one
        ({"city": "New York", "days": 3, "flags": []}, 2 / 3),
        ({"city": "New York", "days": "3"}, 0.5),  # another type
        ({"city": "York", "days": 3}, (1 + 0.5**0.5) / 2),
    ],
)
def test_arguments_score_as_in_the_papers_profile(given, score):
    assert argument_score(given, GOLD.arguments, TOOLS["forecast"]) == pytest.approx(score)


def test_a_call_without_arguments_is_right_without_any():
    assert argument_score({}, {}, TOOLS["forecast"]) == 0.0  # the city is required
    assert argument_score({}, {}, None) == 1.0


@given(ARGUMENTS, ARGUMENTS)
def test_items_and_injected_errors_score_alike(said, gold):
    tools = [SCHEMA]
    ours = score_args(tools, Action(name="forecast", args=said), Action(name="forecast", args=gold))
    assert ours == argument_score(said, gold, TOOLS["forecast"])
    assert 0.0 <= ours <= 1.0


def test_a_value_of_another_type_than_declared_is_worth_nothing_even_where_the_right_call_has_it():
    assert argument_score({"city": "Rome", "days": "3"}, {"city": "Rome", "days": "3"}, TOOLS["forecast"]) == 0.5
    assert argument_score("I could not do it.", "I could not book it.", None) == pytest.approx(0.8)
