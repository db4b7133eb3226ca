"""The status of a run while it is played or scored: whatever ends it is written down, and hides nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from palaestra.agents.store.records import RunStatus

SetStatus = Callable[[RunStatus, str], None]


@contextlib.contextmanager
def running(set_status: SetStatus) -> Iterator[None]:
    """Mark a run as running; as "stopped" after an interruption, or as "failed" after an error, which goes on.

    Args:
        set_status: Writes a status and a note. Its own failures after an error are ignored: they must not hide that error.
    """
    set_status("running", "")
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(Exception):
            if isinstance(error, Exception):
                set_status("failed", str(error) or type(error).__name__)
            else:
                set_status("stopped", "")
        raise


__all__ = ["SetStatus", "running"]
