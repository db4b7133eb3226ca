"""Asynchronous collection with bounded staleness: a training step does not wait for its slowest episodes.

    groups are admitted in order  ->  played side by side  ->  the oldest complete ones make a batch  ->  update
      ^ as long as (in flight + waiting) <= (max_staleness + 1) batches              in-flight episodes play on |
      '----------------------------------------------------------------------------------------------------------'

A step takes its batch as soon as enough groups are complete; the rest stays in play, and continues with the new weights after
the update. Nothing that was begun is thrown away: stragglers come in a later batch. Every token carries the version of the
weights that sampled it, the update corrects for the difference (`correction`), and tokens older than `max_staleness`
updates weigh nothing and are counted by the length of their episodes, so that a starvation of long ones is seen.

The episodes run in an event loop that only turns while a batch is being collected: a policy that is sampled in this process
is never read while it is written, and the same seeds give the same run. With `max_staleness = 0` that run is the synchronous
one, bit for bit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from palaestra.agents.core import Agent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.env_pool import EnvPool
from palaestra.agents.rollout.env_slots import MakeEnv
from palaestra.agents.rollout.episode import play_episode
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.config import Config
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Trajectory

Result = TypeVar("Result")

LENGTHS = (4, 16, 64)
"""Turns up to which episodes are counted together when their tokens were too old."""


class AsynchronousConfig(Config):
    """`[asynchronous]`: how far episodes may be older than the policy they train."""

    max_staleness: int = Field(default=2, ge=0, le=64)
    """Updates that a token may be old and still count; 0 is synchronous, 2 to 8 need correction."""

    def refuse(self, name: str, settings: BaseModel) -> None:
        """Refuse what cannot go with it in the table of an algorithm.

        Args:
            name: The algorithm.
            settings: Its table; one that the shared outer loop does not run has nothing to contradict.

        Raises:
            ConfigError: If the update does not correct for older weights, or the algorithm wants to refill its batches.
        """
        if self.max_staleness and not getattr(settings, "corrects_staleness", True):
            older = f"asynchronous.max_staleness is {self.max_staleness}, so older weights sample some tokens, and"
            if hasattr(settings, "correction"):
                raise ConfigError(f"{older} {name}.correction is 'off'. Set {name}.correction = 'token' (or 'sequence').")
            raise ConfigError(f"{older} {name} has no correction for them. Set it to 0, or take out [asynchronous].")
        refills = getattr(getattr(settings, "sampling", None), "max_refills", 0)
        if refills:
            raise ConfigError(
                f"{name}.sampling.max_refills is {refills}; asynchronous batches are not refilled. Set it to 0, or take out "
                f"[asynchronous]."
            )


@dataclass(slots=True)
class _Group:
    """One group of episodes on its way."""

    number: int
    plans: Sequence[EpisodePlan]
    finished: dict[str, Trajectory] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return len(self.finished) == len(self.plans)

    def trajectories(self) -> list[Trajectory]:
        return [self.finished[plan.episode_id] for plan in self.plans]


class AsyncCollector:
    """Keeps episodes in play from one training step to the next.

    Args:
        engine: How many at once, and where environments run.
        agent: Plays with the policy as it is at every moment.
        plans: Plans of the group with this number, from 0; a pure function, None after the last group.
        batch_groups: Groups that one training step takes.
        max_staleness: Batches that may be in flight or wait beyond the one being collected.
        first: Number of the first group.
        stride: Distance to the next; several ranks take turns.
        make_env: As in `RolloutEngine.run`.

    Raises:
        UsageError: If a number is out of range.
    """

    def __init__(
        self,
        engine: RolloutEngine,
        agent: Agent,
        plans: Callable[[int], Sequence[EpisodePlan] | None],
        *,
        batch_groups: int,
        max_staleness: int,
        first: int = 0,
        stride: int = 1,
        make_env: MakeEnv | None = None,
    ) -> None:
        """Open an event loop of its own; nothing is played yet."""
        if batch_groups < 1 or max_staleness < 0 or stride < 1:
            raise UsageError(
                f"batch_groups={batch_groups}, max_staleness={max_staleness}, stride={stride}; expected at least 1, 0 and 1."
            )
        self.engine = engine
        self.agent = agent
        self.batch_groups = batch_groups
        self.max_staleness = max_staleness
        self._plans = plans
        self._next = first
        self._stride = stride
        self._open: dict[int, _Group] = {}
        self._owner: dict[str, _Group] = {}
        self._admitted: list[EpisodePlan] = []
        self._players: set[asyncio.Task[None]] = set()
        self._arrived: asyncio.Queue[Trajectory | BaseException] = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._pool = EnvPool(
            make_env,
            workers=engine.env_workers,
            kind=engine.worker_kind,
            step_timeout_s=engine.step_timeout_s,
            max_idle=max(engine.concurrency, 16),
        )

    @property
    def num_open(self) -> int:
        """Episodes in flight, waiting to be played, or waiting to be trained on."""
        return sum(len(group.plans) for group in self._open.values())

    def collect(self) -> list[Trajectory]:
        """Return the next batch: the oldest groups that are complete, in the order they were admitted.

        Returns:
            Episodes of `batch_groups` groups; fewer at the end of the plans, none after it.

        Raises:
            BudgetError: If the budget is spent.
            UsageError: If an environment or the agent refuses what it was given at the start of an episode; also if an event
                loop is running already.
        """
        return [trajectory for _, members in self.collect_groups() for trajectory in members]

    def collect_groups(self) -> list[tuple[int, list[Trajectory]]]:
        """Like `collect`, by group and with its number."""
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise UsageError("collect() was called inside a running event loop; call it from a thread of its own.")
        return self._loop.run_until_complete(self._collect())

    def until(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Let episodes play on until something else is done, where the policy is sampled by a server.

        `until(asyncio.to_thread(learner.update, batch, step))` updates next to them, and `until(backend.refresh(folder,
        version=...))` lets their turns end before the server's weights change. A policy that is sampled in this process must
        not be updated this way: it would be read while it is written.

        Args:
            work: A coroutine.

        Returns:
            What it returns.
        """
        return self._loop.run_until_complete(work)

    def state(self) -> dict[str, Any]:
        """Return the state for resuming: groups that were begun and not trained on, and the number of the next one."""
        return {"open": sorted(self._open), "next": self._next}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`: open groups are played again, from the same plans.

        Raises:
            UsageError: If episodes are in play already.
        """
        if self._open:
            raise UsageError(f"{self.num_open} episodes are in play; load the state into a new collector.")
        for number in state["open"]:
            self._begin(int(number))
        self._next = int(state["next"])

    def close(self) -> None:
        """Give up what is in play and close the environments; harmless when repeated."""
        if self._loop.is_closed():
            return
        for player in self._players:
            player.cancel()
        self._loop.run_until_complete(self._shut_down())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _collect(self) -> list[tuple[int, list[Trajectory]]]:
        self._admit()
        wanted = min(self.batch_groups, len(self._open))
        for _ in range(self.engine.concurrency - len(self._players)):
            player = asyncio.create_task(self._play())
            self._players.add(player)
            player.add_done_callback(self._players.discard)
        while len(complete := [group for group in self._open.values() if group.is_complete]) < wanted:
            found = await self._arrived.get()
            if isinstance(found, BaseException):
                raise found
            self._owner.pop(found.episode_id).finished[found.episode_id] = found
        taken = sorted(complete, key=lambda group: group.number)[:wanted]
        for group in taken:
            del self._open[group.number]
        if not self._owner:  # nobody plays on: leave the loop as still as a new one
            await asyncio.gather(*self._players)
            for _ in range(4):
                await asyncio.sleep(0)
        return [(group.number, group.trajectories()) for group in taken]

    def _admit(self) -> None:
        """Begin further groups while no more than (max_staleness + 1) batches are open."""
        room = (self.max_staleness + 1) * self.batch_groups
        while len(self._open) < room and self._begin(self._next):
            self._next += self._stride

    def _begin(self, number: int) -> bool:
        """Admit a group; return whether there is one."""
        plans = self._plans(number)
        if plans is None:
            return False
        group = self._open[number] = _Group(number, plans)
        self._owner |= {plan.episode_id: group for plan in plans}
        self._admitted += plans
        return True

    async def _play(self) -> None:
        """Play admitted episodes, the oldest first, until none is left."""
        engine = self.engine
        for plan in self._taken():
            try:
                trajectory = await play_episode(
                    plan,
                    self.agent,
                    self._pool,
                    timeout_s=engine.episode_timeout_s,
                    record_state_hash=engine.record_state_hash,
                )
            except (Exception, KeyboardInterrupt, SystemExit) as error:
                self._arrived.put_nowait(error)
                return
            self._arrived.put_nowait(trajectory)
            await asyncio.sleep(0)

    def _taken(self) -> Iterator[EpisodePlan]:
        while self._admitted:
            yield self._admitted.pop(0)

    async def _shut_down(self) -> None:
        await asyncio.gather(*self._players, return_exceptions=True)
        await self._pool.close()


def staleness_metrics(trajectories: Sequence[Trajectory], *, version: int, max_staleness: int) -> dict[str, float]:
    """Say how old the tokens of a batch are, in updates, and whose are too old to count.

    Args:
        trajectories: A batch.
        version: Version of the policy that is about to be updated.
        max_staleness: Oldest age that counts.

    Returns:
        `staleness_mean` and `staleness_max` over sampled tokens, `mixed_episodes` (share played with several versions), and
        `stale_episodes` with at least one token that is too old: in all, and by the number of turns.
    """
    ages: list[int] = []
    mixed = 0
    names = [f"stale_episodes_to_{limit}_turns" for limit in LENGTHS] + [f"stale_episodes_above_{LENGTHS[-1]}_turns"]
    counts = dict.fromkeys(["stale_episodes", *names], 0)
    for trajectory in trajectories:
        versions = [v for s in trajectory.segments for v, sampled in zip(s.version, s.action, strict=True) if sampled]
        if not versions:
            continue
        ages += [version - v for v in versions]
        mixed += min(versions) != max(versions)
        if version - min(versions) > max_staleness:
            place = sum(len(trajectory.steps) > limit for limit in LENGTHS)
            counts["stale_episodes"] += 1
            counts[names[place]] += 1
    return {
        "staleness_mean": sum(ages) / max(1, len(ages)),
        "staleness_max": float(max(ages, default=0)),
        "mixed_episodes": mixed / max(1, len(trajectories)),
        **{name: float(count) for name, count in counts.items()},
    }
