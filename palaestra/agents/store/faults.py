"""What failures of SQLite mean to a user."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
from pathlib import Path

from palaestra.agents.store.schema import FILE_NAME
from palaestra.envs.core.data_files import kind_of, shown
from palaestra.errors import ConfigError, StoreError

DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises: the text of an error may hold bytes of it that are not text."""

_LEAST_FREE = 1 << 16  # bytes: a new store and the index of its log
_MAGIC = b"SQLite format 3\0"


def explain(error: Exception, file: Path, busy_s: float) -> str:
    """Say in one line what a failure of SQLite means, and what to do.

    Args:
        error: What was raised.
        file: The store's file.
        busy_s: Seconds that were waited for other processes.
    """
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _is_full(file.parent)):
        return f"the disk of {file} is full. Nothing finished is lost: free space, then resume the run."
    has_lost = isinstance(error, UnicodeDecodeError) or str(error).startswith(("no such ", "malformed "))
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or has_lost:
        advice = repair_advice(file) if is_database(file) else "Move it away to start afresh"
        return f"{file} is damaged or no run store ({error}). {advice}, or restore it from a copy."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{file} has been in use by another process for {busy_s:g} s. End that one, then try again."
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN")):
        return f"{file} cannot be written or opened ({error}). Change its permissions, or choose another runs folder."
    if name.startswith("SQLITE_IOERR"):
        advice = "Check the disk, its free space and the limit on file sizes (ulimit -f), then resume the run."
        return f"reading or writing {file} failed ({error}). {advice}"
    return f"{file}: {error}. If it keeps happening, move the file away and start afresh."


def _is_full(folder: Path) -> bool:
    """Whether no page can be written any more: where SQLite maps or cuts a file, a full disk is an error like any other."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE
    except OSError:
        return False


def is_database(file: Path) -> bool:
    """Whether a file begins as every SQLite database does, whatever is damaged behind that."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def repair_advice(file: Path) -> str:
    """Return the sentence, without its end, that says how to see and save what is whole in a damaged store."""
    folder = file if file.suffix == ".db" and file.name != FILE_NAME else file.parent
    where = "" if folder == Path("runs") else f" --runs {shlex.quote(str(folder))}"
    return f"See what can be saved with: palaestra runs check{where}; save it with --repair"


def two_stores(file: Path, damage: object) -> StoreError:
    """Return the error for a log and an index that do not belong together, which of them is the wrong one nobody can tell.

    Args:
        file: The store's file.
        damage: What is wrong, in words.
    """
    return StoreError(
        f"{file}: {damage}. Put back the -wal and -shm files that belong to it. If only the index is the wrong one, remove"
        f" {file.name}-shm: it is made again; if the log is, remove both: what is in {file.name} stays."
    )


def expect_store(file: Path) -> None:
    """Refuse a path where no store can be, whatever is there.

    Args:
        file: Where the store's file should be.

    Raises:
        StoreError: If there is no file.
    """
    try:
        is_there = kind_of(file) == "file"
    except ConfigError as error:
        raise StoreError(str(error)) from None
    if not is_there:
        raise StoreError(f"There is no run store at {shown(file)}. Name the folder that holds {file.name}.")


__all__ = ["DATABASE_ERRORS", "expect_store", "explain", "is_database", "repair_advice", "two_stores"]
