"""What a set of played episodes says: rates and means with 95 % intervals, by task type, with stop reasons and errors.

Episodes that an error ended are counted and left out of every rate and mean. The order of the episodes never matters.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from palaestra.agents.store.records import EpisodeSummary
from palaestra.envs.core.declared import declared
from palaestra.errors import unknown_name
from palaestra.results.metrics import SHARE
from palaestra.results.statistics import (
    Estimate,
    PairedDifference,
    mean_interval,
    mean_of,
    paired_difference,
    pass_at_k,
    pass_hat_k,
    rate_estimate,
    share_interval,
)
from palaestra.types import Json, Trajectory, Usage

_FIGURES = ("success", "score", "return_")


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """Results of one group of episodes: everything, one environment, or one task type. Every task weighs the same.

    Attributes:
        num_episodes: Episodes, those with errors included.
        num_errors: Episodes that an error ended; not part of the figures below.
        num_tasks: Different tasks with at least one episode without an error.
        success: Share of solved episodes; Wilson interval, widened for several samples of a task.
        score: Mean score in the native scale; t interval over tasks.
        return_: Mean sum of the rewards (1.0 is a solved episode); t interval over tasks.
        avg_at_k: Mean over tasks of the mean return of their samples.
        pass_at_k: Chance that one of k samples of a task is solved, from the tasks of which k samples were scored (its n).
        pass_hat_k: Chance that all k samples of a task are solved (pass^k), from the same tasks.
        truncated: Share of episodes stopped by a limit.
        mean_turns: Mean number of messages of the agent.
        metrics: Mean of each metric of the environment over the episodes that have it, by name; t interval over tasks,
            of shares the part between 0 and 1.
    """

    num_episodes: int
    num_errors: int
    num_tasks: int
    success: Estimate
    score: Estimate
    return_: Estimate
    avg_at_k: Estimate
    pass_at_k: Estimate
    pass_hat_k: Estimate
    truncated: float
    mean_turns: float
    metrics: Mapping[str, Estimate] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number, `metrics` only where there are any."""
        data: dict[str, Json] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Estimate):
                value = value.to_json()
            data[name] = None if isinstance(value, float) and not math.isfinite(value) else value
        del data["metrics"]
        metrics = {name: estimate.to_json() for name, estimate in self.metrics.items()}
        return {**data, "metrics": metrics} if metrics else data


@dataclass(frozen=True, slots=True)
class Summary:
    """Results of a run.

    Attributes:
        total: All episodes together.
        by_env: By environment id.
        by_type: By task type; with several environments the names read "ENV_ID: TYPE".
        samples: Most samples of one task, those with errors included: the k of `avg_at_k`, `pass_at_k` and `pass_hat_k`.
        stop_reasons: Episodes by stop reason, errors left out.
        errors: Episodes with an error by boundary (model, tool, environment, scoring).
        error_types: Episodes with an error by "boundary: class of the error".
        error_messages: The first message of each of these.
        clusters: How many clusters the tasks make in all intervals; None where every task is one of its own.
        usage: Tokens, calls, cost and seconds of all episodes, those with errors included.
        answer_faults: Turns whose answer did not end as it should, by reason: "length" (cut off), "content_filter"
            (blocked), "empty", or a server's word that is not known; those of episodes with errors included.
    """

    total: GroupSummary
    by_env: Mapping[str, GroupSummary]
    by_type: Mapping[str, GroupSummary]
    samples: int
    stop_reasons: Mapping[str, int]
    errors: Mapping[str, int]
    error_types: Mapping[str, int]
    usage: Usage
    answer_faults: Mapping[str, int] = field(default_factory=dict)
    error_messages: Mapping[str, str] = field(default_factory=dict)
    clusters: int | None = None

    @property
    def answers(self) -> str:
        """How many answers did not end as they should, in words: "3 turns cut, 0 filtered, 1 empty"."""
        faults = dict(self.answer_faults)
        cut, filtered, empty = (faults.pop(reason, 0) for reason in ("length", "content_filter", "empty"))
        told = f"{cut:,} turn{'' if cut == 1 else 's'} cut, {filtered:,} filtered, {empty:,} empty"
        if not faults:
            return told
        return f"{told}, {sum(faults.values()):,} for a reason that is not known ({', '.join(sorted(faults))})"

    @property
    def success(self) -> Estimate:
        """Share of solved episodes."""
        return self.total.success

    @property
    def score(self) -> Estimate:
        """Mean score in the native scale."""
        return self.total.score

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number."""
        return {
            "total": self.total.to_json(),
            "by_env": {name: group.to_json() for name, group in self.by_env.items()},
            "by_type": {name: group.to_json() for name, group in self.by_type.items()},
            "samples": self.samples,
            "stop_reasons": dict(self.stop_reasons),
            "errors": dict(self.errors),
            "error_types": dict(self.error_types),
            "usage": self.usage.to_json(),
            "answer_faults": dict(self.answer_faults),
            **({"error_messages": dict(self.error_messages)} if self.error_messages else {}),
            **({} if self.clusters is None else {"clusters": self.clusters}),
        }


def summarize(episodes: Iterable[Trajectory | EpisodeSummary], *, clusters: Mapping[str, str] | None = None) -> Summary:
    """Summarise episodes, given as trajectories or as the store's summaries, in any order.

    Args:
        episodes: Of one run, or of several.
        clusters: What tasks have in common, by the key of the task: those with the same word are one cluster in every interval
            (a test task tells little new where another one has the same goal). By default every task is one of its own.
    """
    found = [_summary_of(episode) for episode in episodes]
    found.sort(key=lambda episode: (episode.env_id, episode.episode_id))
    several = len({episode.env_id for episode in found}) > 1
    by_env: dict[str, list[EpisodeSummary]] = defaultdict(list)
    by_type: dict[str, list[EpisodeSummary]] = defaultdict(list)
    for episode in found:
        by_env[episode.env_id].append(episode)
        by_type[f"{episode.env_id}: {episode.task_type}" if several else episode.task_type].append(episode)
    failed = [episode for episode in found if episode.error_boundary]
    samples = max(Counter(_task(episode) for episode in found).values(), default=1)
    total = _summarize_group(found, samples, clusters)

    def groups(parts: Mapping[str, Sequence[EpisodeSummary]]) -> dict[str, GroupSummary]:
        """Summarise parts by name; one that is everything is the total."""
        if len(parts) == 1:
            return dict.fromkeys(parts, total)
        return {name: _summarize_group(part, samples, clusters) for name, part in sorted(parts.items())}

    return Summary(
        total=total,
        by_env=groups(by_env),
        by_type=groups(by_type),
        samples=samples if found else 0,
        stop_reasons=_counts(episode.stop_reason for episode in found if not episode.error_boundary),
        errors=_counts(episode.error_boundary for episode in failed),
        error_types=_counts(f"{episode.error_boundary}: {episode.error_type}" for episode in failed),
        # the last that is written under a cause stays
        error_messages={f"{one.error_boundary}: {one.error_type}": one.error_message for one in reversed(failed)},
        usage=Usage(
            calls=sum(episode.calls for episode in found),
            prompt_tokens=sum(episode.prompt_tokens for episode in found),
            completion_tokens=sum(episode.completion_tokens for episode in found),
            cost=math.fsum(episode.cost for episode in found),
            model_s=math.fsum(episode.model_s for episode in found),
            env_s=math.fsum(episode.env_s for episode in found),
        ),
        answer_faults=_added(episode.answer_faults for episode in found if episode.answer_faults),
        clusters=len({_cluster(episode, clusters) for episode in found if not episode.error_boundary}) if clusters else None,
    )


def summarize_together(runs: Mapping[str, Iterable[EpisodeSummary]]) -> Summary:
    """Summarise the episodes of several runs as one; tasks of the same name in two of them are two tasks.

    Args:
        runs: Episodes by the name of their run.
    """
    return summarize(
        replace(episode, group_id=f"{name}/{episode.group_id or episode.task_key or episode.episode_id}")
        for name, episodes in runs.items()
        for episode in episodes
    )


def compare(
    first: Iterable[Trajectory | EpisodeSummary], second: Iterable[Trajectory | EpisodeSummary], *, by: str = "success"
) -> PairedDifference:
    """Compare two runs on the tasks that both played without an error; samples of a task are averaged.

    An episode without a task is paired with one of the same seed; one without either is paired with none.

    Args:
        first: Episodes of one run.
        second: Episodes of the other.
        by: "success", "score", "return_", or the name of a metric: then on the tasks where both have it.

    Returns:
        The difference, first minus second.

    Raises:
        UnknownNameError: If `by` is the name of no figure and of no metric that an episode has.
    """
    both = [[_summary_of(episode) for episode in episodes] for episodes in (first, second)]
    known = {*_FIGURES, *(name for episodes in both for episode in episodes for name in episode.metrics)}
    if by not in known:
        raise unknown_name("figure", by, known)
    means = [_task_means(episodes, by) for episodes in both]
    shared = sorted(set(means[0]) & set(means[1]))  # a task and a seed never meet: the one has a key, the other none
    return paired_difference([means[0][task] for task in shared], [means[1][task] for task in shared])


def _summary_of(episode: Trajectory | EpisodeSummary) -> EpisodeSummary:
    """Return the summary of an episode."""
    return episode if isinstance(episode, EpisodeSummary) else EpisodeSummary.of(episode)


def shared_task(episode: EpisodeSummary) -> tuple[str, int, str, int] | None:
    """Return the task of an episode, the same in every run that played it.

    Environment, which of its sets of arguments, and the key of the task, or the seed where it has none; None with neither.
    """
    if episode.task_key:
        return episode.env_id, arguments_number(episode), episode.task_key, 0
    if episode.seed is None:
        return None
    return episode.env_id, arguments_number(episode), "", episode.seed


def arguments_number(episode: EpisodeSummary) -> int:
    """Return which set of arguments of its environment an episode was played with: 0 is the first (see `plan_evaluation`)."""
    if not episode.episode_id.startswith(f"{episode.env_id}@"):
        return 0
    match = re.match(r"@(\d+)/", episode.episode_id.removeprefix(episode.env_id))
    return int(match[1]) - 1 if match else 0


def _task_means(episodes: Iterable[EpisodeSummary], by: str) -> dict[tuple[str, int, str, int], float]:
    """Return the mean of one figure by task, or by seed where there are no tasks."""
    values: dict[tuple[str, int, str, int], list[float]] = defaultdict(list)
    for summary in episodes:
        value = getattr(summary, by) if by in _FIGURES else summary.metrics.get(by)
        task = shared_task(summary)
        if task is not None and not summary.error_boundary and value is not None:
            values[task].append(float(value))
    return {task: mean_of(found) for task, found in values.items()}


class _Tasks:
    """The scored episodes of a group by task, and their figures by cluster of tasks."""

    def __init__(self, episodes: Sequence[EpisodeSummary], clusters: Mapping[str, str] | None) -> None:
        tasks: dict[tuple[str, str], list[EpisodeSummary]] = defaultdict(list)
        for episode in episodes:
            tasks[_task(episode)].append(episode)
        self.groups = list(tasks.values())
        self._clusters = clusters

    def interval(self, estimate: Callable[..., Estimate], values: Sequence[Sequence[float]]) -> Estimate:
        """Estimate a figure from its values by task; every task weighs the same.

        Args:
            estimate: Of clusters, e.g. `rate_estimate`.
            values: Of the episodes of each task, in the order of `groups`; none where a task has none.
        """
        if not self._clusters:
            return estimate(values, by_cluster=True)
        merged: dict[tuple[str, str], list[float]] = defaultdict(list)
        for group, own in zip(self.groups, values, strict=True):
            if own:
                merged[_cluster(group[0], self._clusters)].append(mean_of(own))
        return estimate(list(merged.values()))


def _summarize_group(episodes: Sequence[EpisodeSummary], k: int, clusters: Mapping[str, str] | None) -> GroupSummary:
    """Summarise one group.

    Every task weighs the same, however many of its samples an error took: what is lost at random changes no expectation.
    """
    scored = [episode for episode in episodes if not episode.error_boundary]
    tasks = _Tasks(scored, clusters)
    groups = tasks.groups
    num = len(scored)
    returns = [[episode.return_ for episode in group] for group in groups]
    solved = [[float(bool(episode.success)) for episode in group] for group in groups]
    full = [(len(group), round(sum(group))) if len(group) >= k else None for group in solved]
    kinds = [(one, [pass_at_k(*one, k)], [pass_hat_k(*one, k)]) for one in set(full) if one is not None]
    some, every = {one: rate for one, rate, _ in kinds}, {one: rate for one, _, rate in kinds}
    passed = [[] if one is None else some[one] for one in full]
    passed_all = [[] if one is None else every[one] for one in full]
    return GroupSummary(
        num_episodes=len(episodes),
        num_errors=len(episodes) - num,
        num_tasks=len(groups),
        success=tasks.interval(rate_estimate, solved),
        score=tasks.interval(mean_interval, [[episode.score or 0.0 for episode in group] for group in groups]),
        return_=tasks.interval(mean_interval, returns),
        avg_at_k=tasks.interval(mean_interval, [[mean_of(values)] for values in returns]),
        pass_at_k=tasks.interval(rate_estimate, passed),
        pass_hat_k=tasks.interval(rate_estimate, passed_all),
        truncated=_mean_by_task([[float(episode.truncated) for episode in group] for group in groups]),
        mean_turns=_mean_by_task([[float(episode.num_turns) for episode in group] for group in groups]),
        metrics=_metric_means(tasks),
    )


def _mean_by_task(tasks: Sequence[Sequence[float]]) -> float:
    """Return the mean over tasks of the mean over their samples."""
    return mean_interval(tasks, by_cluster=True).mean


def _metric_means(tasks: _Tasks) -> dict[str, Estimate]:
    """Return the mean of each metric that any episode has."""
    found = sorted({(name, episode.env_id) for group in tasks.groups for episode in group for name in episode.metrics})
    means = {}
    for name in dict.fromkeys(name for name, _ in found):
        is_share = all(is_declared_share(name, env_id) for other, env_id in found if other == name)
        values = [[episode.metrics[name] for episode in group if name in episode.metrics] for group in tasks.groups]
        means[name] = tasks.interval(share_interval if is_share else mean_interval, values)
    return means


def is_declared_share(metric: str, env_id: str) -> bool:
    """Return whether an environment declares a metric as a share: a value from 0 to 1."""
    return any(known.name == metric and known.unit == SHARE for known in declared(env_id).metrics)


def _task(episode: EpisodeSummary) -> tuple[str, str]:
    """Return what makes episodes samples of one task: the planned group, else the task, else nothing but the episode."""
    return episode.env_id, episode.group_id or episode.task_key or episode.episode_id


def _cluster(episode: EpisodeSummary, clusters: Mapping[str, str]) -> tuple[str, str]:
    """Return the cluster of an episode's task; one of its own where nothing is said of the task."""
    found = clusters.get(episode.task_key)
    return ("", found) if found is not None else _task(episode)


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by name."""
    sums: Counter[str] = Counter()
    for one in counts:
        sums.update(one)
    return dict(sorted(sums.items()))


def _counts(names: Iterable[str]) -> dict[str, int]:
    """Count names, the most frequent first, equals by name."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


__all__ = ["GroupSummary", "Summary", "arguments_number", "compare", "shared_task", "summarize", "summarize_together"]
