from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.report import render_report
from palaestra.agents.report.turn_results import MAX_ROWS, acts_of, request_block
from palaestra.agents.store.store import RunStore
from palaestra.types import Message, Step, ToolCall
from tests.agents.report import build
from tests.agents.report.page import parse


def block_of(result, *acts):
    return request_block(result, acts, lambda text: text)


def test_each_leaf_is_told_with_what_it_was_should_be_and_is():
    block = block_of(build.cockpit().steps[2].info["turn_result"])
    assert [(row["before"], row["gold"], row["agent"], row["verdict"]) for row in block["rows"]] == [
        ("0", "30", "100", "wrong"),
        ('"closed"', '"open"', "unchanged", "missing"),
        ("absent", '"Clarity "', "unchanged", "missing"),
        ("50", "unchanged", "80", "side effect"),
    ]
    assert block["served"] is False
    assert block["counts"] == ["0 calls", "2 writes"]


def test_a_leaf_that_is_gone_is_told():
    removed = {"op": "del", "path": "navigation.current_route.destination", "old": "Shanghai"}
    (row,) = block_of({"expected": [removed], "changed": [removed]})["rows"]
    assert row == {
        "path": removed["path"], "before": '"Shanghai"', "gold": "removed", "agent": "removed", "verdict": "right"
    }  # fmt: skip


def test_without_marks_a_change_that_was_not_expected_is_a_side_effect():
    (row,) = block_of({"changed": [build.change("HUD.is_on", False, True)]})["rows"]
    assert row["verdict"] == "side effect"


def test_scores_stand_beside_those_of_doing_nothing():
    scores = block_of(build.cockpit().steps[1].info["turn_result"])["scores"]
    found = {score["name"]: (score["value"], score["nothing"]) for score in scores}
    assert found["accuracy"] == ("1.000", "0.000")
    assert found["turn success"] == ("yes", "no")
    assert "refusal" not in found  # neither has one
    assert found["side effects"] == ("0", "0")
    assert "do nothing" not in found


def test_many_leaves_are_cut_and_counted():
    changed = [build.change(f"seat.{i}", 0, "x" * 1000) for i in range(MAX_ROWS + 7)]
    block = block_of({"changed": changed})
    assert len(block["rows"]) == MAX_ROWS
    assert block["more_rows"] == 7
    assert len(block["rows"][0]["agent"]) < 200


def test_what_a_message_did_is_its_calls_or_its_code_or_its_words():
    calls = (ToolCall("a", {"x": 1, "y": "z"}, "1"), ToolCall("b", "no json", "2"))
    assert acts_of(Step("", Message("assistant", "thinking", calls))) == ['a(x=1, y="z")', "b(no json)"]
    assert acts_of(Step("", Message("assistant", "first\n```python\none()\n```\nthen\n```\ntwo()\n```"))) == ["one()", "two()"]
    assert acts_of(Step("", Message("assistant", "```python\ncut()"))) == ["cut()"]
    assert acts_of(Step("", Message("assistant", " I decline. "))) == ["I decline."]


def test_each_request_holds_what_was_done_since_the_one_before(tmp_path):
    with RunStore(tmp_path / "runs") as store:
        store.create_run({}, "x")
        store.add("x", build.cockpit())
        store.add("x", build.crafting(1))
        cockpit, crafting = parse(render_report(["x"], store=store)).data["episodes"]
    assert ["request" in step for step in cockpit["steps"]] == [False, True, True, True]
    assert [len(step["request"]["acts"]) for step in cockpit["steps"][1:]] == [2, 1, 1]
    assert not any("request" in step for step in crafting["steps"])


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
