"""Heartbeats of the processes that train together, and barriers at which slow ones are waited for and dead ones are not.

A collective operation that waits for a process that died, or for one that took another branch, waits until its timeout. A
timeout that is long enough for an evaluation on the first process is far too long to notice that. So a process that may have
to wait long waits at a barrier first: as long as the missing ones are alive, however slow, and no longer. Heartbeats go
through the key-value store that every launcher of torch starts; each process watches the next one, so that the load of the
store grows with the number of processes, not with its square.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from palaestra.errors import PalaestraError

BEAT_S = 2.0
PATIENCE_S = 180.0
_POLL_S, _POLL_MOST_S, _POLL_SHARE = 0.0005, 0.25, 0.02  # the longer the wait, the rarer the polls

_MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_GO_ON = "Look at its output for the reason, then start the run again with the same id: it resumes from its last checkpoint."


class LostRankError(PalaestraError):
    """Another process that trains with this one is gone, or does something else."""


def num_launched() -> int:
    """Return how many processes a launcher (torchrun, `accelerate launch`) started, this one included."""
    # accelerate starts processes on CPUs by mpirun; without accelerate these names may belong to a cluster's own launcher
    names = ("WORLD_SIZE", *(_MPI_SIZES if wants_cpu() else ()))
    return next((int(os.environ[name]) for name in names if os.environ.get(name)), 1)


def wants_cpu() -> bool:
    """Whether accelerate was told to leave accelerators alone."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")


def is_launch_alone() -> bool:
    """Whether `accelerate launch` was asked for several processes and, without --multi_gpu or --use_fsdp, started one."""
    return num_launched() < 2 and "ACCELERATE_USE_CPU" in os.environ and "MASTER_PORT" in os.environ


class Heartbeat:
    """Heartbeat of one process, and the barriers it waits at.

    Args:
        rank: Number of this process.
        size: Number of processes.
        open_store: Opens a connection to the store that all of them use.
        beat_s: Seconds between heartbeats.
        patience_s: Seconds without a heartbeat after which a process counts as lost.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        open_store: Callable[[], Any],
        *,
        beat_s: float = BEAT_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Connect; `start` starts to beat."""
        self.rank = rank
        self.size = size
        self._store = open_store()
        self._beats = open_store()  # its own: one connection is not for two threads
        self._beat_s = beat_s
        self._patience_s = patience_s
        self._session = 0
        self._barriers = 0
        self._seen = (-1, time.monotonic())  # heartbeats of the next process, and when their number last grew
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start a session, all together: barriers are counted from here, and processes lost before are forgotten."""
        self._session += 1
        self._barriers = 0
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._beat, name="palaestra-heartbeat", daemon=True)
            self._thread.start()

    def fail(self, reason: str) -> None:
        """Tell the others, which may wait for this process, that it has failed.

        Args:
            reason: A sentence without its full stop.
        """
        with contextlib.suppress(RuntimeError):  # the store may be what was lost
            self._store.set(self._key("lost"), reason)

    def barrier(self, name: str) -> None:
        """Wait until all processes are here.

        Args:
            name: What for; the same on every process.

        Raises:
            LostRankError: If a process is lost, or waits at another barrier.
        """
        self._barriers += 1
        number = self._barriers
        with lost_is_an_error(self.rank):
            expected = self._store.compare_set(self._key("name", number), "", name).decode()
            if expected != name:
                self._abort(f"Rank {self.rank} came to {name!r} while another one came to {expected!r}")
            if self._store.add(self._key("here", number), 1) < self.size:
                self._wait(self._key("open", number))
                return
            self._store.set(self._key("open", number), "1")
            for kind in ("name", "here", "open"):  # all are here, so all have left the last barrier
                self._store.delete_key(self._key(kind, number - 1))

    def leave(self) -> None:
        """Wait at the last barrier and stop beating; rank 0, in whose process the store may live, leaves last.

        Raises:
            LostRankError: If a process is lost before that.
        """
        self.barrier("end")
        self.close()
        with lost_is_an_error(self.rank):
            left = self._store.add(self._key("left"), 1)
            until = time.monotonic() + self._beat_s
            while self.rank == 0 and left < self.size and time.monotonic() < until:
                time.sleep(_POLL_S)
                left = self._store.add(self._key("left"), 0)

    def close(self) -> None:
        """Stop beating."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=self._beat_s)
            self._thread = None

    def _wait(self, key: str) -> None:
        # polled: the store's own waiting writes to stderr whenever it times out
        began = checked = time.monotonic()
        while not self._store.check([key]):
            now = time.monotonic()
            if now - checked > self._beat_s:
                self._check()
                checked = now
            time.sleep(min(max(_POLL_SHARE * (now - began), _POLL_S), _POLL_MOST_S))

    def _check(self) -> None:
        """Check the heartbeat of the next process, and whether another process was found lost."""
        lost = self._key("lost")
        if self._store.check([lost]):
            raise LostRankError(f"{self._store.get(lost).decode()}. {_GO_ON}")
        watched = (self.rank + 1) % self.size
        beats = self._store.add(f"beats/{watched}", 0)
        last, since = self._seen
        if beats != last:
            self._seen = (beats, time.monotonic())
        elif time.monotonic() - since > self._patience_s:
            self._abort(
                f"Nothing was heard of rank {watched} for {self._patience_s:g} s; expected it at a barrier of all ranks"
            )

    def _abort(self, reason: str) -> None:
        """Stop, and make all others stop."""
        self.fail(reason)
        raise LostRankError(f"{reason}. {_GO_ON}")

    def _key(self, kind: str, number: int | None = None) -> str:
        return f"{self._session}/{kind}" if number is None else f"{self._session}/{kind}/{number}"

    def _beat(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(RuntimeError):  # a store that is gone is an error where something waits for it
                self._beats.add(f"beats/{self.rank}", 1)
            self._over.wait(self._beat_s)


def connect() -> Any:
    """Open a connection to the store of the process group, which listens where MASTER_ADDR and MASTER_PORT say."""
    import torch.distributed as dist

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(host, port, is_master=False, wait_for_workers=False)
    # a launcher that restarts its processes keeps the store
    return dist.PrefixStore(f"palaestra/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


@contextlib.contextmanager
def lost_is_an_error(rank: int) -> Iterator[None]:
    """Turn the failures of torch's collectives and stores inside the block into a `LostRankError`.

    Args:
        rank: Number of this process.

    Raises:
        LostRankError: If an exchange failed or timed out.
    """
    import torch.distributed as dist

    try:
        yield
    except RuntimeError as error:
        # gloo's failures have no class of their own
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        reason = str(error).splitlines()[0].strip()
        raise LostRankError(
            f"Rank {rank} lost touch with another process in the middle of an exchange: {reason}. {_GO_ON}"
        ) from error
