"""What each failure of SQLite is told as."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from palaestra.agents.store.faults import expect_store, explain, is_database, repair_advice, two_stores
from palaestra.errors import StoreError

MAGIC = b"SQLite format 3\0"


def failure(name: str, text: str = "it failed") -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorname = name  # type: ignore[misc]
    return error


@pytest.mark.parametrize(
    ("error", "begins", "ends"),
    [
        (failure("SQLITE_FULL"), "the disk of FILE is full.", "free space, then resume the run."),
        (failure("SQLITE_NOTADB"), "FILE is damaged or no run store (it failed). Move it away", "restore it from a copy."),
        (
            failure("SQLITE_CORRUPT_VTAB"),
            "FILE is damaged or no run store (it failed). Move it away",
            "restore it from a copy.",
        ),
        (failure("SQLITE_ERROR", "no such table: x"), "FILE is damaged or no run store (no such table: x).", "from a copy."),
        (
            failure("SQLITE_ERROR", "malformed database"),
            "FILE is damaged or no run store (malformed database).",
            "from a copy.",
        ),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "FILE is damaged or no run store (", "restore it from a copy."),
        (failure("SQLITE_BUSY"), "FILE has been in use by another process for 2.5 s.", "End that one, then try again."),
        (failure("SQLITE_LOCKED_SHAREDCACHE"), "FILE has been in use by another process for 2.5 s.", "try again."),
        (failure("SQLITE_READONLY_DBMOVED"), "FILE cannot be written or opened (it failed).", "choose another runs folder."),
        (failure("SQLITE_PERM"), "FILE cannot be written or opened (it failed).", "choose another runs folder."),
        (failure("SQLITE_CANTOPEN"), "FILE cannot be written or opened (it failed).", "choose another runs folder."),
        (failure("SQLITE_IOERR_WRITE"), "reading or writing FILE failed (it failed). Check the disk", "resume the run."),
        (failure("SQLITE_MISUSE"), "FILE: it failed. If it keeps happening", "start afresh."),
        (ValueError("no such luck"), "FILE is damaged", "from a copy."),
        (ValueError("bad"), "FILE: bad.", "start afresh."),
    ],
)
def test_a_failure_is_told_by_what_it_means(error: Exception, begins: str, ends: str, tmp_path: Path) -> None:
    file = tmp_path / "palaestra.db"
    said = explain(error, file, 2.5).replace(str(file), "FILE")
    assert said.startswith(begins)
    assert said.endswith(ends)
    assert "\n" not in said


def test_a_damaged_database_can_be_checked_and_another_file_cannot(tmp_path: Path) -> None:
    file = tmp_path / "palaestra.db"
    error = failure("SQLITE_CORRUPT")
    file.write_bytes(MAGIC + b"rest")
    assert is_database(file)
    assert f"palaestra runs check --runs {tmp_path}; save it with --repair, or restore it" in explain(error, file, 1)
    for data in (b"", MAGIC[:-1], b"x" + MAGIC, MAGIC.lower()):
        file.write_bytes(data)
        assert not is_database(file)
        assert "Move it away to start afresh, or restore it" in explain(error, file, 1)
    assert not is_database(tmp_path / "nothing")


@pytest.mark.parametrize(("free", "is_full"), [(0, True), ((1 << 16) - 1, True), (1 << 16, False)])
def test_an_error_of_reading_or_writing_is_a_full_disk_where_no_page_is_left(
    free: int, is_full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: asked.append(folder) or SimpleNamespace(free=free))
    said = explain(failure("SQLITE_IOERR_SHMSIZE"), tmp_path / "palaestra.db", 1)
    assert ("is full" in said) is is_full
    assert asked == [tmp_path]
    assert "is full" not in explain(failure("SQLITE_BUSY"), tmp_path / "palaestra.db", 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: (_ for _ in ()).throw(OSError()))
    assert "is full" not in explain(failure("SQLITE_IOERR"), tmp_path / "palaestra.db", 1)


@pytest.mark.parametrize(
    ("file", "where"),
    [
        ("runs/palaestra.db", ""),
        ("other/palaestra.db", " --runs other"),
        ("a b/palaestra.db", " --runs 'a b'"),
        ("runs/copy.db", " --runs runs/copy.db"),
        ("runs/palaestra.db-wal", ""),
    ],
)
def test_the_command_names_the_folder_or_the_file(file: str, where: str) -> None:
    assert repair_advice(Path(file)) == f"See what can be saved with: palaestra runs check{where}; save it with --repair"


def test_a_log_of_another_store_is_told_with_both_ways_out() -> None:
    said = str(two_stores(Path("runs/palaestra.db"), "its log is of another store"))
    assert said.startswith("runs/palaestra.db: its log is of another store. Put back")
    assert "remove palaestra.db-shm: it is made again" in said
    assert said.endswith("what is in palaestra.db stays.")


def test_a_place_without_a_store_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "palaestra.db"
    with pytest.raises(StoreError, match=r"There is no run store at .*Name the folder that holds palaestra\.db\."):
        expect_store(file)
    file.mkdir()
    with pytest.raises(StoreError):
        expect_store(file)
    file.rmdir()
    file.touch()
    expect_store(file)
