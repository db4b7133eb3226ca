"""The scorer that the paper describes, and where it differs from the published one."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.envs.critic import published
from palaestra.envs.critic.paper import UNKNOWN, claim_of, is_same, read_reply, score_external, score_internal
from palaestra.envs.critic.record import Action, to_published
from palaestra.envs.wrappers.injection.arguments import same_json
from palaestra.envs.wrappers.injection.taxonomy import INTERNAL
from tests.envs.critic.made_items import FAILED, NEXT, THOUGHT, external, internal, said

SELECT = "tool_select_error"


@pytest.mark.parametrize(
    ("error", "label"),
    [
        *[(label, label) for label in INTERNAL],
        ("Tool Selection Error", UNKNOWN),
        ("TOOL SELECT  ERRORS", SELECT),
        ("parameter-key_error", "parameters_key_error"),
        ("tools_hallucination_errors.", "tool_hallucination_error"),
        *[(nothing, "") for nothing in (None, "", "None", "no error", " NULL ", False, [], {}, 0)],
        ("wrong", UNKNOWN),
        ([SELECT], UNKNOWN),
        (True, UNKNOWN),
    ],
)
def test_claims(error, label):
    assert claim_of(error) == label


@pytest.mark.parametrize(
    ("text", "has_prose"),
    [
        (said(), False),
        (f"  {said()}\n", False),
        (f"```json\n{said()}\n```", False),
        (f"```\n{said()}\n```", False),
        (f"Look:\n```json\n{said()}\n```\nDone.", True),
        (f"Look: {said()} Done.", True),
    ],
)
def test_replies_are_read(text, has_prose):
    reply = read_reply(text)
    assert reply is not None
    assert (reply.action, reply.has_prose) == (Action(**NEXT), has_prose)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "{'name': 'order', 'args': {}}", '{"name": "order"}', '{"name": "", "args": {}}', "null"),
        *('{"name": 5, "args": {}}', '{"name": "order", "args": "tea"}', '{"name": "FinishAction", "args": {}}'),
        *('{"name": "order", "args": {"x": NaN}}', '{"name": "order", "args": {"x": 1e999}}', "{" * 9000),
        *('{"name": "order", "args": {"x": "\\ud800"}}', '{"name": "a", "args": {"b": ' + '{"b": ' * 99 + "1" + "}" * 101),
    ],
)
def test_replies_that_cannot_be_read(text):
    assert read_reply(text) is None


@given(st.one_of(st.text(max_size=60), st.text(alphabet='{}[]"\\:,`json 0x1eN', max_size=60)))
@example('{"error": "x"}')
def test_any_text_is_scored(text):
    score_internal(internal(cot=True), text)
    score_external(external(cot=True), [text], "skip")


def test_an_item_with_an_error():
    assert score_internal(internal(), said(error=SELECT)) == dict.fromkeys(
        ("detect", "category", "tool", "args", "parse_rate"), 1
    )
    nothing = dict.fromkeys(("detect", "category", "tool", "args", "parse_rate"), 0)
    assert score_internal(internal(), said()) == {**nothing, "tool": 1, "args": 1, "parse_rate": 1}
    assert score_internal(internal(), said(error="other")) == {**nothing, "detect": 1, "tool": 1, "args": 1, "parse_rate": 1}
    assert score_internal(internal(), json.dumps({"error": SELECT})) == {**nothing, "detect": 1, "category": 1}
    assert score_internal(internal(), "?") == nothing


def test_an_item_without_an_error():
    assert score_internal(internal(label=""), said("list", {})) == {"detect": 1, "parse_rate": 1}
    assert score_internal(internal(label=""), said(error=SELECT)) == {"detect": 0, "parse_rate": 1}
    assert score_internal(internal(label=""), "?") == {"detect": 0, "parse_rate": 0}


def test_thoughts_are_compared_and_asked_for():
    assert score_internal(internal(cot=True), said(error=SELECT, thought=THOUGHT))["thought"] == 1
    half = score_internal(internal(cot=True), said(error=SELECT, thought="The shelf"))
    assert (half["thought"], half["parse_rate"]) == (pytest.approx(2**-0.5), 1)
    assert score_internal(internal(cot=True), said(error=SELECT))["parse_rate"] == 0
    assert score_external(external(cot=True), [said(thought=THOUGHT)], "skip")["thought"] == 1


@pytest.mark.parametrize(
    ("gold", "args", "expected"),
    [
        ({"what": "tea", "count": 2}, {"what": "tea", "count": 2.0}, 1),  # numbers by their value
        ({"what": "tea", "count": 1}, {"what": "tea", "count": True}, 0.5),  # a bool is not a number
        ({"what": "tea", "count": 2}, {"what": "tea", "count": 3}, 0.5),
        ({"what": "tea", "count": 2}, {"what": "tea", "count": "2"}, 0.5),
        ({"what": "tea", "count": 2}, {"what": "tea"}, 0),  # a required one is missing
        ({"what": "tea", "count": 2}, {"what": "tea", "count": 2, "colour": "red"}, 0),  # an unknown one
        ({"what": "tea", "count": 2}, {"what": "tea", "count": 2, "price": 1.5}, 2 / 3),  # one too many
        ({"what": "tea", "count": 2, "price": 1.5}, {"what": "tea", "count": 2}, 2 / 3),  # an optional one is missing
        ({"what": "green tea", "count": 2}, {"what": "tea", "count": 2}, (2**-0.5 + 1) / 2),
        ({"what": "!", "count": 2}, {"what": "!", "count": 2}, 1),  # equal texts without a word
        ({"what": "t", "count": 2, "note": [1]}, {"what": "t", "count": 2, "note": [1.0]}, 1),
        ({"what": "t", "count": 2, "note": 1}, {"what": "t", "count": 2, "note": 2}, 2 / 3),
        ({"what": "t", "count": 2, "day": 3}, {"what": "t", "count": 2, "day": 3.5}, 2 / 3),
        ({"what": "t", "count": 2, "day": 3}, {"what": "t", "count": 2, "day": 10**400}, 2 / 3),  # no float holds it
        ({"what": "t", "count": 2, "tags": ["a"]}, {"what": "t", "count": 2, "tags": ["a", "b"]}, 2 / 3),
        (
            {"what": "t", "count": 2, "address": {"a": 1, "b": [2]}},
            {"what": "t", "count": 2, "address": {"b": [2], "a": 1}},
            1,
        ),
    ],
)
def test_arguments(gold, args, expected):
    assert score_internal(internal(gold), said(args=args, error=SELECT))["args"] == pytest.approx(expected)


def test_no_arguments_and_the_text_of_a_report():
    assert score_external(external({"name": "list", "args": {}}), [said("order")], "skip")["tool"] == 0
    report = {"name": "FinishAction", "args": "No tea."}
    assert score_external(external(report), [said("FinishAction", "No tea.")], "skip")["args"] == 1
    assert score_external(external(report), [said("FinishAction", "tea")], "skip")["args"] == pytest.approx(2**-0.5)


RETRY = json.dumps(FAILED)


@pytest.mark.parametrize(
    ("texts", "mode", "expected"),
    [
        ([RETRY, said()], "skip", {"retry": 1, "break": 1, "tool": 1, "args": 1, "parse_rate": 1}),
        ([said()], "skip", {"retry": 0, "break": 1, "tool": 1, "args": 1, "parse_rate": 1}),
        ([RETRY] * 4, "skip", {"retry": 1, "break": 0, "tool": 0, "args": 0, "parse_rate": 1}),
        ([RETRY, "?"], "finish", {"retry": 1, "break": 0, "tool": 0, "parse_rate": 0}),
        ([RETRY, said("FinishAction", "It failed.")], "finish", {"retry": 1, "break": 1, "tool": 1, "parse_rate": 1}),
        ([said(), said("FinishAction", "It failed.")], "finish", {"retry": 0, "break": 1, "tool": 0, "parse_rate": 1}),
        ([], "skip", {"retry": 0, "break": 0, "tool": 0, "args": 0, "parse_rate": 0}),
    ],
)
def test_failures_of_the_environment(texts, mode, expected):
    assert score_external(external(), texts, mode) == expected


def test_where_the_profiles_differ():
    unexpected, off_by_one, as_float = (
        {**NEXT["args"], **extra} for extra in ({"colour": "red"}, {"count": 3}, {"count": 2.0})
    )
    for args, by_paper, by_published in ((unexpected, 0, 1), (off_by_one, 0.5, 0.5), (as_float, 1, 0.5)):
        text = said(args=args, error=SELECT)
        assert score_internal(internal(), text)["args"] == by_paper
        assert published.score_internal(to_published(internal()), text, False)["args"] == pytest.approx(by_published)
    long = {"what": "green tea", "count": 1234}
    near = said(args={**long, "count": 1235}, error=SELECT)
    assert score_internal(internal(long), near)["args"] == 0.5
    quoted = internal({**NEXT["args"], "price": 1.5})
    number = said(args={**NEXT["args"], "price": 1.6}, error=SELECT)  # the texts "1.5" and "1.6" share the word "1"
    assert score_internal(quoted, number)["args"] == pytest.approx(2 / 3)
    assert published.score_internal(to_published(quoted), number, False)["args"] == pytest.approx(2.5 / 3)
    prose = f"Again: {RETRY}"
    assert published.retry_loop(to_published(external()), lambda _: prose, False) == [prose]
    reply = read_reply(prose)
    assert reply is not None
    assert reply.action is not None
    assert is_same(reply.action, Action(**FAILED))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=5))
def test_a_json_value_is_the_same_after_its_text(value):
    assert same_json(value, json.loads(json.dumps(value)))
    assert not same_json(value, [value])
