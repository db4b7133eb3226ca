"""One thread that starts every worker of this process and never ends.

The kernel's parent-death signal fires when the *thread* that forked ends, not the process. Workers ask for that signal, so
that they die with a parent that is killed; a worker that was started by a short-lived thread would die with that thread.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_Box: TypeAlias = "queue.SimpleQueue[tuple[Any, BaseException | None]]"
_Jobs: TypeAlias = "queue.SimpleQueue[tuple[Callable[[], Any], _Box]]"
_jobs: _Jobs | None = None


def on_spawner(job: Callable[[], T]) -> T:
    """Run a job in the permanent thread of this process and return its result; its exception is raised here."""
    global _jobs
    with _lock:
        if _jobs is None:
            _jobs = queue.SimpleQueue()
            threading.Thread(target=_work, args=(_jobs,), name="palaestra-sandbox-spawner", daemon=True).start()
        jobs = _jobs
    box: _Box = queue.SimpleQueue()
    jobs.put((job, box))
    value, error = box.get()
    if error is not None:
        raise error
    result: T = value
    return result


def started_child(job: Callable[[], T]) -> tuple[T, int]:
    """Run a job that starts one process; return its result and the id of the process, 0 where the kernel does not tell."""

    def watched() -> tuple[T, int]:
        before = _children_of_thread()
        value = job()
        new = _children_of_thread() - before
        return value, new.pop() if len(new) == 1 else 0

    return on_spawner(watched)


def later(job: Callable[[], object]) -> None:
    """Have a job run by the permanent thread, if there is one, without waiting and without taking a lock."""
    jobs = _jobs
    if jobs is not None:
        jobs.put((job, queue.SimpleQueue()))


def _work(jobs: _Jobs) -> None:
    """Do what comes, as long as the process lives."""
    while True:
        job, box = jobs.get()
        try:
            box.put((job(), None))
        except BaseException as error:
            box.put((None, error))
        del job, box


def _children_of_thread() -> set[int]:
    """Return the processes that this thread has started and that still live."""
    try:
        with open(f"/proc/self/task/{threading.get_native_id()}/children", encoding="ascii") as children:
            return {int(word) for word in children.read().split()}
    except OSError:
        return set()


def _forget() -> None:
    """After a fork the thread is not there any more; the child starts one of its own."""
    global _jobs, _lock
    _lock, _jobs = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
