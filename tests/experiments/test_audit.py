"""The planted defects of `experiments/audit`: a few of each kind are found here, and nothing where nothing is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.audit import run
from experiments.audit.planted.table import CLEAN, Defect, defects, register
from experiments.audit.run import SUBJECTS, audit_clean, audit_defect, table
from experiments.common.rows import folder_of, read_rows

NOT_FOUND = {"ChoresUnpunished"}
SHORT = (
    *("DeskKeyword", "VaultsConstant", "CraftTwice"),
    *("VaultsCodeInKey", "VaultsTable", "CraftNextInError"),
    *("ChoresKeepsList", "ChoresForgetsOnRestore", "VaultsOfficeHours"),
    *("ChoresShuffled", "LockWordEncoded", "SumsInInfo"),
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


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[tuple[object, ...]] = []

    def audit(setting: object, *rest: object) -> dict[str, object]:
        played.append((setting, *rest))
        if isinstance(setting, Defect):
            return {"defect": setting.name, "about": "", "expected": [], "named": ["x"], "others": [], "n": 3, "seed": 0}
        options, n, seed = rest
        assert isinstance(options, dict)
        return {"env": setting, **options, "n": n, "seed": seed, "alarms": {}}

    for name, value in (("folder_of", lambda name: tmp_path), ("audit_defect", audit), ("audit_clean", audit)):
        monkeypatch.setattr(run, name, value)
    for words in (["defects", "-n", "3", "--only", "VaultsT"], ["clean", "-n", "3", "--only", "Desk", "--seeds", "2"]):
        del played[:]
        assert run.main(words) == 0
        first = len(played)
        file = tmp_path / f"{words[0]}.jsonl"
        whole = file.read_text()
        file.write_text("".join(whole.splitlines(keepends=True)[:-1]))
        assert run.main(words) == 0
        assert len(played) == first + 1 > 2
        assert file.read_text() == whole


def test_the_recorded_rows_are_of_all_defects_and_the_page_tells_what_was_missed() -> None:
    rows = read_rows(folder_of("audit") / "defects.jsonl")
    assert [row["defect"] for row in rows] == [defect.name for defect in defects()]
    assert {row["defect"] for row in rows if not row["named"]} == NOT_FOUND
    assert len(rows) >= 40
    assert table(rows).rsplit("\n\n", 1)[0] in (folder_of("audit") / "README.md").read_text(encoding="utf-8")
