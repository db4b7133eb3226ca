"""All runs on disk: one SQLite file per folder of runs, safe against being killed at any instant.

Each finished episode is one transaction: an indexed row to list and count by, and the whole trajectory as compressed
JSON next to it. Several processes may read while one writes; a run is played by one process at a time (`lock`).
Artifacts of a run (reports, checkpoints) lie in a folder named after it next to the file; so do the sounds and pictures that
its trajectories name, which are on the disk before the trajectory is.
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import re
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from palaestra.agents.masking import masked, masked_message, may_hold_secrets
from palaestra.agents.store.kept_media import FOLDER_NAME, keep_media, with_absent, with_lost
from palaestra.agents.store.lock import LockOwner, this_process
from palaestra.agents.store.records import (
    COLUMNS,
    EpisodeSummary,
    RunStatus,
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
    warn_of_dropped,
    written,
)
from palaestra.agents.store.schema import FILE_NAME, runs_query
from palaestra.agents.store.store_file import StoreFile
from palaestra.errors import PalaestraError, StoreError, UsageError, unknown_name
from palaestra.media.items import MARK
from palaestra.media.store import FolderMedia, MediaStore, current_media
from palaestra.types import Json, Trajectory
from palaestra.types.plain_json import strict_text

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_COLUMNS = ", ".join(COLUMNS)
_CHECKS = ", data_check, row_check"
_INSERT = f"INSERT INTO episodes (run_id, {_COLUMNS}{_CHECKS}) VALUES ({', '.join('?' * (len(COLUMNS) + 3))})"
_RECORD = "run_id, created_s, updated_s, status, note, config"


class RunStore(StoreFile):
    """The runs of one folder.

    Args:
        path: The folder (or the SQLite file itself, named `*.db`). Made if it does not exist.
        read_only: Open an existing store without the right to write, also from a folder that cannot be written.

    Raises:
        StoreError: If the folder cannot be used, or the file is not a store, is damaged, or is of a newer version.
    """

    def __init__(self, path: str | os.PathLike[str] = "runs", *, read_only: bool = False) -> None:
        """Open or create the file."""
        self._media: dict[str, FolderMedia] = {}
        super().__init__(path, read_only=read_only)

    # -- runs -----------------------------------------------------------------------------------------------------

    def create_run(self, config: Mapping[str, Json], run_id: str | None = None) -> str:
        """Begin a run.

        Args:
            config: Everything needed to resume it; plain JSON. Secrets in it are masked.
            run_id: Its name (letters, digits, dot, dash, underscore); by default date, time and four random digits.

        Returns:
            The name.

        Raises:
            UsageError: If the name is taken or is not a file name.
        """
        if run_id is not None and not _RUN_ID.fullmatch(run_id):
            raise UsageError(f"Run id {run_id!r} is not a plain name; use up to 100 letters, digits, '.', '-', '_'.")
        text = strict_text(masked(dict(config)), sort_keys=True)
        with self._writing("create a run") as connection:
            while True:
                now = time.time()
                name = run_id or f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"
                record = (name, now, now, "created", "", text)
                try:
                    connection.execute(f"INSERT INTO runs VALUES ({', '.join('?' * 7)})", (*record, record_check(*record)))
                    return name
                except sqlite3.IntegrityError:
                    if run_id is not None:
                        raise UsageError(f"There is a run {run_id!r} already; resume it, or choose another name.") from None

    def runs(self) -> list[RunSummary]:
        """Return all runs, newest first."""
        return self._runs("", ())

    def run_ids(self) -> list[str]:
        """Return the names of all runs, newest first; also of those whose record is damaged."""
        return [str(row[0]) for row in self._read("SELECT run_id FROM runs ORDER BY created_s DESC, rowid DESC")]

    def run(self, run_id: str) -> RunSummary:
        """Return one run.

        Raises:
            UnknownNameError: If there is none of that name.
        """
        found = self._runs("WHERE runs.run_id = ?", (run_id,))
        if not found:
            raise self._unknown_run(run_id)
        return found[0]

    def config(self, run_id: str) -> dict[str, Json]:
        """Return the configuration a run was created with."""
        return _config(self._record(run_id)[5])

    def set_config(self, run_id: str, config: Mapping[str, Json]) -> None:
        """Replace the configuration of a run, e.g. when it is extended to more episodes."""
        self._expect_run(run_id)
        text = strict_text(masked(dict(config)), sort_keys=True)
        with self._writing("change a run's configuration") as connection:
            self._update(connection, run_id, config=text)

    def status(self, run_id: str) -> RunStatus:
        """Return how far a run is."""
        return self.run(run_id).status

    def set_status(self, run_id: str, status: RunStatus, note: str = "") -> None:
        """Say how far a run is, and why it stopped there."""
        if status not in get_args(RunStatus):
            raise unknown_name("run status", status, get_args(RunStatus))
        self._expect_run(run_id)
        with self._writing("set a run's status") as connection:
            self._update(connection, run_id, status=status, note=masked_message(note))

    def folder_of(self, run_id: str) -> Path:
        """Return where the artifacts of a run lie; the folder may not be there yet.

        Raises:
            StoreError: If the run has a name that would lead elsewhere; no run was created under such a name.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise StoreError(
                f"Run id {run_id!r} in {self.file} is not a plain name, so it has no folder; the file was damaged or changed."
            )
        return self.folder / run_id

    def run_folder(self, run_id: str) -> Path:
        """Return the folder for the artifacts of a run, made if need be."""
        self._expect_run(run_id)
        folder = self.folder_of(run_id)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"The folder {folder} cannot be made ({error.strerror}); free its name or its rights.") from error
        return folder

    def media(self, run_id: str) -> FolderMedia:
        """Return the store of the sounds and pictures that the trajectories of a run name; it may be empty."""
        self._expect_run(run_id)
        if run_id not in self._media:
            self._media[run_id] = FolderMedia(self.folder_of(run_id) / FOLDER_NAME)
        return self._media[run_id]

    def delete_run(self, run_id: str) -> None:
        """Delete a run with its episodes and metrics; its folder is left alone.

        Raises:
            UnknownNameError: If there is none of that name.
            StoreError: If another process plays it.
        """
        with self.lock(run_id), self._writing("delete a run") as connection:
            connection.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

    # -- episodes -------------------------------------------------------------------------------------------------

    def add(
        self,
        run_id: str,
        trajectory: Trajectory,
        *,
        replace: bool = False,
        media: MediaStore | None = None,
        allow_lost: bool = False,
    ) -> bool:
        """Store a finished episode, in one transaction, after the sounds and pictures that it names.

        Args:
            run_id: The run.
            trajectory: The episode.
            replace: Put it in the place of a stored one of its id; otherwise that one stays, with a warning if it differs.
            media: Where the sounds and pictures are that it names; the current store of this process by default.
            allow_lost: Store it without those of them that are missing or damaged; its `meta["lost_media"]` lists them.

        Returns:
            Whether it was stored.

        Raises:
            UnknownNameError: If there is no such run.
            StoreError: If it could not be written; everything stored before is safe.
        """
        text = written(trajectory)
        if MARK in text:
            source = media or current_media()
            lost, absent = keep_media(trajectory, text, self.media(run_id), source, allow_lost=allow_lost)
            told = with_absent(with_lost(trajectory, lost) if lost else trajectory, absent)
            if told is not trajectory:
                text = written(trajectory := told)
        data = pack(text)
        summary = EpisodeSummary.of(trajectory, time.time())
        values, check = to_row(summary), data_check(data, run_id)
        values += check, row_check(run_id, values, check)
        with self._writing("store an episode") as connection:
            if replace:
                self._delete_episode(connection, run_id, trajectory.episode_id)
            try:
                number = connection.execute(_INSERT, (run_id, *values)).lastrowid
            except sqlite3.IntegrityError as error:
                if "UNIQUE" in str(error):
                    warn_of_dropped(run_id, trajectory, self.get(run_id, trajectory.episode_id))
                    return False
                raise (self._unknown_run(run_id) if "FOREIGN KEY" in str(error) else error) from None
            connection.execute("INSERT INTO trajectories VALUES (?, ?)", (number, data))
        return True

    def finished(self, run_id: str, *, errors: bool = True) -> set[str]:
        """Return the ids of the stored episodes.

        Args:
            run_id: The run.
            errors: Count episodes that an error ended.
        """
        self._expect_run(run_id)
        rows = self._all_rows(run_id)
        return {found.episode_id for found in self._checked(run_id, rows) if errors or not found.error_boundary}

    def episodes(
        self,
        run_id: str,
        *,
        task_type: str | None = None,
        success: bool | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[EpisodeSummary]:
        """List episodes in the order they finished.

        Args:
            run_id: The run.
            task_type: Only tasks of this type.
            success: Only solved (True) or unsolved (False) ones; those with errors are neither.
            limit: Most episodes to return.
            offset: Episodes to skip first.
        """
        self._expect_run(run_id)
        if task_type is None and success is None and limit is None and not offset:
            return self._checked(run_id, self._all_rows(run_id))
        self._agree("episodes", run_id)
        query, values = f"{self._listing()} WHERE run_id = ?", [run_id]  # type: tuple[str, list[Any]]
        if task_type is not None:
            query, values = f"{query} AND task_type = ?", [*values, task_type]
        if success is not None:
            query, values = f"{query} AND success = ?", [*values, success]
        values += [-1 if limit is None else limit, offset]
        rows = self._read(f"{query} ORDER BY number LIMIT ? OFFSET ?", values)
        return self._checked(run_id, rows)

    def get(self, run_id: str, episode_id: str) -> Trajectory:
        """Return one trajectory.

        Raises:
            UnknownNameError: If there is no such run or episode.
            StoreError: If it is damaged.
        """
        query = (  # of an episode whose trajectory is gone, NULL: damaged, not unknown
            f"SELECT data, {self._data_check()} FROM episodes LEFT JOIN trajectories USING (number)"
            " WHERE run_id = ? AND episode_id = ?"
        )
        rows = self._read(query, (run_id, episode_id))
        if not rows:
            if episode_id in (known := self.finished(run_id)):  # the index has lost it
                raise self._damaged(f"The index of the episodes of run {run_id!r}")
            raise unknown_name("episode", episode_id, sorted(known))
        data, check = rows[0]
        return self._unpack(data, check, run_id, episode_id)

    def trajectories(self, run_id: str, *, damaged: dict[str, str] | None = None) -> Iterator[Trajectory]:
        """Iterate over trajectories as they finished; bad ones go into `damaged`, if given."""
        self._expect_run(run_id)
        self._agree("episodes", run_id)
        query = (
            f"SELECT number, episode_id, data, {self._data_check()} FROM episodes INDEXED BY episodes_by_run"
            " LEFT JOIN trajectories USING (number) WHERE run_id = ? AND number > ? ORDER BY number LIMIT 64"
        )
        last = -1
        while rows := self._read(query, (run_id, last)):
            self._expect_order(run_id, [last, *(row[0] for row in rows)])
            for _, episode_id, data, check in rows:
                try:
                    trajectory = self._unpack(data, check, run_id, episode_id)
                except StoreError as error:
                    if damaged is None:
                        raise
                    damaged[episode_id] = str(error)
                    continue
                yield trajectory
            last = rows[-1][0]

    # -- metrics --------------------------------------------------------------------------------------------------

    def log_metrics(self, run_id: str, step: int, metrics: Mapping[str, Json]) -> None:
        """Store measurements of a step; names logged for the same step before are kept or overwritten."""
        with self._writing("store metrics") as connection:
            query = "SELECT step, data, row_check FROM metrics WHERE run_id = ? AND step = ?"
            rows = connection.execute(query, (run_id, step)).fetchall()
            merged = {**(self._measured(run_id, *rows[0]) if rows else {}), **metrics}
            values = (run_id, int(step), strict_text(merged))
            try:
                connection.execute("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", (*values, record_check(*values)))
            except sqlite3.IntegrityError:
                raise self._unknown_run(run_id) from None

    def metrics(self, run_id: str) -> list[dict[str, Json]]:
        """Return the measurements by step, each with its `step`."""
        self._expect_run(run_id)
        check = "NULL"
        if self._version() > 3:
            check = "row_check"
            self._agree("metrics", run_id)
        rows = self._read(f"SELECT step, data, {check} FROM metrics WHERE run_id = ? ORDER BY step", (run_id,))
        return [{"step": row[0], **self._measured(run_id, *row)} for row in rows]

    def _measured(self, run_id: str, step: int, data: str, check: int | None) -> dict[str, Json]:
        """Return measurements as they were written."""
        try:
            if not self._is_right(check, record_check(run_id, step, data)):
                raise ValueError("not what was written")
            measured: dict[str, Json] = dict(json.loads(data))
            return measured
        except (ValueError, TypeError) as error:
            raise self._damaged(f"A measurement of run {run_id!r} ({error})") from None

    # -- locks ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, run_id: str) -> Iterator[None]:
        """Hold a run while it is played; the lock of a dead process on this machine is taken over.

        Raises:
            StoreError: If another process holds it.
        """
        self._expect_run(run_id)
        me = this_process()
        with self._writing("lock a run") as connection:
            self._agree("locks")
            row = connection.execute("SELECT owner, row_check FROM locks WHERE run_id = ?", (run_id,)).fetchone()
            if row and (owner := self._owner(run_id, *row)).may_be_alive():
                raise StoreError(
                    f"Run {run_id!r} is being played by {owner}. Wait for it, or end it and resume the run"
                    f"{'' if owner.can_be_checked() else '; if that process is dead, free the run with unlock()'}."
                )
            values = (run_id, json.dumps(me.to_json()))
            connection.execute("INSERT OR REPLACE INTO locks VALUES (?, ?, ?)", (*values, record_check(*values)))
        try:
            yield
        finally:
            self.unlock(run_id)

    def unlock(self, run_id: str) -> None:
        """Free a run, even if another process holds it."""
        with self._writing("unlock a run") as connection:
            connection.execute("DELETE FROM locks WHERE run_id = ?", (run_id,))

    # -- private --------------------------------------------------------------------------------------------------

    def _columns(self) -> str:
        """Return the columns of an episode and its checks; an older file that may only be read lacks the last."""
        version = self._version()
        return (_COLUMNS if version > 1 else _COLUMNS.replace("metrics", "'{}'")) + (
            _CHECKS if version > 2 else ", NULL, NULL"
        )

    def _runs(self, condition: str, values: tuple[Any, ...]) -> list[RunSummary]:
        """Return runs with their counts."""
        self._agree("runs")
        self._agree("locks")
        rows = self._read(runs_query(self._version(), condition), values)
        return [self._run_of(row) for row in rows]

    def _run_of(self, values: tuple[Any, ...]) -> RunSummary:
        """Return one run of a row as `_runs` reads it."""
        *told, owner, check, lock_check, num_agreed, num_indexed = values
        row = dict(zip((field.name for field in fields(RunSummary)), told, strict=True))
        self._check_record(tuple(told[:6]), check)
        if not row["num_episodes"] == num_agreed == num_indexed:
            raise self._damaged(f"The list of episodes of run {row['run_id']!r}")
        row["config"] = _config(row["config"])
        if row["status"] == "running" and owner and not self._owner(row["run_id"], owner, lock_check).may_be_alive():
            row["status"] = "interrupted"
            row["note"] = cut_off_note(row["note"], row["num_episodes"])
        return RunSummary(**row)

    def _owner(self, run_id: str, owner: str, check: int | None) -> LockOwner:
        """Return who holds a run."""
        if not self._is_right(check, record_check(run_id, owner)):
            raise self._damaged(f"The lock of run {run_id!r}")
        return LockOwner.from_json(json.loads(owner))

    def _expect_order(self, run_id: str, numbers: list[int]) -> None:
        """Compare the order of episodes with the order in which they were stored."""
        if any(map(operator.ge, numbers, numbers[1:])):
            raise self._damaged(f"The order of the episodes of run {run_id!r}")

    def _listing(self) -> str:
        """Return the beginning of the query for summaries."""
        return f"SELECT number, {self._columns()} FROM episodes INDEXED BY episodes_by_run"

    def _checked(self, run_id: str, rows: list[tuple[Any, ...]]) -> list[EpisodeSummary]:
        """Return summaries of rows, each compared with its check."""
        self._expect_order(run_id, [row[0] for row in rows])
        found = []
        for columns, is_whole in checked_rows(run_id, rows, has_checks=self._has_checks()):
            if not is_whole:
                raise self._damaged(f"The summary of episode {columns[0]!r} of run {run_id!r}")
            found.append(from_row(columns))
        return found

    def _all_rows(self, run_id: str) -> list[tuple[Any, ...]]:
        """Return the rows of all episodes of a run, as many as another index has: a damaged one leaves some out."""
        query = f"{self._listing()} WHERE run_id = ? ORDER BY number"
        count = "SELECT count(*) FROM episodes INDEXED BY sqlite_autoindex_episodes_1 WHERE run_id = ?"
        with self._mutex, self._guard("read"):
            self._connection.execute("BEGIN")  # both see the same episodes, whoever writes
            try:
                rows, known = self._connection.execute(query, (run_id,)).fetchall(), self._read(count, (run_id,))[0][0]
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # an open transaction would refuse all that comes later
                    self._connection.execute("ROLLBACK")
                raise
        if len(rows) != known:
            raise self._damaged(f"The list of episodes of run {run_id!r} ({len(rows)} of {known} found)")
        return rows

    def _check_record(self, record: tuple[Any, ...], check: int | None) -> None:
        """Compare the record of a run with its check."""
        if not self._is_right(check, record_check(*record)):
            raise self._damaged(f"The record of run {record[0]!r}")

    def _record(self, run_id: str) -> tuple[Any, ...]:
        """Return the record of a run."""
        rows = self._read(
            f"SELECT {_RECORD}, {'row_check' if self._version() > 2 else 'NULL'} FROM runs WHERE run_id = ?", (run_id,)
        )
        if not rows:
            raise self._unknown_run(run_id)
        *record, check = rows[0]
        self._check_record(tuple(record), check)
        return tuple(record)

    def _update(self, connection: sqlite3.Connection, run_id: str, **changes: str) -> None:
        """Change the record of a run."""
        record = dict(zip(_RECORD.split(", "), self._record(run_id), strict=True)) | {"updated_s": time.time(), **changes}
        values = (*record.values(), record_check(*record.values()))
        assignments = ", ".join(f"{name} = ?" for name in (*record, "row_check"))
        connection.execute(f"UPDATE runs SET {assignments} WHERE run_id = ?", (*values, run_id))

    def _expect_run(self, run_id: str) -> None:
        """Raise the error for a run that does not exist."""
        if not self._read("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)):
            raise self._unknown_run(run_id)

    def _unknown_run(self, run_id: str) -> PalaestraError:
        """Build the error for a run that does not exist, or that an index has lost."""
        self._agree("runs")
        names = [row[0] for row in self._read("SELECT run_id FROM runs NOT INDEXED")]
        return self._damaged(f"The index of the runs ({run_id!r})") if run_id in names else unknown_name("run", run_id, names)

    def _delete_episode(self, connection: sqlite3.Connection, run_id: str, episode_id: str) -> None:
        """Remove an episode and its trajectory."""
        connection.execute("DELETE FROM episodes WHERE run_id = ? AND episode_id = ?", (run_id, episode_id))

    def _unpack(self, data: bytes, check: int | None, run_id: str, episode_id: str) -> Trajectory:
        """Rebuild a trajectory from its blob."""
        try:
            if not is_data(data, run_id, check) and (check is not None or self._has_checks()):
                raise ValueError("not the bytes that were written")
            trajectory = unpack(data)
            if stored_text(trajectory.episode_id) != episode_id:
                raise ValueError(f"it is that of {trajectory.episode_id!r}")
            return trajectory
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"Episode {episode_id!r} of run {run_id!r} in {self.file} is damaged ({error}); the others can be read."
                " Take it out with: palaestra runs check --repair, and resume the run; or restore the file from a copy."
            ) from error


def _config(text: str) -> dict[str, Json]:
    """Read the configuration of a run; older versions stored it with its secrets."""
    config: dict[str, Json] = json.loads(text)
    return masked(config) if may_hold_secrets(text) else config


__all__ = ["FILE_NAME", "EpisodeSummary", "RunStatus", "RunStore", "RunSummary"]
