"""Everything whole in a file of a store, read past what is damaged.

Every row is compared with its check; a summary that alone is damaged is made again from its trajectory. The indexes say which
episodes there were.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from palaestra.agents.store.lock import LockOwner
from palaestra.agents.store.records import (
    COLUMNS,
    EpisodeSummary,
    is_data,
    record_check,
    row_check,
    stored_text,
    to_row,
    unpack,
)
from palaestra.agents.store.schema import FILE_NAME, MIGRATIONS, NAMES
from palaestra.agents.store.store import RunStore
from palaestra.agents.store.write_ahead_log import PAGE_SIZE
from palaestra.errors import StoreError

_UNREADABLE = (sqlite3.Error, UnicodeDecodeError, OverflowError)
_PARSE = (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError)
_SMALLEST_ROW = 64  # bytes; how many rows a file can hold at most
_MOST_FAILURES = 20_000  # readings of a table that fail before the rest of it is given up

_Record = tuple[str, float, float, str, str, Any]
"""Run, when it was made and changed, status, note, settings."""


class KeptEpisode(NamedTuple):
    """An episode whose trajectory is whole.

    Attributes:
        number: Its place in the order in which episodes were stored.
        values: Its summary, as columns.
        packed: Its trajectory.
        is_rebuilt: Whether the summary was damaged and was made again.
    """

    number: int
    values: list[Any]
    packed: bytes
    is_rebuilt: bool


@dataclass
class Found:
    """Everything whole that was read.

    Attributes:
        runs: The record of each run, by its name.
        run_problems: What is wrong with runs.
        episodes: By run and id.
        names: Runs that are known, by their record or by an episode whose summary is whole.
        lost: Ids of lost episodes, by run, in the order in which they were missed.
        unknown: Episodes of which neither run nor id can be read.
        metrics: Run, step and text of measurements.
        problems: What is wrong with the file.
        played: Runs that a process plays.
        has_checks: Whether every row has a check; those of older versions have none.
    """

    runs: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    run_problems: dict[str, str] = field(default_factory=dict)
    episodes: dict[tuple[str, str], KeptEpisode] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    lost: dict[str, dict[str, None]] = field(default_factory=dict)
    unknown: int = 0
    metrics: list[tuple[Any, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    played: list[str] = field(default_factory=list)
    has_checks: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        rebuilt = any(episode.is_rebuilt for episode in self.episodes.values())
        return not (self.problems or self.unknown or self.lost or self.run_problems or rebuilt)

    def keep(self, run_id: str, episode: KeptEpisode) -> None:
        """Keep an episode; of two with one id a whole row, or the later one: old pages hold episodes that were replaced."""
        self.names.add(run_id)
        key = (run_id, str(episode.values[0]))
        known = self.episodes.get(key)
        if known is None or (not episode.is_rebuilt, episode.number) > (not known.is_rebuilt, known.number):
            self.episodes[key] = episode

    def lose(self, run_id: str, episode_id: str) -> None:
        """Note an episode that is lost, once."""
        self.lost.setdefault(run_id, {})[episode_id] = None

    def by_run(self) -> dict[str, list[KeptEpisode]]:
        """Return the episodes of each run that has some."""
        found: dict[str, list[KeptEpisode]] = {}
        for (run_id, _), episode in self.episodes.items():
            found.setdefault(run_id, []).append(episode)
        return found

    def add_older(self, older: Found) -> None:
        """Add what an older state of the store has in addition: rows of a page whose last state is lost."""
        for run_id, record in older.runs.items():
            if self.runs.setdefault(run_id, record) is record and run_id in older.run_problems:
                self.run_problems[run_id] = older.run_problems[run_id]
        self.names |= older.names
        for key, episode in older.episodes.items():
            self.episodes.setdefault(key, episode)
        known = {row[:2] for row in self.metrics}
        self.metrics += [row for row in older.metrics if row[:2] not in known]
        self.finish()

    def finish(self) -> None:
        """Settle what can be said only after everything was read."""
        for run_id, _ in self.episodes:
            if run_id not in self.runs:
                self.run_problems[run_id] = problem = "its record is lost; it can be read and exported, not resumed"
                self.runs[run_id] = _failed(_without_record(run_id), problem)
        lost, self.lost = self.lost, {}
        for run_id, names in lost.items():
            if run_id not in self.runs:
                self.unknown += len(names)
            elif left := {name: None for name in names if (run_id, name) not in self.episodes}:
                self.lost[run_id] = left


@dataclass(frozen=True, slots=True)
class _Summary:
    """A row of the table of episodes, whatever it holds."""

    number: int
    run_id: Any
    episode_id: Any
    values: list[Any]
    data: Any
    finished_s: Any
    is_unchecked: bool  # of an older version
    is_whole: bool

    @classmethod
    def of(cls, number: int, row: dict[str, Any], found: Found) -> _Summary:
        """Compare a row with its check."""
        run_id, data, check = row.get("run_id"), row.get("data_check"), row.get("row_check")
        values = [row.get(name, "{}" if name == "metrics" else None) for name in COLUMNS]
        is_unchecked = check is None and not found.has_checks
        is_whole = is_unchecked or (isinstance(run_id, str) and check == row_check(run_id, values, data or 0))
        return cls(number, run_id, row.get("episode_id"), values, data, row.get("finished_s"), is_unchecked, is_whole)


def read_all(copy: Path) -> Found:
    """Read all that can be read of a copy of a store's file; the copy may be changed.

    Raises:
        StoreError: If nothing of it can be read.
    """
    found = Found()
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
        rows = _rows(connection, "episodes", "number", columns["episodes"], found)
        summaries = [_Summary.of(row[0], dict(zip(columns["episodes"], row[1:], strict=True)), found) for row in rows]
        for summary in sorted(summaries, key=lambda summary: not summary.is_whole):  # whole ones say which runs there are
            _take_episode(summary, data.pop(summary.number, None), found)
        of_number = {number: str(run_id) for run_id, number in _index(connection, "run_id", "episodes_by_run")}
        for number, packed in data.items():
            _take_orphan(number, packed, of_number.get(number), found)
        for run_id, episode_id, _ in _index(connection, "run_id, episode_id", "sqlite_autoindex_episodes_1"):
            if run_id in found.names and (run_id, episode_id) not in found.episodes:
                found.lose(run_id, str(episode_id))
        columns["metrics"] = [
            name for name in _columns(connection, "metrics") if name in ("run_id", "step", "data", "row_check")
        ]
        for row in _rows(connection, "metrics", "rowid", columns["metrics"], found):
            _take_metrics(dict(zip(columns["metrics"], row[1:], strict=True)), found)
    found.finish()
    return found


def _open(copy: Path, found: Found) -> sqlite3.Connection:
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
            if attempt == "with a new first page" or copy.stat().st_size < 2 * PAGE_SIZE:
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
        page = bytearray((Path(folder) / FILE_NAME).read_bytes()[:PAGE_SIZE])
    data = copy.read_bytes()
    page[28:32] = (len(data) // PAGE_SIZE).to_bytes(4, "big")  # pages of the file
    page[32:40] = bytes(8)  # no free pages
    copy.write_bytes(bytes(page) + data[PAGE_SIZE:])
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


def _rows(connection: sqlite3.Connection, table: str, key: str, columns: list[str], found: Found) -> Iterator[tuple[Any, ...]]:
    """Yield the key and columns of all rows that can be read, in the order of the keys."""
    query = f"SELECT {key}, {', '.join(columns)} FROM {table} NOT INDEXED WHERE {key} BETWEEN ? AND ? ORDER BY {key}"
    try:
        last = int(connection.execute(f"SELECT max({key}) FROM {table} NOT INDEXED").fetchone()[0] or 0)
        spans = [(-(1 << 62), last)]
    except (*_UNREADABLE, TypeError, ValueError):
        size = int(connection.execute("PRAGMA page_count").fetchone()[0]) * PAGE_SIZE
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


def _index(connection: sqlite3.Connection, columns: str, index: str) -> Iterator[tuple[Any, ...]]:
    """Yield columns and numbers of episodes as an index has them, as far as it can be read."""
    with suppress(*_UNREADABLE):
        yield from connection.execute(f"SELECT {columns}, number FROM episodes INDEXED BY {index}")


def _take_run(row: dict[str, Any], found: Found) -> None:
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
        kept = _without_record(run_id)
    if problem:
        found.run_problems[run_id] = problem
        kept = _failed(kept, problem)
    found.runs[run_id] = kept
    found.names.add(run_id)


def _without_record(run_id: str) -> _Record:
    """Return a record for a run of which nothing but the name is known."""
    now = time.time()
    return (run_id, now, now, "failed", "", "{}")


def _failed(record: _Record, problem: str) -> _Record:
    """Return the record of a run that failed, with the problem as its note."""
    return (*record[:3], "failed", problem[:1].upper() + problem[1:] + ".", record[5])


def _take_episode(summary: _Summary, packed: Any, found: Found) -> None:
    """Keep an episode if its trajectory is whole; its summary is made again if that alone is damaged."""
    run_id, episode_id, is_whole = summary.run_id, summary.episode_id, summary.is_whole
    trajectory = None
    with suppress(*_PARSE):
        if isinstance(packed, bytes) and (not is_whole or summary.is_unchecked or is_data(packed, str(run_id), summary.data)):
            trajectory = unpack(packed)
    if is_whole and trajectory is not None and stored_text(trajectory.episode_id) != episode_id:
        trajectory = None  # that of another one
    if trajectory is None:
        found.lose(str(run_id), str(episode_id))
        return
    if not isinstance(run_id, str) or (not is_whole and run_id not in found.names):
        found.unknown += 1
        return
    again = summary.values
    if not is_whole or summary.is_unchecked:
        finished = summary.finished_s if isinstance(summary.finished_s, float) else time.time()
        again = to_row(EpisodeSummary.of(trajectory, finished))
        is_whole = is_whole and again == summary.values
    found.keep(run_id, KeptEpisode(summary.number, again, packed, not is_whole))


def _take_metrics(row: dict[str, Any], found: Found) -> None:
    """Keep measurements that are whole."""
    with suppress(*_PARSE):
        values = (row["run_id"], row["step"], row["data"])
        check = row.get("row_check")
        is_whole = check == record_check(*values) or (check is None and not found.has_checks)
        if is_whole and isinstance(json.loads(values[2]), dict):
            found.metrics.append((values[0], int(values[1]), values[2]))
            return
    found.problems.append(f"Measurements of run {row.get('run_id')!r} at step {row.get('step')} are damaged.")


def _take_orphan(number: int, packed: Any, run_id: str | None, found: Found) -> None:
    """Keep a trajectory without a summary, in the run that an index names, or in the only run that there is."""
    if run_id is None and len(found.names) == 1:
        (run_id,) = found.names
    try:
        trajectory = unpack(packed)
    except _PARSE:
        found.unknown += 1
        return
    if run_id is None or run_id not in found.names:
        found.unknown += 1
        return
    found.keep(run_id, KeptEpisode(number, to_row(EpisodeSummary.of(trajectory, time.time())), packed, True))


__all__ = ["Found", "KeptEpisode", "read_all"]
