"""Scoring stored episodes again, without playing: with another judge, a corrected scorer, or a further metric.

The scores go into a run of their own next to the one that was played, which stays as it is: both can be compared, and
nothing is lost. Each scored episode is one transaction; a run that is killed scores what is missing when it is resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import os
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from palaestra.agents.evaluation.arms import PlayedRun, arms_of, clusters_in, env_results
from palaestra.agents.evaluation.evaluation import Evaluation, Progress
from palaestra.agents.evaluation.resuming import open_run
from palaestra.agents.evaluation.running import running
from palaestra.agents.evaluation.summary import summarize
from palaestra.agents.ranges import check_range
from palaestra.agents.rollout.engine import run_blocking
from palaestra.agents.rollout.plans import MAX_CONCURRENCY
from palaestra.agents.store.records import Planned, RunStatus
from palaestra.agents.store.store import RunStore
from palaestra.errors import Boundary, BudgetError, MissingExtraError, ScoringError, UsageError
from palaestra.media.overlay import OverlayMedia
from palaestra.media.store import use_media
from palaestra.results.metrics import is_number
from palaestra.types import EpisodeError, Outcome, Trajectory
from palaestra.types.trajectory import MAX_METRIC_NAME_CHARS, is_metric_name

Scored = Outcome | Mapping[str, Any]
Scorer = Callable[[Trajectory], Scored | Awaitable[Scored]]
"""Scores one episode: an `Outcome`, or a mapping with `score`, `success`, `metrics`. What it leaves out stays as it was."""

SCORABLE_ERRORS: tuple[Boundary, ...] = ("scoring", "judge")
"""Boundaries of errors that left an episode played to its end; it can be scored. Other errors are kept as they are."""

MAX_DETAIL_CHARS = 20_000
_KEYS = ("score", "success", "metrics")


def rescore(
    store: RunStore | str | os.PathLike[str],
    run_id: str,
    scorer: Scorer,
    *,
    into: str | None = None,
    name: str = "",
    retry_errors: bool = False,
    concurrency: int = 16,
    progress: Progress | None = None,
    results: bool = True,
) -> Evaluation:
    """Score the stored episodes of a run again, into a run of their own.

    The played run is only read. A new episode has the steps and rewards of the old one; its outcome is the scorer's, and
    `meta["outcomes_before"]` holds the earlier ones, the oldest first. Figures that the scorer does not give stay, so that
    it may add a metric alone. Episodes that an error of another boundary ended keep it.

    Args:
        store: Where the run is, a store or its folder; the new run goes there, too.
        run_id: The run that was played.
        scorer: Scores one trajectory; may be asynchronous, then up to `concurrency` episodes are scored at once. Whatever
            it raises, and a result that is not a score, is an error of that episode with boundary "scoring", never a score.
            `palaestra.media.current_media()` holds the sounds and pictures of the run; a scorer that asks for a missing or
            damaged one fails for that episode. Of every episode `meta["lost_media"]` lists them.
        into: Name of the run for the scores. If the store has it, it is resumed: episodes scored there already are not
            scored again. By default a new one.
        name: Name of the scorer in the new run's settings; by default module and name of the function. Resuming asks for
            the same.
        retry_errors: Score episodes again that ended in a scoring error; the new record replaces the old one.
        concurrency: Episodes scored at once by an asynchronous scorer.
        progress: Called with (episodes done, episodes of the run), also once at the start.
        results: Whether to compute the tables that environments have of their own.

    Returns:
        The new run's evaluation; its status is "stopped" if a scorer spent its budget.

    Raises:
        UsageError: If the run is unknown or holds no episodes, or `into` is that run.
        ConfigError: If `into` was made from another run or with another scorer.
        StoreError: If the store cannot be used, or another process works on the new run. Everything scored is kept.
    """

    async def main() -> Evaluation:
        return await rescore_async(
            store,
            run_id,
            scorer,
            into=into,
            name=name,
            retry_errors=retry_errors,
            concurrency=concurrency,
            progress=progress,
            results=results,
        )

    evaluation: Evaluation = run_blocking(main, "rescore()", "rescore_async()")
    return evaluation


async def rescore_async(
    store: RunStore | str | os.PathLike[str],
    run_id: str,
    scorer: Scorer,
    *,
    into: str | None = None,
    name: str = "",
    retry_errors: bool = False,
    concurrency: int = 16,
    progress: Progress | None = None,
    results: bool = True,
) -> Evaluation:
    """Score the stored episodes of a run again; the asynchronous form of `rescore`, with the same arguments."""
    check_range("concurrency", concurrency, low=1, high=MAX_CONCURRENCY, whole=True)
    with contextlib.ExitStack() as stack:
        kept = store if isinstance(store, RunStore) else stack.enter_context(RunStore(store))
        played = kept.config(run_id)
        if into == run_id:
            raise UsageError(f"into is {into!r}, the run that was played; it stays as it is. Name another run.")
        episode_ids = [episode.episode_id for episode in kept.episodes(run_id)]
        if not episode_ids:
            raise UsageError(f"Run {run_id!r} holds no episodes to score; the arms of a training run are runs of their own.")
        config = {**played, "kind": "rescore", "rescored": run_id, "scorer": name or _name_of(scorer)}
        into = open_run(kept, into, config)
        stack.enter_context(kept.lock(into))
        again = {e.episode_id for e in kept.episodes(into) if retry_errors and e.error_boundary == "scoring"}
        done = kept.finished(into) - again
        missing = [episode_id for episode_id in episode_ids if episode_id not in done]
        report = progress or (lambda done, total: None)
        num_done = len(episode_ids) - len(missing)
        report(num_done, len(episode_ids))

        def keep(trajectory: Trajectory) -> None:
            nonlocal num_done
            kept.add(into, trajectory, replace=trajectory.episode_id in again, allow_lost=True)
            num_done += 1
            report(num_done, len(episode_ids))

        # a scorer may listen and look, and the copies take media along; what it makes itself stays out of the played run
        with use_media(OverlayMedia(kept.media(run_id))):
            status, note = await _score_all(kept, run_id, into, missing, scorer, keep, concurrency)
        if status == "finished" and (played_run := kept.run(run_id)).caveat:  # scored as far as it was played
            so_far = f" ({played_run.planned})" if played_run.planned else ""
            status, note = "interrupted", f"The run {run_id!r} that was scored is {played_run.status}{so_far}."
            kept.set_status(into, status, note)
        episodes = kept.episodes(into)
        arms = arms_of([PlayedRun(into, config, episodes)], kept.get) if results else []
        own = env_results([row.arm for row in arms])
        summary = summarize(episodes, clusters=clusters_in(config))
        return Evaluation(into, status, note, summary, config, len(episode_ids), own)


async def _score_all(
    store: RunStore,
    run_id: str,
    into: str,
    missing: list[str],
    scorer: Scorer,
    keep: Callable[[Trajectory], None],
    concurrency: int,
) -> tuple[RunStatus, str]:
    """Score episodes, several at once, and keep each as soon as it is scored; return how it ended, and why."""
    queue = iter(missing)

    async def work(queue: Iterator[str]) -> None:
        for episode_id in queue:
            keep(await score_again(store.get(run_id, episode_id), scorer))
            await asyncio.sleep(0)  # a scorer that never waits must not shut out an interruption

    def set_status(status: RunStatus, note: str) -> None:
        store.set_status(into, status, note)

    status: tuple[RunStatus, str] = "finished", ""
    num_planned = len(store.finished(run_id))
    with running(set_status, num_planned, lambda: len(store.finished(into))):
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(missing))):
                    group.create_task(work(queue))
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]
            if not isinstance(error, BudgetError):
                raise error from error.__cause__
            scored = Planned(len(store.finished(into)), num_planned)
            status = "stopped", f"{error} Raise the budget and resume with into={into!r} ({scored})."
    set_status(*status)
    return status


async def score_again(trajectory: Trajectory, scorer: Scorer) -> Trajectory:
    """Return an episode with the outcome that a scorer gives it.

    Args:
        trajectory: The episode as it was stored.
        scorer: As in `rescore`.

    Raises:
        BudgetError: If the scorer's budget is spent; nothing can be said about the episode.
        MissingExtraError: If the scorer needs a package that is not installed.
    """
    before = trajectory.outcome
    if before.error is not None and before.error.boundary not in SCORABLE_ERRORS:
        return trajectory
    try:
        scored = scorer(_copy(trajectory))
        outcome = _outcome(before, await scored if inspect.isawaitable(scored) else scored)
    except (BudgetError, MissingExtraError):
        raise
    except (Exception, SystemExit) as error:
        outcome = Outcome(stop_reason=before.stop_reason, error=_scoring_error(error))
    earlier = [*trajectory.meta.get("outcomes_before", ()), before.to_json()]
    return replace(trajectory, outcome=outcome, meta={**trajectory.meta, "outcomes_before": earlier})


def _outcome(before: Outcome, scored: Scored) -> Outcome:
    """Return the outcome that a scorer's answer stands for.

    Raises:
        ScoringError: If it is none.
    """
    if isinstance(scored, Outcome):
        if scored.error is not None:
            _check_error(scored.error, scored.stop_reason)
            return scored
        scored = {key: getattr(scored, key) for key in _KEYS}
    if not isinstance(scored, Mapping):
        raise ScoringError(f"The scorer returned a {type(scored).__name__}; expected an Outcome or a mapping with {_KEYS}.")
    if unknown := sorted(set(scored) - set(_KEYS)):
        raise ScoringError(f"The scorer returned {unknown[0]!r}; expected only {', '.join(_KEYS)}.")
    score = before.score if scored.get("score") is None else scored["score"]
    success = before.success if scored.get("success") is None else scored["success"]
    given = scored.get("metrics") or {}
    if score is None or success is None:
        raise ScoringError("The scorer gave no score or no success, and the episode has none from before; give both.")
    if not is_number(score):
        raise ScoringError(f"The score is {score!r}; expected a finite number.")
    if success not in (0, 1):
        raise ScoringError(f"success is {success!r}; expected True or False.")
    if not isinstance(given, Mapping):
        raise ScoringError(f"The scorer's metrics are {repr(given)[:200]}; expected a mapping of names to numbers.")
    for key, value in given.items():
        if not is_metric_name(key):
            raise ScoringError(
                f"The scorer gave a metric the name {repr(key)[:200]}; expected printable text of 1 to "
                f"{MAX_METRIC_NAME_CHARS} characters."
            )
        if not is_number(value):
            raise ScoringError(f"Metric {key!r} is {value!r}; expected a finite number.")
    metrics = {**before.metrics, **{key: float(value) for key, value in given.items()}}
    kept = before.error is None and before.stop_reason not in ("success", "failure")
    stop_reason = before.stop_reason if kept else "success" if success else "failure"
    return Outcome(float(score), bool(success), stop_reason, metrics=metrics)


def _check_error(error: EpisodeError, stop_reason: object) -> None:
    """Refuse an error that could not be stored."""
    if error.boundary not in get_args(Boundary):
        raise ScoringError(f"The scorer's error has boundary {error.boundary!r}; expected one of {get_args(Boundary)}.")
    for text in (error.type, error.message, error.detail, stop_reason):
        if not isinstance(text, str):
            raise ScoringError(
                f"The scorer's error holds {repr(text)[:200]}; expected type, message, detail and stop_reason as text."
            )


def _copy(trajectory: Trajectory) -> Trajectory:
    """Return a copy for a scorer, which may change what it likes: the episode is stored as it was played."""
    tokens = (trajectory.segments, *(record.segments for record in trajectory.seats.values()))  # cannot be changed, are large
    return copy.deepcopy(trajectory, {id(segments): segments for segments in tokens})


def _scoring_error(error: BaseException) -> EpisodeError:
    """Return what is recorded about a scorer that failed."""
    own = isinstance(error, ScoringError)
    message = str(error) if own else f"{type(error).__name__}: {error}"
    detail = "".join(traceback.format_exception(error))
    return EpisodeError("scoring", ScoringError.__name__, message, detail[-MAX_DETAIL_CHARS:])


def _name_of(scorer: Any) -> str:
    """Return module and name of a scorer; of an object that is called, those of its class."""
    named = scorer if hasattr(scorer, "__qualname__") else type(scorer)
    return f"{named.__module__}:{named.__qualname__}"


__all__ = ["SCORABLE_ERRORS", "Scored", "Scorer", "rescore", "rescore_async", "score_again"]
