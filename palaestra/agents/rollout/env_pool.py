"""Environments for the rollout engine: made once, used for one episode after the other, closed at the end.

An `EnvPool` keeps the slots (`env_slots.py`, `env_process.py`) that nobody uses, by environment id and arguments, and
limits how many there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Literal

import gymnasium

from palaestra.agents.rollout.env_slots import Env, EnvSlot, MakeEnv, ThreadSlot
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.errors import unknown_name
from palaestra.types import plain

WorkerKind = Literal["process", "thread"]


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
        from palaestra.agents.rollout.env_process import ProcessSlot

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


__all__ = ["EnvPool", "WorkerKind", "make_planned_env"]
