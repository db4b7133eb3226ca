"""What a damaged store has lost, and a new file of the rest.

`check_store` reads every row of a copy of the file, also past pages that cannot be read, and compares it with its check. With
`repair=True` what is whole is written to a new file; the damaged one stays next to it under another name. Episodes that are
lost are played again when their run is resumed. Media files are read as well (`check_media`); lost ones are named, and the
trajectories that name them are kept.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from palaestra.agents.store import open_files
from palaestra.agents.store.check_media import LostMedia, check_media, unknown_folders
from palaestra.agents.store.faults import DATABASE_ERRORS, expect_store, two_stores
from palaestra.agents.store.replacement import clear, replace_store
from palaestra.agents.store.salvage import Found, KeptEpisode, read_all
from palaestra.agents.store.schema import FILE_NAME
from palaestra.agents.store.write_ahead_log import LogDamage, find_damage, read_log, read_witness, restore_pages
from palaestra.errors import StoreError
from palaestra.types import Json


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """What is left of a run.

    Attributes:
        run_id: Its name.
        kept: Episodes that are whole.
        rebuilt: Those of them whose summary was damaged and was made again from the trajectory.
        lost: Ids of episodes that are lost, as far as they are known; played again when the run is resumed.
        problem: What is wrong with the run itself; empty if nothing is.
        media: Its sounds and pictures that are missing or damaged.
    """

    run_id: str
    kept: int
    rebuilt: int = 0
    lost: tuple[str, ...] = ()
    problem: str = ""
    media: tuple[LostMedia, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        told: dict[str, Json] = {name: getattr(self, name) for name in ("run_id", "kept", "rebuilt", "problem")}
        return told | {"lost": list(self.lost), "media": [media.to_json() for media in self.media]}


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What a check of a store found.

    Attributes:
        file: The store's file.
        runs: The runs that are left.
        problems: What is wrong with the file itself, e.g. pages that cannot be read.
        unknown: Episodes of which neither run nor id can be read.
        saved_as: Name under which the damaged file was kept; empty if nothing was repaired.
        notes: What is not damage, but may be a trace of it: folders of runs that the store does not know.
    """

    file: Path
    runs: tuple[CheckedRun, ...]
    problems: tuple[str, ...] = ()
    unknown: int = 0
    saved_as: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged."""
        return self.is_file_whole and self.has_all_media

    @property
    def has_all_media(self) -> bool:
        """Whether every sound and picture of every run is there and whole; a repair cannot bring one back."""
        return not any(run.media for run in self.runs)

    @property
    def is_file_whole(self) -> bool:
        """Whether nothing in the file is damaged, whatever became of media."""
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
            "notes": list(self.notes),
        }


def check_store(path: str | os.PathLike[str] = "runs", *, repair: bool = False) -> StoreCheck:
    """Read everything in a store and say what is damaged; with `repair`, save the rest.

    A store may be checked while others write to it.

    Args:
        path: Folder of the store, or its file.
        repair: Write what is whole to a new file in the place of the damaged one, which is kept under another name. Killed at
            any instant, it leaves the damaged store or the repaired one. Media files are never changed.

    Raises:
        StoreError: If there is no store, nothing of it can be read, or a process plays a run in it that is to be repaired.
    """
    path = Path(path)
    file = path if path.suffix == ".db" else path / FILE_NAME
    expect_store(file)
    found = _read(file)
    episodes = found.by_run()
    runs = tuple(_checked_run(run_id, episodes.get(run_id, ()), found) for run_id in found.runs)
    checked = StoreCheck(file, runs, tuple(found.problems), found.unknown)
    if repair:
        checked = _repaired(checked, found)
    runs = tuple(replace(run, media=_lost_media(file, run.run_id, episodes.get(run.run_id, ()))) for run in checked.runs)
    notes = tuple(
        f"The folder {name} holds artifacts of a run that the store does not know: it was deleted, or its record is lost."
        for name in unknown_folders(file.parent, found.runs)
    )
    return replace(checked, runs=runs, notes=notes)


def _repaired(checked: StoreCheck, found: Found) -> StoreCheck:
    """Save what is whole, if anything in the file is damaged."""
    file = checked.file
    if not checked.is_file_whole and found.played:
        raise StoreError(f"Run {found.played[0]!r} in {file} is being played; end that process, then repair the store.")
    if not checked.is_file_whole and open_files.is_open(file):
        raise StoreError(f"{file} is open in this process; close the store, then repair it.")
    clear(file)
    if checked.is_file_whole:
        return checked
    return replace(checked, saved_as=replace_store(file, found))


def _checked_run(run_id: str, own: Sequence[KeptEpisode], found: Found) -> CheckedRun:
    """Sum up what was found of a run."""
    rebuilt = sum(episode.is_rebuilt for episode in own)
    return CheckedRun(run_id, len(own), rebuilt, tuple(found.lost.get(run_id, ())), found.run_problems.get(run_id, ""))


def _lost_media(file: Path, run_id: str, own: Sequence[KeptEpisode]) -> tuple[LostMedia, ...]:
    """Look at the media of a run; a name that would lead elsewhere has no folder."""
    if Path(run_id).name != run_id:
        return ()
    return check_media(file.parent / run_id, (episode.packed for episode in own))


def _read(file: Path) -> Found:
    """Read all of a store as it was at one instant."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / FILE_NAME
        with open_files.OPENING:
            if open_files.is_open(file):
                _copy_through_sqlite(file, copy)
                return read_all(copy)
            before = _state(file)
            damage = find_damage(file, with_index=True)
            if damage is not None and damage.is_other:
                raise two_stores(file, damage)
            problem = _copy_bytes(file, copy, damage)
            is_still = before == _state(file)
        found = read_all(copy)
        if damage is not None:
            found.problems.insert(0, problem)
            with suppress(StoreError):  # where the whole log is gone, nothing may be left of the older state
                found.add_older(_read_older(file, Path(folder)))
        if damage is not None or (is_still and (found.is_whole or not _has_log(file))):
            return found
    # a process may have written between the bytes of the copy: what SQLite reads is of one instant
    with tempfile.TemporaryDirectory() as folder, open_files.OPENING:
        copy = Path(folder) / FILE_NAME
        try:
            _copy_through_sqlite(file, copy)
            second = read_all(copy)
        except (StoreError, *DATABASE_ERRORS):
            return found
    return found if is_still and not second.is_whole else second


def _read_older(file: Path, folder: Path) -> Found:
    """Read the state that SQLite would go back to."""
    copy = folder / f"older-{FILE_NAME}"
    _copy_bytes(file, copy, None)
    return read_all(copy)


def _copy_bytes(file: Path, copy: Path, damage: LogDamage | None) -> str:
    """Copy a store byte by byte, with what SQLite would drop of a damaged log put in; return what is wrong with the log."""
    if damage is None:
        for end in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{file}{end}", f"{copy}{end}")
        return ""
    database, log = file.read_bytes(), _bytes_of(file, "-wal")
    read = read_log(log, read_witness(_bytes_of(file, "-shm")))
    num_lost = damage.num_committed
    if read is not None:
        database, num_lost = restore_pages(database, read, damage.num_committed)
    copy.write_bytes(database)
    if num_lost:
        return f"{damage}; what was last stored on {num_lost:,} pages cannot be read, the rest of the log can be saved."
    return f"{damage}; all that they hold can be saved."


def _copy_through_sqlite(file: Path, copy: Path) -> None:
    """Copy a store as readers see it, whoever writes."""
    uri = f"{file.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _state(file: Path) -> tuple[object, ...]:
    """Return what changes when a process writes to a store."""
    sizes = []
    for end in ("", "-wal"):
        with suppress(OSError):
            told = os.stat(f"{file}{end}")
            sizes.append((told.st_size, told.st_mtime_ns))
    return (*sizes, _bytes_of(file, "-shm")[:136])


def _has_log(file: Path) -> bool:
    """Whether a store has a log, as while a process writes to it."""
    return len(_bytes_of(file, "-wal")) > 0


def _bytes_of(file: Path, end: str) -> bytes:
    """Return the bytes of a file next to the store's; none if there is no such file."""
    try:
        return Path(f"{file}{end}").read_bytes()
    except OSError:
        return b""


__all__ = ["CheckedRun", "StoreCheck", "check_store"]
