from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.report import render_report
from palaestra.agents.store.store import RunStore
from palaestra.envs.vehicle.results.blocks import MAX_ROWS, acts_of, request_block, request_blocks
from palaestra.types import Message, Step, ToolCall
from tests.agents.report import build
from tests.agents.report.page import parse


def block_of(result, *acts):
    return request_block(result, acts)


def leaves_of(result):
    """Return the rows of the table of leaves, by their path."""
    return {row[0]: row[1:] for row in block_of(result).tables[0].rows}


def test_each_leaf_is_told_with_what_it_was_should_be_and_is():
    block = block_of(build.cockpit().steps[2].info["request_result"])
    leaves = block.tables[0]
    assert [row[1:] for row in leaves.rows] == [
        ("0", "30", "100", "wrong"),
        ('"closed"', '"open"', "unchanged", "missing"),
        ("absent", '"Clarity "', "unchanged", "missing"),
        ("50", "unchanged", "80", "side effect"),
    ]
    assert leaves.marks == ("bad", "missing", "missing", "extra")
    assert (block.verdict, block.mark) == ("not served exactly", "bad")
    assert block.notes == ("0 calls", "2 writes", "modules door")


def test_a_leaf_that_is_gone_is_told():
    removed = {"op": "del", "path": "navigation.current_route.destination", "old": "Shanghai"}
    leaves = leaves_of({"expected": [removed], "changed": [removed]})
    assert leaves == {removed["path"]: ('"Shanghai"', "removed", "removed", "right")}


def test_without_marks_a_change_that_was_not_expected_is_a_side_effect():
    assert leaves_of({"changed": [build.change("HUD.is_on", False, True)]})["HUD.is_on"][-1] == "side effect"


def test_scores_stand_above_those_of_doing_nothing():
    table = block_of(build.cockpit().steps[1].info["request_result"]).tables[1]
    agent, idle = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert (agent["accuracy"], idle["accuracy"]) == ("1.000", "0.000")
    assert (agent["request success"], idle["request success"]) == ("yes", "no")
    assert (agent["side effects"], idle["side effects"]) == ("0", "0")
    assert not {"refusal", "do nothing"} & set(table.columns)  # neither has a refusal


def test_scores_without_those_of_doing_nothing_are_one_row():
    [table] = block_of({"scores": {"accuracy": 0.5}}).tables[1:]
    assert table.rows == (("agent", "0.500"),)
    assert len(block_of({"scores": {}}).tables) == 1


def test_many_leaves_are_cut_and_counted():
    changed = [build.change(f"seat.{i}", 0, "x" * 1000) for i in range(MAX_ROWS + 7)]
    table = block_of({"changed": changed}).tables[0]
    assert len(table.rows) == MAX_ROWS
    assert "7 further leaves" in table.note
    assert len(table.rows[0][3]) < 200


def test_what_a_message_did_is_its_calls_or_its_code_or_its_words():
    calls = (ToolCall("a", {"x": 1, "y": "z"}, "1"), ToolCall("b", "no json", "2"))
    assert acts_of(Step("", Message("assistant", "thinking", calls))) == ['a(x=1, y="z")', "b(no json)"]
    assert acts_of(Step("", Message("assistant", "first\n```python\none()\n```\nthen\n```\ntwo()\n```"))) == ["one()", "two()"]
    assert acts_of(Step("", Message("assistant", "```python\ncut()"))) == ["cut()"]
    assert acts_of(Step("", Message("assistant", " I decline. "))) == ["I decline."]


def test_each_request_holds_what_was_done_since_the_one_before(tmp_path):
    cockpit = build.cockpit()
    blocks = request_blocks(cockpit)
    assert list(blocks) == [1, 2, 3]
    assert [block.details[0][1].count("(") for [block] in (blocks[1], blocks[2], blocks[3])] == [2, 0, 0]
    with RunStore(tmp_path / "runs") as store:
        store.create_run({}, "x")
        store.add("x", cockpit)
        store.add("x", build.crafting(1))
        shown, crafting = parse(render_report(["x"], store=store)).data["episodes"]
    assert ["blocks" in step for step in shown["steps"]] == [False, True, True, True]
    assert not any("blocks" in step for step in crafting["steps"])


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_keys = ("index", "request", "kinds", "modules", "calls", "changed", "expected", "missing", "wrong", "side_effects", "scores")


@given(st.one_of(_json, st.fixed_dictionaries({}, optional=dict.fromkeys(_keys, _json))))
def test_no_report_of_an_environment_breaks_the_page(result):
    block = block_of(result, "did it")
    assert (block is None) == (not isinstance(result, dict))
    if block is not None:
        json.dumps(block.to_json())
