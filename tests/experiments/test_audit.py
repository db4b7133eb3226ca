"""The planted defects of `experiments/audit`: a few of each kind are found here, and nothing where nothing is wrong."""

from __future__ import annotations

import pytest

from experiments.audit.planted.table import CLEAN, Defect, defects, register
from experiments.audit.run import SUBJECTS, audit_clean, audit_defect, table
from experiments.common.rows import folder_of, read_rows

NOT_FOUND = {"ChoresUnpunished"}
SHORT = (
    *("DeskKeyword", "DeskBelieves", "VaultsConstant", "CraftTwice", "ChoresNoNumber"),
    *("VaultsCodeInKey", "VaultsTable", "CraftNextInError", "QuestionsMarkedInList", "DeskSnapshotInInfo"),
    *("ChoresKeepsList", "ChoresFlag", "ChoresForgetsOnRestore", "ChoresSeedWorld", "VaultsOfficeHours"),
    *("ChoresShuffled", "VaultsNumbered", "LockWordEncoded", "LockWordInReply", "SumsInInfo"),
)


@pytest.fixture(autouse=True, scope="module")
def ids() -> None:
    register()


def _named(name: str) -> Defect:
    return next(defect for defect in defects() if defect.name == name)


@pytest.mark.parametrize("name", SHORT)
def test_a_planted_defect_is_named_by_the_right_point(name: str) -> None:
    row = audit_defect(_named(name), n=14, seed=1)
    assert row["named"], row


@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_found_where_nothing_is_wrong(name: str) -> None:
    row = audit_clean(f"clean/{name}-v0", {}, n=8, seed=2)
    assert not [alarm for alarm in row["alarms"] if alarm.startswith(SUBJECTS)], row


def test_the_recorded_rows_are_of_all_defects_and_the_page_tells_what_was_missed() -> None:
    rows = read_rows(folder_of("audit") / "defects.jsonl")
    assert [row["defect"] for row in rows] == [defect.name for defect in defects()]
    assert {row["defect"] for row in rows if not row["named"]} == NOT_FOUND
    assert len(rows) >= 40
    assert table(rows).rsplit("\n\n", 1)[0] in (folder_of("audit") / "README.md").read_text(encoding="utf-8")
