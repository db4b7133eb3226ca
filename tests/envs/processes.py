"""What this process has open: for tests that nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE_S = 30.0

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="counts processes and files in /proc")


def children() -> list[int]:
    """Return the numbers of the child processes, those that ended and were not waited for included."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended in the meantime
            found += map(int, (task / "children").read_text().split())
    return found


def open_files() -> int:
    """Return the number of open files, pipes and sockets."""
    return len(os.listdir("/proc/self/fd"))


def counts() -> tuple[int, int, int]:
    """Return the numbers of child processes, open files and threads."""
    return len(children()), open_files(), threading.active_count()


def nothing_new(before: tuple[int, int, int]) -> bool:
    """Whether there is no more than there was: what was about to end has ended meanwhile."""
    return all(now <= then for now, then in zip(counts(), before, strict=True))


def is_running(pid: int) -> bool:
    """Whether a process runs, whosever it is; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something holds; fail if it does not for half a minute."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.005)
