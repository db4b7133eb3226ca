"""A repaired store in the place of a damaged one, which is kept under another name.

At every instant a process that opens the store finds all of the damaged one or all of the repaired one. Two files cannot be
exchanged at once, so the log goes first: one that holds every page of the repaired store stands for it next to the damaged
file too.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from palaestra.agents.store.records import COLUMNS, cut_off_note, data_check, record_check, row_check
from palaestra.agents.store.salvage import Found
from palaestra.agents.store.store import RunStore
from palaestra.agents.store.write_ahead_log import write_log
from palaestra.errors import StoreError

ENDS = ("", "-wal", "-shm")
"""What the names of the files of a store end in: its pages, its log, and the index of that."""


def replace_store(file: Path, found: Found) -> str:
    """Write what was found to a new file, put it in the place of the damaged one, and return the name that one has now.

    Raises:
        StoreError: If the new files cannot be written; the damaged store is then as it was.
    """
    made = _made(file)
    try:
        with RunStore(made) as store:
            _fill(store, found)
        log = Path(f"{made}-wal")  # the store was the last to have it open, so all is in the file
        log.write_bytes(write_log(made.read_bytes()))
        for written in (made, log):
            _flush(written)
        saved = _keep(file)
    except OSError as error:
        clear(file)
        raise StoreError(
            f"The repaired store cannot be written next to {file} ({error}); free space, then try again."
        ) from error
    with suppress(FileNotFoundError):
        os.unlink(f"{file}-shm")  # an index of the old log would be believed while a reader has it open
    os.replace(log, f"{file}-wal")
    _flush(file.parent)
    os.replace(made, file)
    _flush(file.parent)
    for end in ENDS[1:]:
        with suppress(FileNotFoundError):
            os.unlink(f"{file}{end}")
    return saved


def clear(file: Path) -> None:
    """Remove what an earlier repair that was killed has left."""
    for left in (*(Path(f"{_made(file)}{end}") for end in ENDS), _copied(file)):
        left.unlink(missing_ok=True)


def _made(file: Path) -> Path:
    """Return the file that a repaired store is written to."""
    return file.with_name(f".repaired-{file.name}")


def _keep(file: Path) -> str:
    """Copy the files of the damaged store, and return the name of the first copy.

    A second name of the same file would not do: a process that opens the store after a kill changes it.
    """
    name = f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    saved, number = file.with_name(name), 1
    while saved.exists():  # an earlier repair of the same second
        number += 1
        saved = file.with_name(f"{name}_{number}")
    for end in ENDS[::-1]:
        with suppress(FileNotFoundError):
            shutil.copy2(f"{file}{end}", _copied(file))
            _flush(_copied(file))
            os.replace(_copied(file), f"{saved}{end}")
    return saved.name


def _copied(file: Path) -> Path:
    """Return the file that a copy is written to before it has its name."""
    return file.with_name(f".repaired-{file.name}-copy")


def _flush(path: Path) -> None:
    """Bring a file or the names in a folder to the disk."""
    with suppress(PermissionError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _fill(store: RunStore, found: Found) -> None:
    """Write what was found to an empty store."""
    with store._writing("save what is whole") as connection:
        num_kept = Counter(run_id for run_id, _ in found.episodes)
        for run_id, record in found.runs.items():
            if record[3] == "running":  # its process is dead, and so is its lock, which would say so
                record = (*record[:3], "interrupted", cut_off_note(record[4], num_kept[run_id]), record[5])
            connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", (*record, record_check(*record)))
        names = ", ".join(("number", "run_id", *COLUMNS, "data_check", "row_check"))
        marks = ", ".join("?" * (len(COLUMNS) + 4))
        taken: set[int] = set()
        for (run_id, _), episode in sorted(found.episodes.items(), key=lambda item: item[1].number):
            check = data_check(episode.packed, run_id)
            number = None if episode.number in taken else episode.number
            taken.add(episode.number)
            row = (number, run_id, *episode.values, check, row_check(run_id, episode.values, check))
            number = connection.execute(f"INSERT INTO episodes ({names}) VALUES ({marks})", row).lastrowid
            connection.execute("INSERT INTO trajectories VALUES (?, ?)", (number, episode.packed))
        for run_id, step, text in found.metrics:
            if run_id in found.runs:
                told = (run_id, step, text)
                connection.execute("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", (*told, record_check(*told)))


__all__ = ["clear", "replace_store"]
