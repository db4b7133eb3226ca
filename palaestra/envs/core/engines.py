"""A bounded pool of engines: what runs outside of Python and cannot be copied (a JVM, a browser, a session of a server).

An environment holds a `Lease`. `lease.use(...)` lends it an engine for one call; the engine is started by the first call that
needs one. Between two episodes (`release`) another environment may take it. Where the pool is at its limit, the engine that
was least recently used goes first. One daemon thread watches the clock as long as there are engines: it kills an engine that
does not answer in time, and ends those that nobody has used for a while.

    starting -> busy (in a call) <-> held (by an episode) <-> idle (between episodes) -> closing
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# bound here: tests and checks that turn the clock of the module `time` must not make engines look late
from time import monotonic
from typing import Any, Generic, Literal, TypeVar, cast

from palaestra.errors import BoundaryError, ConfigError, EnvironmentFault, PalaestraError, UsageError

log = logging.getLogger(__name__)

VARIABLE = "PALAESTRA_ENGINES"
"""Environment variable: most engines of a process."""

DEFAULT_LIMIT = 8
CLOSE_S = 5.0
"""Limit for closing an engine in good order, in seconds; one that takes longer is killed."""

NEXT_MOVE = "Call reset(): it gets a fresh engine."


class Engine(ABC):
    """A running engine, used by one environment at a time."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Whether it can still be used; must not wait."""

    @abstractmethod
    def close(self) -> None:
        """End it in good order; called from a thread that uses it. `kill` follows in any case."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, from any thread: a call that waits for it fails. Harmless when repeated."""

    def forget(self) -> None:  # noqa: B027 (most engines have nothing to do)
        """Drop the handles of this process without touching the engine: called in a child process after a fork."""


EngineT = TypeVar("EngineT", bound=Engine)


@dataclass(eq=False, slots=True)
class _Slot:
    """A place in the pool: an engine, and who has it."""

    key: tuple[Callable[[], Engine], threading.Thread | None]
    """What starts an engine like it, and the only thread that may use it; None for any."""
    engine: Engine | None
    holder: weakref.ref[Lease[Any]]
    state: Literal["starting", "busy", "held", "idle", "closing"]
    used: float
    user: threading.Thread
    """Used it last; numbers of threads are given out again, so the thread itself."""
    deadline: float | None = None
    was_killed: Literal["", "late", "asked"] = ""
    start: _Start | None = None
    """While it is started in a thread of its own."""
    outlives: bool = False
    """Whether it waits for another environment when its own is closed or thrown away."""


class _Start:
    """Starts an engine in a thread of its own, so that one that never comes holds up nobody."""

    def __init__(self, launch: Callable[[], Engine]) -> None:
        """Begin."""
        self._launch = launch
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._engine: object = None
        self._error: BaseException | None = None
        self._is_given_up = self._is_here = False
        self.is_late = False
        """Whether `result` returned without an answer of `launch`."""
        threading.Thread(target=self._run, name="palaestra engine start", daemon=True).start()

    def result(self, timeout_s: float) -> object:
        """Wait for the engine; None if it did not come in time or `give_up` was called. One that comes later is killed.

        Raises:
            BaseException: What `launch` raised.
        """
        try:
            self._over.wait(timeout_s)
        finally:
            with self._lock:
                self._is_given_up = True
                self.is_late = not self._is_here
        if self._error is not None:
            raise self._error
        return self._engine

    def give_up(self) -> None:
        """Wait no longer."""
        self._over.set()

    def _run(self) -> None:
        error: BaseException | None = None
        engine: object = None
        try:
            engine = self._launch()
        except BaseException as found:
            error = found
        with self._lock:
            if is_wanted := not self._is_given_up:
                self._engine, self._error, self._is_here = engine, error, True
        self._over.set()
        if not is_wanted and isinstance(engine, Engine):
            _kill(engine)


class Lease(Generic[EngineT]):
    """The right of one environment to an engine of a pool: at most one at a time, and nobody else's.

    Attributes:
        is_behind: Whether the engine is not in the state of the environment (it is new, or another environment had it): it
            has to be told the task and the actions first. False after a call that went well.
    """

    def __init__(
        self,
        pool: EnginePool,
        launch: Callable[[], EngineT],
        *,
        thread_bound: bool = False,
        start_timeout_s: float = 120.0,
        outlives: bool = False,
    ) -> None:
        """Wait for the first use; see `EnginePool.lease`."""
        self.is_behind = True
        self._pool = pool
        self._launch = launch
        self._thread_bound = thread_bound
        self._start_timeout_s = start_timeout_s
        self._outlives = outlives
        self._slot: _Slot | None = None

    @property
    def has_engine(self) -> bool:
        """Whether there is an engine, dead or alive."""
        return self._slot is not None

    @contextlib.contextmanager
    def use(self, what: str, timeout_s: float) -> Iterator[EngineT]:
        """Lend the engine for one call; after an exception, whatever it is, the engine is gone.

        Args:
            what: What is called, for messages.
            timeout_s: Seconds until the engine is killed; a new one has its time to start in addition.

        Raises:
            EnvironmentFault: If the engine cannot be started, is dead, dies, or does not answer in time.
            UsageError: If two threads use it at the same time, or another thread than the one it is bound to.
        """
        slot = self._pool._begin(self, timeout_s)
        engine = cast(EngineT, slot.engine)
        try:
            yield engine
        except BaseException as error:
            is_dead = not slot.was_killed and not engine.is_alive()
            self._pool._drop(slot)
            if isinstance(error, Exception) and (fault := _fault(slot, what, timeout_s, error, is_dead)):
                raise fault from error
            raise
        self._pool._settle(slot)
        self.is_behind = False

    def restart_clock(self, timeout_s: float) -> None:
        """Within `use`: allow another `timeout_s` seconds from now."""
        if self._slot is not None:
            self._pool._allow(self._slot, timeout_s)

    def release(self) -> None:
        """Let others take the engine from now on: the episode is over. Until somebody does, it can be used again."""
        self._pool._release(self)

    def close(self) -> None:
        """End the engine, unless another environment has taken it since; one that outlives its environment is released."""
        if self._outlives:
            self._pool._release(self)
        slot = self._slot
        if slot is None or not (slot.outlives and slot.state == "idle"):
            self._pool._close_lease(self)

    def kill(self) -> None:
        """End the engine at once, from any thread; a call that waits for it fails."""
        slot = self._slot
        if slot is None:
            return
        if slot.engine is not None:
            slot.was_killed = slot.was_killed or "asked"
            _kill(slot.engine)
        elif slot.state == "starting" and slot.key[1] is None:  # what is started where it is used cannot be given up
            slot.was_killed = "asked"  # first: the start may be about to begin, and then looks whether anybody asked
            if (start := slot.start) is not None:
                start.give_up()


class EnginePool:
    """At most `limit` engines at once.

    Args:
        limit: Most engines, of all kinds together.
        variable: Environment variable that the limit comes from, for messages.
        idle_s: Seconds after which an engine that no episode uses is ended.
        wait_s: Seconds to wait for an engine while all are in use.
        patience_s: Seconds without a call after which an engine may be taken from an episode that waits for its agent, if
            there is no other way. That environment replays its actions in another engine then.

    Raises:
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        *,
        variable: str = VARIABLE,
        idle_s: float = 300.0,
        wait_s: float = 300.0,
        patience_s: float = 10.0,
    ) -> None:
        """Start empty."""
        if not isinstance(limit, int) or limit < 1:
            raise ConfigError(f"The limit of engines is {limit!r}; expected an integer of at least 1.")
        self.limit, self.variable = limit, variable
        self.idle_s, self.wait_s, self.patience_s = idle_s, wait_s, patience_s
        self._has_warned = False
        self._empty()
        _pools.add(self)

    def _empty(self) -> None:
        """Begin with no engine, no thread and free locks."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._launching = threading.Lock()
        self._slots: list[_Slot] = []
        self._keeper: threading.Thread | None = None
        # a SimpleQueue may be written to from wherever garbage collection strikes, which a condition may not
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._next_look = 0.0

    def lease(self, launch: Callable[[], EngineT], **options: Any) -> Lease[EngineT]:
        """Return the right to an engine; nothing is started yet.

        Args:
            launch: Starts an engine and returns it; it may still need time before it answers. Equal functions start equal
                engines, which may be used in place of each other: a frozen dataclass with `__call__`, or a plain function.
            **options: `thread_bound` (False): whether an engine may only be used by the thread that it was started in;
                `start_timeout_s` (120): seconds that a new one may take in addition for its first call; `outlives` (False):
                whether it waits, for `idle_s`, for the next environment when its own is closed or thrown away between calls.
        """
        return Lease(self, launch, **options)

    @property
    def num_engines(self) -> int:
        """Engines that are there, in whatever state."""
        return len(self._slots)

    def allow(self, limit: int) -> None:
        """Raise the limit to `limit`, unless it is higher already."""
        with self._changed:
            self.limit = max(self.limit, limit)
            self._changed.notify_all()

    def close(self) -> None:
        """Kill all engines; harmless when repeated. Environments that still need one get a new one."""
        with self._changed:
            slots = self._remove(*self._slots)
            self._changed.notify_all()
        for slot in slots:
            _kill(slot.engine)

    # -- an engine for a call ---------------------------------------------------------------------------------------

    def _begin(self, lease: Lease[Any], timeout_s: float) -> _Slot:
        """Return the engine of a lease, busy from now on; get one if there is none."""
        died = False
        with self._changed:
            slot = lease._slot
            if slot is not None:
                _check_thread(slot)
                if slot.engine is not None and slot.engine.is_alive():
                    return self._busy(slot, timeout_s)
                died = slot.state == "held"
                self._remove(slot)
                self._changed.notify_all()
        if slot is not None:
            _kill(slot.engine)
        if died:
            raise EnvironmentFault(f"The engine died between two calls. {NEXT_MOVE}")
        slot = self._acquire(lease)
        with self._changed:
            return self._busy(slot, timeout_s if slot.used else timeout_s + lease._start_timeout_s)

    def _acquire(self, lease: Lease[Any]) -> _Slot:
        """Take an idle engine, or start one; wait while all are in use."""
        key = (lease._launch, threading.current_thread() if lease._thread_bound else None)
        give_up = monotonic() + self.wait_s
        while True:
            with self._changed:
                slot, victim = self._find(lease, key)
                if slot is None and victim is None and not self._wait(give_up):
                    raise EnvironmentFault(
                        f"All {self.limit} engines of this process are in use, and none came free within {self.wait_s:g} s. "
                        f"Allow more with {self.variable}={2 * self.limit}, or run fewer environments at once."
                    )
            if victim is not None:
                self._close_slot(victim)
            if slot is not None:
                return slot if slot.engine is not None else self._start(slot, lease)

    def _find(
        self, lease: Lease[Any], key: tuple[Callable[[], Engine], threading.Thread | None]
    ) -> tuple[_Slot | None, _Slot | None]:
        """Return a slot that now belongs to the lease, or an engine that has to go first, or neither: then wait."""
        idle = [slot for slot in self._slots if _is_idle(slot)]
        if dead := next((slot for slot in idle if not _is_alive(slot)), None):
            return None, self._closing(dead)
        if fitting := [slot for slot in idle if slot.key == key]:
            return self._assign(max(fitting, key=lambda slot: slot.used), lease), None
        if len(self._slots) < self.limit:
            slot = _Slot(key, None, self._reference(lease), "starting", 0.0, threading.current_thread())
            self._slots.append(slot)
            lease._slot, lease.is_behind, slot.outlives = slot, True, lease._outlives
            return slot, None
        if not idle:
            idle = self._quiet()
            if idle and not self._has_warned:
                self._has_warned = True
                log.warning(
                    "More episodes than the %d engines of this process: an engine is taken from an episode that waits, "
                    "which replays its actions later. Allow more engines with %s=N, or run fewer episodes at once.",
                    self.limit,
                    self.variable,
                )
        victim = min(idle, key=lambda slot: slot.used, default=None)
        if victim is not None and victim.key == key and _is_alive(victim):
            return self._assign(victim, lease), None
        return None, None if victim is None else self._closing(victim)

    def _quiet(self) -> list[_Slot]:
        """Return engines of episodes that could do without for a while."""
        held = [slot for slot in self._slots if slot.state == "held"]
        me, now = threading.current_thread(), monotonic()
        if len(held) == len(self._slots) and all(slot.user is me for slot in held):
            return held  # waiting would be for ever: whoever could release one is here
        return [slot for slot in held if now - slot.used >= self.patience_s]

    def _wait(self, give_up: float) -> bool:
        """Wait for a change, or until an episode has been quiet long enough; False if it is time to give up."""
        now = monotonic()
        ripe = [slot.used + self.patience_s for slot in self._slots if slot.state == "held"]
        if now >= give_up:
            return False
        self._changed.wait(max(0.0, min([give_up, *ripe]) - now))
        return True

    def _start(self, slot: _Slot, lease: Lease[Any]) -> _Slot:
        """Start an engine for a slot that is reserved."""
        try:
            engine = self._launch(slot, lease)
        except BaseException as error:
            with self._changed:
                self._remove(slot)
                self._changed.notify_all()
            if isinstance(error, Exception) and not isinstance(error, PalaestraError):
                raise EnvironmentFault(f"The engine cannot be started: {type(error).__name__}: {error}") from error
            raise
        if not isinstance(engine, Engine):
            with self._changed:
                self._remove(slot)
                self._changed.notify_all()
            raise UsageError(f"{lease._launch} returned {engine!r}; expected an Engine that it has started.")
        with self._changed:
            if any(other.engine is engine for other in self._slots):
                self._remove(slot)
                raise UsageError(f"{lease._launch} returned an engine that is in use; it has to start a new one in each call.")
            if is_wanted := slot in self._slots:
                slot.engine = engine
                self._watch()
        if not is_wanted:
            _kill(engine)
            raise EnvironmentFault("The pool of engines was closed while an engine started.")
        return slot

    def _launch(self, slot: _Slot, lease: Lease[Any]) -> object:
        """Start an engine, one at a time: engines that look for a free port or unpack files must not meet.

        One that never comes is given up after its time to start, and holds up the others no longer than that.

        Raises:
            EnvironmentFault: If it does not come in time, or the environment is closed or killed meanwhile.
        """
        has_turn = self._launching.acquire(timeout=lease._start_timeout_s)
        try:
            if lease._thread_bound:  # it has to be started where it is used
                return lease._launch()
            slot.start = start = _Start(lease._launch)
            if slot.was_killed:
                start.give_up()
            engine = start.result(lease._start_timeout_s)
            if engine is None and slot.was_killed:
                raise EnvironmentFault(f"The engine was killed while it started. {NEXT_MOVE}")
            if engine is None and start.is_late:
                raise EnvironmentFault(f"The engine did not start within {lease._start_timeout_s:g} s. {NEXT_MOVE}")
            return engine
        finally:
            slot.start = None
            if has_turn:
                self._launching.release()

    # -- transitions, all under the lock ----------------------------------------------------------------------------

    def _busy(self, slot: _Slot, timeout_s: float) -> _Slot:
        slot.state, slot.user = "busy", threading.current_thread()
        self._set_deadline(slot, timeout_s)
        return slot

    def _assign(self, slot: _Slot, lease: Lease[Any]) -> _Slot:
        """Give an engine to a lease; whoever had it has none now."""
        former = slot.holder()
        if former is not None:
            former._slot = None
            former.is_behind = True
        slot.holder, slot.state, slot.user = self._reference(lease), "busy", threading.current_thread()
        lease._slot, lease.is_behind = slot, True
        return slot

    def _closing(self, slot: _Slot) -> _Slot:
        """Take an engine out of use; it counts until it is gone."""
        former = slot.holder()
        if former is not None:
            former._slot = None
            former.is_behind = True
        slot.state = "closing"
        self._set_deadline(slot, CLOSE_S)
        return slot

    def _remove(self, *slots: _Slot) -> list[_Slot]:
        """Take slots out of the pool."""
        for slot in slots:
            holder = slot.holder()
            if holder is not None and holder._slot is slot:
                holder._slot = None
                holder.is_behind = True
            if slot in self._slots:
                self._slots.remove(slot)
                self._wake.put(None)  # it may have been the last
        return list(slots)

    def _set_deadline(self, slot: _Slot, timeout_s: float) -> None:
        slot.deadline = monotonic() + timeout_s
        if slot.deadline < self._next_look:
            self._wake.put(None)

    def _reference(self, lease: Lease[Any]) -> weakref.ref[Lease[Any]]:
        """Return a reference that wakes the keeper when its environment was thrown away without `close`."""
        wake = self._wake
        return weakref.ref(lease, lambda _: wake.put(None))

    # -- the end of a call, an episode, an environment ----------------------------------------------------------------

    def _settle(self, slot: _Slot) -> None:
        """A call went well: the engine waits for the next one."""
        with self._changed:
            slot.state, slot.deadline, slot.used = "held", None, monotonic()
            self._changed.notify_all()
        if slot.was_killed:  # just after it had answered
            self._drop(slot)

    def _drop(self, slot: _Slot) -> None:
        """A call failed: the engine may be in any state and is never used again."""
        with self._changed:
            self._remove(slot)
            self._changed.notify_all()
        _kill(slot.engine)

    def _allow(self, slot: _Slot, timeout_s: float) -> None:
        with self._lock:
            self._set_deadline(slot, timeout_s)

    def _release(self, lease: Lease[Any]) -> None:
        with self._changed:
            slot = lease._slot
            if slot is not None and slot.state == "held":
                slot.state = "idle"
                self._wake.put(None)
                self._changed.notify_all()

    def _close_lease(self, lease: Lease[Any]) -> None:
        with self._changed:
            slot = lease._slot
            is_in_use = slot is not None and slot.state not in ("held", "idle")
            if slot is not None and not is_in_use:
                self._closing(slot)
        if is_in_use:  # by another thread, which fails now and throws the engine away
            lease.kill()
        elif slot is not None:
            self._close_slot(slot)

    def _close_slot(self, slot: _Slot) -> None:
        """End an engine that is closing: in good order if it keeps its time."""
        try:
            if slot.engine is not None and slot.key[1] in (None, threading.current_thread()):
                slot.engine.close()
        except Exception as error:
            log.debug("An engine failed while it was closed: %r", error)
        finally:
            _kill(slot.engine)
            with self._changed:
                self._remove(slot)
                self._changed.notify_all()

    # -- the keeper -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Have a thread that watches the clock, and no engine that survives this process."""
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="palaestra engines", daemon=True)
            self._keeper.start()
        _end_with_process()

    def _keep(self) -> None:
        """Kill engines that are late, end those that nobody uses or owns, until there are none."""
        while True:
            with self._changed:
                now = monotonic()
                late = [slot for slot in self._slots if slot.deadline is not None and slot.deadline <= now]
                for slot in late:
                    slot.deadline = None
                    slot.was_killed = slot.was_killed or "late"
                gone = self._remove(*(slot for slot in self._slots if self._is_over(slot, now)))
                if gone:
                    self._changed.notify_all()
                if not self._slots and not gone:
                    self._keeper, self._next_look = None, 0.0
                    return
                times = [slot.deadline for slot in self._slots if slot.deadline is not None]
                times += [slot.used + self.idle_s for slot in self._slots if _is_idle(slot)]
                self._next_look = min(times, default=float("inf"))
            for slot in (*late, *gone):
                _kill(slot.engine)
            with contextlib.suppress(queue.Empty):
                wait_s = self._next_look - monotonic()
                self._wake.get(timeout=None if wait_s == float("inf") else max(0.0, wait_s))

    def _is_over(self, slot: _Slot, now: float) -> bool:
        """Whether nobody needs an engine any longer."""
        if slot.state not in ("held", "idle"):
            return False
        is_forgotten = _is_idle(slot) and now - slot.used >= self.idle_s
        is_stranded = slot.key[1] is not None and not slot.key[1].is_alive()
        return is_forgotten or is_stranded or (slot.holder() is None and not slot.outlives)

    # -- forks ------------------------------------------------------------------------------------------------------

    def _after_fork(self) -> None:
        """In a child process: the engines are the parent's, and the keeper did not come along."""
        slots = self._remove(*self._slots)
        for slot in slots:
            if slot.engine is not None:
                with contextlib.suppress(Exception):
                    slot.engine.forget()
        self._empty()


def engine_pool(variable: str = VARIABLE, limit: int = DEFAULT_LIMIT) -> EnginePool:
    """Return a pool of this process: the common one, or the one of a kind of engine with a limit of its own.

    Args:
        variable: Environment variable that sets the limit, and names the pool.
        limit: Most engines where the variable is not set.

    Raises:
        ConfigError: If the variable is not a number of at least 1.
    """
    if (pool := _by_variable.get(variable)) is None:
        text = os.environ.get(variable, str(limit))
        if not text.isdecimal() or int(text) < 1:
            raise ConfigError(f"{variable} is {text!r}; expected the number of engines a process may have, at least 1.")
        pool = _by_variable.setdefault(variable, EnginePool(int(text), variable=variable))
    return pool


def kill_engines() -> None:
    """Kill every engine of this process without waiting for a lock: for handlers of signals, before the process ends."""
    for pool in list(_pools):
        for slot in list(pool._slots):
            _kill(slot.engine)


def _check_thread(slot: _Slot) -> None:
    """Refuse a second thread."""
    if slot.state not in ("held", "idle"):
        raise UsageError(
            "The engine is in the middle of another call. Give each thread an environment of its own, and ask the engine "
            "nothing from within a call."
        )
    if slot.key[1] not in (None, threading.current_thread()):
        raise UsageError(
            "The environment is thread_bound, and another thread than the one that started its engine uses it; play it in "
            "one thread, or in a worker process."
        )


def _fault(slot: _Slot, what: str, timeout_s: float, error: Exception, is_dead: bool) -> EnvironmentFault | None:
    """Return what an exception within `use` means for the engine; None if it says so itself."""
    if slot.was_killed == "late":
        and_start = "" if slot.used else " and its time to start"
        return EnvironmentFault(
            f"The engine did not answer {what} within {timeout_s:g} s{and_start} and was killed. {NEXT_MOVE}"
        )
    if slot.was_killed:
        return EnvironmentFault(f"The engine was killed during {what}. {NEXT_MOVE}")
    if isinstance(error, BoundaryError) or not is_dead:
        return None
    return EnvironmentFault(f"The engine died during {what} ({type(error).__name__}: {error}). {NEXT_MOVE}")


def _is_idle(slot: _Slot) -> bool:
    return slot.state == "idle" or (slot.state == "held" and slot.holder() is None)


def _is_alive(slot: _Slot) -> bool:
    return slot.engine is not None and slot.engine.is_alive()


def _kill(engine: Engine | None) -> None:
    """Kill an engine; its failures no longer matter to anybody."""
    if engine is not None:
        try:
            engine.kill()
        except Exception as error:
            log.debug("An engine could not be killed: %r", error)


_pools: weakref.WeakSet[EnginePool] = weakref.WeakSet()
_by_variable: dict[str, EnginePool] = {}
_ends_with: set[int] = set()


def _end_with_process() -> None:
    """See to it, once a process, that no engine survives it."""
    if os.getpid() not in _ends_with:
        _ends_with.add(os.getpid())
        from multiprocessing.util import Finalize  # also works in children of multiprocessing, which end without atexit

        Finalize(None, _close_pools, exitpriority=100)


def _close_pools() -> None:
    for pool in list(_pools):
        pool.close()


def _before_fork() -> None:
    _forking[:] = list(_pools)
    for pool in _forking:
        pool._lock.acquire()


def _after_fork_in_parent() -> None:
    for pool in _forking:
        pool._lock.release()
    _forking.clear()


def _after_fork_in_child() -> None:
    for pool in _forking:
        pool._after_fork()
    _forking.clear()


_forking: list[EnginePool] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)

__all__ = ["Engine", "EnginePool", "Lease", "engine_pool", "kill_engines"]
