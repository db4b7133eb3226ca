"""Who holds a run: a process, told apart from later ones that were given the same number."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from palaestra.types import Json


@dataclass(frozen=True, slots=True)
class LockOwner:
    """A process that plays a run.

    Attributes:
        host: Name of its machine.
        pid: Its number.
        started: When it started, in the system's own clock; empty where the system does not tell.
    """

    host: str
    pid: int
    started: str

    def is_here(self) -> bool:
        """Whether it runs (or ran) on this machine."""
        return self.host == socket.gethostname()

    def can_be_checked(self) -> bool:
        """Whether this machine can tell if it runs (elsewhere than on POSIX, asking a process might end it)."""
        return self.is_here() and os.name == "posix"

    def may_be_alive(self) -> bool:
        """Whether it still runs, as far as can be known: processes of other machines may always do."""
        if not self.can_be_checked():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # alive, and somebody else's
        state, started = _process_state(self.pid)
        if state in ("Z", "X"):  # killed, but not collected by its parent yet
            return False
        return not (self.started and started and started != self.started)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {"host": self.host, "pid": self.pid, "started": self.started}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> LockOwner:
        """Rebuild from `to_json()`."""
        return cls(data["host"], data["pid"], data["started"])

    def __str__(self) -> str:
        """Name the process for a person."""
        return f"process {self.pid}" if self.is_here() else f"process {self.pid} on the machine {self.host!r}"


def this_process() -> LockOwner:
    """Return the process that asks."""
    return LockOwner(socket.gethostname(), os.getpid(), _process_state(os.getpid())[1])


def _process_state(pid: int) -> tuple[str, str]:
    """Return state letter and start time of a process on Linux, two empty texts elsewhere."""
    try:
        # the command in parentheses may itself hold blanks and parentheses
        after_command = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return after_command[0], after_command[19]
    except (OSError, IndexError):
        return "", ""


__all__ = ["LockOwner", "this_process"]
