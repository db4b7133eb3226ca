"""One client per event loop and process.

Connections belong to the event loop that opened them, and a forked child must not touch its parent's. `PerLoop` makes a
client where it is first used, gives it back to every later caller on the same loop, and closes it with that loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# What a forked child inherited: kept, never closed. Closing would remove the parent's sockets from the epoll that both share.
_inherited: list[Any] = []


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    """A client, its loop, and what closes it."""

    loop: asyncio.AbstractEventLoop
    client: T
    keeper: AsyncGenerator[None, None]


class PerLoop(Generic[T]):
    """Makes and keeps one client for each running event loop.

    Args:
        make: Makes a client; called on the loop that will use it.
        close: Closes a client; called on the same loop, at `aclose()` or when the loop shuts down (`asyncio.run` does).
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        """Nothing is made yet."""
        self._make = make
        self._close = close
        self._kept: dict[int, _Kept[T]] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    async def get(self) -> T:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(id(loop))
        # a new loop may have the address of one that is gone
        if kept is not None and kept.loop is loop and self._pid == os.getpid():
            return kept.client
        return await self._open(loop)

    async def aclose(self) -> None:
        """Close the client of the running loop, and those of other loops as far as these still run."""
        here = asyncio.get_running_loop()
        with self._lock:
            self._leave_parent()
            kept = list(self._kept.values())
            self._kept.clear()
        for one in kept:
            if one.loop is here:
                await one.keeper.aclose()
            elif one.loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_finish(one.keeper), one.loop))

    async def _open(self, loop: asyncio.AbstractEventLoop) -> T:
        """Make the client of `loop`."""
        with self._lock:
            self._leave_parent()
            for key in [key for key, kept in self._kept.items() if kept.loop.is_closed()]:
                del self._kept[key]
            client = self._make()
            keeper = self._keep(client)
            self._kept[id(loop)] = _Kept(loop, client, keeper)
        # A started asynchronous generator is finished by loop.shutdown_asyncgens(): the one hook a loop has for its end.
        await anext(keeper)
        return client

    async def _keep(self, client: T) -> AsyncGenerator[None, None]:
        """Hold a client until this generator is closed."""
        try:
            yield
        finally:
            await self._close(client)

    def _leave_parent(self) -> None:
        """Drop the clients that a forked child inherited."""
        if self._pid != os.getpid():
            _inherited.extend(self._kept.values())
            self._kept = {}
            self._pid = os.getpid()


async def _finish(keeper: AsyncGenerator[None, None]) -> None:
    """Close a generator on the loop it belongs to."""
    await keeper.aclose()
