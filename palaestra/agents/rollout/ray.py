"""Rollouts on a Ray cluster: the rollout engine with its episodes in other processes, on any machine.

    driver: plans -> one free place of a worker each -> trajectories in order of completion -> consumer, run store
    worker: an actor with its own event loop, environments and agent; plays several episodes side by side

A worker is handed the next plan whenever one of its places is free. If a worker is lost, only the episodes it had in play
are: they are played again by others, with the same seeds, and a new worker takes its place. What counts is decided on the
driver alone, so every episode comes out exactly once. Agents travel as their description (`AgentSpec`) and are built where
they play. Nothing outside of this module knows Ray.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from palaestra.agents.core import Agent
from palaestra.agents.own import AgentLike, as_agent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.env_pool import EnvPool
from palaestra.agents.rollout.env_slots import MakeEnv
from palaestra.agents.rollout.episode import play_episode
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.users_code import close_after
from palaestra.errors import BudgetError, ConfigError, MissingExtraError, UsageError
from palaestra.media.items import Media
from palaestra.media.store import MediaOutbox, current_media
from palaestra.types import EpisodeError, Message, Outcome, Trajectory

log = logging.getLogger(__name__)

_KEPT_AGENTS = 4  # of a worker; with weights they are large


class AgentSpec(Agent):
    """An agent that is built where it plays: what travels to another process is only how to build it.

    Args:
        spec: A string for `palaestra.agents.registry.make_agent` ("hf:PATH", "http://HOST:PORT/v1#NAME", "random", ...), or a
            function without arguments that returns an agent.
        **options: Arguments of `make_agent`.
    """

    def __init__(self, spec: str | Callable[[], Agent], **options: Any) -> None:
        """Keep the description; nothing is built yet."""
        self.spec = spec
        self.options = options
        self.name = str(options.get("name") or (spec if isinstance(spec, str) else getattr(spec, "__name__", "agent")))
        self._built: Agent | None = None

    async def aact(self, observation: str, info: Any) -> Message:
        """Play with the agent itself; engines play with forks of it."""
        return await self._agent().aact(observation, info)

    def fork(self) -> Any:
        """Return a fork of the agent, which is built now if it is not there yet."""
        return self._agent().fork()

    async def aclose(self) -> None:
        """Close the agent, if it was built."""
        if self._built is not None:
            await self._built.aclose()

    def _agent(self) -> Agent:
        if self._built is None:
            if isinstance(self.spec, str):
                from palaestra.agents.registry import make_agent

                self._built = make_agent(self.spec, **self.options)
            else:
                self._built = self.spec(**self.options)
        return self._built

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_built": None}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What a worker says instead of a trajectory: the caller has to know, and exceptions travel badly."""

    is_budget: bool
    message: str


@dataclass(frozen=True, slots=True)
class _WithMedia:
    """A trajectory and the bytes that its worker put since it last sent some."""

    trajectory: Trajectory
    media: list[tuple[Media, bytes]]


class _Worker:
    """The actor: plays episodes in its own event loop."""

    def __init__(self, pool: dict[str, Any], play: dict[str, Any], setup: Callable[[], None] | None) -> None:
        self._pool_options = pool
        self._play_options = play
        self._pools: dict[str, EnvPool] = {}
        self._agents: OrderedDict[str, Agent] = OrderedDict()
        self._lock = asyncio.Lock()
        self._outbox = MediaOutbox.of_this_process()
        if setup is not None:
            setup()

    async def play(self, plan: EpisodePlan, key: str, parcel: list[Any]) -> Trajectory | _WithMedia | _Refusal:
        """Play one episode; `parcel` holds a reference to agent and `make_env`, fetched once per `key`."""
        async with self._lock:
            if key not in self._agents:
                agent, make_env = await parcel[0]
                self._pools[key] = EnvPool(make_env, **self._pool_options)
                self._agents[key] = agent
                while len(self._agents) > _KEPT_AGENTS:
                    oldest, retired = self._agents.popitem(last=False)
                    await close_after(retired)
                    await self._pools.pop(oldest).close()
        try:
            trajectory = await play_episode(plan, self._agents[key], self._pools[key], **self._play_options)
            fresh = self._outbox.take_fresh()  # other episodes' bytes too: they only come earlier than they have to
            return _WithMedia(trajectory, fresh) if fresh else trajectory
        except BudgetError as error:
            return _Refusal(True, str(error))
        except UsageError as error:
            return _Refusal(False, str(error))

    async def close(self) -> None:
        """Close environments and agents."""
        for agent in self._agents.values():
            await close_after(agent)
        for pool in self._pools.values():
            await pool.close()


class RayRolloutEngine(RolloutEngine):
    """Plays episodes in worker processes of a Ray cluster; in all else a `RolloutEngine`.

    A cluster that `ray.init` has connected to is used as it is; else a local one is started, and stopped by `close`.

    Args:
        workers: Processes.
        concurrency: Episodes in play at once, over all workers.
        cpus_per_worker: Cores that Ray reserves for each.
        gpus_per_worker: Accelerators, e.g. for `hf:PATH` agents.
        max_losses: Times that an episode is played again after the loss of its worker; then it is recorded as failed, since
            it may be what kills them.
        setup: Called once in every worker, e.g. to register environments; importable there.
        **options: Further arguments of `RolloutEngine`; `env_workers` counts per worker.

    Raises:
        ConfigError: If a number is out of range.
        MissingExtraError: If Ray is not installed.
    """

    def __init__(
        self,
        workers: int = 2,
        concurrency: int = 64,
        *,
        cpus_per_worker: float = 1.0,
        gpus_per_worker: float = 0.0,
        max_losses: int = 3,
        setup: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        """Check and keep the settings; nothing is started yet."""
        super().__init__(concurrency, **options)
        if workers < 1 or max_losses < 0:
            raise ConfigError(f"workers={workers}, max_losses={max_losses}; expected at least 1 and 0.")
        self._ray = _ray()
        self.workers = workers
        self.max_losses = max_losses
        self.lost = 0
        self._resources = {"num_cpus": cpus_per_worker, "num_gpus": gpus_per_worker}
        self._setup = setup
        self._actors: list[Any] = []
        self._keys = itertools.count()
        self._owns_cluster = False

    def __enter__(self) -> Self:
        """Start the workers."""
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self.close()

    @property
    def per_worker(self) -> int:
        """Episodes in play at once in each worker."""
        return -(-self.concurrency // self.workers)

    async def run(
        self, plans: Iterable[EpisodePlan], agent: AgentLike, *, make_env: MakeEnv | None = None
    ) -> AsyncGenerator[Trajectory, None]:
        """Play all plans and yield each trajectory when its episode ends (see `RolloutEngine.run`).

        Args:
            plans: Pulled one by one, when a place is free.
            agent: Plays; it has to be picklable, which an `AgentSpec` is.
            make_env: Makes the environment of a plan; picklable.

        Raises:
            BudgetError: After the last finished episode was yielded, if a worker's budget was spent.
            UsageError: If an environment or the agent refuses what it was given, if the agent cannot travel, or if workers
                are lost faster than they play.
        """
        self._start()
        agent = as_agent(agent, "run()")
        key, parcel = self._pack(agent, make_env)
        queue = _Plans(plans)
        finished: asyncio.Queue[Trajectory | Exception | None] = asyncio.Queue(maxsize=self.concurrency)
        in_flight: set[Any] = set()
        losses: Counter[str] = Counter()
        spent: list[BudgetError] = []
        lost_in_a_row = 0

        async def play(place: int) -> None:
            nonlocal lost_in_a_row
            while not spent and (plan := queue.take()) is not None:
                actor = self._actors[place]
                reference = actor.play.remote(plan, key, parcel)
                in_flight.add(reference)
                try:
                    found = await reference
                except self._ray.exceptions.RayActorError as error:
                    lost_in_a_row += self._replace(place, actor)
                    if lost_in_a_row > 4 * self.workers:
                        raise UsageError(f"{lost_in_a_row} workers were lost in a row, the last one so: {error}") from None
                    losses[plan.episode_id] += 1
                    if losses[plan.episode_id] <= self.max_losses:
                        queue.put_back(plan)
                    else:
                        await finished.put(_lost(plan, agent.name, losses[plan.episode_id]))
                    continue
                finally:
                    in_flight.discard(reference)
                lost_in_a_row = 0
                if isinstance(found, _WithMedia):
                    current_media().add(found.media)
                    found = found.trajectory
                if isinstance(found, _Refusal):
                    if not found.is_budget:
                        raise UsageError(found.message)
                    spent.append(BudgetError(found.message))
                else:
                    await finished.put(found)

        async def play_all() -> None:
            try:
                async with asyncio.TaskGroup() as players:
                    # place by place over all workers, so that a few plans are spread evenly
                    for _ in range(self.per_worker):
                        for place in range(self.workers):
                            players.create_task(play(place))
            except BaseExceptionGroup as group:
                failure: Any = group
                while isinstance(failure, BaseExceptionGroup):
                    failure = failure.exceptions[0]
                await finished.put(failure)
            finally:
                await finished.put(None)

        playing = asyncio.create_task(play_all())
        try:
            while (item := await finished.get()) is not None:
                if not isinstance(item, Trajectory):
                    raise item
                yield item
            if spent:
                raise spent[0]
        finally:
            for reference in in_flight:
                self._ray.cancel(reference)
            playing.cancel()
            while not playing.done():
                while not finished.empty():  # nobody wants these any more, but a player may be waiting for room
                    finished.get_nowait()
                await asyncio.wait({playing}, timeout=0.01)

    def close(self) -> None:
        """Stop the workers, and the cluster if this engine started it; harmless when repeated."""
        actors, self._actors = self._actors, []
        if not self._ray.is_initialized():
            return
        closing = [actor.close.remote() for actor in actors]
        self._ray.wait(closing, num_returns=len(closing), timeout=10.0) if closing else None
        for actor in actors:
            self._ray.kill(actor)
        if self._owns_cluster:
            self._ray.shutdown()
            self._owns_cluster = False

    def _start(self) -> None:
        """Connect, and start the workers that are missing."""
        if not self._ray.is_initialized():
            cores = max(1, round(self.workers * self._resources["num_cpus"]))
            self._ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, configure_logging=False)
            self._owns_cluster = True
            self._actors = []
        while len(self._actors) < self.workers:
            self._actors.append(self._new_actor())

    def _new_actor(self) -> Any:
        pool = {
            "workers": self.env_workers,
            "kind": self.worker_kind,
            "step_timeout_s": self.step_timeout_s,
            "max_idle": max(self.per_worker, 16),
        }
        play = {"timeout_s": self.episode_timeout_s, "record_state_hash": self.record_state_hash}
        kind = self._ray.remote(max_restarts=0, max_concurrency=self.per_worker + 1, **self._resources)(_Worker)
        return kind.remote(pool, play, self._setup)

    def _replace(self, place: int, dead: Any) -> int:
        """Put a new worker in the place of a lost one; return 1 for the first who notices, then 0."""
        if self._actors[place] is not dead:
            return 0
        log.warning("Worker %d was lost; its episodes are played again.", place)
        self.lost += 1
        self._ray.kill(dead)  # one that was only cut off must not play on unseen
        self._actors[place] = self._new_actor()
        return 1

    def _pack(self, agent: Agent, make_env: MakeEnv | None) -> tuple[str, list[Any]]:
        """Put agent and `make_env` where every worker can fetch them; the list keeps Ray from fetching for each call."""
        try:
            return f"{id(self)}/{next(self._keys)}", [self._ray.put((agent, make_env))]
        except TypeError as error:
            raise UsageError(
                f"Agent {agent.name!r} cannot travel to other processes ({str(error).splitlines()[0]}). Give an AgentSpec, "
                f"which is built there, e.g. AgentSpec('hf:PATH')."
            ) from None


class _Plans:
    """Plans that wait: those put back first, then those that were never taken."""

    def __init__(self, plans: Iterable[EpisodePlan]) -> None:
        self._returned: deque[EpisodePlan] = deque()
        self._fresh = iter(plans)

    def take(self) -> EpisodePlan | None:
        return self._returned.popleft() if self._returned else next(self._fresh, None)

    def put_back(self, plan: EpisodePlan) -> None:
        self._returned.append(plan)


def _lost(plan: EpisodePlan, agent: str, times: int) -> Trajectory:
    """Return the record of an episode that took its worker down again and again."""
    message = f"The worker was lost {times} times while it played this episode; it may be what kills it (memory, an engine)."
    return Trajectory(
        episode_id=plan.episode_id,
        env_id=plan.env_id,
        task={"key": plan.task_key or "", "split": "", "type": ""},
        seed=plan.seed,
        agent=agent,
        outcome=Outcome(stop_reason="env_error", error=EpisodeError("environment", "WorkerLost", message)),
        group_id=plan.group_id,
        sample=plan.sample,
        max_turns=plan.max_turns,
    )


def _ray() -> Any:
    """Return the module."""
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise MissingExtraError("Rollouts on a Ray cluster", "scale") from None
    return ray


__all__ = ["AgentSpec", "RayRolloutEngine"]
