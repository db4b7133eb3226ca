"""Executor `process`: CPython in bubblewrap, one filtered child for every program.

Children are forked by a keeper that has imported everything already (1 to 2 ms) and are kept, least recently used first out,
so that a further call costs one message each way. A child that misses its deadline, answers in an unreadable way or dies is
ended, and the next call of its program starts another.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from palaestra.envs.sandbox import results
from palaestra.envs.sandbox.keeper import Keeper, KeeperGone
from palaestra.envs.sandbox.results import SandboxResult, checked, exception_name, shown_detail
from palaestra.envs.sandbox.settings import Limits, Loaded
from palaestra.errors import UsageError

CALLS_PER_CHILD = 10_000
CPU_LIMIT_S = 3600
"""A backstop in the child's own limits; the parent ends a child long before."""
MAX_CPU_MS = 600_000.0

_CRASHES = {"memory": results.OUT_OF_MEMORY, "output": results.TOO_LONG, "json": results.NOT_JSON}


class ProcessExecutor:
    """A keeper and the children that it has forked.

    Args:
        limits: What a call may use.
        programs: Most children that live at a time; the idle one used longest ago makes room.
        confined: Whether the keeper runs in bubblewrap.
    """

    def __init__(self, limits: Limits, *, programs: int, confined: bool = True) -> None:
        """Start nothing yet."""
        self.name = "process" if confined else "process-unconfined"
        self._limits, self._most, self._confined = limits, programs, confined
        self._keeper: Keeper | None = None
        self._keeper_lock = threading.Lock()
        self._changed = threading.Condition()
        self._idle: OrderedDict[Loaded, Child] = OrderedDict()
        self._busy: set[Loaded] = set()
        self._closed = False

    def start(self) -> Keeper:
        """Return the keeper; started if there is none, or if it has died.

        Raises:
            UsageError: If it cannot be started here.
        """
        with self._keeper_lock:
            if self._keeper is None:
                self._keeper = Keeper(confined=self._confined, now=self._limits.now, seed=self._limits.seed)
            return self._keeper

    def call(self, program: Loaded, name: str, arguments: Mapping[str, Any]) -> SandboxResult:
        """Call a function of a source; see `Executor`."""
        child = self._take(program)
        keeper = None
        try:
            if child is None:
                keeper = self.start()
                child = Child(keeper, program, self._limits, self.name)
            result = child.call(name, arguments)
        except KeeperGone:
            self._lost(child.keeper if child is not None else keeper)
            result = SandboxResult("crash", results.WORKER_ENDED, "text", self.name)
        except BaseException:
            if child is not None:
                child.end()
            self._give_back(program, None)
            raise
        self._give_back(program, child)
        return result

    def drop(self, program: Loaded) -> None:
        """End the child of a program."""
        with self._changed:
            self._changed.wait_for(lambda: program not in self._busy)
            child = self._idle.pop(program, None)
            self._changed.notify_all()
        if child is not None:
            with contextlib.suppress(KeeperGone):
                child.end()

    def close(self) -> None:
        """End the keeper and with it every child."""
        with self._changed:
            children, self._idle, self._closed = list(self._idle.values()), OrderedDict(), True
        with self._keeper_lock:
            keeper, self._keeper = self._keeper, None
        for child in children:
            child.let_go()
        if keeper is not None:
            keeper.close()

    def abandon(self) -> None:
        """Let go of the keeper of the parent process."""
        for child in self._idle.values():
            child.let_go()
        if self._keeper is not None:
            self._keeper.abandon()

    def _take(self, program: Loaded) -> Child | None:
        """Wait for the program's turn and for room; return its child, None if there is none yet."""
        with self._changed:
            self._changed.wait_for(lambda: program not in self._busy and self._has_room(program))
            self._busy.add(program)
            child = self._idle.pop(program, None)
            oldest = None
            if child is None and len(self._idle) + len(self._busy) > self._most:
                oldest = self._idle.pop(next(other for other in self._idle if not other.stateful))
        if oldest is not None:
            with contextlib.suppress(KeeperGone):
                oldest.end()
        return child

    def _has_room(self, program: Loaded) -> bool:
        """Whether a child of the program may run now."""
        if program in self._idle or len(self._idle) + len(self._busy) < self._most:
            return True
        if any(not other.stateful for other in self._idle):
            return True
        if all(other.stateful for other in self._busy):
            raise UsageError(f"{self._most} stateful programs are in use; close one, or make Sandbox(programs=...) larger.")
        return False

    def _give_back(self, program: Loaded, child: Child | None) -> None:
        """End the program's turn; keep its child if it can be used again."""
        keep = child is not None and child.alive and not self._closed
        if child is not None and child.alive and not keep:
            child.let_go()
        with self._changed:
            self._busy.discard(program)
            if child is not None and keep:
                self._idle[program] = child
            self._changed.notify_all()

    def _lost(self, keeper: Keeper | None) -> None:
        """Forget a keeper that does not answer; its children died with it. Another thread may have replaced it already."""
        with self._changed:
            lost = [program for program, child in self._idle.items() if child.keeper is keeper]
            children = [self._idle.pop(program) for program in lost]
        with self._keeper_lock:
            if self._keeper is keeper:
                self._keeper = None
        for child in children:
            child.let_go()
        if keeper is not None:
            keeper.close()


class Child:
    """The child of one program.

    Args:
        keeper: What forks it.
        program: What it runs.
        limits: What a call may use.
        executor: Name for the results.
    """

    def __init__(self, keeper: Keeper, program: Loaded, limits: Limits, executor: str) -> None:
        """Fork it."""
        self.keeper, self._limits, self._executor = keeper, limits, executor
        self._stateful = program.stateful
        self._fresh_each_call = not program.stateful and (program.facts is None or program.facts.patches)
        self._source: str | None = program.source
        self._calls, self._cpu_ms = 0, 0.0
        self._most_bytes = 6 * limits.output_chars + 4096  # JSON in JSON, with every character escaped
        self._wire, inside = socket.socketpair()
        try:
            self._pid = keeper.fork(
                inside,
                {
                    "memory_mb": limits.memory_mb,
                    "output_chars": limits.output_chars,
                    "recursion": limits.recursion,
                    "cpu_s": CPU_LIMIT_S,
                    "stateful": program.stateful,
                },
            )
        except BaseException:
            self._wire.close()
            raise
        finally:
            inside.close()
        self.alive = True

    def call(self, name: str, arguments: Mapping[str, Any]) -> SandboxResult:
        """Call a function; afterwards the child is alive only if it can be used again."""
        number = secrets.randbits(62)  # or the code could write the answer to its next call
        message: dict[str, Any] = {"id": number, "name": name, "arguments": arguments}
        if self._source is not None:
            message["source"], self._source = self._source, None
        try:
            data = self._exchange(json.dumps(message).encode() + b"\n")
        except TimeoutError:
            self.end()
            return SandboxResult("timeout", results.TIMED_OUT, "text", self._executor)
        if data is None:
            return self._ended()
        result = self._read(data, number)
        if result is None:
            self.end()
            return SandboxResult("crash", results.UNREADABLE, "text", self._executor)
        self._calls += 1
        self._cpu_ms += result.cpu_ms
        if not self._stateful and (
            self._fresh_each_call
            or result.status not in ("ok", "error")
            or self._calls >= CALLS_PER_CHILD
            or self._cpu_ms > MAX_CPU_MS
        ):
            self.end()
        return result

    def end(self) -> int:
        """Kill it and return its wait status; -1 if it is not known."""
        if not self.alive:
            return -1
        self.let_go()
        return self.keeper.reap(self._pid)

    def let_go(self) -> None:
        """Close the wire, which ends a child that waits."""
        self.alive = False
        self._wire.close()

    def _exchange(self, request: bytes) -> bytes | None:
        """Send a request and return what comes back by the deadline; None if the child ended, b"" if it sent too much.

        Raises:
            TimeoutError: If the deadline passes.
        """
        deadline = time.monotonic() + self._limits.timeout_s
        waiting = self._waiting()
        if waiting is not None:  # nothing was asked, so nothing may be there
            return b"" if waiting else None
        pieces: list[bytes] = []
        size = 0
        try:
            self._wire.settimeout(self._limits.timeout_s)
            self._wire.sendall(request)
            while not pieces or not pieces[-1].endswith(b"\n"):
                self._wire.settimeout(max(1e-4, deadline - time.monotonic()))
                piece = self._wire.recv(1 << 16)
                if not piece:
                    return None
                pieces.append(piece)
                size += len(piece)
                if size > self._most_bytes:
                    return b""
        except TimeoutError:
            raise
        except OSError:
            return None
        return b"".join(pieces)

    def _waiting(self) -> bytes | None:
        """Return the first byte on the wire, b"" if it has ended, None if nothing is there."""
        self._wire.setblocking(False)
        try:
            return self._wire.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _ended(self) -> SandboxResult:
        """Say how a child ended that did not answer."""
        status = self.end()
        code = os.waitstatus_to_exitcode(status) if status >= 0 else 0
        if code == -signal.SIGSYS:
            return SandboxResult("blocked", results.NOT_ALLOWED, "text", self._executor)
        if code == -signal.SIGXCPU:
            return SandboxResult("timeout", results.TIMED_OUT, "text", self._executor)
        return SandboxResult("crash", results.WORKER_ENDED, "text", self._executor)

    def _read(self, data: bytes, number: int) -> SandboxResult | None:
        """Judge an answer; None if it is not exactly one line with the fields that were agreed on."""
        if data.count(b"\n") != 1 or not data.endswith(b"\n"):
            return None
        try:
            reply = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(reply, dict) or type(reply.get("id")) is not int or reply["id"] != number:
            return None
        status, content, cpu_us, prints = (reply.get(key) for key in ("status", "content", "cpu_us", "prints"))
        cpu_ms = cpu_us / 1e3 if type(cpu_us) is int and 0 <= cpu_us < 10**12 else 0.0
        detail = shown_detail(reply.get("detail"))
        if status == "ok":
            limit = self._limits.output_chars
            return checked(reply.get("kind"), content, limit, executor=self._executor, cpu_ms=cpu_ms, prints=prints)
        if status == "error":
            return SandboxResult("error", exception_name(content), "text", self._executor, cpu_ms, detail=detail)
        if status == "blocked":
            return SandboxResult("blocked", results.NOT_ALLOWED, "text", self._executor, cpu_ms, detail=detail)
        if status == "crash" and isinstance(content, str) and content in _CRASHES:
            return SandboxResult("crash", _CRASHES[content], "text", self._executor, cpu_ms)
        return None
