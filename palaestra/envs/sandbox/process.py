"""Executor `process`: CPython in bubblewrap, in filtered children of one keeper.

Every call of a stateless program gets a child of its own, so that nothing an earlier call patched is there; a few children
that are ready wait, and their successors are forked while nobody waits. Where the syntax of a source shows that no call can
leave anything behind (`traces`), its child is used again. A stateful program keeps its child, which the keeper stops between
calls: it cannot use the processor. A child that misses its deadline, answers in an unreadable way or dies is ended, and the
next call starts another.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import signal
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from palaestra.envs.sandbox import results
from palaestra.envs.sandbox.keeper import Keeper, KeeperGone
from palaestra.envs.sandbox.known_pure import LEAST_RECURSION
from palaestra.envs.sandbox.results import SandboxResult, checked, exception_name, shown_detail
from palaestra.envs.sandbox.routing import traces
from palaestra.envs.sandbox.settings import CLOSED, Limits, Loaded
from palaestra.errors import UsageError

READY_CHILDREN = 2
"""How many children without a program wait for the next calls of stateless ones."""
READY_TIMEOUT_S = 20.0
ATTEMPTS = 3
STATEFUL_CPU_S, MORE_CPU_S = 3600, 2
"""Backstops in the child's own limits, for all its calls together: the parent ends a child long before. The second, on top of
the time limit, also ends a child of a stateless program that uses the processor between calls."""

_CRASHES = {"memory": results.OUT_OF_MEMORY, "output": results.TOO_LONG, "json": results.NOT_JSON}


class ProcessExecutor:
    """A keeper and the children that it has forked.

    Args:
        limits: What a call may use.
        programs: Most children that live at a time, next to those that wait for a program.
        confined: Whether the keeper runs in bubblewrap.
    """

    def __init__(self, limits: Limits, *, programs: int, confined: bool = True) -> None:
        """Start nothing yet."""
        self.name = "process" if confined else "process-unconfined"
        self._limits, self._most, self._confined = limits, programs, confined
        self._keeper: Keeper | None = None
        self._keeper_lock = threading.Lock()
        self._changed = threading.Condition()
        self._ready: list[Child] = []
        self._kept: dict[Loaded, Child] = {}
        self._idle: dict[Loaded, Child] = {}
        self._busy: set[Loaded] = set()
        self._running = 0
        self._closed = False

    def start(self) -> Keeper:
        """Return the keeper; started if there is none, or if it has died.

        Raises:
            UsageError: If it cannot be started here, or the sandbox was closed.
        """
        with self._keeper_lock:
            if self._closed:
                raise UsageError(CLOSED)
            if self._keeper is None:
                self._keeper = Keeper(confined=self._confined, now=self._limits.now, seed=self._limits.seed)
            return self._keeper

    def call(self, program: Loaded, name: str, arguments: Mapping[str, Any]) -> SandboxResult:
        """Call a function of a source; see `Executor`."""
        may_stay = program.stateful or self._leaves_no_trace(program, name)
        kept = self._enter(program, may_stay=may_stay)
        child = kept
        try:
            if child is not None and program.stateful:
                child.keeper.resume(child.name)
            elif child is not None and not child.is_quiet():
                self._end(child)
                kept = child = None
            source = None if child is not None else program.source
            child = child or self._fresh(stateful=program.stateful)
            result = child.call(name, arguments, source, may_stay=may_stay)
            if child.alive:
                kept = child
                if program.stateful:
                    child.keeper.stop(child.name)
        except KeeperGone:
            if child is not None:
                self._lost(child.keeper)
                child.let_go()
            result = SandboxResult("crash", results.WORKER_ENDED, "text", self.name)
        except BaseException:
            if child is not None:
                self._end(child)
            raise
        finally:
            if child is not None and child is not kept:
                self._end(child)
            self._leave(program, kept)
        self._make_ready()
        return result

    def drop(self, program: Loaded) -> None:
        """End the child of a program."""
        with self._changed:
            self._changed.wait_for(lambda: program not in self._busy)
            children = [table.pop(program) for table in (self._kept, self._idle) if program in table]
            self._changed.notify_all()
        for child in children:
            self._end(child)

    def close(self) -> None:
        """End the keeper and with it every child; calls that run end as a crash, those that wait as a `UsageError`."""
        with self._changed:
            children, self._closed = [*self._kept.values(), *self._idle.values(), *self._ready], True
            self._kept, self._idle, self._ready = {}, {}, []
            self._changed.notify_all()
        with self._keeper_lock:
            keeper, self._keeper = self._keeper, None
        for child in children:
            child.let_go()
        if keeper is not None:
            keeper.close()

    def abandon(self) -> None:
        """Let go of the keeper of the parent process."""
        for child in [*self._kept.values(), *self._idle.values(), *self._ready]:
            child.let_go()
        if self._keeper is not None:
            self._keeper.abandon()

    def _leaves_no_trace(self, program: Loaded, name: str) -> bool:
        """Whether a call leaves its child as it was; of what a source binds, only its functions are known to be harmless."""
        if program.facts is None or name not in program.facts.functions or self._limits.recursion < LEAST_RECURSION:
            return False
        return not traces(program.source)

    def _enter(self, program: Loaded, *, may_stay: bool) -> Child | None:
        """Wait for room and, if it is stateful, for the program's turn; return its child, None if there is none yet."""
        with self._changed:
            self._changed.wait_for(lambda: self._may_enter(program))
            self._running += 1
            if program.stateful:
                self._busy.add(program)
            table = self._kept if program.stateful else self._idle
            child = table.pop(program, None) if may_stay else None
            too_many = child is None and len(self._kept) + len(self._idle) + self._running > self._most
            oldest = self._idle.pop(next(iter(self._idle))) if too_many and self._idle else None
        if oldest is not None:
            self._end(oldest)
        return child

    def _may_enter(self, program: Loaded) -> bool:
        """Whether a child of the program may run now; children of stateless programs that are idle make room."""
        if self._closed:
            raise UsageError(CLOSED)
        if program in self._busy:
            return False
        if program in self._kept or len(self._kept) + self._running < self._most:
            return True
        if len(self._kept) == self._most or (program.stateful and len(self._kept) + len(self._busy) == self._most):
            raise UsageError(f"{self._most} stateful programs are in use; close one, or make Sandbox(programs=...) larger.")
        return False

    def _leave(self, program: Loaded, child: Child | None) -> None:
        """End the program's turn; keep its child if it can be used again."""
        with self._changed:
            self._running -= 1
            self._busy.discard(program)
            table = self._kept if program.stateful else self._idle
            keep = child is not None and child.alive and not self._closed and program not in table
            if child is not None and keep:
                table[program] = child
            self._changed.notify_all()
        if child is not None and not keep:
            self._end(child)

    def _fresh(self, *, stateful: bool) -> Child:
        """Return a child that is ready and has no program yet."""
        for _ in range(ATTEMPTS):
            keeper = self.start()
            child = None
            try:
                if not stateful:
                    with self._changed:
                        child = self._ready.pop() if self._ready else None
                child = child or Child(keeper, self._limits, self.name, stateful=stateful)
                if child.keeper is keeper and child.is_ready():
                    return child
                if child.keeper is keeper:
                    keeper.reap(child.name)  # or the keeper is gone
            except KeeperGone:
                self._lost(keeper)
            if child is not None:
                self._end(child)
        raise KeeperGone

    def _make_ready(self) -> None:
        """Have children forked for the next calls; nothing is waited for."""
        with self._changed, self._keeper_lock:
            missing, keeper = READY_CHILDREN - len(self._ready), self._keeper
            if keeper is None or self._closed:
                return
            with contextlib.suppress(KeeperGone):  # the next call sees it
                for _ in range(missing):
                    self._ready.append(Child(keeper, self._limits, self.name, stateful=False))

    def _end(self, child: Child) -> None:
        """End a child, if it still lives."""
        with contextlib.suppress(KeeperGone):  # it is gone with its keeper
            child.end()

    def _lost(self, keeper: Keeper) -> None:
        """Forget a keeper that does not answer; its children died with it. Another thread may have replaced it already."""
        with self._changed:
            children = []
            for table in (self._kept, self._idle):
                lost = [program for program, child in table.items() if child.keeper is keeper]
                children += [table.pop(program) for program in lost]
            children += [child for child in self._ready if child.keeper is keeper]
            self._ready = [child for child in self._ready if child.keeper is not keeper]
        with self._keeper_lock:
            if self._keeper is keeper:
                self._keeper = None
        for child in children:
            child.let_go()
        keeper.close()


class Child:
    """One child of a keeper: for one call, or for more of one program.

    Args:
        keeper: What forks it.
        limits: What a call may use.
        executor: Name for the results.
        stateful: Whether the program keeps its globals.
    """

    def __init__(self, keeper: Keeper, limits: Limits, executor: str, *, stateful: bool) -> None:
        """Have it forked."""
        self.keeper, self._limits, self._executor, self._stateful = keeper, limits, executor, stateful
        self._most_bytes = 6 * limits.output_chars + 4096  # JSON in JSON, with every character escaped
        self._wire, inside = socket.socketpair()
        options = {
            "memory_mb": limits.memory_mb,
            "output_chars": limits.output_chars,
            "recursion": limits.recursion,
            "cpu_s": STATEFUL_CPU_S if stateful else math.ceil(limits.timeout_s) + MORE_CPU_S,
            "stateful": stateful,
        }
        try:
            self.name = keeper.fork(inside, options)
        except BaseException:
            self._wire.close()
            raise
        finally:
            inside.close()
        self._wire.setblocking(False)
        self.alive = True
        self._is_as_it_was = self._was_quiet = False

    def is_ready(self) -> bool:
        """Wait until it is ready; False if it is not to be used. It has no source yet, so what it says can be believed."""
        try:
            self._await(select.POLLIN, time.monotonic() + READY_TIMEOUT_S)
            return self._wire.recv(2) == b"\n"
        except OSError:
            return False

    def is_quiet(self) -> bool:
        """Whether it waits for a call: it lives and has said nothing that it was not asked."""
        self._was_quiet = self._waiting() is None
        return self._was_quiet

    def call(self, name: str, arguments: Mapping[str, Any], source: str | None, *, may_stay: bool) -> SandboxResult:
        """Call a function; afterwards the child is alive only if it may be used again.

        Args:
            name: The function.
            arguments: By name.
            source: What defines it; None in further calls of the program.
            may_stay: Whether it may be used again, if it is as it was before.
        """
        number = secrets.randbits(62)  # or the code could write the answer to its next call
        message: dict[str, Any] = {"id": number, "name": name, "arguments": arguments}
        if source is not None:
            message["source"] = source
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
        if result.status == "crash" or not (may_stay and (self._stateful or self._is_as_it_was)):
            self.end()
        return result

    def end(self) -> None:
        """Kill it."""
        if self.alive:
            self.let_go()
            self.keeper.end(self.name)

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
        if not self._was_quiet:
            waiting = self._waiting()
            if waiting is not None:  # nothing was asked, so nothing may be there
                return b"" if waiting else None
        self._was_quiet = False
        pieces: list[bytes] = []
        size = 0
        try:
            self._send(request, deadline)
            while not pieces or not pieces[-1].endswith(b"\n"):
                self._await(select.POLLIN, deadline)
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

    def _send(self, data: bytes, deadline: float) -> None:
        """Send all, by the deadline."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._wire.send(view) :]
            except BlockingIOError:
                self._await(select.POLLOUT, deadline)

    def _await(self, event: int, deadline: float) -> None:
        """Wait until something can be read or sent; the wire itself never blocks, which saves a system call each time."""
        poll = select.poll()
        poll.register(self._wire, event)
        if not poll.poll(max(0.1, (deadline - time.monotonic()) * 1e3)):
            raise TimeoutError

    def _waiting(self) -> bytes | None:
        """Return the first byte on the wire, b"" if it has ended, None if nothing is there."""
        try:
            return self._wire.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _ended(self) -> SandboxResult:
        """Say how a child ended that did not answer."""
        self.let_go()
        status = self.keeper.reap(self.name)
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
        self._is_as_it_was = reply.get("again") is True
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
