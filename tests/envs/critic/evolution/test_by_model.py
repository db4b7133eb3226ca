"""Wording by a model: replies are held to the rules, repaired, refused; everything is written down."""

import json

import pytest

from palaestra.envs.critic.evolution import Refused, Rewriter, evolve, evolve_all, problems_of
from palaestra.envs.critic.generate import make_record
from palaestra.errors import BudgetError, ModelError

RECORD = make_record("internal", "test", 0)
QUERY = RECORD.messages[1]["content"]


def scripted(*replies):
    said = iter(replies)
    asked = []

    def complete(messages):
        asked.append([*messages])
        reply = next(said)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, str) else json.dumps(reply)

    return complete, asked


def test_a_query_is_repaired_until_it_keeps_everything():
    complete, asked = scripted({"query": "Do it."}, {"query": f"Well, hello. {QUERY} Thanks."})
    rewriter = Rewriter(complete)
    after = evolve(RECORD, ["noisy_query"], rewriter=rewriter)
    assert after.messages[1]["content"] == f"Well, hello. {QUERY} Thanks."
    assert problems_of(RECORD, after) == []
    assert "has to stay" in asked[1][-1]["content"]
    (audit,) = rewriter.audits
    assert [one.outcome for one in audit.attempts] == ["invalid", "ok"]
    assert audit.outcome == "kept"


def test_documents_keep_names_and_parameters():
    names = {
        tool["function"]["name"]: {name: f"About {name}." for name in tool["function"]["parameters"]["properties"]}
        for tool in RECORD.tools
    }
    good = {"tools": {name: {"description": f"It is {name}.", "parameters": found} for name, found in names.items()}}
    first = next(iter(names))
    missing = {"tools": {name: one for name, one in good["tools"].items() if name != first}}
    unknown = {"tools": {**good["tools"], first: {"description": "It.", "parameters": {"nothing": "x"}}}}
    complete, asked = scripted(missing, unknown, good)
    after = evolve(RECORD, ["harder_tools"], rewriter=Rewriter(complete))
    assert problems_of(RECORD, after) == []
    assert f"The tool '{first}' is missing." in asked[1][-1]["content"]
    assert "has no parameter 'nothing'" in asked[2][-1]["content"]
    assert f"It is {first}." in after.messages[0]["content"]


def test_a_text_that_names_what_is_expected_is_refused():
    reply = {"text": f"{RECORD.golden.name} is a word. " * 20, "question": "Which?", "answer": "That."}
    complete, _ = scripted(*[reply] * 6)
    rewriter = Rewriter(complete)
    with pytest.raises(Refused, match="long_context:invalid"):
        evolve(RECORD, ["long_context"], rewriter=rewriter)
    assert (rewriter.audits[0].outcome, rewriter.audits[0].reason) == ("dropped", "long_context:invalid")


def test_a_model_that_cannot_be_reached_lets_nothing_pass_and_a_budget_ends_it():
    complete, _ = scripted(*[ModelError("away")] * 2)
    assert evolve_all([RECORD], ["noisy_query"], rewriter=Rewriter(complete)).refused == {RECORD.id: "noisy_query:unreachable"}
    complete, _ = scripted(BudgetError("spent"))
    with pytest.raises(BudgetError):
        evolve_all([RECORD], ["noisy_query"], rewriter=Rewriter(complete))


def test_replies_that_passed_are_kept():
    cache = {}
    complete, asked = scripted({"query": f"Well. {QUERY}"})
    for _ in range(2):
        after = evolve(RECORD, ["noisy_query"], rewriter=Rewriter(complete, cache=cache))
    assert len(asked) == 1
    assert after.messages[1]["content"] == f"Well. {QUERY}"
