"""The tool that changes the code, tried on code of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="needs the extra mutants")

from tests.mutation.changes import Change, Source, draw
from tests.mutation.mapping import _statement, mirrored
from tests.mutation.trials import TIMED_OUT, in_child

CODE = '''
"""Words."""
LIMIT = 3


def clip(values, low: int = 0, high=9):
    """Words."""
    if low > high:
        raise ValueError(f"low is {low + 1}; expected at most " "that")
    for a, b in zip(values, values, strict=True):
        assert a == b, "never"
    done = sorted(values, reverse=False)
    text = "abc".encode("utf-8")
    return [
        value
        for value in done
        if low <= value < high
    ], text


class Box:
    def size(self):
        return len(self.items) + 1
'''


def source(folder: Path, code: str = CODE) -> Source:
    (folder / "m.py").write_text(code)
    return Source("m.py", folder)


def test_changes_are_of_functions_and_leave_out_what_no_test_should_notice(tmp_path: Path) -> None:
    found = source(tmp_path)
    diffs = [found.diff(change) for change in found.changes]
    text = "\n".join(diffs)
    for kept in ("low <= value <= high", "low < value < high", "low >= high", "high=10", "low: int = 1", "- 1", "done = None"):
        assert any("+" in diff and kept in diff for diff in diffs), kept
    for left_out in (
        "XX",
        "Words",
        "LIMIT",
        "that",
        "strict=None",
        "strict=False",
        "never",
        "a != b",
        "reverse=None",
        "UTF-8",
    ):
        assert left_out not in text.replace('"XXabcXX"', "").replace('"XXutf-8XX"', ""), left_out
    assert "raise ValueError(None)" not in text
    for change in found.changes:
        compile(found.changed(change), "m.py", "exec")
        assert found.changed(change) != CODE


def test_a_change_keeps_its_name_and_is_drawn_again_wherever_its_function_is(tmp_path: Path) -> None:
    before = source(tmp_path).changes
    after = source(tmp_path, "import os\n\n\ndef other():\n    return 1 + 1\n\n" + CODE).changes
    names = {change.name for change in before}
    assert len(names) == len(before)
    assert names < {change.name for change in after}
    drawn = [change.name for change in draw(before, 9, 3)]
    assert [change.name for change in draw(after, len(after), 3) if change.name in names][:9] == drawn
    assert drawn != [change.name for change in draw(before, 9, 4)]
    moved = {change.name: change.lines[0] for change in after}
    assert {moved[change.name] - change.lines[0] for change in before} == {6}


def test_the_lines_of_a_change_are_those_of_its_statement(tmp_path: Path) -> None:
    source(tmp_path)
    lines = CODE.splitlines()
    number = {text.strip(): i + 1 for i, text in enumerate(lines)}
    whole = (number["def clip(values, low: int = 0, high=9):"], number["], text"])
    assert _statement(tmp_path / "m.py", number["if low <= value < high"]) == (number["return ["], whole[1], whole)
    assert _statement(tmp_path / "m.py", number["if low > high:"]) == (number["if low > high:"],) * 2 + (whole,)
    assert _statement(tmp_path / "m.py", whole[0]) == (whole[0], whole[0], whole)
    assert mirrored("palaestra/envs/core/tasks.py") == "tests/envs/core/test_tasks.py"


def test_a_child_answers_is_cut_off_or_dies(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    assert in_child(lambda: {"pid": os.getpid()}, 30, log)["pid"] != os.getpid()
    assert in_child(lambda: print("seen") or 1 / 0, 30, log) is None
    assert "seen" in log.read_text()
    began = time.monotonic()
    assert in_child(lambda: time.sleep(60), 0.2, log) == TIMED_OUT
    assert time.monotonic() - began < 30


def test_a_draw_is_of_distinct_changes() -> None:
    changes = [Change(f"m.py:f:{i}", "m.py", (1, 1), i) for i in range(50)]
    assert len({change.name for change in draw(changes, 20, 0)}) == 20
    assert len(draw(changes, 100, 0)) == 50
