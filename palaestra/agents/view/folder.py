"""Reading a folder of runs again and again while others write: once for each change of its file.

Every reading opens the store read-only and closes it, so that a file which is repaired, replaced or made later is found. What
was read is kept until the file changes.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from palaestra.agents.evaluation.arms import ArmSummary, PlayedRun, arms_of
from palaestra.agents.masking import masked_message
from palaestra.agents.store.records import RunSummary
from palaestra.agents.store.store import RunStore
from palaestra.errors import PalaestraError

FRESH_S = 3.0
"""Age up to which the list of runs is believed while its file does not change: a process that dies changes no file."""

_RACE_S = 0.05  # a file system may give two writes within this time the same stamp

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A run that cannot be read.

    Attributes:
        run_id: Its name.
        problem: What is wrong, in one line.
    """

    run_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder.

    Attributes:
        runs: Its runs, newest first, and those that cannot be read.
        problem: Why there are none; empty if the folder could be read.
    """

    runs: tuple[RunSummary | Damaged, ...] = ()
    problem: str = ""

    def find(self, run_id: str) -> RunSummary | Damaged | None:
        """Return a run by its name."""
        return next((run for run in self.runs if run.run_id == run_id), None)


class RunsFolder:
    """A folder of runs.

    Args:
        path: The folder, or its SQLite file.
    """

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.path = path
        self._file = path if path.suffix == ".db" else path / "palaestra.db"
        self._listing: tuple[str, float, Listing] | None = None
        self._arms: Kept[list[ArmSummary]] = Kept(4)
        self._mutex = threading.Lock()

    def open(self) -> RunStore:
        """Open the store to read.

        Raises:
            StoreError: If there is none, or it cannot be read.
        """
        return RunStore(self.path, read_only=True)

    def is_there(self) -> bool:
        """Whether anything has the name of the store's file."""
        return self._file.exists()

    def stamp(self) -> str:
        """Return a text that changes with every change of the file."""
        parts: list[object] = []
        for end in ("", "-wal"):
            try:
                stat = Path(f"{self._file}{end}").stat()
            except OSError:
                parts.append("")
                continue
            now = time.time_ns()
            is_racy = abs(now - stat.st_mtime_ns) < _RACE_S * 1e9
            parts.append((stat.st_ino, stat.st_size, stat.st_mtime_ns, now if is_racy else 0))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def listing(self) -> Listing:
        """Return all runs; a folder that cannot be read says why."""
        with self._mutex:
            stamp, now = self.stamp(), time.monotonic()
            if self._listing is None or self._listing[0] != stamp or now - self._listing[1] > FRESH_S:
                self._listing = (stamp, now, self._read())
            return self._listing[2]

    def version(self, run_ids: Collection[str] = ()) -> str:
        """Return a text that changes when pages about runs do.

        Args:
            run_ids: The runs that a page shows, with the evaluations of training runs; none for all.
        """
        stamp, listing = self.stamp(), self.listing()
        shown = [run for run in listing.runs if not run_ids or any(_belongs(run.run_id, run_id) for run_id in run_ids)]
        states: list[object] = [listing.problem]
        for run in shown:
            if isinstance(run, Damaged):
                states.append((run.run_id, run.problem))
                continue
            states.append((run.run_id, run.status, run.note, run.updated_s, run.num_episodes, run.num_errors, run.num_success))
            if is_busy(run):
                states.append(stamp)  # also what no summary shows, e.g. metrics that are logged
        return hashlib.sha256(repr(states).encode("utf-8", "replace")).hexdigest()[:32]

    def arms(self, store: RunStore, run: RunSummary) -> list[ArmSummary]:
        """Return the arms of a run, without trajectories.

        Raises:
            StoreError: If a summary of its episodes is damaged.
        """
        key = (self.stamp(), run.run_id)

        def read() -> list[ArmSummary]:
            return arms_of([PlayedRun(run.run_id, run.config, store.episodes(run.run_id))])

        return self._arms.get(key, read)

    def _read(self) -> Listing:
        """Read the list of runs; one that is damaged does not hide the others."""
        try:
            with self.open() as store:
                try:
                    return Listing(tuple(store.runs()))
                except Exception:  # whatever a damaged or foreign record does to its reader
                    return Listing(tuple(_run(store, run_id) for run_id in store.run_ids()))
        except (PalaestraError, OSError) as error:
            return Listing(problem=masked_message(str(error)))


def is_busy(run: RunSummary | Damaged) -> bool:
    """Whether a run may change by itself."""
    return isinstance(run, RunSummary) and run.status in ("running", "created")


def _belongs(run_id: str, shown: str) -> bool:
    """Whether a run is shown on the page of another: itself, or an arm of it."""
    return run_id == shown or run_id.startswith(f"{shown}-")


def _run(store: RunStore, run_id: str) -> RunSummary | Damaged:
    """Read one run, or say why it cannot be read."""
    try:
        return store.run(run_id)
    except PalaestraError as error:
        return Damaged(run_id, masked_message(str(error)))
    except Exception as error:
        return Damaged(run_id, masked_message(f"This run cannot be read: {type(error).__name__}: {error}"))


class Kept(Generic[T]):
    """What was made last, by key; threads that want the same wait for the first.

    Args:
        most: Things that are kept.
    """

    def __init__(self, most: int) -> None:
        """Keep nothing yet."""
        self._most = most
        self._found: OrderedDict[Any, T] = OrderedDict()
        self._mutex = threading.RLock()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """Return the thing that is kept under a key, made if it is not there."""
        with self._mutex:
            if key not in self._found:
                self._found[key] = make()
                while len(self._found) > self._most:
                    self._found.popitem(last=False)
            self._found.move_to_end(key)
            return self._found[key]


__all__ = ["FRESH_S", "Damaged", "Kept", "Listing", "RunsFolder", "is_busy"]
