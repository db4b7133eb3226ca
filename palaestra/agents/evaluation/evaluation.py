"""Evaluation: play n tasks of a split, k samples each, and say how well it went. Resumable at any instant.

Which episodes there are follows from the run's configuration alone: the same configuration plans the same episodes
with the same ids and seeds. A resumed run plays those that are not in the store yet.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from palaestra.agents.core import Agent
from palaestra.agents.evaluation.arms import PlayedRun, arms_of, clusters_in, env_results
from palaestra.agents.evaluation.deciding import KEY, Deciding, UntilDecided, checked_rival, in_drawn_order, recorded, tasks_of
from palaestra.agents.evaluation.floors import AboveFloor, floors_in
from palaestra.agents.evaluation.planning import plan_and_record, plan_evaluation, task_seed
from palaestra.agents.evaluation.resuming import check_planned, open_run, warn_of_untold
from palaestra.agents.evaluation.running import running
from palaestra.agents.evaluation.settings import checked_record
from palaestra.agents.evaluation.summary import Summary, summarize
from palaestra.agents.masking import masked, remember_secrets
from palaestra.agents.own import AgentLike, as_agent
from palaestra.agents.ranges import check_range
from palaestra.agents.rollout.engine import RolloutEngine, run_blocking
from palaestra.agents.rollout.env_slots import MakeEnv
from palaestra.agents.rollout.plans import MAX_SEED, EpisodePlan
from palaestra.agents.seats import seats_config
from palaestra.agents.store.records import EpisodeSummary, Planned, RunStatus, pack, unpack, written
from palaestra.agents.store.store import RunStore
from palaestra.agents.users_code import check_forks, close_after
from palaestra.envs.core.declared import declared
from palaestra.errors import BudgetError, UsageError
from palaestra.results.metrics import Metric, problems
from palaestra.results.tables import EnvResults
from palaestra.types import EpisodeError, Json, Trajectory, plain

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

SAME_ERRORS = 10
"""Episodes that end a run where all of them, from the first one on, failed for the same cause."""

_CAUSE_CHARS = 200


@dataclass(frozen=True, slots=True)
class EnvSpec:
    """One environment of an evaluation.

    Attributes:
        env_id: Registered id.
        env_kwargs: Arguments of `gymnasium.make`; plain JSON.
    """

    env_id: str
    env_kwargs: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation gave.

    Attributes:
        run_id: Its run in the store; empty if nothing was stored.
        status: "finished"; "decided" if a decision ended it before all that was planned was played; "stopped" if the budget
            was spent before every episode was played, or the first `SAME_ERRORS` episodes all ended in the same error of the
            model.
        note: Why it stopped.
        summary: The results, of all episodes played so far.
        config: What was evaluated.
        num_planned: Episodes that make the evaluation complete.
        results: What the environments report of their own (tables), by id; empty where they have none, or on request.
        decided: Of a run that is played until decided: the comparison, as plain JSON (`against`, `decision`, `num_tasks`,
            `result` with the difference, its interval and p-value); None of any other.
    """

    run_id: str
    status: RunStatus
    note: str
    summary: Summary
    config: Mapping[str, Json]
    num_planned: int
    results: Mapping[str, EnvResults] = field(default_factory=dict)
    decided: Mapping[str, Json] | None = None

    @property
    def metrics(self) -> dict[str, tuple[Metric, ...]]:
        """Metrics that the environments declare, by id; those that declare none are left out."""
        env_ids = dict.fromkeys(str(env["env_id"]) for env in self.config.get("envs", ()))
        return {env_id: found for env_id in env_ids if (found := declared(env_id).metrics)}

    @property
    def floors(self) -> dict[str, AboveFloor]:
        """The floor of each environment from its audit card, and success above it, by id."""
        return floors_in(self.config, self.summary)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; `metrics` and `results` only where there are any."""
        data: dict[str, Json] = {
            "run_id": self.run_id,
            "status": self.status,
            "note": self.note,
            "num_planned": self.num_planned,
            "config": dict(self.config),
            "summary": self.summary.to_json(),
            "floors": {env_id: found.to_json() for env_id, found in self.floors.items()},
        }
        if self.decided is not None:
            data["decided"] = dict(self.decided)
        if metrics := self.metrics:
            data["metrics"] = {env_id: [metric.to_json() for metric in found] for env_id, found in metrics.items()}
        if self.results:
            data["results"] = {env_id: found.to_json() for env_id, found in self.results.items()}
        return data


def evaluate(
    env_id: str | EnvSpec | Sequence[str | EnvSpec],
    agent: AgentLike,
    *,
    env_kwargs: Mapping[str, Json] | None = None,
    split: str = "test",
    n: int | None = 100,
    samples: int = 1,
    seed: int = 0,
    max_turns: int | None = None,
    store: RunStore | str | os.PathLike[str] | None = None,
    run_id: str | None = None,
    retry_errors: bool = False,
    extra_config: Mapping[str, Json] | None = None,
    concurrency: int = 64,
    engine: RolloutEngine | None = None,
    make_env: MakeEnv | None = None,
    wrappers: Mapping[str, Mapping[str, Json]] | None = None,
    progress: Progress | None = None,
    results: bool = True,
    until_decided: UntilDecided | None = None,
    close_agent: bool = False,
) -> Evaluation:
    """Evaluate an agent.

    Args:
        env_id: One environment, or several (then each contributes `n` tasks).
        agent: Plays all episodes through forks: an `Agent`, a function `(observation, info) -> str | Message` (also `async`),
            or an object with `act` (see `docs/agents.md`).
        env_kwargs: Arguments of `gymnasium.make`, for every environment that is given by its id alone.
        split: Split of the tasks.
        n: Tasks per environment, the first ones of the split; None takes all of a finite split. A split with fewer tasks
            is played whole. Environments without a task set are seeded n times instead.
        samples: Episodes per task.
        seed: Seed of everything that is random: the seed of task i follows from it and i, and is the same for all its samples;
            actions that an agent draws, local samples and the `seed` of requests to servers follow from it and the episode.
        max_turns: Horizon in messages of the agent; None leaves it to the environment.
        store: Where to keep the run (a store or its folder); None keeps only the summary.
        run_id: Name of the run. If the store has it, it is resumed: finished episodes are not played again.
        retry_errors: Play episodes again that ended with an error; the new record replaces the old one.
        extra_config: More settings that belong to the run (model, temperature ...); stored, and compared on resuming.
        concurrency: Episodes at once.
        engine: How to play, instead of `concurrency`.
        make_env: As in `RolloutEngine.run`.
        wrappers: Arguments of wrappers of `palaestra.envs` by name, the innermost first, e.g.
            `{"InjectErrors": {"mode": "outage"}}`; part of the settings of the run.
        progress: Called with (episodes done, episodes planned), also once at the start.
        results: Whether to compute the tables that environments have of their own, from all episodes of the run.
        until_decided: Play only until the comparison with another run of the store is decided, tasks in an order drawn from
            the seed (see `docs/statistics.md`). Figures of a run that was stopped so are biased; the comparison is in
            `Evaluation.decided`.
        close_agent: Close the agent at the end, inside the event loop that its connections belong to.

    Raises:
        UsageError: If an argument cannot work, or there is no comparing with the run of `until_decided`.
        ConfigError: If the run to resume was created with other settings; the message names them.
        StoreError: If the store cannot be used, or another process plays this run. Everything finished is kept.
    """

    async def main() -> Evaluation:
        try:
            return await evaluate_async(
                env_id,
                player,
                env_kwargs=env_kwargs,
                split=split,
                n=n,
                samples=samples,
                seed=seed,
                max_turns=max_turns,
                store=store,
                run_id=run_id,
                retry_errors=retry_errors,
                extra_config=extra_config,
                concurrency=concurrency,
                engine=engine,
                make_env=make_env,
                wrappers=wrappers,
                progress=progress,
                results=results,
                until_decided=until_decided,
            )
        finally:
            if close_agent:
                await close_after(player)

    player = as_agent(agent)
    evaluation: Evaluation = run_blocking(main, "evaluate()", "evaluate_async()")
    return evaluation


async def evaluate_async(
    env_id: str | EnvSpec | Sequence[str | EnvSpec],
    agent: AgentLike,
    *,
    env_kwargs: Mapping[str, Json] | None = None,
    split: str = "test",
    n: int | None = 100,
    samples: int = 1,
    seed: int = 0,
    max_turns: int | None = None,
    store: RunStore | str | os.PathLike[str] | None = None,
    run_id: str | None = None,
    retry_errors: bool = False,
    extra_config: Mapping[str, Json] | None = None,
    concurrency: int = 64,
    engine: RolloutEngine | None = None,
    make_env: MakeEnv | None = None,
    wrappers: Mapping[str, Mapping[str, Json]] | None = None,
    progress: Progress | None = None,
    results: bool = True,
    until_decided: UntilDecided | None = None,
) -> Evaluation:
    """Evaluate an agent; the asynchronous form of `evaluate`, with the same arguments."""
    specs = _specs(env_id, env_kwargs or {})
    agent = as_agent(agent)
    check_forks(agent)
    check_range("n", n, low=1, high=10**30, whole=True, optional="the whole split")
    check_range("samples", samples, low=1, high=10**30, whole=True)
    check_range("max_turns", max_turns, low=1, whole=True, optional="the environment's own horizon")
    check_range("seed", seed, high=MAX_SEED, whole=True)
    config: dict[str, Json] = {
        "kind": "evaluate",
        "envs": [{"env_id": spec.env_id, "env_kwargs": plain(spec.env_kwargs)} for spec in specs],
        "agent": agent.name,
        "split": split,
        "n": n,
        "samples": samples,
        "seed": seed,
        "max_turns": max_turns,
        **({"wrappers": plain(wrappers)} if wrappers else {}),
        **({"seats": seats_config(agent)} if agent.seats else {}),
        **(plain(extra_config) if extra_config else {}),
    }
    engine = engine or RolloutEngine(concurrency)
    remember_secrets(*(spec.env_kwargs for spec in specs))  # what an environment raises may repeat its arguments
    told = checked_record(agent, make_env, is_of_training="training_run" in config)
    plans, tasks = plan_and_record(config, make_env=make_env, agent=agent)
    config = masked({**config, **told, "tasks": tasks})
    if until_decided is not None:
        until_decided.test()  # numbers out of range, before anything is stored
    if until_decided is not None and store is None:
        raise UsageError(
            f"To decide against run {until_decided.against!r} there has to be a store that holds it; pass store=."
        )
    if store is None:
        if run_id is not None:
            raise UsageError(f"run_id is {run_id!r} but there is no store to keep it in; pass store=.")
        keeps = results and any(declared(spec.env_id).results for spec in specs)
        evaluation = await _play(plans, agent, engine, config, progress, make_env, memory := _Memory(keeps=keeps))
        return _with_results(evaluation, memory) if keeps else evaluation
    deciding: Deciding | None = None
    with contextlib.ExitStack() as stack:
        kept = store if isinstance(store, RunStore) else stack.enter_context(RunStore(store))
        if until_decided is not None:
            rival = checked_rival(kept, until_decided, config, run_id)
            config = {**config, KEY: recorded(until_decided, rival)}
            plans = in_drawn_order(plans, seed)
        run_id = open_run(kept, run_id, config)
        stack.enter_context(kept.lock(run_id))
        check_planned(kept, run_id, {plan.episode_id for plan in plans})
        warn_of_untold(kept, run_id, agent)
        keeper = _Stored(kept, run_id, retry_errors)
        if until_decided is not None:
            done = keeper.done()
            deciding = Deciding(
                until_decided, tasks_of(plans), rival, [one for one in keeper.episodes() if one.episode_id in done]
            )
        evaluation = await _play(plans, agent, engine, config, progress, make_env, keeper, deciding)
        return _with_results(evaluation, keeper) if results else evaluation


class _Memory:
    """Keeps summaries, and trajectories (compressed) where an environment makes results of them."""

    run_id = ""

    def __init__(self, *, keeps: bool) -> None:
        self._episodes: list[EpisodeSummary] = []
        self._trajectories: dict[str, bytes] | None = {} if keeps else None

    def done(self) -> set[str]:
        return set()

    def add(self, trajectory: Trajectory) -> None:
        self._episodes.append(EpisodeSummary.of(trajectory))
        if self._trajectories is not None:
            self._trajectories[trajectory.episode_id] = pack(written(replace(trajectory, segments=())))

    def set_status(self, status: RunStatus, note: str) -> None:
        del status, note

    def episodes(self) -> list[EpisodeSummary]:
        return self._episodes

    def load(self, run_id: str, episode_id: str) -> Trajectory:
        assert self._trajectories is not None, run_id
        return unpack(self._trajectories[episode_id])


class _Stored:
    """Keeps everything in a run of a store."""

    def __init__(self, store: RunStore, run_id: str, retry_errors: bool) -> None:
        self.run_id = run_id
        self._store = store
        self._retry_errors = retry_errors

    def done(self) -> set[str]:
        return self._store.finished(self.run_id, errors=not self._retry_errors)

    def add(self, trajectory: Trajectory) -> None:
        self._store.add(self.run_id, trajectory, replace=self._retry_errors)

    def set_status(self, status: RunStatus, note: str) -> None:
        self._store.set_status(self.run_id, status, note)

    def episodes(self) -> list[EpisodeSummary]:
        return self._store.episodes(self.run_id)

    def load(self, run_id: str, episode_id: str) -> Trajectory:
        return self._store.get(run_id, episode_id)


async def _play(
    plans: Sequence[EpisodePlan],
    agent: Agent,
    engine: RolloutEngine,
    config: Mapping[str, Json],
    progress: Progress | None,
    make_env: MakeEnv | None,
    keeper: _Memory | _Stored,
    deciding: Deciding | None = None,
) -> Evaluation:
    """Play what is missing, or until it is decided, and summarise everything."""
    done = keeper.done()
    missing = [plan for plan in plans if plan.episode_id not in done]
    num_done = len(plans) - len(missing)
    if deciding is not None and deciding.decision:
        missing = []
    report = progress or (lambda done, total: None)
    report(num_done, len(plans))
    status: RunStatus = "finished"
    note = ""
    same = _SameErrors(keeper.episodes())
    watch = _MetricWatch()
    with running(keeper.set_status, len(plans), lambda: num_done):
        try:
            async with contextlib.aclosing(engine.run(missing, agent, make_env=make_env)) as trajectories:
                async for trajectory in trajectories:
                    keeper.add(trajectory)
                    watch.look_at(trajectory)
                    num_done += 1
                    report(num_done, len(plans))
                    if deciding is not None and deciding.add(EpisodeSummary.of(trajectory)):
                        break
                    if same.add(trajectory) and num_done < len(plans):
                        status, note = "stopped", same.told()
                        break
        except BudgetError as error:
            status = "stopped"
            note = f"{error} Raise the budget and resume the run ({Planned(num_done, len(plans))})."
    if deciding is not None and (deciding.decision or status == "finished"):
        status = "decided" if num_done < len(plans) else "finished"  # with all that was planned the figures are typical
        note = deciding.note(num_done, len(plans))
    keeper.set_status(status, note)
    summary = summarize(keeper.episodes(), clusters=clusters_in(config))
    decided = None if deciding is None else deciding.to_json()
    return Evaluation(keeper.run_id, status, note, summary, config, len(plans), decided=decided)


class _SameErrors:
    """Notices a run in which nothing can be scored: a wrong key, address or model name, or a mistake in an agent's code.

    Args:
        played: Episodes that the run has already.
    """

    def __init__(self, played: Sequence[EpisodeSummary]) -> None:
        self._is_open = all(episode.error_boundary for episode in played)
        self._cause: tuple[str, str] | None = None
        self._message = ""
        self._count = 0

    @staticmethod
    def _cause_of(error: EpisodeError) -> tuple[str, str]:
        """Return the common part of two errors of one cause: the numbers in a message (of requests, of tokens) differ."""
        return error.type, re.sub(r"[0-9a-f]*\d[0-9a-f]*", "#", error.message)[:_CAUSE_CHARS]

    def add(self, trajectory: Trajectory) -> bool:
        """Take in an episode; return whether it is the last that is needed to know."""
        error = trajectory.outcome.error
        # the dialogue of one task may be too long for a model, and that of the next may fit
        if error is None or error.boundary != "model" or error.type == "ContextWindowError":
            self._is_open = False
            return False
        cause = self._cause_of(error)
        self._is_open &= self._cause in (None, cause)
        prefix = "" if error.type == "ModelError" else f"{error.type}: "
        self._cause = cause
        self._message = self._message or f"{prefix}{error.message.removesuffix('.')}."
        self._count += 1
        return self._is_open and self._count == SAME_ERRORS

    def told(self) -> str:
        """Return the note: the cause, and the next move."""
        return (
            f"The first {self._count} episodes ended in the same error and none was scored: {self._message} If a key, a "
            f"server or the agent's code was at fault, correct it and play them again with retry_errors (--retry-errors). "
            f"Another model or address is another run, with a run_id of its own (--run)."
        )


class _MetricWatch:
    """Logs once for each environment and metric that a value is not what was declared; it counts all the same."""

    def __init__(self) -> None:
        self._declared: dict[str, tuple[Metric, ...]] = {}
        self._told: set[tuple[str, str]] = set()

    def look_at(self, trajectory: Trajectory) -> None:
        """Look at the metrics of an episode."""
        env_id, values = trajectory.env_id, trajectory.outcome.metrics
        if values and env_id not in self._declared:
            self._declared[env_id] = declared(env_id).metrics
        if not values or not (metrics := self._declared[env_id]):  # an environment that was made without being registered
            return
        for name, value in values.items():
            if (env_id, name) not in self._told and (found := problems(metrics, {name: value})):
                self._told.add((env_id, name))
                log.warning(
                    "%s: %s (in episode %s). It is averaged all the same. Correct the declaration or the value, and look "
                    "with: palaestra check %s",
                    *(env_id, found[0], trajectory.episode_id, env_id),
                )


def _with_results(evaluation: Evaluation, keeper: _Memory | _Stored) -> Evaluation:
    """Return an evaluation with the tables that its environments have of their own."""
    played = PlayedRun(keeper.run_id, evaluation.config, keeper.episodes())
    return replace(evaluation, results=env_results([row.arm for row in arms_of([played], keeper.load)]))


def _specs(env_id: str | EnvSpec | Sequence[str | EnvSpec], env_kwargs: Mapping[str, Json]) -> list[EnvSpec]:
    """Return the environments of an evaluation."""
    given = [env_id] if isinstance(env_id, (str, EnvSpec)) else list(env_id)
    if not given:
        raise UsageError("There is no environment to evaluate in; name at least one id, e.g. 'palaestra/TextCraft-v0'.")
    return [EnvSpec(item, env_kwargs) if isinstance(item, str) else item for item in given]


__all__ = [
    "EnvSpec",
    "Evaluation",
    "Progress",
    "Summary",
    "evaluate",
    "evaluate_async",
    "plan_evaluation",
    "summarize",
    "task_seed",
]
