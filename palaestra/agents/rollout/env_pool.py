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

from palaestra.agents.masking import remember_secrets
from palaestra.agents.rollout.env_slots import Env, EnvSlot, MakeEnv, ThreadSlot
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.envs import wrappers
from palaestra.envs.core.declared import declared
from palaestra.envs.core.engines import engine_pool
from palaestra.errors import ConfigError, unknown_name
from palaestra.types import plain

WorkerKind = Literal["process", "thread"]

BLOCKING_WORKERS = 8
"""Environments that block and run at once, where the number of workers is left open."""


class EnvPool:
    """Makes environments, and lends each to one episode at a time.

    Args:
        make_env: Makes the environment of a plan; by default `gymnasium.make` with the plan's id and arguments.
        workers: Most environments that run in workers at once; 0 runs them in the event loop, without limit. None runs
            those that block (`TextEnv.blocks`, known by the registered id) in `BLOCKING_WORKERS`, all others in the loop.
        kind: What a worker is. None takes threads for environments that block, unless they are bound to a thread, and
            processes for all others.
        step_timeout_s: Limit of a single call of a worker, in seconds.
        max_idle: Most environments kept while nobody uses them.
    """

    def __init__(
        self,
        make_env: MakeEnv | None = None,
        *,
        workers: int | None = None,
        kind: WorkerKind | None = None,
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
        self._places: dict[str, WorkerKind | None] = {}
        self._num_workers = BLOCKING_WORKERS if workers is None else workers
        self._free_workers = asyncio.Semaphore(self._num_workers)

    @contextlib.asynccontextmanager
    async def seat(self, plan: EpisodePlan) -> AsyncIterator[None]:
        """Wait until the environment of one more plan may be in use."""
        if self._place(plan.env_id) is None:
            yield
        else:
            async with self._free_workers:
                yield

    async def take(self, plan: EpisodePlan) -> EnvSlot:
        """Return an environment for `plan` that nobody else uses.

        Raises:
            ConfigError: If its calls have a time limit, and it runs in the event loop, where none can be interrupted.
        """
        key = plan.env_id if not plan.env_kwargs else f"{plan.env_id} {json.dumps(plain(plan.env_kwargs), sort_keys=True)}"
        if plan.wrappers:
            key = f"{key} in {json.dumps(plain(plan.wrappers))}"
        if slots := self._idle.get(key):
            self._num_idle -= 1
            return slots.pop()
        if self._place(plan.env_id) is not None:
            # idle workers of other environments count against the limit too
            await self._drop_idle(self._num_workers - 1, only_workers=True)
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

    async def _drop_idle(self, limit: int, *, only_workers: bool = False) -> None:
        """Close idle environments, those of the longest unused kind first, until at most `limit` are left."""
        while self._num_idle > limit:
            kinds = [key for key, slots in self._idle.items() if slots and (not only_workers or slots[0].is_worker)]
            if only_workers and sum(len(self._idle[key]) for key in kinds) <= limit:
                return
            self._num_idle -= 1
            await self._idle[kinds[0]].pop(0).close()

    def _place(self, env_id: str) -> WorkerKind | None:
        """Return the kind of worker for an environment, None for the event loop."""
        if env_id not in self._places:
            self._places[env_id] = find_place(env_id, self._workers, self._kind)
        return self._places[env_id]

    def _new_slot(self, key: str, plan: EpisodePlan) -> EnvSlot:
        """Return a slot, not opened yet."""
        make_env, place = self._make_env, self._place(plan.env_id)
        remember_secrets(plan.env_kwargs)  # what an environment raises may repeat its arguments
        if place is None:
            check_timeout(plan.env_id, self._step_timeout_s, place)
            return EnvSlot(key, lambda: make_env(plan))
        if place == "thread":
            engine_pool().allow(self._num_workers)  # threads share the engines of this process
            return ThreadSlot(key, lambda: make_env(plan), self._step_timeout_s)
        from palaestra.agents.rollout.env_process import ProcessSlot

        return ProcessSlot(key, make_env, plan, self._step_timeout_s)


def find_place(env_id: str, workers: int | None, kind: WorkerKind | None) -> WorkerKind | None:
    """Return the kind of worker that an environment runs in, None for the event loop; see `EnvPool` for the arguments."""
    known = declared(env_id)
    if workers == 0 or (workers is None and not known.blocks):
        return None
    return kind or ("thread" if known.blocks and not known.thread_bound else "process")


def check_timeout(env_id: str, step_timeout_s: float | None, place: WorkerKind | None) -> None:
    """Refuse a time limit for calls in the event loop.

    Raises:
        ConfigError: If there is one.
    """
    if step_timeout_s is not None and place is None:
        raise ConfigError(
            f"step_timeout_s is {step_timeout_s}, but {env_id} runs in the event loop, where no call can be interrupted. Run "
            f"it in workers: env_workers=N, --workers N, or agent.workers = N in a recipe."
        )


def make_planned_env(plan: EpisodePlan) -> Env:
    """Make the environment that a plan names.

    Raises:
        UnknownNameError: If its id is not registered, or one of its wrappers does not exist.
    """
    try:
        # the passive checker would look at every step of environments that `palaestra check` has looked at before
        env: Env = gymnasium.make(plan.env_id, disable_env_checker=True, **plan.env_kwargs)
    except gymnasium.error.UnregisteredEnv:
        raise unknown_name("environment", plan.env_id, gymnasium.registry, hint="List all with: palaestra list") from None
    for name, arguments in plan.wrappers.items():
        if name not in wrappers.__all__:
            raise unknown_name("wrapper", name, wrappers.__all__)
        env = getattr(wrappers, name)(env, **arguments)
    return env


__all__ = ["BLOCKING_WORKERS", "EnvPool", "WorkerKind", "check_timeout", "find_place", "make_planned_env"]
