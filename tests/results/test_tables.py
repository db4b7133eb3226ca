from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError, UsageError
from palaestra.results.tables import (
    Arm,
    EnvResults,
    ResultTable,
    StepBlock,
    differing,
    distinguish,
    load_named,
    load_results,
    no_blocks,
    short_names,
)
from palaestra.types import Trajectory

arms = st.builds(
    Arm,
    run_id=st.sampled_from(["day-1-a", "day-1-b"]),
    agent=st.sampled_from(["expert", "random"]),
    env_id=st.sampled_from(["x/A-v0", "x/B-v0"]),
    env_kwargs=st.sampled_from([{}, {"mode": "fc"}, {"mode": "sfc", "few": 1}]),
    split=st.sampled_from(["train", "test"]),
)


def key(arm: Arm) -> str:
    return json.dumps([arm.run_id, arm.agent, arm.env_id, dict(arm.env_kwargs), arm.split])


def test_what_is_not_said_of_an_arm_or_a_table_is_empty() -> None:
    assert Arm("r", "a", "x/A-v0") == Arm(
        run_id="r", agent="a", env_id="x/A-v0", env_kwargs={}, split="", name="", settings={}, episodes=()
    )
    assert Arm("r", "a", "x/A-v0").episodes == ()
    table = ResultTable("t", ("a",), (("1",),))
    assert {name: getattr(table, name) for name in ("note", "text_columns", "marks", "quiet")} == {
        "note": "",
        "text_columns": 1,
        "marks": (),
        "quiet": (),
    }


@given(st.lists(arms, max_size=8, unique_by=key))
def test_different_arms_get_different_names(given_arms: list[Arm]) -> None:
    found = distinguish(given_arms)
    assert [key(arm) for arm in found] == [key(arm) for arm in given_arms]
    assert len({arm.name for arm in found}) == len(found)
    assert all(arm.name.startswith(arm.agent) for arm in found)


@given(st.lists(arms, min_size=1, max_size=8, unique_by=key))
def test_a_name_has_each_part_if_and_only_if_it_tells_arms_apart(given_arms: list[Arm]) -> None:
    found = distinguish(given_arms)
    for arm in found:
        same = [other for other in given_arms if other.agent == arm.agent]
        alike = [other.env_kwargs for other in given_arms if other.env_id == arm.env_id]
        parts = arm.name.split(" · ")
        assert parts.pop(0) == arm.agent
        for name, values in (("env_id", {one.env_id for one in same}), ("split", {one.split for one in same})):
            assert (getattr(arm, name) in parts) == (len(values) > 1)
            parts = [part for part in parts if part != getattr(arm, name)]
        asked = {name for kwargs in alike for name in kwargs if len({str(one.get(name)) for one in alike}) > 1}
        assert dict(arm.settings) == {name: arm.env_kwargs.get(name) for name in asked}
        told = [f"{name}={value}" for name, value in arm.settings.items()]
        assert parts[: len(told)] == told
        plain = arm.name.removesuffix(f" · {arm.run_id[-1]}")
        twins = [one for one in found if one.name.removesuffix(f" · {one.run_id[-1]}") == plain]
        assert parts[len(told) :] == ([arm.run_id[-1]] if len(twins) > 1 else [])


def test_an_arm_without_an_agent_or_a_split_is_named_by_what_it_has() -> None:
    one, other = distinguish([Arm("a-run", "", "x/A-v0", split=""), Arm("b-run", "", "x/A-v0", split="test")])
    assert (one.name, other.name) == ("a-run", "b-run · test")
    assert [arm.name for arm in distinguish([Arm("d-me-1", "me", "x/A-v0"), Arm("d-me-2", "me", "x/A-v0")])] == [
        "me · 1",
        "me · 2",
    ]
    assert [arm.name for arm in distinguish([Arm("me-1", "me", "x/A-v0"), Arm("other", "me", "x/A-v0")])] == [
        "me · 1",
        "me · other",
    ]


def test_names_say_what_tells_the_arms_apart_and_no_more() -> None:
    def names(*given_arms: Arm) -> list[str]:
        return [arm.name for arm in distinguish(given_arms)]

    fc, sfc = Arm("1", "a", "x/A-v0", {"mode": "fc", "n": 3}), Arm("2", "a", "x/A-v0", {"mode": "sfc", "n": 3})
    assert names(fc) == ["a"]
    assert names(fc, sfc) == ["a · mode=fc", "a · mode=sfc"]
    assert names(fc, Arm("2", "b", "x/A-v0", {"mode": "fc", "n": 3})) == ["a", "b"]
    assert names(Arm("d-1", "a", "x/A-v0"), Arm("d-2", "a", "x/A-v0")) == ["a · 1", "a · 2"]
    assert names(Arm("1", "a", "x/A-v0"), Arm("1", "a", "x/B-v0")) == ["a · x/A-v0", "a · x/B-v0"]
    assert names(Arm("1", "a", "x/A-v0", split="train"), Arm("1", "a", "x/A-v0", split="test")) == ["a · train", "a · test"]
    assert [dict(arm.settings) for arm in distinguish([fc, sfc])] == [{"mode": "fc"}, {"mode": "sfc"}]


def test_arguments_that_are_not_given_differ_from_those_that_are() -> None:
    assert differing([{"a": 1, "b": 2}, {"a": 1}]) == [{"b": 2}, {"b": None}]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (lambda: ResultTable("T", ("a", "b"), (("1",),)), "has 1 cells; expected 2"),
        (lambda: ResultTable("T", ("a",), (("1",), ("2",)), marks=("good",)), "1 marks for 2 rows"),
        (lambda: ResultTable("T", ("a",), (("1",),), marks=("great",)), "The mark is 'great'"),  # type: ignore[arg-type]
        (lambda: StepBlock("B", mark="great"), "The mark is 'great'"),  # type: ignore[arg-type]
    ],
)
def test_a_table_that_does_not_fit_is_refused(table, match) -> None:
    with pytest.raises(ConfigError, match=match):
        table()


def test_results_are_plain_data() -> None:
    table = ResultTable("T", ("a", "b"), (("x", "1"),), "Note.", marks=("bad",), quiet=("-",))
    assert json.loads(json.dumps(table.to_json())) == {
        "title": "T", "columns": ["a", "b"], "rows": [["x", "1"]],
        "note": "Note.", "marks": ["bad"], "quiet": ["-"], "text_columns": 1,
    }  # fmt: skip
    assert EnvResults((table,)).to_json() == [table.to_json()]
    assert EnvResults((table,), {"own": 1}).to_json() == {"own": 1}
    block = StepBlock("B", text="long", details=(("more", "longer"),), tables=(table,))
    empty = {"title": "B", "verdict": "", "mark": "", "tags": [], "notes": []}
    told = {"text": "lo", "details": [["more", "lo"]], "tables": [table.to_json()]}
    assert json.loads(json.dumps(block.to_json(lambda text: text[:2]))) == {**empty, **told}
    block = StepBlock("B", "served", "good", ("t", "u"), ("n",), "long", (("more", "longer"),), (table, table))
    assert json.loads(json.dumps(block.to_json())) == {
        "title": "B", "verdict": "served", "mark": "good", "tags": ["t", "u"], "notes": ["n"], "text": "long",
        "details": [["more", "longer"]], "tables": [table.to_json()] * 2,
    }  # fmt: skip
    bare = ResultTable("T", ("a",), (), text_columns=0)
    assert bare.to_json() == {"title": "T", "columns": ["a"], "rows": [], "text_columns": 0}
    assert no_blocks(Trajectory("e", "x/A-v0", {})) == {}


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("palaestra.results.tables", "expected module:function"),
        (":x", "expected module:function"),
        ("no.such.module:x", "names the module 'no', which is not installed"),
        ("palaestra.results.tables:nothing", "palaestra.results.tables has no nothing"),
        ("palaestra.results.tables:ResultTable.nothing", "has no ResultTable.nothing"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(spec: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        load_named(spec, "thing")


def test_functions_of_results_are_callable() -> None:
    assert load_results("palaestra.results.tables:distinguish") is distinguish
    assert load_named("palaestra.results.tables:ResultTable.to_json", "method") is ResultTable.to_json
    with pytest.raises(UsageError, match="is a list; expected a function of arms"):
        load_results("palaestra.results.tables:__all__")


def test_a_run_whose_name_all_others_begin_with_keeps_it() -> None:
    assert short_names(["day-1", "day-1-fc"]) == {"day-1": "day-1", "day-1-fc": "fc"}
    assert short_names(["only"]) == {"only": "only"}
    same = [Arm("day-1", "expert", "x/A-v0"), Arm("day-1-fc", "expert", "x/A-v0")]
    assert [arm.name for arm in distinguish(same)] == ["expert · day-1", "expert · fc"]


BAD_RESULTS = {
    "table": {"tables": ("x",)},
    "tables": {"tables": "x"},
    "nan": {"data": {"x": math.nan}},
    "object": {"data": object()},
    "set": {"data": {"s": {1}}},
    "blocks": {"blocks": 3},
}


@pytest.mark.parametrize("given_results", BAD_RESULTS.values(), ids=BAD_RESULTS)
def test_results_that_could_not_be_shown_are_refused(given_results) -> None:
    with pytest.raises(ConfigError, match="expected"):
        EnvResults(**given_results)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ResultTable("t", ("a",), ((1,),)),
        lambda: ResultTable("t", (2,), ()),
        lambda: ResultTable("t", ("a",), ("b",)),
        lambda: ResultTable(3, ("a",), ()),
        lambda: ResultTable("t", ("a",), (), note=None),
        lambda: ResultTable("t", ("a",), (), text_columns="1"),
        lambda: StepBlock("t", tags=(1,)),
        lambda: StepBlock("t", text=b"x"),
        lambda: StepBlock("t", details=(("summary",),)),
        lambda: StepBlock("t", tables=("x",)),
    ],
)
def test_what_is_no_text_is_refused(make) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make()


def exits(trajectory):
    raise SystemExit(9)


def raises(trajectory):
    raise KeyError("block")


BAD_BLOCKS = {
    "no block": lambda trajectory: {0: ["no block"]},
    "no list": lambda trajectory: {0: None},
    "no index": lambda trajectory: {"x": []},
    "no mapping": lambda trajectory: [StepBlock("t")],
    "exits": exits,
    "raises": raises,
}


@pytest.mark.parametrize("blocks", BAD_BLOCKS.values(), ids=BAD_BLOCKS)
def test_wrong_blocks_become_one_that_says_so(blocks) -> None:
    [(index, (block,))] = EnvResults(blocks=blocks).blocks_of(Trajectory("e", "x/A-v0", {})).items()
    assert (index, block.verdict, block.mark) == (0, "failed", "bad")
    assert "Error" in block.text or "SystemExit: 9" in block.text


def test_right_blocks_are_passed_on() -> None:
    blocks = {2: [StepBlock("t", tables=(ResultTable("t", ("a",), (("b",),)),))]}
    assert EnvResults(blocks=lambda trajectory: blocks).blocks_of(Trajectory("e", "x/A-v0", {})) is blocks
