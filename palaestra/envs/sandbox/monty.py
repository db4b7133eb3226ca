"""Executor `monty`: a Python interpreter in Rust, in worker processes of its own.

Every call of a stateless program gets a fresh session: nothing is left over from any other call. A source that leaves its
globals alone (`plain`) and is called twice in a row keeps the session for the next calls. The clock stands still, sleeping
takes no time, chance is seeded, and no file, variable or function of the host can be reached.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from palaestra.envs.sandbox import results
from palaestra.envs.sandbox.monty_worker import CALLS_PER_SESSION, CALLS_PER_WORKER, Kept, Timing, Worker, kept_alive
from palaestra.envs.sandbox.plain import leaves_globals_alone
from palaestra.envs.sandbox.results import SandboxResult, checked, exception_name, shown_detail, text_of
from palaestra.envs.sandbox.settings import CLOSED, Limits, Loaded
from palaestra.errors import UsageError

NAME = "monty"
MAX_PRINTED_BYTES = 1 << 20
_PROLOGUE = "from json import dumps as __sandbox_dumps\n"
_COUNTED_PRINT = """\
__sandbox_prints = 0
def print(*values, sep=None, end=None, file=None, flush=None):
    global __sandbox_prints
    __sandbox_prints += 1
"""
_CALL = "\n__sandbox_value = {name}(**__sandbox_arguments)\n"
_AFRESH = "\n__sandbox_value = None\n"
_NO_PRINTS = "__sandbox_prints = 0\n"
"""Lines before a call in a session that is kept: nothing of the call before stays in memory, nor in the count of prints."""
_ANSWER = 'f"{{__sandbox_dumps(__sandbox_value, ensure_ascii=False, allow_nan=False)}}"[:{most}]'
"""The last line, which is short because each call parses it: whatever a source puts in place of `dumps`, a text of at most
that length leaves the worker. An error in this line is one of the result, not of the code."""
MOST_ESCAPED = 6
"""Most characters that one of a text has in JSON."""
_INTERNAL = "Internal error in monty"
_DENIED = "Permission denied: "


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
        counts_prints = _counts_prints(program)
        epilogue = _CALL.format(name=name) + self._answers[counts_prints]
        inputs = {"__sandbox_arguments": arguments}
        if program.stateful:
            return self._call_held(program, epilogue, inputs)
        with self._worker(program) as worker:
            kept = worker.kept
            if kept is not None and kept.program is program and kept.calls < CALLS_PER_SESSION:
                before = _AFRESH + _NO_PRINTS if counts_prints else _AFRESH
                result = self._call_kept(kept, worker, f"{before}{epilogue}", inputs)
                if result.ok:
                    return result
                worker.end_kept()
                if result.content != results.OUT_OF_MEMORY:  # what earlier calls left there counts against this one
                    return result
            return self._call_fresh(program, worker, epilogue, inputs)

    def _call_kept(self, kept: Kept, worker: Worker, text: str, inputs: Mapping[str, Any]) -> SandboxResult:
        """Call a function in the session that its program keeps."""
        kept.calls += 1
        worker.calls += 1
        begin = worker.now()
        answer: object
        try:
            answer = _feed(kept.session, text, inputs)
        except Exception as error:
            answer = error
        return self._result(answer, worker, begin, kept.program, text)

    def _call_fresh(self, program: Loaded, worker: Worker, epilogue: str, inputs: Mapping[str, Any]) -> SandboxResult:
        """Call a function in a session of its own, which stays if the program is called again and leaves its globals alone."""
        worker.end_kept()
        keeps = worker.last is program and leaves_globals_alone(program.source)
        worker.last = program
        text = f"{_prologue(program)}{program.source}\n{epilogue}"
        begin = worker.now()
        answer: object
        session = worker.session()
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(session)
                answer = _feed(session, text, inputs)
                if keeps:
                    stack.pop_all()
                    worker.kept = Kept(session, program)
        except Exception as error:
            answer = error
        result = self._result(answer, worker, begin, program, text)
        if not result.ok:
            worker.end_kept()
        return result

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
        kept_alive.extend(held.session for held in self._held.values())

    @contextlib.contextmanager
    def _worker(self, program: Loaded) -> Iterator[Worker]:
        """Lend a worker, that of the program's last call if it is free; a dead or old one is not taken back."""
        with self._free:
            with self._lock:
                if self._closed:
                    raise UsageError(CLOSED)
                at = next((i for i, one in enumerate(self._idle) if one.last is program), 0)
                worker = self._idle.pop(at) if self._idle else None
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
        worker.end_kept()
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

    def _result(self, answer: object, worker: Worker, begin: Timing, program: Loaded, text: str) -> SandboxResult:
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


def _feed(session: Any, text: str, inputs: Mapping[str, Any]) -> Any:
    """Run a text in a session; what it prints by other means than `print` is dropped."""
    from pydantic_monty import CollectString

    return session.feed_run(text, inputs=dict(inputs), print_callback=CollectString(max_bytes=MAX_PRINTED_BYTES))
