"""Environments for the rollout engine: made once, used for one episode after the other, closed at the end.

An `EnvSlot` is one environment and the place it runs in: the event loop itself (`EnvSlot`), a thread of its own
(`ThreadSlot`), or a child process driven from such a thread (`env_process.py`). An `EnvPool` keeps the slots that
nobody uses, by environment id and arguments, and limits how many there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Literal

import gymnasium

from palaestra.errors import Boundary, EnvironmentFault, unknown_name
from palaestra.spaces import ActionSpace
from palaestra.types import Message, plain

if TYPE_CHECKING:
    from palaestra.agents.episode import EpisodePlan

Env = gymnasium.Env[Any, Any]
MakeEnv = Callable[["EpisodePlan"], Env]
WorkerKind = Literal["process", "thread"]

START_TIMEOUT_S = 120.0
"""Limit for making an environment in a worker, in seconds, the start of a child process included."""

CLOSE_TIMEOUT_S = 10.0
"""Limit for closing an environment in a worker, in seconds; one that takes longer is left behind, or killed."""


class RemoteFailure(Exception):
    """An exception of a world in another process, with what is needed to record it."""

    def __init__(self, boundary: Boundary, type_name: str, message: str, detail: str) -> None:
        """Keep the original's boundary, class name, message and traceback."""
        super().__init__(message)
        self.boundary = boundary
        self.type_name = type_name
        self.detail = detail


class EnvSlot:
    """An environment whose calls run in the event loop: right for worlds that answer in microseconds.

    Args:
        key: Pool key.
        make: Makes the environment.
    """

    def __init__(self, key: str, make: Callable[[], Env]) -> None:
        """Wait for `open`."""
        self.key = key
        self.env: Env
        self._make = make
        self._takes_messages = True

    async def open(self) -> None:
        """Make the environment."""
        self.env = await self._open()
        self._takes_messages = isinstance(self.env.action_space, ActionSpace)

    async def _open(self) -> Env:
        return self._make()

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call something of the environment where the environment lives."""
        return function(*args)

    async def close(self) -> None:
        """Close the environment; its failures no longer matter to anybody."""
        with contextlib.suppress(Exception):
            self.env.close()

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Message) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Play a message, or its text where the environment knows only text."""
        return self.env.step(action if self._takes_messages else action.content)

    def state_hash(self) -> str | None:
        """Return the digest of the world, where the environment gives one."""
        digest = getattr(self.env.unwrapped, "state_hash", None)
        return None if digest is None else str(digest())


class ThreadSlot(EnvSlot):
    """An environment in a daemon thread of its own: for worlds that wait (network, engines outside of Python).

    Args:
        key: Pool key.
        make: Makes the environment.
        timeout_s: Limit of a single call in seconds; a call that takes longer is an `EnvironmentFault`. The thread of
            such a call is left to itself, since Python cannot stop it.
    """

    def __init__(self, key: str, make: Callable[[], Env], timeout_s: float | None = None) -> None:
        """Start the thread."""
        super().__init__(key, make)
        self.timeout_s = timeout_s
        self._is_busy = False
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=_serve, args=(self._calls,), name=f"env {key}", daemon=True)
        self._thread.start()

    async def _open(self) -> Env:
        # starting a child and importing an engine takes longer than any step
        env: Env = await self._run(START_TIMEOUT_S, self._make)
        return env

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a call in the thread and wait for it."""
        return await self._run(self.timeout_s, function, *args)

    async def _run(self, timeout_s: float | None, function: Callable[..., Any], *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._is_busy = True
        self._calls.put((function, args, loop, future))
        clock = asyncio.timeout(timeout_s)
        try:
            async with clock:
                result = await future
        except TimeoutError:
            if not clock.expired():
                self._is_busy = False
                raise
            name = getattr(function, "__name__", "call")
            raise EnvironmentFault(
                f"The environment did not answer {name}() within {timeout_s} s (step_timeout_s); it is replaced."
            ) from None
        except Exception:
            self._is_busy = False
            raise
        self._is_busy = False
        return result

    async def close(self) -> None:
        """Close the environment in its thread, and end the thread; one that hangs is left behind."""
        if not self._is_busy and hasattr(self, "env"):
            with contextlib.suppress(Exception):
                await self._run(CLOSE_TIMEOUT_S, self.env.close)
        self._calls.put(None)


class EnvPool:
    """Makes environments, and lends each to one episode at a time.

    Args:
        make_env: Makes the environment of a plan; by default `gymnasium.make` with the plan's id and arguments.
        workers: Most environments that run in workers at once; 0 runs them in the event loop, without limit.
        kind: What a worker is.
        step_timeout_s: Limit of a single call of a worker, in seconds.
        max_idle: Most environments kept while nobody uses them.
    """

    def __init__(
        self,
        make_env: MakeEnv | None = None,
        *,
        workers: int = 0,
        kind: WorkerKind = "process",
        step_timeout_s: float | None = None,
        max_idle: int = 64,
    ) -> None:
        """Start empty."""
        self._make_env = make_env or make_planned_env
        self._workers = workers
        self._kind = kind
        self._step_timeout_s = step_timeout_s
        self._max_idle = max_idle
        self._idle: dict[str, list[EnvSlot]] = {}
        self._num_idle = 0
        self._seats = asyncio.Semaphore(workers) if workers else None

    @contextlib.asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        """Wait until one more environment may be in use."""
        if self._seats is None:
            yield
        else:
            async with self._seats:
                yield

    async def take(self, plan: EpisodePlan) -> EnvSlot:
        """Return an environment for `plan` that nobody else uses."""
        key = plan.env_id if not plan.env_kwargs else f"{plan.env_id} {json.dumps(plain(plan.env_kwargs), sort_keys=True)}"
        if slots := self._idle.get(key):
            self._num_idle -= 1
            return slots.pop()
        if self._workers:
            # idle workers of other environments count against the limit too
            await self._drop_idle(self._workers - 1)
        slot = self._new_slot(key, plan)
        try:
            await slot.open()
        except BaseException:
            await slot.close()
            raise
        return slot

    async def give_back(self, slot: EnvSlot, *, reusable: bool) -> None:
        """Take an environment back; one that is not reusable, or one too many, is closed."""
        if not reusable:
            await slot.close()
            return
        slots = self._idle.pop(slot.key, [])
        self._idle[slot.key] = [*slots, slot]  # last in the dict: used last
        self._num_idle += 1
        await self._drop_idle(self._max_idle)

    async def close(self) -> None:
        """Close everything that is idle."""
        await self._drop_idle(0)

    async def _drop_idle(self, limit: int) -> None:
        """Close idle environments, those of the longest unused kind first, until at most `limit` are left."""
        while self._num_idle > limit:
            key = next(key for key, slots in self._idle.items() if slots)
            self._num_idle -= 1
            await self._idle[key].pop(0).close()

    def _new_slot(self, key: str, plan: EpisodePlan) -> EnvSlot:
        """Return a slot, not opened yet."""
        make_env = self._make_env
        if not self._workers:
            return EnvSlot(key, lambda: make_env(plan))
        if self._kind == "thread":
            return ThreadSlot(key, lambda: make_env(plan), self._step_timeout_s)
        from palaestra.agents.env_process import ProcessSlot

        return ProcessSlot(key, make_env, plan, self._step_timeout_s)


def make_planned_env(plan: EpisodePlan) -> Env:
    """Make the environment that a plan names.

    Raises:
        UnknownNameError: If its id is not registered.
    """
    try:
        # the passive checker would look at every step of environments that `palaestra check` has looked at before
        env: Env = gymnasium.make(plan.env_id, disable_env_checker=True, **plan.env_kwargs)
    except gymnasium.error.UnregisteredEnv:
        raise unknown_name("environment", plan.env_id, gymnasium.registry, hint="List all with: palaestra list") from None
    return env


def _serve(calls: queue.SimpleQueue[Any]) -> None:
    """Answer calls until None comes."""
    while (call := calls.get()) is not None:
        function, args, loop, future = call
        try:
            result, error = function(*args), None
        except Exception as raised:
            result, error = None, raised
        with contextlib.suppress(RuntimeError):  # the event loop is gone, and with it everybody who waited
            loop.call_soon_threadsafe(_answer, future, result, error)
        del call, function, args, loop, future, result, error


def _answer(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    """Hand the result of a call to whoever still waits for it."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


__all__ = ["EnvPool", "EnvSlot", "MakeEnv", "RemoteFailure", "ThreadSlot", "WorkerKind", "make_planned_env"]
