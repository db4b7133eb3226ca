"""The status of a run while it is played or scored: whatever ends it is written down, and hides nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from palaestra.agents.store.records import Planned, RunStatus

SetStatus = Callable[[RunStatus, str], None]


@contextlib.contextmanager
def running(set_status: SetStatus, num_planned: int, num_done: Callable[[], int]) -> Iterator[None]:
    """Mark a run as running; as "interrupted" after an interruption, or as "failed" after an error, which goes on.

    Args:
        set_status: Writes a status and a note. Its own failures after an error are ignored: they must not hide that error.
        num_planned: Episodes that make the run complete; the note says so, also of a run that was killed.
        num_done: Returns how many of them are stored.
    """
    set_status("running", f"{num_planned:,} planned")
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(Exception):
            if isinstance(error, Exception):
                reason = str(error) or type(error).__name__
                set_status("failed", f"{reason} ({Planned(num_done(), num_planned)})")
            else:
                set_status("interrupted", str(Planned(num_done(), num_planned)))
        raise


__all__ = ["SetStatus", "running"]
