"""Executor `monty`: a Python interpreter in Rust, in worker processes of its own.

Every call of a stateless program gets a fresh session (about 0.1 ms): nothing is left over from any other call. The clock
stands still, sleeping takes no time, chance is seeded, and no file, variable or function of the host can be reached. Workers
start on the permanent thread (`spawner`) and ask the kernel to die with this process.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from palaestra.envs.sandbox import results
from palaestra.envs.sandbox.results import SandboxResult, checked, exception_name, shown_detail, text_of
from palaestra.envs.sandbox.settings import CLOSED, Limits, Loaded
from palaestra.envs.sandbox.spawner import started_child
from palaestra.errors import MissingExtraError, UsageError

NAME = "monty"
CALLS_PER_WORKER = 10_000
GRACE_S = 1.0
"""How long a worker may overstay its time limit before it is killed: one native operation can be that long."""
SPARE_MEMORY_MB = 1024
"""Address space of a worker above the limit of its programs: the interpreter itself, mostly reserved and never used."""
MAX_PRINTED_BYTES = 1 << 20
MAX_UNDEFINED_NAMES = 1000
"""How often a call may look for a name that is not there: the interpreter asks this process each time."""

_PROLOGUE = "from json import dumps as __sandbox_dumps\n"
_COUNTED_PRINT = """\
__sandbox_prints = 0
def print(*values, sep=None, end=None, file=None, flush=None):
    global __sandbox_prints
    __sandbox_prints += 1
"""
_CALL = "\n__sandbox_value = {name}(**__sandbox_arguments)\n"
_ANSWER = 'f"{{__sandbox_dumps(__sandbox_value, ensure_ascii=False, allow_nan=False)}}"[:{most}]'
"""The last line, which is short because each call parses it: whatever a source puts in place of `dumps`, a text of at most
that length leaves the worker. An error in this line is one of the result, not of the code."""
MOST_ESCAPED = 6
"""Most characters that one of a text has in JSON."""
_INTERNAL = "Internal error in monty"
_DENIED = "Permission denied: "

_kept_alive: list[object] = []
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


def is_installed() -> bool:
    """Whether the extra `sandbox` is installed."""
    from importlib.util import find_spec

    return find_spec("pydantic_monty") is not None


def version() -> str:
    """Return the version of the interpreter; "" if it is not installed."""
    if not is_installed():
        return ""
    from importlib.metadata import version as installed_version

    return installed_version("pydantic-monty")


class _Timing(NamedTuple):
    """When a call began, by the wall and by its worker's processor."""

    wall: float
    cpu: float


class Worker:
    """One worker process, as a pool of one."""

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

    def now(self) -> _Timing:
        """Return both clocks; the processor's is the wall's where the kernel does not tell."""
        wall = time.perf_counter()
        try:
            return _Timing(wall, wall if self._clock is None else time.clock_gettime(self._clock))
        except OSError:
            return _Timing(wall, wall)

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
        _kept_alive.append(self._pool)


class MontyExecutor:
    """A bounded number of workers for stateless programs, and one for each stateful program.

    Args:
        limits: What a call may use.
        workers: Most worker processes for stateless programs; calls beyond wait for one.
        programs: Most stateful programs at a time.
    """

    name = NAME

    def __init__(self, limits: Limits, *, workers: int, programs: int) -> None:
        """Start nothing yet."""
        self._limits, self._programs = limits, programs
        answer = _ANSWER.format(most=MOST_ESCAPED * limits.output_chars + 3)
        self._answers = {False: answer, True: f"({answer}, __sandbox_prints)"}
        self._idle: list[Worker] = []
        self._free = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._held: dict[Loaded, _Held] = {}
        self._all: set[Worker] = set()
        self._closed = False

    def call(self, program: Loaded, name: str, arguments: Mapping[str, Any]) -> SandboxResult:
        """Call a function of a source; see `Executor`."""
        epilogue = _CALL.format(name=name) + self._answers[_counts_prints(program)]
        inputs = {"__sandbox_arguments": arguments}
        if program.stateful:
            return self._call_held(program, epilogue, inputs)
        text = f"{_prologue(program)}{program.source}\n{epilogue}"
        with self._worker() as worker:
            begin = worker.now()
            try:
                with worker.session() as session:
                    answer = _feed(session, text, inputs)
            except Exception as error:
                answer = error
            return self._result(answer, worker, begin, program, text)

    def drop(self, program: Loaded) -> None:
        """End the worker of a stateful program."""
        with self._lock:
            held = self._held.pop(program, None)
        if held is not None:
            with held.lock:
                held.end()
            with self._lock:
                self._all.discard(held.worker)

    def close(self) -> None:
        """End every worker; calls that run end as a crash, those that wait as a `UsageError`."""
        with self._lock:
            workers, self._all, self._closed = self._all, set(), True
            self._idle, self._held = [], {}
        for worker in workers:
            worker.kill()
            worker.close()

    def abandon(self) -> None:
        """Let go of the workers of the parent process."""
        for worker in self._all:
            worker.abandon()
        _kept_alive.extend(held.session for held in self._held.values())

    @contextlib.contextmanager
    def _worker(self) -> Iterator[Worker]:
        """Lend a worker; a dead or old one is not taken back."""
        with self._free:
            with self._lock:
                if self._closed:
                    raise UsageError(CLOSED)
                worker = self._idle.pop() if self._idle else None
            worker = worker or self._started()
            try:
                yield worker
            except BaseException:
                self._discard(worker)
                raise
            if worker.calls >= CALLS_PER_WORKER:
                self._discard(worker)
            else:
                with self._lock:
                    if worker in self._all:
                        self._idle.append(worker)

    def _started(self) -> Worker:
        """Start a worker."""
        worker = Worker(self._limits)
        with self._lock:
            if not self._closed:
                self._all.add(worker)
                return worker
        worker.close()
        raise UsageError(CLOSED)

    def _discard(self, worker: Worker) -> None:
        """End a worker for good."""
        with self._lock:
            self._all.discard(worker)
            worker.calls = CALLS_PER_WORKER
        worker.close()

    def _call_held(self, program: Loaded, epilogue: str, inputs: Mapping[str, Any]) -> SandboxResult:
        """Call a function of a stateful program, in the session that is its own."""
        with self._lock:
            if self._closed:
                raise UsageError(CLOSED)
            held = self._held.get(program)
            if held is None:
                if len(self._held) >= self._programs:
                    raise UsageError(
                        f"{self._programs} stateful programs are in use; close one, or make Sandbox(programs=...) larger."
                    )
                held = self._held[program] = _Held()
        with held.lock:
            answer: Any
            if held.session is None:
                held.worker = self._started()
            begin, text = held.worker.now(), epilogue
            try:
                if held.session is None:
                    held.session = held.worker.session()
                    held.session.__enter__()
                    text = f"{_prologue(program)}{program.source}\n"
                    _feed(held.session, text, {})
                    text = epilogue
                answer = _feed(held.session, text, inputs)
            except Exception as error:
                answer = error
            except BaseException:  # an interrupt: what the session does now is not known
                held.end()
                self._discard(held.worker)
                raise
            result = self._result(answer, held.worker, begin, program, text)
            if result.status not in ("ok", "error", "blocked"):
                held.end()
                with self._lock:
                    self._all.discard(held.worker)
            return result

    def _result(self, answer: object, worker: Worker, begin: _Timing, program: Loaded, text: str) -> SandboxResult:
        """Judge the answer of a worker to a text, or the exception in its place."""
        end = worker.now()
        cpu_ms = round(max(0.0, end.cpu - begin.cpu) * 1e3, 3)
        if not isinstance(answer, Exception):
            return self._returned(answer, cpu_ms, counts_prints=_counts_prints(program))
        from pydantic_monty import MontyCrashedError, MontyError, MontyRuntimeError, MontySyntaxError

        told = str(answer)
        if isinstance(answer, MontyCrashedError):
            self._discard(worker)
            late = end.wall - begin.wall >= self._limits.timeout_s
            return SandboxResult(
                *(("timeout", results.TIMED_OUT) if late else ("crash", results.WORKER_ENDED)), "text", NAME, cpu_ms
            )
        if isinstance(answer, MontySyntaxError):
            return SandboxResult("error", "SyntaxError", "text", NAME, cpu_ms, detail=shown_detail(told))
        if not isinstance(answer, MontyRuntimeError):
            if not isinstance(answer, (MontyError, ValueError, TypeError, RecursionError, OverflowError)):
                raise answer
            return SandboxResult("crash", results.UNREADABLE, "text", NAME, cpu_ms)
        inner = answer.exception()
        if isinstance(inner, TimeoutError) and end.wall - begin.wall >= 0.9 * self._limits.timeout_s:
            return SandboxResult("timeout", results.TIMED_OUT, "text", NAME, cpu_ms)
        if isinstance(inner, MemoryError):
            return SandboxResult("crash", results.OUT_OF_MEMORY, "text", NAME, cpu_ms)
        frames = answer.traceback()
        if frames and frames[0].line == text.count("\n") + 1:  # it counts no other ends of lines
            return SandboxResult("crash", results.NOT_JSON, "text", NAME, cpu_ms, detail=shown_detail(told))
        if isinstance(inner, PermissionError) and not _is_raised_by_code(answer, program):
            return SandboxResult("blocked", results.NOT_ALLOWED, "text", NAME, cpu_ms, detail=shown_detail(told))
        if not frames and _INTERNAL in told:  # a message of the code's own has a traceback
            exits = program.facts is not None and program.facts.exits  # SystemExit with a number is an internal error there
            status = ("error", "SystemExit") if exits else ("crash", results.NOT_SUPPORTED)
            return SandboxResult(*status, "text", NAME, cpu_ms, detail=shown_detail(told))  # type: ignore[arg-type]
        kind = exception_name(type(inner).__name__)
        return SandboxResult("error", kind, "text", NAME, cpu_ms, detail=shown_detail(told))

    def _returned(self, answer: object, cpu_ms: float, *, counts_prints: bool) -> SandboxResult:
        """Judge what a session returned: foreign code may have put anything there."""
        prints = 0
        if counts_prints and isinstance(answer, tuple) and len(answer) == 2:
            answer, prints = answer
        if not isinstance(answer, str):
            return SandboxResult("crash", results.UNREADABLE, "text", NAME, cpu_ms)
        limit = self._limits.output_chars
        is_text = answer[:1] == '"' and len(answer) <= MOST_ESCAPED * limit + 2  # the JSON of a text
        kind, text = ("text", text_of(answer)) if is_text else ("json", answer)
        return checked(kind, text, limit, executor=NAME, cpu_ms=cpu_ms, prints=prints)


class _Held:
    """The worker and session of a stateful program."""

    worker: Worker

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.lock = threading.Lock()
        self.session: Any = None

    def end(self) -> None:
        """End the session and its worker."""
        session, self.session = self.session, None
        if session is not None:
            with contextlib.suppress(Exception):
                session.__exit__(None, None, None)
            self.worker.close()


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
        words = f"{tools['env']} -i {tools['setsid']} {tools['setpriv']} --pdeathsig KILL --no-new-privs -- {_quoted(binary)}"
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


def _is_raised_by_code(error: Any, program: Loaded) -> bool:
    """Whether a `PermissionError` comes from a `raise` of the source, not from the interpreter, which has its own words."""
    if not str(error.exception()).startswith(_DENIED):
        return True
    frames = error.traceback()  # of an exception that passed handlers, the last line is that of a handler
    before = _prologue(program).count("\n")
    return bool(frames) and program.facts is not None and frames[-1].line - before in program.facts.raise_lines


def _prologue(program: Loaded) -> str:
    """Return the lines before a source."""
    return _PROLOGUE + _COUNTED_PRINT if _counts_prints(program) else _PROLOGUE


def _counts_prints(program: Loaded) -> bool:
    """Whether prints are counted: that takes a third of a short call, and few sources print."""
    return program.facts is None or program.facts.prints


def _quoted(path: str) -> str:
    """Return a path as one word of a shell script."""
    import shlex

    return shlex.quote(path)


def _feed(session: Any, text: str, inputs: Mapping[str, Any]) -> Any:
    """Run a text in a session; what it prints by other means than `print` is dropped."""
    from pydantic_monty import CollectString

    return session.feed_run(text, inputs=dict(inputs), print_callback=CollectString(max_bytes=MAX_PRINTED_BYTES))
