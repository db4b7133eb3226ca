"""The file of a run store: opened, checked, brought up to date, read, and written in whole transactions."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from palaestra.agents.store import open_files
from palaestra.agents.store.faults import DATABASE_ERRORS, expect_store, explain, repair_advice, two_stores
from palaestra.agents.store.schema import (
    APPLICATION_ID,
    FILE_NAME,
    MIGRATIONS,
    SCHEMA,
    SCHEMA_VERSION,
    give_checks,
    two_counts,
    write_ahead,
)
from palaestra.agents.store.write_ahead_log import find_damage
from palaestra.envs.core.data_files import shown
from palaestra.errors import StoreError

BUSY_TIMEOUT_S = 30.0


class StoreFile:
    """A connection to the file of a store; threads take turns.

    Args:
        path: The folder (or the SQLite file itself, named `*.db`). Made if it does not exist.
        read_only: Open an existing store without the right to write, also from a folder that cannot be written.

    Raises:
        StoreError: If the folder cannot be used, or the file is not a store, is damaged, or is of a newer version.
    """

    def __init__(self, path: str | os.PathLike[str] = "runs", *, read_only: bool = False) -> None:
        """Open or create the file."""
        path = Path(path)
        self.file = path if path.suffix == ".db" else path / FILE_NAME
        self.folder = self.file.parent
        self._mutex = threading.RLock()
        self._read_only = read_only
        if read_only:
            expect_store(self.file)
        else:
            self._make_folder()
        with open_files.OPENING:
            self._expect_whole_log()
            self._connection = self._connect()
            open_files.add(self.file)
        self._is_open = True
        try:
            with self._guard("open"):
                self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; harmless when called twice."""
        with self._mutex:
            self._connection.close()
            if self._is_open:
                open_files.remove(self.file)
            self._is_open = False

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def _make_folder(self) -> None:
        """Make the folder, or say why it cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreError(f"The runs folder {shown(self.folder)} cannot be made ({reason}); choose another one.") from error
        if not _may_write(self.folder):
            raise StoreError(
                f"The runs folder {self.folder} cannot be written; choose another one, or change its permissions."
            )

    def _expect_whole_log(self) -> None:
        """Refuse a store whose log SQLite would cut off at a damaged frame, without a word, as soon as it is opened."""
        if open_files.is_open(self.file):
            return
        if (damage := find_damage(self.file, with_index=True)) is not None:
            if damage.is_other:
                raise two_stores(self.file, damage)
            raise StoreError(
                f"{self.file} is damaged: {damage}. {repair_advice(self.file)}, or restore {self.file.name} and"
                f" {self.file.name}-wal from a copy."
            )

    def _connect(self) -> sqlite3.Connection:
        """Open the file."""
        uri = self.file.absolute().as_uri()
        if self._read_only:
            # SQLite cannot coordinate with a writer where it may not write; if nothing is pending there is none
            pending = Path(f"{self.file}-wal")
            is_shared = _may_write(self.folder) or (pending.exists() and pending.stat().st_size > 0)
            uri += "?mode=ro" if is_shared else "?mode=ro&immutable=1"
        try:
            # every transaction is opened by `_writing`; threads take turns through the mutex
            return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        except DATABASE_ERRORS as error:
            raise StoreError(
                f"The run store {self.file} cannot be opened ({error}); check the path and its rights."
            ) from error

    def _prepare(self) -> None:
        """Check that the file is ours and readable; fill it if it is new."""
        connection = self._connection
        connection.execute("PRAGMA foreign_keys = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not self._read_only:
            write_ahead(connection, BUSY_TIMEOUT_S)
            # a killed process loses nothing; after a power cut the last few episodes may be played again
            connection.execute("PRAGMA synchronous = NORMAL")
            with self._writing("create the store"):
                version = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been first
                if version == 0:
                    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                        raise StoreError(f"{self.file} is a database of another program; choose another runs folder.")
                    for statement in SCHEMA.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                    version = SCHEMA_VERSION
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError(f"{self.file} is a database of another program; choose another runs folder.")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.file} was written by a newer Palaestra (store version {version}, this one reads"
                f" {SCHEMA_VERSION}); upgrade with: pip install -U palaestra"
            )
        if not self._read_only:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_spill = OFF")  # nothing in the log before its commit (`write_ahead_log`)
            if version < SCHEMA_VERSION:
                self._migrate()
        connection.execute("SELECT count(*) FROM runs").fetchone()

    def _migrate(self) -> None:
        """Bring an older file to this version, in one transaction; another process may have been first."""
        with self._writing("bring the store to this version") as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            for older in range(version, SCHEMA_VERSION):
                for statement in MIGRATIONS[older]:
                    connection.execute(statement)
            give_checks(connection)
            connection.execute(f"PRAGMA user_version = {max(version, SCHEMA_VERSION)}")

    def _has_checks(self) -> bool:
        """Whether every row has a check: `give_checks` gave one to the rows of older versions."""
        return self._version() > 3

    def _is_right(self, check: int | None, expected: int) -> bool:
        """Whether a row has its check; in a file of an older version that may only be read, it may have none."""
        return check == expected or (check is None and not self._has_checks())

    def _data_check(self) -> str:
        """Return the column of the check of a trajectory."""
        return "data_check" if self._version() > 2 else "NULL"

    def _version(self) -> int:
        """Return the version of the schema."""
        return int(self._read("PRAGMA user_version")[0][0]) if self._read_only else SCHEMA_VERSION

    @contextlib.contextmanager
    def _guard(self, doing: str) -> Iterator[None]:
        """Turn what SQLite raises into one line that says what to do."""
        try:
            yield
        except DATABASE_ERRORS as error:
            raise StoreError(f"Could not {doing}: {explain(error, self.file, BUSY_TIMEOUT_S)}") from error

    @contextlib.contextmanager
    def _writing(self, doing: str) -> Iterator[sqlite3.Connection]:
        """Hold a write transaction: all of it is stored, or nothing."""
        with self._mutex:
            connection = self._connection
            try:  # as in `_guard`, which would be one more generator for every episode
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                        connection.execute("ROLLBACK")
                    raise
            except DATABASE_ERRORS as error:
                raise StoreError(f"Could not {doing}: {explain(error, self.file, BUSY_TIMEOUT_S)}") from error

    def _read(self, query: str, values: tuple[Any, ...] | list[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._mutex, self._guard("read"):
            return self._connection.execute(query, values).fetchall()

    def _agree(self, table: str, run_id: str | None = None) -> None:
        """Compare the two counts of a table, or of what it has of one run: a damaged page leaves rows out."""
        condition, values = ("", ()) if run_id is None else ("WHERE run_id = ?", (run_id, run_id))
        one, other = self._read(two_counts(table, condition), values)[0]
        if one != other:
            raise self._damaged(f"The table {table}{'' if run_id is None else f' of run {run_id!r}'} ({one} or {other} rows)")

    def _damaged(self, what: str) -> StoreError:
        """Return the error for something that is not as it was written."""
        return StoreError(f"{what} in {self.file} is damaged. {repair_advice(self.file)}, or restore the file from a copy.")


def _may_write(folder: Path) -> bool:
    """Whether this process may make files in a folder."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


__all__ = ["BUSY_TIMEOUT_S", "StoreFile"]
