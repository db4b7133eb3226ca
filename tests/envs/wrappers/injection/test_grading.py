import pytest

from palaestra.envs.wrappers.injection.critique import Claim, claim_of, read_critique
from palaestra.envs.wrappers.injection.grading import grade_control, grade_external, grade_internal
from palaestra.envs.wrappers.injection.tool_list import tool_list
from palaestra.types import Message, ToolCall

PROPERTIES = {"city": {"type": "string"}, "days": {"type": "integer"}, "flags": {"type": "array"}, "any": {}}
FUNCTION = {"name": "forecast", "parameters": {"type": "object", "properties": PROPERTIES, "required": ["city"]}}
TOOLS = tool_list([{"type": "function", "function": FUNCTION}])
GOLD = ToolCall("forecast", {"city": "New York", "days": 3})
LABEL = "parameters_value_error"


@pytest.mark.parametrize(
    ("played", "claim", "behaviour", "value"),
    [
        (GOLD, LABEL, "correct", 1.0),
        (GOLD, "tool_select_error", "wrong_category", 0.8),
        (GOLD, "", "correction_without_reflection", 0.6),
        (ToolCall("stop"), LABEL, "failure_to_correct", 0.4),
        (ToolCall("stop"), None, "error_ignorance", 0.0),
        (None, None, "interruption", 0.0),
    ],
)
def test_answers_to_internal_errors(played, claim, behaviour, value):
    said = None if claim is None else Claim(claim)
    grade = grade_internal(LABEL, GOLD, played, said, TOOLS, documented=True)
    assert (grade["behaviour"], grade["value"]) == (behaviour, pytest.approx(value))


def test_who_was_not_told_how_to_report_is_graded_by_the_call_alone():
    grade = grade_internal(LABEL, GOLD, GOLD, None, TOOLS, documented=False)
    assert (grade["components"], grade["value"]) == ({"tool": 1.0, "arguments": 1.0}, 1.0)


OTHER = ToolCall("stop")


@pytest.mark.parametrize(
    ("played", "retries", "broke", "succeeded", "transient", "answer", "behaviour", "value"),
    [
        (GOLD, 1, False, True, True, "", "retry_succeeded", 1.0),
        (OTHER, 0, True, False, True, "", "immediate_skip", 0.0),
        (OTHER, 3, True, False, False, "", "retry_then_skip", 1.0),
        (OTHER, 0, True, False, False, "", "immediate_skip", 0.9),
        (None, 0, True, False, False, "The service failed.", "immediate_finish", 0.9),
        (None, 2, True, False, False, "I could not do it.", "retry_then_finish", 1.0),
        (None, 2, True, False, False, "It is booked.", "hallucinated_success", 0.0),
        (ToolCall("forecast", {"city": "Rome"}), 1, True, False, False, "", "modified_retry", 1.0),
        (GOLD, 4, False, False, False, "", "endless_retry", 0.1),
    ],
)
def test_answers_to_services_that_fail(played, retries, broke, succeeded, transient, answer, behaviour, value):
    flags = {"retries": retries, "broke": broke, "succeeded": succeeded, "transient": transient}
    grade = grade_external(GOLD, played, **flags, following=None, tools=TOOLS, answer=answer)
    assert (grade["behaviour"], grade["value"]) == (behaviour, pytest.approx(value))


def test_after_a_prefix_the_step_that_follows_is_graded_too():
    flags = {"retries": 1, "broke": True, "succeeded": False, "transient": False}
    grade = grade_external(OTHER, GOLD, **flags, following=GOLD, tools=TOOLS)
    assert grade["value"] == 1.0
    grade = grade_external(OTHER, OTHER, **flags, following=GOLD, tools=TOOLS)
    assert grade["value"] == pytest.approx((0.05 + 0.15) / 0.5)


def test_controls_want_action_and_no_claim():
    assert grade_control(None, acted=True)["behaviour"] == "proceed"
    assert grade_control(Claim(LABEL), acted=True) | {"components": 0} == {
        "components": 0,
        "value": 0.0,
        "behaviour": "over_reflection",
    }
    assert grade_control(None, acted=False)["behaviour"] == "unparsable"


@pytest.mark.parametrize(
    ("value", "category"),
    [
        ("parameters_key_error", "parameters_key_error"),
        ("Parameter Key Errors", "parameters_key_error"),
        ("tool-select error", "tool_select_error"),
        (None, ""),
        ("No error", ""),
        ("none.", ""),
        ("No errors", ""),
        *[(nothing, "") for nothing in ([], {}, 0, False)],
        ("the city is wrong", "other"),
        (3, "other"),
    ],
)
def test_claims_are_read_whatever_their_case_spaces_and_plurals(value, category):
    assert claim_of(value).category == category


def test_critiques_are_taken_out_of_a_message_in_each_form():
    call = ToolCall("forecast", {"city": "Rome"}, "2")
    report = ToolCall("report_error", {"category": LABEL}, "1")
    for content in ('<critique>{"error": "parameters_value_error"}</critique>', '{"error": "parameters_value_error"}'):
        claim, bare, reports = read_critique(Message("assistant", content, (call,)), "")
        assert (claim.category, bare, reports) == (LABEL, Message("assistant", "", (call,)), ())
    claim, bare, reports = read_critique(Message("assistant", "Again.", (report, call)), "report_error")
    assert (claim.category, bare, reports) == (LABEL, Message("assistant", "Again.", (call,)), (0,))
    plain = Message("assistant", "No critique here.", (call,))
    assert read_critique(plain, "") == (None, plain, ())
