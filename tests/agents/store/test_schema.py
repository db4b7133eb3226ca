"""The tables of a store: checks for rows of older versions, counts in two ways, and who waits for whom."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from palaestra.agents.store.records import COLUMNS, data_check, record_check, row_check
from palaestra.agents.store.schema import COUNTS, NAMES, SCHEMA, give_checks, two_counts, write_ahead

TABLES = ("runs", "episodes", "metrics", "locks")


@pytest.fixture
def unchecked() -> Iterator[sqlite3.Connection]:
    """Two episodes, one of them without a trajectory, a measurement and a lock; no row has a check."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(SCHEMA)
        connection.execute("INSERT INTO runs VALUES ('r', 1.5, 2.5, 'finished', 'n', '{}', NULL)")
        connection.execute("INSERT INTO metrics VALUES ('r', 3, '{\"loss\": 1}', NULL)")
        connection.execute("INSERT INTO locks VALUES ('r', '{\"pid\": 1}', NULL)")
        texts = [name for name in COLUMNS if name not in ("run_id", "number")]
        for number in (1, 2):
            values = [f"{name}{number}" for name in texts]
            marks = ", ".join("?" * (len(texts) + 2))
            connection.execute(
                f"INSERT INTO episodes (number, run_id, {', '.join(texts)}) VALUES ({marks})", [number, "r", *values]
            )
        connection.execute("INSERT INTO trajectories VALUES (1, x'0102')")
        yield connection


def test_each_row_of_an_older_version_is_given_the_check_of_its_own_values(unchecked: sqlite3.Connection) -> None:
    give_checks(unchecked)
    assert unchecked.execute("SELECT row_check FROM runs").fetchone() == (record_check("r", 1.5, 2.5, "finished", "n", "{}"),)
    assert unchecked.execute("SELECT row_check FROM metrics").fetchone() == (record_check("r", 3, '{"loss": 1}'),)
    assert unchecked.execute("SELECT row_check FROM locks").fetchone() == (record_check("r", '{"pid": 1}'),)
    for number, packed in ((1, b"\x01\x02"), (2, b"")):
        told = unchecked.execute(f"SELECT data_check, row_check, {', '.join(COLUMNS)} FROM episodes WHERE number = {number}")
        check, of_row, *values = told.fetchone()
        assert check == data_check(packed, "r")
        assert of_row == row_check("r", values, check)


@pytest.mark.parametrize("table", TABLES)
def test_a_row_that_has_a_check_keeps_it(unchecked: sqlite3.Connection, table: str) -> None:
    unchecked.execute(f"UPDATE {table} SET row_check = 7")
    give_checks(unchecked)
    for name in TABLES:
        (found,) = unchecked.execute(f"SELECT min(row_check) FROM {name}").fetchone()
        assert (found == 7) is (name == table)


@pytest.mark.parametrize("table", TABLES)
def test_the_two_counts_of_a_table_are_those_of_its_rows(unchecked: sqlite3.Connection, table: str) -> None:
    count = unchecked.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    assert unchecked.execute(two_counts(table)).fetchone() == (count, count)
    assert unchecked.execute(two_counts(table, "WHERE run_id = 'other'")).fetchone() == (0, 0)
    for way in COUNTS[table]:
        assert unchecked.execute(f"SELECT count(*) FROM {table} {way}").fetchone() == (count,)


def test_the_names_are_the_tables_and_indexes_of_the_schema(unchecked: sqlite3.Connection) -> None:
    made = {row[0] for row in unchecked.execute("SELECT name FROM sqlite_master")}
    assert made >= NAMES
    assert {name for name in made if not name.startswith("sqlite_autoindex_")} <= NAMES


class Busy:
    """A connection whose file another process is opening, so many times; then SQLite fails with `last`, or does not."""

    def __init__(self, times: int, last: str = "") -> None:
        self.times, self.last, self.asked = times, last, 0

    def execute(self, statement: str) -> None:
        assert statement == "PRAGMA journal_mode = WAL"
        self.asked += 1
        name = "SQLITE_BUSY" if self.asked <= self.times else self.last
        if name:
            error = sqlite3.OperationalError(name)
            error.sqlite_errorname = name  # type: ignore[misc]
            raise error


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that only waiting moves."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr("palaestra.agents.store.schema.time", clock)
    return clock


def test_a_file_that_is_being_opened_is_waited_for_as_long_as_asked(clock: SimpleNamespace) -> None:
    short = Busy(5)
    write_ahead(short, 60.0)  # type: ignore[arg-type]
    assert (short.asked, round(clock.now, 6)) == (6, 100.05)
    clock.now = 100.0
    endless: Any = Busy(10**9)
    with pytest.raises(sqlite3.OperationalError, match="SQLITE_BUSY"):
        write_ahead(endless, 0.5)
    assert 100.5 < clock.now < 100.52


def test_another_failure_is_not_waited_for(clock: SimpleNamespace) -> None:
    failing: Any = Busy(0, "SQLITE_READONLY")
    with pytest.raises(sqlite3.OperationalError, match="SQLITE_READONLY"):
        write_ahead(failing, 60.0)
    assert (failing.asked, clock.now) == (1, 100.0)
