"""Lines about runs and episodes: what they say, their columns, and checks that may never change."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from palaestra.agents.store.records import (
    BIASED,
    COLUMNS,
    DECIDED,
    EpisodeSummary,
    Planned,
    RunSummary,
    checked_rows,
    cut_off_note,
    data_check,
    from_row,
    is_data,
    pack,
    record_check,
    row_check,
    stored_text,
    to_row,
    unpack,
    written,
)
from palaestra.types import EpisodeError, Message, Outcome, SeatRecord, Segment, Step, Trajectory, TurnSpan, Usage

RUN = RunSummary("r", 1.0, 2.0, "stopped", "", {"kind": "evaluate"}, 5, 0, 2, 0.5)
SUMMARY = EpisodeSummary(
    "e1", "a/B-v0", "k", "t", "test", "g", 3, 10**30, "m", 0.5, True, 1.5, "success", "", "", "",
    4, False, 5, 6, 7, 0.25, 1.0, 2.0, 9.0,
    {"x": 1.0}, {"length": 2},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "planned"),
    [
        ({"note": "32 of 2,000 planned"}, Planned(32, 2000)),
        ({"note": "2,000 planned"}, Planned(5, 2000)),
        ({"note": "1,032 of 2,000 planned."}, Planned(1032, 2000)),
        ({"note": "3 of 9 phases planned", "config": {"kind": "train"}}, Planned(3, 9, "phases")),
        ({"note": "it said '1 of 2 planned': 4 of 6 planned"}, Planned(4, 6)),
        ({"note": "unplanned"}, None),
        ({"note": ""}, None),
        ({"status": "finished", "note": ""}, Planned(5, 5)),
        ({"status": "finished", "note": "", "config": {"kind": "rescore"}}, Planned(5, 5)),
        ({"status": "finished", "note": "", "config": {"kind": "train"}}, None),
        ({"status": "finished", "note": "7 of 7 phases planned", "config": {"kind": "train"}}, Planned(7, 7, "phases")),
    ],
)
def test_how_far_a_run_is_is_read_from_its_note(changes: dict[str, Any], planned: Planned | None) -> None:
    run = replace(RUN, **changes)
    assert run.planned == planned
    told = None if planned is None else {"done": planned.done, "planned": planned.planned, "unit": planned.unit}
    assert run.to_json()["planned"] == told
    assert run.to_json()["config"] == run.config
    if planned is not None:
        assert replace(RUN, note=str(planned)).planned == planned


def test_a_plan_as_text() -> None:
    assert str(Planned(1032, 20000)) == "1,032 of 20,000 planned"
    assert str(Planned(3, 9, "phases")) == "3 of 9 phases planned"
    assert Planned(1, 2).to_json() == {"done": 1, "planned": 2, "unit": "episodes"}
    assert cut_off_note("2,000 planned", 1032) == "1,032 of 2,000 planned"
    for note in ("", "3 of 9 planned", "2,000 planned; it stopped", "failed: 3 planned"):
        assert cut_off_note(note, 7) == note


@pytest.mark.parametrize(
    ("changes", "caveat", "line"),
    [
        ({"status": "finished"}, "", ""),
        ({"status": "created"}, "", ""),
        ({"status": "decided", "note": "x."}, f"{DECIDED}.", f"Run 'r' is decided: x; {DECIDED}."),
        (
            {},
            f"its numbers are those so far, and {BIASED}.",
            f"Run 'r' is stopped; its numbers are those so far, and {BIASED}.",
        ),
        (
            {"config": {"kind": "rescore"}, "status": "failed"},
            f"its numbers are those so far, and {BIASED}.",
            f"Run 'r' is failed; its numbers are those so far, and {BIASED}.",
        ),
        (
            {"config": {"kind": "train"}, "status": "interrupted", "note": "3 of 9 phases planned"},
            "its numbers are those so far.",
            "Run 'r' is interrupted: 3 of 9 phases planned; its numbers are those so far.",
        ),
    ],
)
def test_a_run_that_did_not_play_its_plan_says_so(changes: dict[str, Any], caveat: str, line: str) -> None:
    run = replace(RUN, **changes)
    assert (run.caveat, run.cut_off) == (caveat, line)


STEPS = (
    Step("a", Message("assistant", "x", finish_reason="length"), 1.0),
    Step("b", Message("assistant", "y"), 0.5, truncated=True),
)


def episode(**changes: Any) -> Trajectory:
    task = {"key": "k", "type": "t", "split": "test"}
    return replace(Trajectory("e1", "a/B-v0", task, 7, "m", steps=STEPS, usage=Usage(2, 0, 30, 10, 4, cost=0.5)), **changes)


def segment(*spans: TurnSpan) -> Segment:
    return Segment((1, 2), (False, True), (0.0, -0.5), (-1, 0), spans)


def test_an_episode_is_summed_up_field_by_field() -> None:
    outcome = Outcome(0.5, True, "success", metrics={"x": 1.0})
    found = EpisodeSummary.of(episode(outcome=outcome, group_id="g", sample=3), 9.0)
    assert found == EpisodeSummary(
        "e1", "a/B-v0", "k", "t", "test", "g", 3, 7, "m", 0.5, True, 1.5, "success", "", "", "",
        2, True, 2, 30, 4, 0.5, 0.0, 0.0, 9.0,
        {"x": 1.0}, {"length": 1},
    )  # fmt: skip
    bare = EpisodeSummary.of(Trajectory("e", "i", {}))
    assert (bare.task_key, bare.task_type, bare.split, bare.seed, bare.truncated, bare.finished_s) == (
        "",
        "",
        "",
        None,
        False,
        0.0,
    )
    assert (bare.score, bare.success, bare.num_turns, bare.metrics, bare.answer_faults) == (None, None, 0, {}, {})
    both = EpisodeSummary.of(episode(steps=(replace(STEPS[1], terminated=True),)))
    assert not both.truncated, "an episode that ended by itself was not stopped"
    failed = EpisodeSummary.of(episode(outcome=Outcome(error=EpisodeError("model", "ModelError", "no"))))
    assert (failed.error_boundary, failed.error_type, failed.error_message) == ("model", "ModelError", "no")


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, {"length": 1}),
        ({"steps": STEPS[1:]}, {}),
        ({"segments": (segment(TurnSpan(1, 2, 1, "length")),)}, {"length": 2}),
        ({"segments": (segment(TurnSpan(1, 2, 0, "length")),)}, {"length": 1}),
        ({"segments": (segment(TurnSpan(1, 2, 2, "length"), TurnSpan(2, 2, 3, "eos")),)}, {"length": 2}),
        ({"outcome": Outcome(error=EpisodeError("model", "ContentFilterError", "no"))}, {"length": 1, "content_filter": 1}),
        ({"outcome": Outcome(error=EpisodeError("model", "ModelError", "no"))}, {"length": 1}),
        ({"outcome": Outcome(error=EpisodeError("environment", "ContentFilterError", "no"))}, {"length": 1}),
        ({"seat": "a", "seats": {"b": SeatRecord()}}, {}),
        (
            {"steps": (replace(STEPS[0], seat="a"), replace(STEPS[0], seat="b")), "seat": "a", "seats": {"b": SeatRecord()}},
            {"length": 1},
        ),
    ],
)
def test_answers_that_did_not_end_as_they_should_are_counted(changes: dict[str, Any], faults: dict[str, int]) -> None:
    assert EpisodeSummary.of(episode(**changes)).answer_faults == faults


def test_a_summary_comes_back_from_its_columns() -> None:
    row = to_row(SUMMARY)
    assert dict(zip(COLUMNS, row, strict=True)) == {
        **{name: getattr(SUMMARY, name) for name in COLUMNS},
        "seed": str(10**30),
        "success": 1,
        "truncated": 0,
        "metrics": '{"x": 1.0, "": {"length": 2}}',
    }
    assert type(row[COLUMNS.index("success")]) is int
    assert from_row(row) == SUMMARY
    assert SUMMARY.to_json()["answer_faults"] == {"length": 2}
    plain = replace(
        SUMMARY, metrics={}, answer_faults={}, seed=None, score=None, success=None, truncated=True, return_=-0.0, cost=3
    )
    row = to_row(plain)
    assert (row[COLUMNS.index("metrics")], row[COLUMNS.index("score")], row[COLUMNS.index("truncated")]) == ("{}", None, 1)
    assert str(row[COLUMNS.index("return_")]) == "0.0", "SQLite has no negative zero"
    assert type(row[COLUMNS.index("cost")]) is float
    assert from_row(row) == plain
    assert from_row(row).truncated is True
    assert "answer_faults" not in plain.to_json()
    assert to_row(replace(plain, metrics={"x": 2.0}))[COLUMNS.index("metrics")] == '{"x": 2.0}'
    failed = replace(plain, success=False, score=1, error_message="a\ud800")
    assert to_row(failed)[COLUMNS.index("error_message")] == stored_text("a\ud800") == "a\\ud800"
    assert from_row(to_row(failed)).success is False


PINNED = {"data": 4611686021808482509, "row": 4611686020325192868, "record": 4611686020264675842}


def test_checks_are_those_of_all_stored_files() -> None:
    """Numbers that were written: another way to count them would call every stored episode damaged."""
    row = to_row(SUMMARY)
    assert data_check(b"data", "r") == PINNED["data"]
    assert row_check("r", row, 5) == PINNED["row"]
    assert record_check("r", 1.5, None) == PINNED["record"]
    assert is_data(b"data", "r", PINNED["data"])
    assert is_data(b"data", "r", 2918445923), "of older versions"
    for other in (None, "x", 0, PINNED["data"] + 1):
        assert not is_data(b"data", "r", other)
    assert not is_data(b"data", "s", PINNED["data"])


@pytest.mark.parametrize(("has_checks", "bare"), [(True, False), (False, True)])
def test_rows_are_read_with_whether_they_are_whole(has_checks: bool, bare: bool) -> None:
    columns = tuple(to_row(SUMMARY))
    check = row_check("r", columns, 5)
    rows = [(1, *columns, 5, check), (2, *columns, 6, check), (3, *columns, 5, check + 1), (4, *columns, 5, None)]
    found = list(checked_rows("r", rows, has_checks=has_checks))
    assert [is_whole for _, is_whole in found] == [True, False, False, bare]
    assert all(read == columns for read, _ in found)
    assert [is_whole for _, is_whole in checked_rows("s", rows[:1], has_checks=True)] == [False]


def test_a_trajectory_comes_back_from_its_bytes() -> None:
    one = episode(final_observation="lone \ud800", outcome=Outcome(0.5, True, "success"))
    assert unpack(pack(written(one))) == one
    odd = episode(steps=(replace(STEPS[0], reward=math.nan, info={"x": math.inf}),))
    assert '"x":null' in written(odd)
    assert "NaN" not in written(odd)
    assert ": " not in written(one).replace("lone ", ""), "nothing is spent on blanks"
    assert "\\ud800" in written(one) or "\ud800" in written(one)
