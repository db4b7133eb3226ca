"""The format of an item, and the way to the published form and back."""

import json
from typing import Any

import pytest

from palaestra.envs.critic.documents import CriticDataError, documents_of
from palaestra.envs.critic.record import Record, of_published, to_published
from tests.envs.critic.made_items import FAILED, NEXT, TOOLS, external, internal, prompt
from tests.envs.critic.published_data import items


@pytest.mark.parametrize("record", [internal(), internal(cot=True, label=""), external(), external(cot=True)], ids=str)
def test_records_travel_as_json(record):
    assert Record.of(json.loads(record.to_line()), "it") == record
    assert of_published(record.id, to_published(record)) == record


def test_published_items_come_back_as_they_were():
    wrong = [key for key, item in items().items() if to_published(of_published(key, item)) != item]
    assert wrong == []


def test_what_only_an_item_says_comes_back():
    for truth in ({**FAILED, "args": {}}, [FAILED, NEXT]):
        item = {"query_prompt": prompt(), "ground_truth": truth, "error_type": "", "source": {"a": [1]}}
        assert to_published(of_published("x", item)) == item


def test_a_record_without_the_documents_in_its_system_message_gets_them():
    data = internal().to_json()
    for messages in (data["messages"][1:], [{"role": "system", "content": "Be kind [always]."}, *data["messages"][1:]]):
        item = to_published(Record.of({**data, "messages": messages}, "it"))
        assert documents_of(item["query_prompt"][0]["content"], "it") == TOOLS
        assert of_published("i", item).golden == internal().golden


def changed(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**data, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "critic/2"}, "it: format: "),
        ({"label": "typo"}, "the label 'typo' is not one of '', 'tool_select_error'"),
        ({"golden": None}, "an internal item has golden alone"),
        ({"next": NEXT}, "an internal item has golden alone"),
        ({"golden": {"name": "nothing", "args": {}}}, "the expected tool 'nothing' is not in the list of tools"),
        ({"golden": {"name": "order", "args": {"colour": 1}}}, "the argument 'colour', which its document lacks"),
        ({"tools": []}, "it: tools: "),
        ({"tools": [{"name": "x"}]}, "a tool is not an OpenAI function schema"),
        (
            {"messages": [{"role": "user", "content": "a", "name": "b"}] * 2},
            "every message has role and content and nothing else",
        ),
        ({"k": 0}, "it: k: "),
        ({"surprise": 1}, "it: surprise: "),
    ],
)
def test_a_record_that_cannot_be_used_says_why(change, message):
    with pytest.raises(CriticDataError, match=message):
        Record.of(changed(internal().to_json(), **change), "it")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_prompt": None}, "x: query_prompt is NoneType"),
        ({"query_prompt": prompt()[1:]}, "x: there is no system message"),
        ({"query_prompt": [{"role": "system", "content": "No tools."}]}, "x: the system message holds no list of tools"),
        ({"ground_truth": None}, "x: ground_truth is None; expected an action"),
        ({"ground_truth": [FAILED]}, "x: ground_truth has 1 actions"),
        (
            {"ground_truth": [FAILED, {"name": "order"}]},
            r"x: ground_truth\[1\]: the args of 'order' are None; expected an object",
        ),
        ({"ground_truth": {**NEXT, "thought": 3}}, "x: ground_truth: the thought is 3"),
        ({"error_type": None}, "x: error_type is None"),
        ({"error_type": "typo"}, "x: the label 'typo' is not one of"),
    ],
)
def test_an_item_that_cannot_be_used_says_why(change, message):
    item = {"query_prompt": prompt(), "ground_truth": NEXT, "error_type": ""}
    with pytest.raises(CriticDataError, match=message):
        of_published("x", {**item, **change})
    with pytest.raises(CriticDataError, match="x: the item is list"):
        of_published("x", [])
