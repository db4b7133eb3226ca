"""Which stores this process has open.

Where a process closes any handle of a file, POSIX drops all of its locks on that file, also those that SQLite relies on. So
the bytes of a store and of its index are read directly only while this process has no connection to it.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

OPENING = threading.RLock()
"""Held from looking at the bytes of a store until it is open."""

_open: Counter[str] = Counter()


def is_open(file: Path) -> bool:
    """Whether this process has a connection to a store."""
    with OPENING:
        return _open[os.path.realpath(file)] > 0


def add(file: Path) -> None:
    """Count one connection more."""
    with OPENING:
        _open[os.path.realpath(file)] += 1


def remove(file: Path) -> None:
    """Count one connection less."""
    with OPENING:
        name = os.path.realpath(file)
        _open[name] -= 1
        if _open[name] <= 0:
            del _open[name]


__all__ = ["OPENING", "add", "is_open", "remove"]
