"""Arms of runs: whose episodes belong together, their summaries, and the results that their environments have of their own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from palaestra.agents.evaluation.summary import Summary, arguments_number, shared_task, summarize
from palaestra.agents.store.records import EpisodeSummary, RunSummary
from palaestra.agents.store.store import RunStore
from palaestra.envs.core.declared import declared
from palaestra.results.metrics import Metric, in_order
from palaestra.results.statistics import Estimate
from palaestra.results.tables import Arm, EnvResults, ResultTable, distinguish, load_results, no_blocks
from palaestra.types import Json, Trajectory, Usage

Load = Callable[[str, str], Trajectory]
"""Returns the trajectory of a run id and an episode id, e.g. `RunStore.get`."""


class PlayedRun(NamedTuple):
    """A run with its episodes.

    Attributes:
        run_id: Its name; empty if it is not stored.
        config: Its settings.
        episodes: Summaries of its episodes.
    """

    run_id: str
    config: Mapping[str, Json]
    episodes: Sequence[EpisodeSummary]

    @classmethod
    def of(cls, store: RunStore, run_id: str) -> PlayedRun:
        """Read a run of a store."""
        return cls(run_id, store.config(run_id), store.episodes(run_id))


class StoredEpisodes:
    """Trajectories that are read one by one whenever they are gone through.

    Args:
        load: Reads one.
        run_id: Their run.
        episode_ids: Their names.
    """

    def __init__(self, load: Load, run_id: str, episode_ids: Sequence[str]) -> None:
        """Keep the names only."""
        self._load, self._run_id, self._episode_ids = load, run_id, episode_ids

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self._episode_ids)

    def __iter__(self) -> Iterator[Trajectory]:
        """Read one trajectory after the other."""
        return (self._load(self._run_id, episode_id) for episode_id in self._episode_ids)


@dataclass(frozen=True)
class ArmSummary:
    """One row of the tables: an arm, and the summaries of its episodes.

    Attributes:
        arm: Who played what.
        episodes: Its episodes, in the order of their ids.
        planned: The tasks that the record of the run names for it; empty in runs of earlier versions.
        clusters: What the record of the run says that tasks have in common, by the key of the task (see `summarize`).
        config: Settings of the run.
    """

    arm: Arm
    episodes: tuple[EpisodeSummary, ...]
    planned: Mapping[str, Json] = field(default_factory=dict)
    clusters: Mapping[str, str] | None = None
    config: Mapping[str, Json] = field(default_factory=dict)

    @cached_property
    def summary(self) -> Summary:
        """Rates, means and intervals."""
        return summarize(self.episodes, clusters=self.clusters)

    @property
    def name(self) -> str:
        """Name, unique among the arms shown together."""
        return self.arm.name

    @property
    def agent(self) -> str:
        """Name of the agent alone."""
        return self.arm.agent

    @property
    def run_id(self) -> str:
        """Run that holds the episodes."""
        return self.arm.run_id

    @property
    def num_errors(self) -> int:
        """Number of episodes that an error ended."""
        return self.summary.total.num_errors

    @property
    def num_scored(self) -> int:
        """Number of episodes without an error."""
        return len(self.episodes) - self.num_errors

    @property
    def success(self) -> Estimate | None:
        """Share of solved tasks; None if nothing was scored."""
        return self.summary.success if self.num_scored else None

    @property
    def score(self) -> Estimate | None:
        """Mean score; None if nothing was scored."""
        return self.summary.score if self.num_scored else None

    @property
    def metrics(self) -> Mapping[str, Estimate]:
        """Means of the environment's metrics."""
        return self.summary.total.metrics

    @property
    def turns(self) -> float:
        """Mean number of turns of the scored episodes; NaN without any."""
        return self.summary.total.mean_turns

    @cached_property
    def endings(self) -> Counter[str]:
        """Number of episodes by stop reason; errors by their boundary."""
        return Counter(f"{e.error_boundary}_error" if e.error_boundary else e.stop_reason or "unknown" for e in self.episodes)

    @property
    def usage(self) -> Usage:
        """What all episodes cost."""
        return self.summary.usage

    @property
    def env_ids(self) -> set[str]:
        """Environments that were played."""
        return {e.env_id for e in self.episodes}

    @cached_property
    def tasks(self) -> set[tuple[str, str, int]]:
        """What was played: environment, key of the task, or seed where there is none; whatever the arguments were."""
        return {(task[0], task[2], task[3]) for e in self.episodes if (task := shared_task(e)) is not None}

    @property
    def splits(self) -> set[str]:
        """Splits that were played."""
        return {e.split for e in self.episodes}

    def of_type(self, task_type: str) -> ArmSummary:
        """Return the part of this arm with tasks of one type."""
        return replace(self, episodes=tuple(e for e in self.episodes if e.task_type == task_type))


def arms_of(runs: Sequence[PlayedRun], load: Load | None = None) -> list[ArmSummary]:
    """Split runs into arms: one per run and agent, and per environment, its arguments and split where a run holds several.

    Args:
        runs: Runs with their episodes.
        load: Where trajectories are read from; without it the arms have none.
    """
    groups: dict[tuple[str, str, str, int, str], list[EpisodeSummary]] = {}
    configs = {run.run_id: run.config for run in runs}
    for run in runs:
        for e in run.episodes:
            groups.setdefault((run.run_id, e.agent, e.env_id, arguments_number(e), e.split), []).append(e)
    arms, found = [], []
    met = list(dict.fromkeys((key[:3], key[4]) for key in groups))  # arguments in the order of the settings, the rest as met
    for key in sorted(groups, key=lambda key: (met.index((key[:3], key[4])), key[3])):
        run_id, agent, env_id, number, split = key
        members = groups[key]
        episodes = tuple(sorted(members, key=_natural))
        stored = () if load is None else StoredEpisodes(load, run_id, [e.episode_id for e in episodes])
        arguments = _of_env(configs[run_id], env_id, number, [env.get("env_kwargs", {}) for env in _envs(configs[run_id])])
        arms.append(Arm(run_id, agent, env_id, arguments, split, episodes=stored))
        planned = _of_env(configs[run_id], env_id, number, configs[run_id].get("tasks", ()))
        found.append((episodes, planned, clusters_in(configs[run_id]), configs[run_id]))
    return [ArmSummary(arm, *rest) for arm, rest in zip(distinguish(arms), found, strict=True)]


def clusters_in(config: Mapping[str, Json]) -> Mapping[str, str] | None:
    """Return the clusters of tasks that the settings of a run name, by task key (see `summarize`); None if there are none."""
    found: Mapping[str, Mapping[str, str]] | None = config.get("clusters")
    return None if found is None else found["of"]


def is_training(run: RunSummary) -> bool:
    """Return whether a run is one of a recipe."""
    return run.config.get("kind") == "train"


def with_arms(store: RunStore, run_ids: Sequence[str]) -> list[RunSummary]:
    """Return runs, each training run followed by the evaluations of its arms that are stored.

    Args:
        store: Where the runs are.
        run_ids: Which.

    Raises:
        UnknownNameError: If there is no run of a name.
    """
    found: dict[str, RunSummary] = {}
    known = set(store.run_ids())
    for run_id in run_ids:
        run = store.run(run_id)
        found[run_id] = run
        for arm in run.config.get("arms", ()) if is_training(run) else ():
            if (name := f"{run_id}-{arm}") in known:
                found[name] = store.run(name)
    return list(found.values())


def env_results(arms: Sequence[Arm]) -> dict[str, EnvResults]:
    """Return the results of each environment that has tables of its own, by its id.

    An environment whose function fails has a table that says so: one mistake there must hide neither the other results nor
    itself.
    """
    own = {env_id: declared(env_id).results for env_id in dict.fromkeys(arm.env_id for arm in arms)}
    return {env_id: _results(spec, [arm for arm in arms if arm.env_id == env_id]) for env_id, spec in own.items() if spec}


def unshared_tasks(arms: Sequence[ArmSummary]) -> list[str]:
    """Say of which environments the arms were not played on the same tasks, so that their figures are not of the same."""
    told = []
    for env_id in dict.fromkeys(arm.arm.env_id for arm in arms):
        members = [arm for arm in arms if arm.arm.env_id == env_id]
        tasks = [arm.tasks for arm in members]
        common = set.intersection(*tasks)
        if any(one != common for one in tasks):
            kind = "tasks" if all(key for one in tasks for _, key, _ in one) else "tasks or seeds"
            played = ", ".join(f"{arm.name} {len(one):,}" for arm, one in zip(members, tasks, strict=True))
            told.append(
                f"The arms of {env_id} do not share their {kind}: {len(common):,} are common to all ({played}), so their "
                f"figures are not of the same. Compare them on what they share, with compare()."
            )
        elif _differ_under_keys(members):
            told.append(
                f"The arms of {env_id} were played on tasks of the same keys and other contents: the task set was changed "
                f"between them. Play both on one of the two."
            )
    return told


def _differ_under_keys(arms: Sequence[ArmSummary]) -> bool:
    """Whether arms with the same arguments have records of tasks that differ in nothing but what the tasks are."""
    digests: dict[str, set[Json]] = {}
    for arm in arms:
        planned = arm.planned
        if "digest" in planned:
            same = json.dumps([arm.arm.env_kwargs, arm.arm.split, planned["count"], planned.get("keys")], default=repr)
            digests.setdefault(same, set()).add(planned["digest"])
    return any(len(found) > 1 for found in digests.values())


def metrics_of_arms(arms: Sequence[ArmSummary]) -> list[Metric]:
    """Return the metrics that any of the arms has, as their environments declare them, leads first."""
    env_ids = sorted({env_id for arm in arms for env_id in arm.env_ids})
    measured = {name for arm in arms for name in arm.metrics}
    return in_order((metric for env_id in env_ids for metric in declared(env_id).metrics), measured)


def metrics_table(arms: Sequence[ArmSummary], metrics: Sequence[Metric]) -> ResultTable:
    """Return a table of metrics: mean and interval of each, by arm if there are several."""
    several = len(arms) > 1
    rows = [
        (
            f"{metric.title} {metric.arrow}".strip(),
            *([arm.name] if several else []),
            metric.shown(estimate.mean),
            metric.shown_range(estimate.low, estimate.high),
            f"{estimate.n:,}",
        )
        for metric in metrics
        for arm in arms
        if (estimate := arm.metrics.get(metric.name)) is not None
    ]
    about = [f"{metric.title}: {metric.about}" for metric in metrics if metric.about]
    columns = ("Metric", *(["Arm"] if several else []), "Mean", "95 % interval", "Episodes")
    return ResultTable("Metrics", columns, tuple(rows), "\n".join(about), text_columns=2 if several else 1)


def _results(spec: str, arms: Sequence[Arm]) -> EnvResults:
    """Return the results of one environment, or in their place what went wrong; the blocks need no arms."""
    try:
        return _called(spec, arms)
    except (Exception, SystemExit) as error:  # a script that calls sys.exit() must not end whoever shows results
        message = f"{type(error).__name__}: {error}"
    table = ResultTable(
        f"Results of {arms[0].env_id}", ("Failed", "Error"), ((spec, message),), text_columns=2, marks=("bad",)
    )
    try:
        blocks = _called(spec, ()).blocks
    except (Exception, SystemExit):
        blocks = no_blocks
    return EnvResults((table,), {"error": message, "function": spec}, blocks)


def _called(spec: str, arms: Sequence[Arm]) -> EnvResults:
    """Call the function that an environment names."""
    found = load_results(spec)(arms)
    if not isinstance(found, EnvResults):
        raise TypeError(f"{spec} returned a {type(found).__name__}; expected an EnvResults.")
    return found


def _envs(config: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the environments that a run's configuration names."""
    envs: Sequence[Mapping[str, Any]] = config.get("envs", ())
    return envs


def _of_env(config: Mapping[str, Any], env_id: str, number: int, values: Sequence[Mapping[str, Json]]) -> Mapping[str, Json]:
    """Return the value that belongs to an environment and one of its sets of arguments, of one for each of a configuration."""
    own = [value for env, value in zip(_envs(config), values, strict=False) if env.get("env_id") == env_id]
    return own[number] if number < len(own) else {}


def _natural(episode: EpisodeSummary) -> list[str | tuple[int, str]]:
    """Sort "test/2" before "test/10"."""
    parts: list[Any] = _DIGITS.split(episode.episode_id)  # texts and numbers in turns
    parts[1::2] = [(len(digits), digits) for digits in (part.lstrip("0") for part in parts[1::2])]
    return parts


_DIGITS = re.compile(r"(\d+)")

__all__ = [
    "ArmSummary",
    "PlayedRun",
    "StoredEpisodes",
    "arms_of",
    "clusters_in",
    "env_results",
    "is_training",
    "metrics_of_arms",
    "metrics_table",
    "unshared_tasks",
    "with_arms",
]
