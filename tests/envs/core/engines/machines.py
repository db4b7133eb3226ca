"""Engines in memory for tests of the pool, and what those tests share."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from palaestra.envs.core.engines import Engine

SHORT_S = 0.05
LONG_S = 30.0


class Machine(Engine):
    """An engine in memory that notices what is done to it."""

    made: list[Machine] = []  # noqa: RUF012 (emptied by a fixture)

    def __init__(self) -> None:
        self.is_running = True
        self.end = ""
        self.users = 0
        self.threads: set[int] = set()
        self.was_killed = threading.Event()
        self.made.append(self)

    def is_alive(self) -> bool:
        return self.is_running

    def close(self) -> None:
        self.is_running, self.end = False, self.end or "closed"

    def kill(self) -> None:
        self.is_running, self.end = False, self.end or "killed"
        self.was_killed.set()

    def hang(self) -> None:
        assert self.was_killed.wait(LONG_S)
        raise OSError("broken pipe")


class HangsInClose(Machine):
    def close(self) -> None:
        assert self.was_killed.wait(LONG_S)


class RaisesInClose(Machine):
    def close(self) -> None:
        raise OSError("no such process")


def wait_for(condition: Any) -> None:
    give_up = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def running() -> list[Machine]:
    return [machine for machine in Machine.made if machine.is_running]


def use(lease: Any) -> Any:
    with lease.use("a call", LONG_S) as engine:
        return engine


def in_thread(function: Any) -> Any:
    """Run a function in another thread; return what it returns, raise what it raises."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LONG_S)
    with contextlib.suppress(IndexError):
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]
    raise AssertionError("the thread hangs")
