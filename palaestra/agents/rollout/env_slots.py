"""One environment and the place it runs in.

The event loop itself (`EnvSlot`), a thread of its own (`ThreadSlot`), or a child process driven from such a thread
(`env_process.ProcessSlot`).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

import gymnasium

from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.envs.core.outermost import outermost
from palaestra.errors import Boundary, EnvironmentFault
from palaestra.results.metrics import declared_by
from palaestra.spaces import ActionSpace
from palaestra.types import Message, StopReason

Env = gymnasium.Env[Any, Any]
MakeEnv = Callable[[EpisodePlan], Env]

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

    Attributes:
        has_metrics: Whether the environment declares metrics; looked up once, not for every episode.
    """

    is_worker = False
    has_metrics = False

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
        self.has_metrics = bool(declared_by(self.env))

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
        if self._takes_messages:
            return self.env.step(action)
        observation, *rest = self.env.step(action.content)
        if action.error and isinstance(observation, str):  # an environment that knows only text cannot say what was wrong
            observation = f"{action.error}\n\n{observation}"
        return (observation, *rest)

    def cut(self, reason: StopReason) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Stop an episode of an environment with seats between two actions."""
        return self.env.unwrapped.cut(reason)  # type: ignore[attr-defined, no-any-return]

    def state_hash(self) -> str | None:
        """Return the digest of the world, where the environment gives one."""
        digest = outermost(self.env, "state_hash")
        return None if digest is None else str(digest())


class ThreadSlot(EnvSlot):
    """An environment in a daemon thread of its own: for worlds that wait (network, engines outside of Python).

    Args:
        key: Pool key.
        make: Makes the environment.
        timeout_s: Limit of a single call in seconds; a call that takes longer is an `EnvironmentFault`. The thread of
            such a call is left to itself, since Python cannot stop it; an environment with a method `kill` (as `EngineEnv`
            has it) is told to end what the call waits for.
    """

    is_worker = True

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
        """Close the environment in its thread, and end the thread; one that hangs is killed if it can be, or left behind."""
        if hasattr(self, "env"):
            kill = getattr(self.env.unwrapped, "kill", None) if self._is_busy else None
            with contextlib.suppress(Exception):
                if not self._is_busy:
                    await self._run(CLOSE_TIMEOUT_S, self.env.close)
                elif callable(kill):
                    await asyncio.to_thread(kill)
        self._calls.put(None)


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


__all__ = ["Env", "EnvSlot", "MakeEnv", "RemoteFailure", "ThreadSlot"]
