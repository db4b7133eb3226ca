"""One thread per process, so that figures compare between machines and runs, and several runs share a machine."""

from __future__ import annotations

import os


def one_thread() -> None:
    """Ask for one thread of the numeric libraries; has to be called before torch is loaded. What is set already stays."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


__all__ = ["one_thread"]
