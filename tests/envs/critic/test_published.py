"""The published scorer: against its own outputs, and by hand."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.envs.critic.documents import CriticDataError
from palaestra.envs.critic.published import (
    FINISH_SENTENCE,
    load,
    means,
    retry_loop,
    score_external,
    score_internal,
)
from palaestra.errors import UsageError
from tests.envs.critic.published_data import items, reference, reference_folders

TOOLS = [
    {
        "name": "Shop.order",
        "description": "Order something.",
        "required_parameters": [{"name": "what", "type": "STRING"}, {"name": "count", "type": "NUMBER"}],
        "optional_parameters": [
            {"name": "price", "type": "FLOAT"},
            {"name": "gift", "type": "BOOLEAN"},
            {"name": "note", "type": "any"},
            {"name": "tags", "type": "array"},
        ],
        "return_data": [],
    },
    {"name": "Shop.list", "description": "", "required_parameters": [], "optional_parameters": [], "return_data": []},
]
SYSTEM = f"Tools: {json.dumps(TOOLS)}\nTo use a tool, write JSON.\nRemember: only generate ONE step each time."
PROMPT = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": "Order tea."},
    {"role": "assistant", "content": '{"name": "Shop.list", "args": {}}'},
    {"role": "function", "content": "Connection reset."},
]
FAILED = {"name": "Shop.list", "args": {}}


def internal(args: dict[str, Any], label: str = "tool_select_error") -> dict[str, Any]:
    """An item whose right step is an order."""
    return {"query_prompt": PROMPT, "ground_truth": {"name": "Shop.order", "args": args}, "error_type": label}


def external(following: dict[str, Any]) -> dict[str, Any]:
    """An item whose call of the list failed."""
    return {"query_prompt": PROMPT, "ground_truth": [FAILED, following]}


def agrees(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether scores are equal to 1e-9."""
    return found.keys() == expected.keys() and all(
        found[key] == (value if value is None else pytest.approx(value, abs=1e-9)) for key, value in expected.items()
    )


def test_replies_are_read_as_published():
    rows = reference("format_load.jsonl")
    assert [row["id"] for row in rows if load(row["text"], row["bracketed"]) != row["expected"]] == []


@pytest.mark.parametrize("name", ["internal_wo_cot", "internal_w_cot"])
def test_replies_to_steps_score_as_published(name):
    wrong = [
        row["id"]
        for row in reference(f"{name}.jsonl")
        if not agrees(score_internal(items()[row["instance"]], row["prediction"], row["cot"]), row["expected"])
    ]
    assert wrong == []


@pytest.mark.parametrize("cot", ["wo_cot", "w_cot"])
@pytest.mark.parametrize("mode", ["skip", "finish"])
def test_replies_to_failures_score_as_published(mode, cot):
    wrong = []
    for row in reference(f"external_{mode}_{cot}.jsonl"):
        item, script = items()[row["instance"]], iter(row["script"])
        asked: list[list[dict[str, Any]]] = []

        def reply(messages, script=script, asked=asked, last=row["script"][-1]):
            asked.append(messages)
            return next(script, last)

        same = retry_loop(item, reply, row["cot"], mode=mode) == row["predictions"]
        again = [messages[-1] for messages in asked]
        if not same or again != [item["query_prompt"][-1]] * len(asked):
            wrong.append(row["id"])
        if not agrees(score_external(item, row["predictions"], row["mode"], row["cot"]), row["expected"]):
            wrong.append(row["id"])
    assert wrong == []


def test_means_are_those_published():
    for expected, rows_of in reference_folders():
        for name, wanted in expected.items():
            rows = rows_of(f"{name}.jsonl")
            scores = [
                score_internal(items()[row["instance"]], row["prediction"], row["cot"])
                if "prediction" in row
                else score_external(items()[row["instance"]], row["predictions"], row["mode"], row["cot"])
                for row in rows
            ]
            found = means(scores)
            assert (found["n"], found["n_error"]) == (wanted["n"], wanted["n_error"]), name
            assert agrees(found["means"], wanted["means"]), name
            assert {key: found[key] for key in wanted["means"]} == found["means"]


@pytest.mark.parametrize(
    ("gold", "args", "expected"),
    [
        ({"what": "tea", "count": 2}, {"what": "tea", "count": 2, "colour": "red"}, 1.0),  # an unexpected argument is ignored
        ({"count": 2}, {"count": 3}, 0.0),  # one off: the texts share no word
        ({"count": 2}, {"count": 2.0}, 0.0),  # NUMBER is an int
        ({"count": 1}, {"count": True}, 0.0),  # a bool is an int; "True" and "1" share no word
        ({"count": "two"}, {"count": "two cups"}, 2**-0.5),  # both texts: compared although the type is wrong
        ({"count": "二"}, {"count": "二"}, 0.0),  # unless there are such characters
        ({"what": "tea", "price": 1.5}, {"what": "tea"}, 0.75),  # an optional one left out
        ({"what": "tea", "price": 1.5}, {"price": 1.5}, 0.5),
        ({"price": 1.5}, {"price": 1}, 0.0),  # FLOAT is a float
        ({"note": [1]}, {"note": "[1]"}, 1.0),
        ({"tags": ["a"]}, {"tags": ["a", "b"]}, 2**-0.5),
        ({}, {"what": "tea"}, 1),
        ({}, {"whatever": "tea"}, 0),
        ({"what": "tea"}, [["what", "tea"]], 0),
    ],
)
def test_arguments(gold, args, expected):
    reply = json.dumps({"error": "tool_select_error", "name": "Shop.order", "args": args})
    assert score_internal(internal(gold), reply, False)["args"] == pytest.approx(expected)


def test_a_retry_in_prose_ends_the_loop_and_counts_as_a_retry():
    said = 'Once more: {"name": "Shop.list", "args": {}}'
    predictions = retry_loop(external({"name": "Shop.order", "args": {}}), lambda _: said, False)
    assert predictions == [said]
    scores = score_external(external({"name": "Shop.order", "args": {}}), predictions, "skip", False)
    assert (scores["retry"], scores["break"]) == (1, 0)


def test_the_loop_ends_after_three_retries_and_leaves_the_item_alone():
    item = external({"name": "FinishAction", "args": "Done."})
    before = json.dumps(item)
    asked = []

    def reply(messages):
        asked.append(len(messages))
        messages.clear()  # what it is given is its own
        return json.dumps(FAILED)

    assert retry_loop(item, reply, True, mode="finish") == [json.dumps(FAILED)] * 4
    assert asked == [4, 6, 8, 10]
    assert json.dumps(item) == before


def test_finishing_is_compared_with_the_published_sentence():
    item = external({"name": "FinishAction", "args": "All is done."})
    sentence = FINISH_SENTENCE.format(tool="Shop.list")
    reply = json.dumps({"thought": "Over.", "name": "FinishAction", "args": sentence})
    assert score_external(item, [reply], "finish", True)["thought"] == pytest.approx(1)
    assert score_external(item, [reply], "skip", False)["args"] < 0.5
    assert score_external(item, ['{"name": "FinishAction", "args": "All is done."}'], "skip", False)["args"] == pytest.approx(
        1
    )


def test_means_of_rows_that_say_what_they_are():
    rows = [
        {"id": "a", "cot": True, "critic": 1, "reflect": 0, "error_type": ""},
        {"id": "b", "cot": True, "critic": 0, "reflect": 1, "error_type": "tool_select_error"},
    ]
    assert means(rows)["means"] == {"critic": 0.5, "reflect": 1}
    assert means(rows[:1])["means"] == {"critic": 1, "reflect": None}
    assert means([]) == {"n": 0, "n_error": None, "means": {}}
    with pytest.raises(UsageError, match="add 'error_type'"):
        means([{"critic": 1}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"error_type": None}, "error_type is None; expected the label"),
        ({"ground_truth": None}, "ground_truth is None; expected an action"),
        ({"ground_truth": {"name": "Shop.order", "args": "tea"}}, "expected an object"),
        ({"ground_truth": {"name": "Shop.order", "args": {"colour": 1}}}, "argument 'colour', which its document lacks"),
        ({"query_prompt": PROMPT[1:]}, "the first with role system"),
        ({"query_prompt": [{"role": "system", "content": "None."}]}, "holds no list of tools"),
        (
            {"query_prompt": [{"role": "system", "content": "[{'name': }]\nTo use a tool"}]},
            "neither JSON nor a Python literal",
        ),
        ({"query_prompt": [{"role": "system"}]}, "expected messages with role and content"),
    ],
)
def test_an_item_that_cannot_be_scored_says_why(change, message):
    reply = '{"error": "tool_select_error", "name": "Shop.order", "args": {}}'
    with pytest.raises(CriticDataError, match=message):
        score_internal({**internal({"what": "tea"}), **change}, reply, False)


def test_replies_that_are_not_there():
    with pytest.raises(CriticDataError, match="There are no predictions"):
        score_external(external(FAILED), [], "skip", False)
    with pytest.raises(UsageError, match="expected 'skip' or 'finish'"):
        score_external(external(FAILED), ["{}"], "internal", False)
    with pytest.raises(CriticDataError, match="expected the failed action and the next one"):
        retry_loop(internal({}), lambda _: "{}", False)


@given(st.one_of(st.text(max_size=60), st.text(alphabet="{}[]'\"\\:,`json 0x1eN", max_size=60)), st.booleans())
@example("[" * 5000, False)
@example('{"args": ' + "[" * 5000, True)
@example('{"name": 1, "args": 0x' + "f" * 9000 + "}", True)
@example('{"name": "Shop.order", "args": {"what": 0x' + "f" * 9000 + "}}", True)
@example("{'name': 'a\\d', 'args': {}}", True)
@example("\0", False)
def test_any_text_is_read_and_scored(text, trim):
    assert load(text, trim).keys() == {"error", "thought", "name", "args"}
    score_internal(internal({"what": "tea"}), text, True)
    score_external(external({"name": "Shop.order", "args": {"what": "tea"}}), [text], "skip", True)
