"""One item scored, by either profile, under the names of the paper."""

import json

import pytest

from palaestra.envs.critic import CriticDataError, score
from palaestra.envs.critic.scoring import credit
from palaestra.errors import UnknownNameError
from tests.envs.critic.made_items import FAILED, external, internal, said

SELECT = "tool_select_error"


@pytest.mark.parametrize("profile", ["paper", "published"])
def test_a_right_reply_earns_everything(profile):
    found = score(internal(), [said(error=SELECT)], "internal", profile=profile)
    assert (found.credit, found.behaviour) == (pytest.approx(1), "correct")
    assert found.scores.keys() == {"detect", "category", "tool", "args", "parse_rate"}
    assert score(internal(label=""), [said()], "internal", profile=profile).scores == {"detect": 1, "parse_rate": 1}
    found = score(external(), [json.dumps(FAILED), said()], "skip", profile=profile)
    assert (found.credit, found.behaviour) == (pytest.approx(1), "retry_then_skip")
    assert found.scores.keys() == {"retry", "break", "tool", "args", "parse_rate"}
    assert json.loads(json.dumps(found.to_json()))["credit"] == found.credit


def test_credit_is_the_part_of_overall():
    assert credit({"detect": 1, "category": 0, "tool": 1, "args": 0.5}, "internal") == pytest.approx((0.1 + 0.225) / 0.5)
    assert credit({"retry": 1, "break": 1, "tool": 0, "args": 0}, "skip") == pytest.approx((0.05 + 0.15) / 0.5)
    assert credit({"retry": 0, "break": 1, "tool": 1}, "finish") == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("record", "replies", "mode", "message"),
    [
        (internal(), ["{}"], "skip", "is an internal item; it is not scored in mode 'skip'"),
        (external(), ["{}"], "internal", "is an external item; it is not scored in mode 'internal'"),
        (internal(), [], "internal", "has 0 replies; expected 1"),
        (external(), [], "skip", "has 0 replies; expected 1 to 4"),
        (external(), ["{}"] * 5, "skip", "has 5 replies; expected 1 to 4"),
    ],
)
def test_replies_that_do_not_fit(record, replies, mode, message):
    with pytest.raises(CriticDataError, match=message):
        score(record, replies, mode)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="Unknown mode"):
        score(internal(), ["{}"], "all")
    with pytest.raises(UnknownNameError, match="Unknown profile"):
        score(internal(), ["{}"], "internal", profile="mine")
