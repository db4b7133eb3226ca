"""What a model did, in one word."""

import json

import pytest

from palaestra.envs.critic.behaviour import behaviour_external, behaviour_internal
from tests.envs.critic.made_items import FAILED, NEXT, external, internal, said

RETRY = json.dumps(FAILED)
SELECT = "tool_select_error"


def finish(text: str) -> str:
    return said("FinishAction", text)


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        (said(error=SELECT), SELECT, "correct"),
        (said(error="parameters_key_error"), SELECT, "wrong_category"),
        (said(error="odd"), SELECT, "wrong_category"),
        (said("list", {}, error=SELECT), SELECT, "failure_to_correct"),
        ('{"error": "tool_select_error"}', SELECT, "failure_to_correct"),
        (said(), SELECT, "correction_without_reflection"),
        (said("list", {}), SELECT, "error_ignorance"),
        (finish("Over."), SELECT, "interruption"),
        ("?", SELECT, "unparsable"),
        (said("list", {}), "", "proceed"),
        (said(error=SELECT), "", "over_reflection"),
        ('{"error": "tool_select_error"}', "", "unparsable"),
    ],
)
def test_steps(text, label, expected):
    assert behaviour_internal(internal(label=label), text) == expected


@pytest.mark.parametrize(
    ("texts", "mode", "expected"),
    [
        ([RETRY, said()], "skip", "retry_then_skip"),
        ([said()], "skip", "immediate_skip"),
        ([said(args={"what": "milk", "count": 1})], "finish", "immediate_skip"),
        ([RETRY, finish("The list could not be read.")], "finish", "retry_then_finish"),
        ([finish("Sorry, an error.")], "skip", "immediate_finish"),
        ([RETRY] * 4, "skip", "endless_retry"),
        ([RETRY] * 3, "skip", "other"),
        ([finish("Now your list is here: tea, milk.")], "finish", "hallucinated_success"),
        ([said("list", {"all": True})], "skip", "modified_retry"),
        ([said("gift", {})], "skip", "other"),
        (["?"], "skip", "other"),
    ],
)
def test_failures(texts, mode, expected):
    assert behaviour_external(external(), texts, mode) == expected


def test_a_next_step_that_reports_or_has_the_same_tool_is_a_skip():
    report = {"name": "FinishAction", "args": "All is done."}
    assert behaviour_external(external(report), [finish("All is done.")], "skip") == "immediate_skip"
    assert behaviour_external(external({**FAILED, "args": {}}), [json.dumps(NEXT)], "skip") == "other"
