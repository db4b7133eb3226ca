"""The rollout engine: many episodes at once, none waiting for another.

A fixed number of players pull plans from an iterator, one after the other, and each plays its episode to the end. Plans
are pulled only when a player is free and trajectories are handed over through a short queue, so memory stays bounded
however many episodes there are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Sized
from typing import Any

from palaestra.agents.own import AgentLike, as_agent
from palaestra.agents.ranges import MAX_SECONDS, check_range
from palaestra.agents.rollout.env_pool import EnvPool, WorkerKind, check_timeout, find_place
from palaestra.agents.rollout.env_slots import MakeEnv
from palaestra.agents.rollout.episode import play_episode
from palaestra.agents.rollout.plans import MAX_CONCURRENCY, MAX_WORKERS, EpisodePlan
from palaestra.agents.users_code import close_after
from palaestra.errors import BudgetError, ConfigError, UsageError
from palaestra.types import Trajectory


class RolloutEngine:
    """Plays episodes.

    Args:
        concurrency: Episodes in play at once.
        env_workers: Environments that run outside of the event loop at once; 0 runs all of them inside, which is
            fastest for worlds that answer in microseconds. None runs those whose class says that they block in 8 workers,
            and all others inside. With workers, an episode holds one of them to its end.
        worker_kind: "process" gives every environment a child process (it may crash or hang without harm); "thread"
            gives it a thread (for worlds that mostly wait). None takes threads for environments that block, unless their
            class says that they are bound to a thread, and processes for all others.
        step_timeout_s: Limit of one call of an environment in a worker, in seconds; None for no limit.
        episode_timeout_s: Limit of one episode, in seconds; None for no limit.
        record_state_hash: Keep the digest of the world before each action, where the environment gives one.

    Raises:
        ConfigError: If a number is out of range.
    """

    def __init__(
        self,
        concurrency: int = 64,
        *,
        env_workers: int | None = None,
        worker_kind: WorkerKind | None = None,
        step_timeout_s: float | None = None,
        episode_timeout_s: float | None = None,
        record_state_hash: bool = False,
    ) -> None:
        """Check and keep the settings."""
        check_range("concurrency", concurrency, low=1, high=MAX_CONCURRENCY, whole=True)
        check_range("env_workers", env_workers, high=MAX_WORKERS, whole=True, optional="as many as the environments need")
        if worker_kind not in ("process", "thread", None):
            raise ConfigError(f"worker_kind is {worker_kind!r}; expected 'process' or 'thread', or None.")
        for name, limit in (("step_timeout_s", step_timeout_s), ("episode_timeout_s", episode_timeout_s)):
            check_range(name, limit, above=True, high=MAX_SECONDS, optional="no limit")
        if step_timeout_s is not None and env_workers == 0:
            raise ConfigError("step_timeout_s needs env_workers: a call inside the event loop cannot be interrupted.")
        self.concurrency = concurrency
        self.env_workers = env_workers
        self.worker_kind: WorkerKind | None = worker_kind
        self.step_timeout_s = step_timeout_s
        self.episode_timeout_s = episode_timeout_s
        self.record_state_hash = record_state_hash

    def check_env(self, env_id: str) -> None:
        """Refuse an environment that these settings cannot play, before anything is played.

        Raises:
            ConfigError: If `step_timeout_s` is set and it runs in the event loop.
        """
        check_timeout(env_id, self.step_timeout_s, find_place(env_id, self.env_workers, self.worker_kind))

    async def run(
        self, plans: Iterable[EpisodePlan], agent: AgentLike, *, make_env: MakeEnv | None = None
    ) -> AsyncGenerator[Trajectory, None]:
        """Play all plans and yield each trajectory when its episode ends, in order of completion.

        Every episode is played by `agent.fork()`. Failures inside an episode come as trajectories with an error. If the
        consumer stops early, or is cancelled, episodes in play are given up; nothing that was yielded is affected.

        Args:
            plans: Pulled one by one, when a player is free.
            agent: Plays, as in `evaluate`; it is not closed.
            make_env: Makes the environment of a plan; by default `gymnasium.make` with the plan's id and arguments. With
                worker processes it has to be picklable.

        Raises:
            BudgetError: After the last finished episode was yielded, if the budget was spent before all were played.
            UsageError: If an environment or the agent refuses what it was given at the start of an episode; also if
                `step_timeout_s` is set for one that runs in the event loop.
        """
        agent = as_agent(agent, "run()")
        pool = EnvPool(
            make_env,
            workers=self.env_workers,
            kind=self.worker_kind,
            step_timeout_s=self.step_timeout_s,
            max_idle=max(self.concurrency, 16),
        )
        source = iter(plans)
        num_players = min(self.concurrency, len(plans)) if isinstance(plans, Sized) else self.concurrency
        finished: asyncio.Queue[Trajectory | None] = asyncio.Queue(maxsize=self.concurrency)
        spent: list[BudgetError] = []

        async def play() -> None:
            for plan in source:
                try:
                    trajectory = await play_episode(
                        plan, agent, pool, timeout_s=self.episode_timeout_s, record_state_hash=self.record_state_hash
                    )
                except BudgetError as error:
                    spent.append(error)
                    return
                except (KeyboardInterrupt, SystemExit) as error:
                    # asyncio lets these tear down the loop under everybody's feet; they go through the consumer instead
                    raise _Interruption(error) from None
                await finished.put(trajectory)
                await asyncio.sleep(0)
                if spent:  # others may still finish what they have begun, but nobody begins anything new
                    return

        async def play_all() -> None:
            try:
                async with asyncio.TaskGroup() as players:
                    for _ in range(num_players):
                        players.create_task(play())
            finally:
                await finished.put(None)

        playing = asyncio.create_task(play_all())
        try:
            while (trajectory := await finished.get()) is not None:
                yield trajectory
            try:
                await playing
            except BaseExceptionGroup as group:
                first = _first(group)
                raise (first.original if isinstance(first, _Interruption) else first) from None
            if spent:
                raise spent[0]
        finally:
            playing.cancel()
            while not playing.done():
                while not finished.empty():  # nobody wants these any more, but a player may be waiting for room
                    finished.get_nowait()
                await asyncio.wait({playing}, timeout=0.01)
            if not playing.cancelled():
                playing.exception()  # seen: the consumer is gone, or has been told already
            await pool.close()

    def collect(
        self,
        plans: Iterable[EpisodePlan],
        agent: AgentLike,
        *,
        make_env: MakeEnv | None = None,
        on_finish: Callable[[Trajectory], Any] | None = None,
        close_agent: bool = False,
    ) -> list[Trajectory]:
        """Play all plans from code without asyncio; return the trajectories in the order of the plans.

        Args:
            plans: What to play.
            agent: Plays.
            make_env: As in `run`.
            on_finish: Called with each trajectory when its episode ends: what it has seen survives an interruption.
            close_agent: Close the agent at the end, inside the event loop that its connections belong to.

        Raises:
            BudgetError: If the budget was spent before all were played.
            UsageError: As in `run`; also if an event loop is running already.
        """
        agent = as_agent(agent, "collect()")
        order: dict[str, int] = {}

        def numbered() -> Iterable[EpisodePlan]:
            for plan in plans:
                order[plan.episode_id] = len(order)
                yield plan

        async def gather() -> list[Trajectory]:
            found: list[Trajectory] = []
            try:
                async with contextlib.aclosing(self.run(numbered(), agent, make_env=make_env)) as trajectories:
                    async for trajectory in trajectories:
                        found.append(trajectory)
                        if on_finish is not None:
                            on_finish(trajectory)
            finally:
                if close_agent:
                    await close_after(agent)
            return found

        found = run_blocking(gather, "collect()", "run()")
        return sorted(found, key=lambda trajectory: order[trajectory.episode_id])


def run_blocking(main: Callable[[], Any], name: str, twin: str) -> Any:
    """Run a coroutine function to its end from code without asyncio.

    Args:
        main: The coroutine function.
        name: What the caller called, for the message.
        twin: Its asynchronous form, for the message.

    Raises:
        UsageError: If an event loop is running in this thread already.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    raise UsageError(f"{name} was called inside a running event loop; use its asynchronous form {twin} there.")


class _Interruption(Exception):
    """Carries an interruption out of a player's task."""

    def __init__(self, original: BaseException) -> None:
        super().__init__(str(original))
        self.original = original


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """Return the first exception of a group that is no group itself."""
    error: BaseException = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


__all__ = ["EpisodePlan", "RolloutEngine", "run_blocking"]
