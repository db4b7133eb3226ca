"""The worker processes of monty: how they start, what they may use, and the session that one keeps.

Workers start on the permanent thread (`spawner`) and ask the kernel to die with this process.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shlex
import shutil
import signal
import sys
import time
from typing import Any, NamedTuple

from palaestra.envs.sandbox.settings import Limits, Loaded
from palaestra.envs.sandbox.spawner import started_child
from palaestra.errors import MissingExtraError, UsageError

CALLS_PER_WORKER = 10_000
GRACE_S = 1.0
"""How long a worker may overstay its time limit before it is killed: one native operation can be that long."""
SPARE_MEMORY_MB = 1024
"""Address space of a worker above the limit of its programs: the interpreter itself, mostly reserved and never used."""
MAX_UNDEFINED_NAMES = 1000
"""How often a call may look for a name that is not there: the interpreter asks this process each time."""
CALLS_PER_SESSION = 100
"""Calls of one program before its session is replaced: each leaves its text there, and what refers to itself."""

kept_alive: list[object] = []
"""Workers of the parent process after a fork: ending them here would end them there."""
_runs_here = False
_is_forked = False
"""The interpreter's client keeps threads; after a fork of a process that has used it, it would wait for them forever."""


def _after_fork() -> None:
    """Remember that the client's threads are gone."""
    global _is_forked
    _is_forked = _is_forked or _runs_here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Timing(NamedTuple):
    """When a call began, by the wall and by its worker's processor."""

    wall: float
    cpu: float


class Kept:
    """A session that is open between calls, with the program whose source it has run."""

    def __init__(self, session: Any, program: Loaded) -> None:
        """Take over an open session."""
        self.session, self.program, self.calls = session, program, 1


class Worker:
    """One worker process, as a pool of one.

    Attributes:
        last: The program of the call before.
        kept: The session that is open between calls, if one is.
    """

    def __init__(self, limits: Limits) -> None:
        """Start it."""
        try:
            from pydantic_monty import Monty
        except ImportError:
            raise MissingExtraError("The sandbox's executor 'monty'", "sandbox") from None
        global _runs_here
        if _is_forked:
            raise UsageError(
                "The executor 'monty' cannot be used in a process that was forked after its first use; start processes with "
                "the method 'spawn', or fork before the first call."
            )
        _runs_here = True
        self.calls = 0
        self.last: Loaded | None = None
        self.kept: Kept | None = None
        self._launcher = _Launcher(limits.memory_mb + SPARE_MEMORY_MB)

        def start() -> Any:
            pool = Monty(binary_path=self._launcher.path, max_processes=1, feed_duration_limit_grace=GRACE_S)
            pool.__enter__()
            return pool

        self._pool, self.pid = started_child(start)
        self._clock = ((~self.pid) << 3) | 2 if self.pid else None  # the processor clock of a process, as in the C library
        self._handle = _process_handle(self.pid)
        self._limits: dict[str, Any] = {
            "max_feed_duration_secs": limits.timeout_s,
            "max_memory": limits.memory_mb << 20,
            "max_recursion_depth": limits.recursion,
            "max_suspensions": MAX_UNDEFINED_NAMES,
            "max_total_sleep_secs": 0.0,
        }
        self._policy: dict[str, Any] = {
            "datetime": datetime.datetime.fromtimestamp(limits.now, tz=datetime.UTC),
            "timezone": "utc",
            "sleep": "zero",
            "random_start": {"seed": limits.seed},
        }

    def session(self) -> Any:
        """Return a fresh session; a context manager."""
        self.calls += 1
        return self._pool.checkout(limits=self._limits, os_policy=self._policy, assert_message_annotations=False)

    def end_kept(self) -> None:
        """End the session that is open between calls."""
        kept, self.kept = self.kept, None
        if kept is not None:
            with contextlib.suppress(Exception):  # its worker may have ended
                kept.session.__exit__(None, None, None)

    def now(self) -> Timing:
        """Return both clocks; the processor's is the wall's where the kernel does not tell."""
        wall = time.perf_counter()
        try:
            return Timing(wall, wall if self._clock is None else time.clock_gettime(self._clock))
        except OSError:
            return Timing(wall, wall)

    def kill(self) -> None:
        """End its process, whatever it does; a call that it runs ends as a crash."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
        with contextlib.suppress(Exception):  # it may have ended by itself
            self._pool.__exit__(None, None, None)
        self._launcher.close()

    def abandon(self) -> None:
        """Keep the objects of the parent process from being ended by this one."""
        kept_alive.extend((self._pool, self.kept))


class _Launcher:
    """The command that a worker is started by: it confines itself as far as a small script can, then becomes the interpreter.

    The script is in memory and reached through /proc, so that nothing is left on disk. It asks the kernel to kill the worker
    with its parent, bounds its address space, drops the environment and leaves the terminal's process group. Where a program
    for that is missing, or outside of Linux, the interpreter is started as it is.
    """

    def __init__(self, address_space_mb: int) -> None:
        """Write the script."""
        self._descriptor = -1
        self.path: str | None = None
        tools = {name: shutil.which(name) for name in ("setpriv", "setsid", "env", "sh")}
        if sys.platform != "linux" or not all(tools.values()):
            return
        from pydantic_monty._binary import find_monty_binary

        binary = find_monty_binary()
        words = (
            f"{tools['env']} -i {tools['setsid']} {tools['setpriv']} --pdeathsig KILL --no-new-privs -- {shlex.quote(binary)}"
        )
        script = f'#!{tools["sh"]}\nulimit -c 0\nulimit -v {address_space_mb << 10}\nexec {words} "$@"\n'
        self._descriptor = os.memfd_create("palaestra-monty")
        os.write(self._descriptor, script.encode())
        os.fchmod(self._descriptor, 0o700)
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def close(self) -> None:
        """Let go of the script."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _process_handle(pid: int) -> int:
    """Return a descriptor that stands for a process, -1 where there are none or the process is gone."""
    if pid and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return -1
