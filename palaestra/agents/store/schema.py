"""The tables of a run store, and what leads from each older version to this one.

Every row has a check of its own (`records`). A row that is missing has none, so each table is reached in two ways that have to
agree: by its own pages and by an index, or by two indexes. `episodes_by_run` repeats what runs are counted by, so that
counting compares two copies as well.
"""

from __future__ import annotations

import sqlite3
import time

from palaestra.agents.store.records import COLUMNS, data_check, record_check, row_check

FILE_NAME = "palaestra.db"
SCHEMA_VERSION = 4
APPLICATION_ID = 0x50414C41  # "PALA"; written into the file, so that it is never taken for another program's

_EPISODES_BY_RUN = "CREATE INDEX episodes_by_run ON episodes (run_id, number, success, score, error_boundary)"
_METRICS_BY_RUN = "CREATE INDEX metrics_by_run ON metrics (run_id)"

SCHEMA = f"""
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, created_s REAL NOT NULL, updated_s REAL NOT NULL,
    status TEXT NOT NULL, note TEXT NOT NULL, config TEXT NOT NULL, row_check INTEGER
);
CREATE TABLE episodes (
    number INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE,
    episode_id TEXT NOT NULL, env_id TEXT NOT NULL, task_key TEXT NOT NULL, task_type TEXT NOT NULL, split TEXT NOT NULL,
    group_id TEXT NOT NULL, sample INTEGER NOT NULL, seed TEXT, agent TEXT NOT NULL,
    score REAL, success INTEGER, return_ REAL NOT NULL, stop_reason TEXT NOT NULL,
    error_boundary TEXT NOT NULL, error_type TEXT NOT NULL, error_message TEXT NOT NULL,
    num_turns INTEGER NOT NULL, truncated INTEGER NOT NULL,
    calls INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost REAL NOT NULL, model_s REAL NOT NULL, env_s REAL NOT NULL, finished_s REAL NOT NULL,
    metrics TEXT NOT NULL DEFAULT '{{}}', data_check INTEGER, row_check INTEGER,
    UNIQUE (run_id, episode_id)
);
{_EPISODES_BY_RUN};
CREATE TABLE trajectories (
    number INTEGER PRIMARY KEY REFERENCES episodes(number) ON DELETE CASCADE, data BLOB NOT NULL
);
CREATE TABLE metrics (
    run_id TEXT NOT NULL REFERENCES runs(run_id) ON DELETE CASCADE, step INTEGER NOT NULL, data TEXT NOT NULL,
    row_check INTEGER, PRIMARY KEY (run_id, step)
);
{_METRICS_BY_RUN};
CREATE TABLE locks (
    run_id TEXT PRIMARY KEY REFERENCES runs(run_id) ON DELETE CASCADE, owner TEXT NOT NULL, row_check INTEGER
);
"""

MIGRATIONS = {
    1: ("ALTER TABLE episodes ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}'",),
    2: (
        "ALTER TABLE episodes ADD COLUMN data_check INTEGER",
        "ALTER TABLE episodes ADD COLUMN row_check INTEGER",
        "ALTER TABLE runs ADD COLUMN row_check INTEGER",
    ),
    3: (
        "DROP INDEX IF EXISTS episodes_by_run",
        "DROP INDEX IF EXISTS episodes_by_type",
        _EPISODES_BY_RUN,
        "ALTER TABLE metrics ADD COLUMN row_check INTEGER",
        _METRICS_BY_RUN,
        "ALTER TABLE locks ADD COLUMN row_check INTEGER",
    ),
}
"""What leads from each older version of the schema to the next; `give_checks` comes after them."""

COUNTS = {
    "episodes": ("INDEXED BY episodes_by_run", "INDEXED BY sqlite_autoindex_episodes_1"),
    "metrics": ("INDEXED BY metrics_by_run", "INDEXED BY sqlite_autoindex_metrics_1"),
    "runs": ("NOT INDEXED", "INDEXED BY sqlite_autoindex_runs_1"),
    "locks": ("NOT INDEXED", "INDEXED BY sqlite_autoindex_locks_1"),
}
"""The two ways to the rows of each table."""

NAMES = {*COUNTS, "trajectories"} | {way.split()[-1] for ways in COUNTS.values() for way in ways if "BY" in way}
"""The tables, and the indexes that are used."""


def two_counts(table: str, condition: str = "") -> str:
    """Return the query for how many rows a table has, counted in two ways at one instant."""
    one, other = (f"(SELECT count(*) FROM {table} {way} {condition})" for way in COUNTS[table])
    return f"SELECT {one}, {other}"


def runs_query(version: int, condition: str) -> str:
    """Return the query for runs with their counts, and what has to agree with them.

    Args:
        version: Of the file's schema; an older one that may only be read lacks the last columns.
        condition: Which runs.

    Returns:
        Rows of the fields of a `RunSummary`, the owner of the lock, the checks of run and lock, how many episodes the table
        has as its index has them, and how many another index has.
    """
    same = " AND ".join(
        ("one.number = other.number", *(f"one.{name} IS other.{name}" for name in ("error_boundary", "success", "score")))
    )
    return (
        "SELECT runs.run_id, created_s, updated_s, status, note, config, count(one.number),"
        " coalesce(sum(one.error_boundary != ''), 0), coalesce(sum(one.success), 0), avg(one.score), owner"
        f", {'runs.row_check' if version > 2 else 'NULL'}, {'locks.row_check' if version > 3 else 'NULL'}"
        f", coalesce(sum({same}), 0)"
        ", (SELECT count(*) FROM episodes INDEXED BY sqlite_autoindex_episodes_1 WHERE run_id = runs.run_id)"
        " FROM runs LEFT JOIN episodes AS one INDEXED BY episodes_by_run ON one.run_id = runs.run_id"
        " LEFT JOIN episodes AS other NOT INDEXED ON other.number = one.number"
        f" LEFT JOIN locks ON locks.run_id = runs.run_id {condition}"
        " GROUP BY runs.run_id ORDER BY created_s DESC, runs.rowid DESC"
    )


def give_checks(connection: sqlite3.Connection) -> None:
    """Give every row that an older version wrote without a check its own; from then on a row without one is damaged."""
    records = {
        "runs": "run_id, created_s, updated_s, status, note, config",
        "locks": "run_id, owner",
        "metrics": "run_id, step, data",
    }
    for table, names in records.items():
        for key, *values in connection.execute(f"SELECT rowid, {names} FROM {table} WHERE row_check IS NULL").fetchall():
            connection.execute(f"UPDATE {table} SET row_check = ? WHERE rowid = ?", (record_check(*values), key))
    query = f"SELECT number, run_id, {', '.join(COLUMNS)} FROM episodes WHERE row_check IS NULL"
    for number, run_id, *values in connection.execute(query).fetchall():
        data = connection.execute("SELECT data FROM trajectories WHERE number = ?", (number,)).fetchone()
        check = data_check(data[0] if data else b"", run_id)
        connection.execute(
            "UPDATE episodes SET data_check = ?, row_check = ? WHERE number = ?",
            (check, row_check(run_id, values, check), number),
        )


def write_ahead(connection: sqlite3.Connection, longest_s: float) -> None:
    """Let readers and a writer share the file.

    Where two processes open a new file at once, SQLite refuses one of them without waiting, lest both wait forever.
    """
    until = time.monotonic() + longest_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                raise
        time.sleep(0.01)


__all__ = [
    "APPLICATION_ID",
    "COUNTS",
    "FILE_NAME",
    "MIGRATIONS",
    "NAMES",
    "SCHEMA",
    "SCHEMA_VERSION",
    "give_checks",
    "runs_query",
    "two_counts",
    "write_ahead",
]
