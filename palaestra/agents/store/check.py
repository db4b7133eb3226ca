"""What a damaged store has lost, and a new file of the rest.

`check_store` reads every row of a copy of the file, also past pages that cannot be read, and compares it with its check. With
`repair=True` what is whole is written to a new file; the damaged one stays next to it under another name. Episodes that are
lost are played again when their run is resumed.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaestra.agents.store.faults import expect_store
from palaestra.agents.store.lock import LockOwner
from palaestra.agents.store.records import (
    COLUMNS,
    EpisodeSummary,
    cut_off_note,
    data_check,
    is_data,
    record_check,
    row_check,
    stored_text,
    to_row,
    unpack,
)
from palaestra.agents.store.schema import FILE_NAME, MIGRATIONS, NAMES
from palaestra.agents.store.store import RunStore
from palaestra.errors import StoreError
from palaestra.types import Json

_UNREADABLE = (sqlite3.Error, UnicodeDecodeError, OverflowError)
_PARSE = (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError)
_SMALLEST_ROW = 64  # bytes; how many rows a file can hold at most
_MOST_FAILURES = 20_000  # readings of a table that fail before the rest of it is given up
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """What is left of a run.

    Attributes:
        run_id: Its name.
        kept: Episodes that are whole.
        rebuilt: Those of them whose summary was damaged and was made again from the trajectory.
        lost: Ids of episodes that are lost, as far as they are known; played again when the run is resumed.
        problem: What is wrong with the run itself; empty if nothing is.
    """

    run_id: str
    kept: int
    rebuilt: int = 0
    lost: tuple[str, ...] = ()
    problem: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {name: getattr(self, name) for name in ("run_id", "kept", "rebuilt", "problem")} | {"lost": list(self.lost)}


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What a check of a store found.

    Attributes:
        file: The store's file.
        runs: The runs that are left.
        problems: What is wrong with the file itself, e.g. pages that cannot be read.
        unknown: Episodes of which neither run nor id can be read.
        saved_as: Name under which the damaged file was kept; empty if nothing was repaired.
    """

    file: Path
    runs: tuple[CheckedRun, ...]
    problems: tuple[str, ...] = ()
    unknown: int = 0
    saved_as: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        return not (self.problems or self.unknown or any(run.lost or run.rebuilt or run.problem for run in self.runs))

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {
            "file": str(self.file),
            "is_whole": self.is_whole,
            "runs": [run.to_json() for run in self.runs],
            "problems": list(self.problems),
            "unknown": self.unknown,
            "saved_as": self.saved_as,
        }


@dataclass
class _Found:
    """Everything whole that was read."""

    runs: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    run_problems: dict[str, str] = field(default_factory=dict)
    episodes: list[tuple[int, str, list[Any], bytes, bool]] = field(default_factory=list)
    lost: dict[str, list[str]] = field(default_factory=dict)
    unknown: int = 0
    metrics: list[tuple[Any, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    played: list[str] = field(default_factory=list)
    has_checks: bool = True


def check_store(path: str | os.PathLike[str] = "runs", *, repair: bool = False) -> StoreCheck:
    """Read everything in a store and say what is damaged; with `repair`, save the rest.

    Args:
        path: Folder of the store, or its file.
        repair: Write what is whole to a new file in the place of the damaged one, which is kept under another name.

    Raises:
        StoreError: If there is no store, nothing of it can be read, or a process plays a run in it that is to be repaired.
    """
    path = Path(path)
    file = path if path.suffix == ".db" else path / FILE_NAME
    expect_store(file)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / FILE_NAME
        for end in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{file}{end}", f"{copy}{end}")
        found = _read_copy(copy)
    runs = tuple(_checked_run(run_id, found) for run_id in found.runs)
    checked = StoreCheck(file, runs, tuple(found.problems), found.unknown)
    if not repair or checked.is_whole:
        return checked
    if found.played:
        raise StoreError(f"Run {found.played[0]!r} in {file} is being played; end that process, then repair the store.")
    saved_as = _replace(file, found)
    return StoreCheck(file, runs, checked.problems, checked.unknown, saved_as)


def _checked_run(run_id: str, found: _Found) -> CheckedRun:
    """Sum up what was found of a run."""
    own = [episode for episode in found.episodes if episode[1] == run_id]
    rebuilt = sum(episode[4] for episode in own)
    return CheckedRun(run_id, len(own), rebuilt, tuple(found.lost.get(run_id, ())), found.run_problems.get(run_id, ""))


def _read_copy(copy: Path) -> _Found:
    """Read all that can be read of a copy of the file."""
    found = _Found()
    connection = _open(copy, found)
    with closing(connection):
        try:
            wrong = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)").fetchall()]
            found.problems += [text for text in wrong if text != "ok"]
        except _UNREADABLE as error:  # also of a table that nothing is read from below
            found.problems.append(str(error))
        found.has_checks = connection.execute("PRAGMA user_version").fetchone()[0] not in MIGRATIONS
        if found.has_checks:  # a name that is damaged is as good as gone, and the rest of the file is in order
            found.problems += [f"{name} is missing." for name in sorted(NAMES - _names(connection))]
        columns = {name: _columns(connection, name) for name in ("runs", "episodes")}
        for row in _rows(connection, "runs", "rowid", columns["runs"], found):
            _take_run(dict(zip(columns["runs"], row[1:], strict=True)), found)
        for _, run_id, owner in _rows(connection, "locks", "rowid", ["run_id", "owner"], found):
            with suppress(*_PARSE):
                if LockOwner.from_json(json.loads(owner)).may_be_alive():
                    found.played.append(str(run_id))
        data = dict(_rows(connection, "trajectories", "number", ["data"], found))
        for row in _rows(connection, "episodes", "number", columns["episodes"], found):
            _take_episode(row[0], dict(zip(columns["episodes"], row[1:], strict=True)), data.pop(row[0], None), found)
        for number, packed in data.items():
            _take_orphan(number, packed, found)
        columns["metrics"] = [
            name for name in _columns(connection, "metrics") if name in ("run_id", "step", "data", "row_check")
        ]
        for row in _rows(connection, "metrics", "rowid", columns["metrics"], found):
            _take_metrics(dict(zip(columns["metrics"], row[1:], strict=True)), found)
    return found


def _open(copy: Path, found: _Found) -> sqlite3.Connection:
    """Open a damaged file, with the first page of an empty store in the place of one that cannot be read."""
    for attempt in ("as it is", "with a new first page"):
        connection = sqlite3.connect(copy, isolation_level=None)
        try:
            connection.execute("PRAGMA writable_schema = ON")  # a file that is shorter than it says is read as far as it goes
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if {"runs", "episodes", "trajectories"} <= {
                row[0] for row in connection.execute("SELECT name FROM sqlite_master")
            }:
                return connection
            raise sqlite3.DatabaseError("its tables are missing")
        except _UNREADABLE as error:
            connection.close()
            if attempt == "with a new first page" or copy.stat().st_size < 2 * _PAGE:
                raise StoreError(f"Nothing of this store can be read ({error}); restore it from a copy.") from error
            found.problems.append(f"The first page cannot be read ({error}).")
            _renew_first_page(copy)
    raise AssertionError


def _renew_first_page(copy: Path) -> None:
    """Put the first page of an empty store on a file: its tables begin at the same pages."""
    with tempfile.TemporaryDirectory() as folder:
        with RunStore(folder) as empty:
            empty.create_run({}, "x")
        with closing(sqlite3.connect(Path(folder) / FILE_NAME)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode = DELETE")
        page = bytearray((Path(folder) / FILE_NAME).read_bytes()[:_PAGE])
    data = copy.read_bytes()
    page[28:32] = (len(data) // _PAGE).to_bytes(4, "big")  # pages of the file
    page[32:40] = bytes(8)  # no free pages
    copy.write_bytes(bytes(page) + data[_PAGE:])
    Path(f"{copy}-wal").unlink(missing_ok=True)


def _names(connection: sqlite3.Connection) -> set[str]:
    """Return the tables and indexes of a file, as its definitions name them."""
    tables = {name for name in NAMES if _columns(connection, name)}
    found = set(tables)
    for name in tables:
        with suppress(*_UNREADABLE):
            found |= {row[1] for row in connection.execute(f"PRAGMA index_list({name})").fetchall()}
    return found


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the columns of a table; older versions have fewer."""
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})").fetchall()]


def _rows(
    connection: sqlite3.Connection, table: str, key: str, columns: list[str], found: _Found
) -> Iterator[tuple[Any, ...]]:
    """Yield the key and columns of all rows that can be read, in the order of the keys."""
    query = f"SELECT {key}, {', '.join(columns)} FROM {table} NOT INDEXED WHERE {key} BETWEEN ? AND ? ORDER BY {key}"
    try:
        last = int(connection.execute(f"SELECT max({key}) FROM {table} NOT INDEXED").fetchone()[0] or 0)
        spans = [(-(1 << 62), last)]
    except (*_UNREADABLE, TypeError, ValueError):
        size = int(connection.execute("PRAGMA page_count").fetchone()[0]) * _PAGE
        spans = [(-(1 << 62), size // _SMALLEST_ROW)]
    failures = 0
    while spans and failures < _MOST_FAILURES:
        low, high = spans.pop()
        try:
            rows = connection.execute(query, (low, high)).fetchall()
        except _UNREADABLE:
            failures += 1
            if low < 0:
                spans.append((0, high))
            elif high > low:
                middle = (low + high) // 2
                spans += [(middle + 1, high), (low, middle)]
            continue
        yield from rows
    if failures:
        found.problems.append(f"Some rows of the table {table} cannot be read.")


def _take_run(row: dict[str, Any], found: _Found) -> None:
    """Keep the record of a run, or what can be kept of it."""
    record: tuple[Any, ...] = tuple(row.get(name) for name in ("run_id", "created_s", "updated_s", "status", "note", "config"))
    run_id, check = record[0], row.get("row_check")
    if not isinstance(run_id, str):
        found.problems.append("A run without a name was left out.")
        return
    problem = ""
    if check != record_check(*record) and (check is not None or found.has_checks):
        problem = "its record is damaged; settings and status may be wrong"
    try:
        if not isinstance(json.loads(record[5]), dict):
            raise ValueError("not an object")
        kept = (run_id, float(record[1]), float(record[2]), str(record[3]), str(record[4]), record[5])
    except _PARSE:
        problem = "its settings are lost; it can be read and exported, not resumed"
        kept = (run_id, time.time(), time.time(), "failed", "", "{}")
    if problem:
        found.run_problems[run_id] = problem
        kept = (*kept[:3], "failed", problem[:1].upper() + problem[1:] + ".", kept[5])
    found.runs[run_id] = kept


def _take_episode(number: int, row: dict[str, Any], packed: Any, found: _Found) -> None:
    """Keep an episode if its trajectory is whole; its summary is made again if that alone is damaged."""
    run_id, episode_id = row.get("run_id"), row.get("episode_id")
    values = [row.get(name, "{}" if name == "metrics" else None) for name in COLUMNS]
    data, check = row.get("data_check"), row.get("row_check")
    has_none = check is None and not found.has_checks  # of an older version
    is_summary_whole = has_none or (isinstance(run_id, str) and check == row_check(run_id, values, data or 0))
    trajectory = None
    with suppress(*_PARSE):
        if isinstance(packed, bytes) and not (is_summary_whole and not has_none and not is_data(packed, str(run_id), data)):
            trajectory = unpack(packed)
    if is_summary_whole and trajectory is not None and stored_text(trajectory.episode_id) != episode_id:
        trajectory = None  # that of another one
    if trajectory is None:
        found.lost.setdefault(str(run_id), []).append(str(episode_id))
        return
    if not isinstance(run_id, str) or (not is_summary_whole and run_id not in found.runs):
        found.unknown += 1
        return
    if is_summary_whole:
        with suppress(*_PARSE):
            again = to_row(EpisodeSummary.of(trajectory, float(row["finished_s"])))
            is_summary_whole = not has_none or again == values
            found.episodes.append((number, run_id, again if not is_summary_whole else values, packed, not is_summary_whole))
            return
    finished = row.get("finished_s")
    again = to_row(EpisodeSummary.of(trajectory, finished if isinstance(finished, float) else time.time()))
    found.episodes.append((number, run_id, again, packed, True))


def _take_metrics(row: dict[str, Any], found: _Found) -> None:
    """Keep measurements that are whole."""
    with suppress(*_PARSE):
        values = (row["run_id"], row["step"], row["data"])
        check = row.get("row_check")
        is_whole = check == record_check(*values) or (check is None and not found.has_checks)
        if is_whole and isinstance(json.loads(values[2]), dict):
            found.metrics.append((values[0], int(values[1]), values[2]))
            return
    found.problems.append(f"Measurements of run {row.get('run_id')!r} at step {row.get('step')} are damaged.")


def _take_orphan(number: int, packed: Any, found: _Found) -> None:
    """Keep a trajectory without a summary if there is one run that it can belong to."""
    try:
        trajectory = unpack(packed)
    except _PARSE:
        found.unknown += 1
        return
    if len(found.runs) != 1:
        found.unknown += 1
        return
    run_id = next(iter(found.runs))
    found.episodes.append((number, run_id, to_row(EpisodeSummary.of(trajectory, time.time())), packed, True))


def _replace(file: Path, found: _Found) -> str:
    """Write what was found to a new file, put it in the place of the damaged one, and return the name that one has now."""
    made = file.with_name(f".repaired-{file.name}")
    for end in ("", "-wal", "-shm"):  # what an earlier repair that was killed has left
        Path(f"{made}{end}").unlink(missing_ok=True)
    with RunStore(made) as store:
        _fill(store, found)
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    saved = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    for end in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{file}{end}", f"{saved}{end}")
    os.replace(file, saved)
    os.replace(made, file)
    return saved.name


def _fill(store: RunStore, found: _Found) -> None:
    """Write what was found to an empty store."""
    seen: set[tuple[str, str]] = set()
    with store._writing("save what is whole") as connection:
        num_kept = Counter(episode[1] for episode in found.episodes)
        for run_id, record in found.runs.items():
            if record[3] == "running":  # its process is dead, and so is its lock, which would say so
                record = (*record[:3], "interrupted", cut_off_note(record[4], num_kept[run_id]), record[5])
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", (*record, record_check(*record)))
        names = ", ".join(("number", "run_id", *COLUMNS, "data_check", "row_check"))
        marks = ", ".join("?" * (len(COLUMNS) + 4))
        for number, run_id, values, packed, _ in sorted(found.episodes, key=lambda episode: episode[0]):
            if run_id not in found.runs or (run_id, values[0]) in seen:
                continue
            seen.add((run_id, values[0]))
            check = data_check(packed, run_id)
            row = (number, run_id, *values, check, row_check(run_id, values, check))
            connection.execute(f"INSERT INTO episodes ({names}) VALUES ({marks})", row)
            connection.execute("INSERT INTO trajectories VALUES (?, ?)", (number, packed))
        for run_id, step, text in found.metrics:
            if run_id in found.runs:
                told = (run_id, step, text)
                connection.execute("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", (*told, record_check(*told)))


__all__ = ["CheckedRun", "StoreCheck", "check_store"]
