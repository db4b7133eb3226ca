"""Arms of runs against each other, task by task: differences, flips, tests, and where the variance comes from."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from palaestra.agents.evaluation.arms import ArmSummary, PlayedRun, arms_of, unshared_tasks
from palaestra.agents.evaluation.deciding import KEY, UntilDecided, of_episodes
from palaestra.agents.evaluation.floors import AboveFloor, floors_of
from palaestra.agents.evaluation.summary import compare, shared_task
from palaestra.agents.store.records import EpisodeSummary
from palaestra.errors import UsageError
from palaestra.results.statistics import (
    PairedDifference,
    holm,
    mcnemar,
    paired_difference,
    paired_rates,
    pass_at_k,
    pass_hat_k,
)
from palaestra.results.statistics.variance import Observation, VarianceSplit, variance_split
from palaestra.types import Json
from palaestra.types.plain_json import finite

Task = tuple[str, int, str, int]

MAX_ARMS = 24
"""Arms that are compared at once, each with each."""

_SETTINGS = ("split", "samples", "seed", "max_turns", "record_version")
_NOBODY = math.nan
_EQUAL = 1e-12


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms on the tasks that both played.

    Attributes:
        first: Name of one arm.
        second: Name of the other.
        env_id: Environment.
        num_tasks: Tasks that both played without an error.
        difference: First minus second; NaN where nothing could be judged.
        p_holm: Its p-value, adjusted for all pairs.
        only_first: Tasks of which the first solved a larger share, by key or seed.
        only_second: Tasks of which the second did.
        exact: McNemar's exact p-value of these flips; NaN where one was played until decided, which it does not allow for.
        mid_p: Its mid-p.
        k: Samples of `at_k` and `hat_k`: the fewest of a task that either has.
        at_k: Difference of Pass@k; None with one sample.
        hat_k: Difference of pass^k; None with one sample.
        problem: Why it could not be judged; empty if it could.
        notices: What else differs between the arms.
    """

    first: str
    second: str
    env_id: str
    num_tasks: int
    difference: PairedDifference
    p_holm: float = _NOBODY
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    exact: float = _NOBODY
    mid_p: float = _NOBODY
    k: int = 1
    at_k: PairedDifference | None = None
    hat_k: PairedDifference | None = None
    problem: str = ""
    notices: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """What it says: "first", "second" (is better), "undecided", or "not judged"."""
        if self.problem:
            return "not judged"
        if not self.p_holm <= 0.05:
            return "undecided"
        return "first" if self.difference.mean > 0 else "second"

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number."""
        return {
            "first": self.first,
            "second": self.second,
            "env": self.env_id,
            "verdict": self.verdict,
            "problem": self.problem,
            "num_tasks": self.num_tasks,
            "difference": self.difference.to_json(),
            "p_holm": finite(self.p_holm),
            "flips": {"only_first": list(self.only_first), "only_second": list(self.only_second)},
            "mcnemar": {"exact": finite(self.exact), "mid_p": finite(self.mid_p)},
            "k": self.k,
            "pass_at_k": None if self.at_k is None else self.at_k.to_json(),
            "pass_hat_k": None if self.hat_k is None else self.hat_k.to_json(),
            "notices": list(self.notices),
        }


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What runs say against each other.

    Attributes:
        arms: All arms.
        pairs: Each with each of the same environment.
        variances: Where the variance comes from, by agent and environment, over all runs of it.
        notices: Of which environments the arms do not share their tasks, and which runs are not finished.
        by: The figure that was compared.
        floors: What is for free, of each of `arms`.
    """

    arms: tuple[ArmSummary, ...]
    pairs: tuple[Pair, ...]
    variances: Mapping[tuple[str, str], VarianceSplit]
    notices: tuple[str, ...]
    by: str
    floors: tuple[AboveFloor, ...]

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {
            "by": self.by,
            "arms": [
                {
                    "run_id": arm.run_id,
                    "name": arm.name,
                    "agent": arm.agent,
                    "env": arm.arm.env_id,
                    "success": arm.summary.success.to_json(),
                    "score": arm.summary.score.to_json(),
                    "num_episodes": len(arm.episodes),
                    "num_errors": arm.num_errors,
                    **floor.to_json(),
                }
                for arm, floor in zip(self.arms, self.floors, strict=True)
            ],
            "pairs": [pair.to_json() for pair in self.pairs],
            "variance": [
                {"agent": agent, "env": env_id, **split.to_json()} for (agent, env_id), split in self.variances.items()
            ],
            "notices": list(self.notices),
        }


def compare_arms(runs: Sequence[PlayedRun], *, by: str = "success") -> RunComparison:
    """Compare runs, each arm with each other of the same environment, on the tasks that both played.

    Args:
        runs: At least two.
        by: "success", "score", "return_" or the name of a metric.

    Raises:
        UsageError: If there are fewer than two arms or more than `MAX_ARMS`.
        UnknownNameError: If `by` is the name of no figure.
    """
    arms = arms_of(runs)
    if len(runs) < 2 or len(arms) > MAX_ARMS:
        raise UsageError(f"Got {len(runs)} runs with {len(arms)} arms; expected at least 2 runs and at most {MAX_ARMS} arms.")
    configs = {run.run_id: run.config for run in runs}
    pairs = []
    for first, second in combinations(arms, 2):
        if first.arm.env_id == second.arm.env_id:
            pairs.append(_pair(first, second, configs, by))
        elif not _envs_of(arms, first.run_id) & _envs_of(arms, second.run_id):
            pairs.append(_unjudged(first, second, f"{first.arm.env_id} and {second.arm.env_id} are two environments"))
    adjusted = holm([pair.difference.p_value if not pair.problem else math.nan for pair in pairs])
    pairs = [replace(pair, p_holm=value) for pair, value in zip(pairs, adjusted, strict=True)]
    empty = [f"Run {run.run_id!r} has no episodes." for run in runs if not run.episodes]
    notices = (*empty, *unshared_tasks(arms))
    return RunComparison(tuple(arms), tuple(pairs), _variances(arms, configs), notices, by, tuple(floors_of(arms)))


def _envs_of(arms: Sequence[ArmSummary], run_id: str) -> set[str]:
    """Return the environments of a run."""
    return {arm.arm.env_id for arm in arms if arm.run_id == run_id}


def _unjudged(first: ArmSummary, second: ArmSummary, problem: str, notices: tuple[str, ...] = (), tasks: int = 0) -> Pair:
    """Return a pair of which nothing is said but why."""
    nothing = PairedDifference(math.nan, math.nan, math.nan, tasks, math.nan)
    return Pair(first.name, second.name, first.arm.env_id, tasks, nothing, problem=problem, notices=notices)


def _pair(first: ArmSummary, second: ArmSummary, configs: Mapping[str, Mapping[str, Json]], by: str) -> Pair:
    """Compare two arms of one environment."""
    notices = tuple(_told_apart(first, second, configs))
    if _has_other_contents(first, second):
        return _unjudged(first, second, "their tasks have the same keys and other contents", notices)
    sides = [_by_task(arm.episodes) for arm in (first, second)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    if not shared:
        return _unjudged(first, second, "they share no task that both played without an error", notices)
    one, other = ([[float(bool(e.success)) for e in side[task]] for task in shared] for side in sides)
    rated = by == "success"
    difference = paired_rates(one, other) if rated else compare(first.episodes, second.episodes, by=by)
    decided = _decided(first, second, configs) if rated else None
    if decided is not None:
        difference = decided
        notices = (*notices, "played until decided: interval and p-value hold at any stop, and are of the tasks before it")
    if len(shared) < 2 or math.isnan(difference.p_value):
        return _unjudged(first, second, f"one task says nothing about others ({len(shared)} is shared)", notices, len(shared))
    gains = [math.fsum(a) / len(a) - math.fsum(b) / len(b) for a, b in zip(one, other, strict=True)]
    only_first = tuple(_name(task) for task, gain in zip(shared, gains, strict=True) if gain > _EQUAL)
    only_second = tuple(_name(task) for task, gain in zip(shared, gains, strict=True) if gain < -_EQUAL)
    exact, mid_p = mcnemar(len(only_first), len(only_second)) if decided is None else (math.nan, math.nan)
    found = Pair(
        first.name,
        second.name,
        first.arm.env_id,
        len(shared),
        difference,
        only_first=only_first,
        only_second=only_second,
        exact=exact,
        mid_p=mid_p,
        notices=notices,
    )
    k = min(map(len, (*one, *other)))
    if k == 1:
        return found
    return replace(found, k=k, at_k=_of_samples(one, other, k, every=False), hat_k=_of_samples(one, other, k, every=True))


def _decided(first: ArmSummary, second: ArmSummary, configs: Mapping[str, Mapping[str, Json]]) -> PairedDifference | None:
    """Return the difference of two arms of which one was played until decided against the other; None of others."""
    for one, other, sign in ((first, second, 1), (second, first, -1)):
        config = configs[one.run_id]
        until = config.get(KEY) if config.get("kind") == "evaluate" else None
        if until is None or until["against"] != other.run_id:
            continue
        found = of_episodes(UntilDecided.from_json(until), config["seed"], one.episodes, other.episodes)
        low, high = sorted((sign * found.low, sign * found.high))
        return PairedDifference(sign * found.mean, low, high, found.n, found.p_value)
    return None


def _of_samples(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]], k: int, *, every: bool) -> PairedDifference:
    """Return the difference of Pass@k, or of pass^k."""
    rate = pass_hat_k if every else pass_at_k
    first, second = ([rate(len(values), round(math.fsum(values)), k) for values in side] for side in (one, other))
    if all(share in (0.0, 1.0) for share in (*first, *second)):
        return paired_rates([[share] for share in first], [[share] for share in second])
    return paired_difference(first, second)


def _by_task(episodes: Sequence[EpisodeSummary]) -> dict[Task, list[EpisodeSummary]]:
    """Return the episodes without an error by task."""
    found: dict[Task, list[EpisodeSummary]] = defaultdict(list)
    for episode in episodes:
        task = shared_task(episode)
        if task is not None and not episode.error_boundary:
            found[(task[0], 0, *task[2:])].append(episode)
    return found


def _name(task: Task) -> str:
    """Return the key of a task, or its seed."""
    return task[2] or f"seed {task[3]}"


def _told_apart(first: ArmSummary, second: ArmSummary, configs: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """Say in which settings other than the agent two arms differ: their difference is of these too."""
    one, other = configs[first.run_id], configs[second.run_id]
    told = [
        f"{name} is {_short(one.get(name))} and {_short(other.get(name))}"
        for name in _SETTINGS
        if one.get(name) != other.get(name)
    ]
    if _partner(one) != _partner(other):
        told.append("other users or partners: the difference is of them too")
    if first.arm.env_kwargs != second.arm.env_kwargs:
        told.append(f"arguments of the environment are {_short(first.arm.env_kwargs)} and {_short(second.arm.env_kwargs)}")
    if _has_other_contents(first, second):
        told.append("tasks of the same keys and other contents")
    return told


def _has_other_contents(first: ArmSummary, second: ArmSummary) -> bool:
    """Whether the tasks of two arms have the same keys and other contents."""
    is_same = all(first.planned.get(key) == second.planned.get(key) for key in ("count", "keys"))
    is_same = is_same and first.arm.env_kwargs == second.arm.env_kwargs
    return is_same and first.planned.get("digest") != second.planned.get("digest")


def _short(value: object) -> str:
    """Return a setting for a line."""
    if value is None:
        return "not set"
    text = repr(dict(value) if isinstance(value, Mapping) else value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _partner(config: Mapping[str, Json]) -> str:
    """Return who sits in the other seats, as a text."""
    return json.dumps([config.get(name) for name in ("seats", "seat_models", "seat_settings")], sort_keys=True, default=repr)


def variances_of(runs: Sequence[PlayedRun]) -> dict[tuple[str, str], VarianceSplit]:
    """Return where the variance of success comes from, for each agent in each environment over all of its runs.

    Args:
        runs: Those of one agent in one environment count together: other seeds are other worlds, other seats other partners.
    """
    return _variances(arms_of(runs), {run.run_id: run.config for run in runs})


def _variances(arms: Sequence[ArmSummary], configs: Mapping[str, Mapping[str, Json]]) -> dict[tuple[str, str], VarianceSplit]:
    """Return where the variance of success comes from, by agent and environment."""
    found: dict[tuple[str, str], list[Observation]] = defaultdict(list)
    for arm in arms:
        partner = _partner(configs[arm.run_id])
        arguments = json.dumps(dict(arm.arm.env_kwargs), sort_keys=True, default=repr)
        for episode in arm.episodes:
            task = shared_task(episode)
            if task is not None and not episode.error_boundary:
                where = (task[2:], arguments)
                found[arm.agent, arm.arm.env_id].append(
                    Observation(where, episode.seed, partner, float(bool(episode.success)))
                )
    return {key: variance_split(values) for key, values in found.items()}


__all__ = ["MAX_ARMS", "Pair", "RunComparison", "compare_arms", "variances_of"]
