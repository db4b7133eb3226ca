"""`Sandbox` and `Program`: the face of the executors."""

from __future__ import annotations

import contextlib
import json
import keyword
import os
import re
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from palaestra.envs.sandbox import monty, results
from palaestra.envs.sandbox.bubblewrap import INSTALL, find_bubblewrap
from palaestra.envs.sandbox.monty import MontyExecutor
from palaestra.envs.sandbox.process import ProcessExecutor
from palaestra.envs.sandbox.results import SandboxResult
from palaestra.envs.sandbox.routing import (
    MAX_SOURCE_CHARS,
    SourceFacts,
    has_odd_characters,
    read_source,
    with_plain_lines,
    wrong_names,
)
from palaestra.envs.sandbox.settings import CLOSED, DEFAULT_NOW, EXECUTORS, Executor, Limits, Loaded, checked_number
from palaestra.envs.sandbox.spawner import later
from palaestra.errors import MissingExtraError, UsageError, unknown_name

_open: weakref.WeakSet[Sandbox] = weakref.WeakSet()


class Sandbox:
    """Runs code that nobody trusts, in a bounded pool of workers that start when they are needed.

    Safe in threads and after a fork; it pickles as its settings, without workers. Everything that it starts dies with this
    process, however that ends.

    Args:
        executor: "auto" (monty where the source allows it, else CPython in bubblewrap, else an error; a stateless call that
            fails in monty is made again in CPython), "monty", "process", or "process-unconfined" (CPython with limits and a
            filter of system calls, but without namespaces; not under root).
        timeout_s: Seconds of wall time that a call may take, from 0.01 on.
        memory_mb: Memory of a program in MiB, at least 64; under `process` with the interpreter's own, some 60.
        output_chars: Most characters, and most bytes of UTF-8, of a result.
        recursion: Most frames of Python on top of each other.
        max_calls: Most calls of one program; later ones are `blocked`. None for no limit.
        workers: Most worker processes of monty for stateless programs; calls beyond wait.
        programs: Most programs that live at a time under `process` (1.4 MB each), and most stateful ones under monty.
        now: Where the clock stands inside, in seconds since the epoch.
        seed: Seed of all chance inside; every call of a stateless program begins with it.

    Raises:
        UsageError: If an argument is out of range, or `process-unconfined` is asked for under root.
    """

    _executors: dict[str, Executor]

    def __init__(
        self,
        executor: str = "auto",
        *,
        timeout_s: float = 2.0,
        memory_mb: int = 256,
        output_chars: int = 16384,
        recursion: int = 1000,
        max_calls: int | None = None,
        workers: int = 2,
        programs: int = 64,
        now: float = DEFAULT_NOW,
        seed: int = 0,
    ) -> None:
        """Check the settings; no process is started."""
        if executor not in EXECUTORS:
            raise unknown_name("executor", executor, EXECUTORS)
        for name, value in (("workers", workers), ("programs", programs)):
            checked_number(name, value, 1, 1024, whole=True)
        if executor == "process-unconfined":
            _refuse_root()
            warnings.warn(
                "executor='process-unconfined' runs foreign code outside of namespaces: limits and a filter of system calls "
                "are all that confines it. Install bubblewrap and use 'process' instead.",
                RuntimeWarning,
                stacklevel=2,
            )
        self.executor = executor
        self.limits = Limits(timeout_s, memory_mb, output_chars, recursion, max_calls, now, seed)
        self.workers, self.programs = workers, programs
        self._start_empty()

    def load(self, source: str, *, stateful: bool = False) -> Program:
        """Take a source; nothing of it runs before the first call.

        Args:
            source: Python: functions, with imports, helpers and constants at the top.
            stateful: Whether what one call leaves behind in globals is there in the next. A call that ends in a timeout or a
                crash ends the state with it.

        Raises:
            UsageError: If the source needs what is not installed here.
        """
        if not isinstance(source, str):
            raise UsageError(f"The source is of type {type(source).__name__}; expected a str.")
        self._chosen_for(read_source(with_plain_lines(source)))
        return Program(self, source, stateful=stateful)

    def close(self) -> None:
        """End every worker; calls afterwards are a `UsageError`."""
        with self._lock:
            executors, self._closed = list(self._executors.values()), True
            self._executors = {}
        for executor in executors:
            executor.close()

    def __enter__(self) -> Self:
        """Return the sandbox itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End every worker."""
        self.close()

    def __del__(self) -> None:
        """Have the workers of a sandbox ended that was not closed.

        Garbage is collected anywhere, also in a thread that holds one of the locks: this takes none.
        """
        if hasattr(self, "_executors") and self._pid == os.getpid():
            self._closed = True
            for executor in self._executors.values():
                later(executor.close)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the workers behind."""
        return {name: vars(self)[name] for name in ("executor", "limits", "workers", "programs")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over the settings; workers start when they are needed."""
        vars(self).update(state)
        self._start_empty()

    def _start_empty(self) -> None:
        """Begin without workers."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._executors = {}
        self._chosen: dict[bool, str] = {}
        self._may_change: bool | None = None
        self._closed = False
        self._forgotten: deque[Loaded] = deque()
        _open.add(self)

    def _choose(self, facts: SourceFacts | None) -> str:
        """Return the executor of a source; a clear error if it is not there."""
        if self.executor == "auto":
            reasons = () if facts is None else facts.needs_cpython
            if monty.is_installed() and not reasons:
                return "monty"
            if find_bubblewrap():
                return "process"
            if not reasons:
                raise UsageError(
                    "The sandbox has no executor here: neither the extra 'sandbox' (pip install 'palaestra[sandbox]') nor "
                    f"bubblewrap is installed. {INSTALL}."
                )
            raise UsageError(
                f"This source needs CPython ({', '.join(reasons[:5])}), and bubblewrap, in which it would be confined, is not "
                f"installed. {INSTALL}; executor='process-unconfined' runs it without namespaces."
            )
        if self.executor == "monty" and not monty.is_installed():
            raise MissingExtraError("The sandbox's executor 'monty'", "sandbox")
        if self.executor == "process" and not find_bubblewrap():
            raise UsageError(f"The executor 'process' needs bubblewrap, and `bwrap` is not on PATH. {INSTALL}.")
        if self.executor == "process-unconfined":
            _refuse_root()
        return self.executor

    def _chosen_for(self, facts: SourceFacts | None) -> str:
        """Return the executor of a source; what is installed is looked for once."""
        needs = facts is not None and bool(facts.needs_cpython)
        return self._chosen.get(needs) or self._chosen.setdefault(needs, self._choose(facts))

    def _has_cpython(self) -> bool:
        """Whether a call may go to CPython though its source may run in monty; looked for once."""
        if self._may_change is None:
            self._may_change = self.executor == "auto" and bool(find_bubblewrap())
        return self._may_change

    def _executor(self, facts: SourceFacts | None, name: str = "") -> Executor:
        """Return the executor of a source, or of a name, made when it is first needed."""
        if self.executor == "process-unconfined":
            _refuse_root()
        name = name or self._chosen_for(facts)
        with self._lock:
            if self._closed:
                raise UsageError(CLOSED)
            if name not in self._executors:
                self._executors[name] = (
                    MontyExecutor(self.limits, workers=self.workers, programs=self.programs)
                    if name == "monty"
                    else ProcessExecutor(self.limits, programs=self.programs, confined=name == "process")
                )
            return self._executors[name]

    def _drop_forgotten(self) -> None:
        """End what is kept for programs that were garbage-collected since the last call."""
        while True:
            try:
                loaded = self._forgotten.popleft()
            except IndexError:
                return
            for executor in list(self._executors.values()):
                executor.drop(loaded)

    def _after_fork(self) -> None:
        """Leave the workers to the parent process."""
        for executor in self._executors.values():
            executor.abandon()
        closed = self._closed
        self._start_empty()
        self._closed = closed


class Program:
    """A source in a sandbox; made by `Sandbox.load`, pickles with the settings of its sandbox.

    Attributes:
        sandbox: Where it runs.
        source: Its text.
        stateful: Whether globals are kept between calls.
    """

    def __init__(self, sandbox: Sandbox, source: str, *, stateful: bool = False) -> None:
        """Keep the source."""
        self.sandbox, self.source, self.stateful = sandbox, source, stateful
        self._start()

    @property
    def executor(self) -> str:
        """Name of the executor that runs it."""
        return self.sandbox._chosen_for(self._loaded.facts)

    @property
    def needs_cpython(self) -> tuple[str, ...]:
        """Why it cannot run in monty: fixed words, sorted; empty if it can."""
        return () if self._loaded.facts is None else self._loaded.facts.needs_cpython

    def call(self, name: str, arguments: Mapping[str, Any] | None = None) -> SandboxResult:
        """Call a function of the source with arguments by name.

        Args:
            name: The function.
            arguments: Plain JSON data by name of the parameter; none by default.

        Returns:
            The outcome, whatever the code does.

        Raises:
            UsageError: If the executor is not there, or the sandbox is closed.
        """
        self.sandbox._drop_forgotten()
        facts = self._loaded.facts
        executor = self.sandbox._executor(facts)
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            return SandboxResult("error", "NameError", "text", executor.name)
        plain, problem, is_odd = self._plain(name, {} if arguments is None else arguments)
        if problem:
            return SandboxResult("invalid_arguments", problem, "text", executor.name)
        if len(self.source) > MAX_SOURCE_CHARS:
            return SandboxResult("crash", f"The source is longer than {MAX_SOURCE_CHARS:,} characters.", "text", executor.name)
        if facts is None:
            return SandboxResult("error", "SyntaxError", "text", executor.name)
        if name not in facts.names:  # built-ins and the executors' own functions are not the source's
            return SandboxResult("error", "NameError", "text", executor.name)
        if self.sandbox.limits.max_calls is not None:
            with self.sandbox._lock:
                self._calls += 1
                is_one_too_many = self._calls > self.sandbox.limits.max_calls
            if is_one_too_many:
                return SandboxResult("blocked", results.NO_MORE_CALLS, "text", executor.name)
        if executor.name != monty.NAME or self.stateful or not self.sandbox._has_cpython():
            return executor.call(self._loaded, name, plain)
        result = None if is_odd else executor.call(self._loaded, name, plain)
        if result is None or _could_differ(result):
            with contextlib.suppress(UsageError):  # bubblewrap is installed, but the kernel refuses what it asks for
                return self.sandbox._executor(None, name="process").call(self._loaded, name, plain)
        return result or executor.call(self._loaded, name, plain)

    def close(self) -> None:
        """End what runs for this program, its state with it; a later call starts afresh."""
        for executor in list(self.sandbox._executors.values()):
            executor.drop(self._loaded)

    def __del__(self) -> None:
        """Note that what runs for the program is to end: the next call does it, for here no lock may be taken."""
        if hasattr(self, "_loaded"):
            self.sandbox._forgotten.append(self._loaded)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the workers behind, and a state with them."""
        return {"sandbox": self.sandbox, "source": self.source, "stateful": self.stateful}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start afresh."""
        vars(self).update(state)
        self._start()

    def _start(self) -> None:
        """Look at the source."""
        text = with_plain_lines(self.source)
        self._loaded = Loaded(text, read_source(text), self.stateful)
        self._calls = 0

    def _plain(self, name: str, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str, bool]:
        """Return the arguments as plain JSON data, what is wrong with them, and whether they have odd characters."""
        if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
            return {}, "The arguments are not a JSON object.", False
        try:
            text = _ENCODER.encode(dict(arguments))
            if not text.isascii():
                text.encode()
            if len(text) > results.MAX_ARGUMENT_CHARS:
                return {}, f"The arguments are longer than {results.MAX_ARGUMENT_CHARS:,} characters.", False
            plain = json.loads(text)
        except (TypeError, ValueError, RecursionError):
            return {}, "The arguments are not JSON.", False
        facts = self._loaded.facts
        parameters = facts.functions.get(name) if facts is not None else None
        problem = wrong_names(parameters, frozenset(plain)) if parameters is not None else ""
        return plain, problem, has_odd_characters(text)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

_DOUBTFUL = re.compile(r"\d{15}\.\d|\.\.\.")
"""In a result: floats so large that two decimal forms of the same length can be equally near, of which the interpreters choose
different ones; and the dots in a list that contains itself."""


def _could_differ(result: SandboxResult) -> bool:
    """Whether a result of monty is one that CPython may give otherwise: errors, and what monty cannot do or write."""
    if result.ok:
        return _DOUBTFUL.search(result.content) is not None
    return result.status in ("error", "blocked") or result.content in (results.NOT_JSON, results.NOT_SUPPORTED)


def _refuse_root() -> None:
    """Refuse to run unconfined code as root."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        raise UsageError("executor='process-unconfined' is refused under root; use 'process', or run as an ordinary user.")


def _after_fork() -> None:
    """In a forked child: every sandbox leaves its workers to the parent and starts afresh."""
    for sandbox in list(_open):
        sandbox._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
