"""Plain calls of asynchronous code, from anywhere.

`run_sync(coroutine)` runs it on one event loop that lives in a background thread for as long as the process. Clients keep
their connections between calls, and it works where a loop is running already (Jupyter), in which `asyncio.run` would not.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from palaestra.errors import UsageError

T = TypeVar("T")

_JOIN_S = 5.0


class _Background:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        """Start the thread."""
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="palaestra-async", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        """Serve the loop until it is stopped, then finish what is left on it."""
        loop = self.loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())  # closes what `PerLoop` keeps on this loop
            loop.close()

    def stop(self) -> None:
        """End the thread; clients of its loop are closed."""
        if self.pid == os.getpid() and self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(_JOIN_S)


_lock = threading.Lock()
_background: _Background | None = None


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for its result.

    Args:
        coroutine: What to run. It is cancelled if the wait is interrupted (Ctrl-C).

    Returns:
        Its result; its exception is raised here.

    Raises:
        UsageError: If called from the background loop itself, which would deadlock.
    """
    background = _get_background()
    if threading.current_thread() is background.thread:
        coroutine.close()
        raise UsageError("run_sync() was called from code that run_sync() is running; use 'await' there.")
    future = asyncio.run_coroutine_threadsafe(coroutine, background.loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # does nothing to one that is done
        raise


def _get_background() -> _Background:
    """Return this process's loop; a forked child starts its own, as threads do not survive a fork."""
    global _background, _lock
    if _background is not None and _background.pid == os.getpid() and _background.thread.is_alive():
        return _background
    with _lock:
        if _background is None or _background.pid != os.getpid() or not _background.thread.is_alive():
            _background = _Background()
            atexit.register(_background.stop)
        return _background


def _after_fork() -> None:
    """The lock may have been held by a thread that the child does not have."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
