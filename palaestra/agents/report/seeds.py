"""Training runs side by side: what each way to train gives over its seeds, and by how much two of them differ.

Runs belong together if they differ in nothing but the seed, or if they were given the same label. Means come with Student's t
interval over runs (of shares, the part of it from 0 to 1); two groups are compared on the seeds that both have (paired t-test,
Holm's correction over all pairs).
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import combinations, pairwise
from typing import Any

from palaestra.agents.evaluation.summary import summarize_together
from palaestra.agents.report.charts import Curve
from palaestra.agents.store.records import EpisodeSummary, RunSummary
from palaestra.envs.core.declared import declared
from palaestra.errors import UsageError
from palaestra.results.metrics import SHARE, Metric, in_order
from palaestra.results.statistics import Estimate, PairedDifference, holm, mean_interval, paired_difference, share_interval
from palaestra.types import Json

MEASURES: Mapping[str, str] = {
    "success": "Success of the final policy on test tasks",
    "return_": "Its mean return on test tasks",
    "area": "Area under the learning curve",
}
CURVE_METRICS = ("test_success", "success", "return_mean", "entropy", "explained_variance", "grad_norm", "turns_mean", "loss")
SHARE_CURVES = ("test_success", "success")
AREA_METRICS = ("test_success", "success", "return_mean")
MOST_SHOWN = 3  # settings that a label tells


_share_interval = partial(share_interval, widens_equal=False)  # a value is the mean of many episodes of one seed


@dataclass(frozen=True)
class Trained:
    """One training run with what came of it.

    Attributes:
        run: The run.
        final: Episodes of its last arm, by the run that holds them.
        log: Its logged metrics.
    """

    run: RunSummary
    final: Mapping[str, Sequence[EpisodeSummary]]
    log: Sequence[Mapping[str, Json]]

    @property
    def seed(self) -> int:
        """Seed of the recipe."""
        return int(self.run.config.get("recipe", {}).get("seed", 0))

    @cached_property
    def curves(self) -> dict[str, dict[int, float]]:
        """Metrics of the last phase by name, then by step."""
        last = last_phase(self.run.config)
        found: dict[str, dict[int, float]] = defaultdict(dict)
        for record in self.log:
            for name, value in record.items():
                phase, _, short = name.rpartition("/")
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if phase == last and is_number and math.isfinite(value):
                    found[short][int(record["step"])] = float(value)
        return dict(found)

    @property
    def metrics(self) -> list[Metric]:
        """Metrics of the final policy that its environments declare as leading."""
        env_ids = sorted({episode.env_id for episodes in self.final.values() for episode in episodes})
        metrics = in_order((metric for env_id in env_ids for metric in declared(env_id).metrics), self.values)
        return [metric for metric in metrics if metric.lead]

    @cached_property
    def values(self) -> dict[str, float]:
        """What is compared, by measure; a measure is missing where the run has none."""
        found: dict[str, float] = {}
        total = summarize_together(self.final).total
        if total.num_episodes > total.num_errors:
            found |= {"success": total.success.mean, "return_": total.return_.mean}
            found |= {name: estimate.mean for name, estimate in total.metrics.items()}
        curve = next((self.curves[name] for name in AREA_METRICS if len(self.curves.get(name, ())) > 1), None)
        if curve is not None:
            found["area"] = _area(curve)
        return found


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed.

    Attributes:
        label: Shown.
        runs: In the order of their seeds.
    """

    label: str
    runs: tuple[Trained, ...]

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Mean over runs with its interval, by measure; the interval of a single run has infinite ends."""
        found: dict[str, list[float]] = defaultdict(list)
        for run in self.runs:
            for name, value in run.values.items():
                found[name].append(value)
        metrics = (metric for run in self.runs for metric in run.metrics)
        shares = {"success", *(metric.name for metric in metrics if metric.unit == SHARE)}
        return {
            name: (_share_interval if name in shares else mean_interval)([[value] for value in values])
            for name, values in found.items()
        }

    def by_seed(self, measure: str) -> dict[int, float]:
        """Values of a measure by seed; runs of one seed are averaged."""
        found: dict[int, list[float]] = defaultdict(list)
        for run in self.runs:
            if measure in run.values:
                found[run.seed].append(run.values[measure])
        return {seed: sum(values) / len(values) for seed, values in found.items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """Two groups, compared by seed.

    Attributes:
        first: Label of the one.
        second: Label of the other, which is taken away.
        measure: Name of the measure.
        paired: The difference, its interval and its p-value.
        adjusted: The p-value after Holm's correction over all pairs of groups.
    """

    first: str
    second: str
    measure: str
    paired: PairedDifference
    adjusted: float


@dataclass(frozen=True)
class Comparison:
    """All groups and their differences.

    Attributes:
        groups: In the order in which their first runs were named.
        differences: Of every two groups with two seeds in common, by measure.
        metrics: Leading metrics of the environments, which are compared as well.
    """

    groups: tuple[Group, ...]
    differences: tuple[Difference, ...] = field(default=())
    metrics: tuple[Metric, ...] = ()

    @property
    def measures(self) -> dict[str, str]:
        """What is compared: a line for readers by name."""
        return {**MEASURES, **_metric_lines(self.metrics)}

    def curves(self, metric: str) -> list[Curve]:
        """Return mean and interval of a metric by step over the runs of each group, at the steps that all of them logged."""
        found = []
        for index, group in enumerate(self.groups):
            logged = [run.curves[metric] for run in group.runs if metric in run.curves]
            steps = sorted(set.intersection(*map(set, logged))) if logged else []
            if not steps:
                continue
            interval = _share_interval if metric in SHARE_CURVES else mean_interval
            points = [interval([[curve[step]] for curve in logged]) for step in steps]
            is_band = len(logged) > 1
            found.append(
                Curve(
                    index,
                    tuple(steps),
                    tuple(point.mean for point in points),
                    tuple(point.low for point in points) if is_band else (),
                    tuple(point.high for point in points) if is_band else (),
                )
            )
        return found


def compare_runs(trained: Sequence[Trained], labels: Mapping[str, str] | None = None) -> Comparison:
    """Group training runs and compare the groups.

    Args:
        trained: The runs.
        labels: Label by run id, for runs that are not grouped by their recipes.

    Raises:
        UsageError: If a label names a run that is not there.
    """
    labels = dict(labels or {})
    known = {run.run.run_id for run in trained}
    if missing := sorted(labels.keys() - known):
        raise UsageError(f"Run {missing[0]!r} has a label and is not a training run of this report; name its id.")
    groups: dict[str, list[Trained]] = defaultdict(list)
    names = _names([run.run for run in trained if run.run.run_id not in labels])
    for run in trained:
        groups[labels.get(run.run.run_id) or names[run.run.run_id]].append(run)
    made = tuple(Group(label, tuple(sorted(runs, key=lambda run: run.seed))) for label, runs in groups.items())
    metrics = tuple({metric.name: metric for run in trained for metric in run.metrics}.values())
    return Comparison(made, tuple(_differences(made, [*MEASURES, *_metric_lines(metrics)])), metrics)


def _metric_lines(metrics: Sequence[Metric]) -> dict[str, str]:
    """Return a line about each metric by name."""
    return {metric.name: f"{metric.title} of the final policy on test tasks {metric.arrow}".strip() for metric in metrics}


def _differences(groups: Sequence[Group], measures: Sequence[str]) -> Iterator[Difference]:
    """Yield the paired differences, measure by measure."""
    for measure in measures:
        found = []
        for first, second in combinations(groups, 2):
            one, other = first.by_seed(measure), second.by_seed(measure)
            shared = sorted(one.keys() & other.keys())
            if len(shared) > 1:
                paired = paired_difference([one[seed] for seed in shared], [other[seed] for seed in shared])
                found.append((first.label, second.label, paired))
        adjusted = holm([_probability(paired.p_value) for _, _, paired in found])
        for (label, other_label, paired), p_value in zip(found, adjusted, strict=True):
            yield Difference(label, other_label, measure, paired, p_value)


def _probability(value: float) -> float:
    """Return a p-value whose rounding errors do not leave 0..1; NaN stays."""
    return value if math.isnan(value) else min(1.0, max(0.0, value))


def _names(runs: Sequence[RunSummary]) -> dict[str, str]:
    """Return the group of each run: its name, with the settings in which runs of that name differ (the seed apart)."""
    settings = {run.run_id: dict(_flat(run.config.get("recipe", {}))) for run in runs}
    names: dict[str, str] = {}
    kinds: dict[str, list[tuple[Any, ...]]] = {}
    for run in runs:
        name = str(run.config.get("name") or run.run_id)
        alike = [settings[other.run_id] for other in runs if str(other.config.get("name") or other.run_id) == name]
        mine = settings[run.run_id]
        keys = sorted({key for other in alike for key in other} - {"seed", "name", "description"})
        differing = [key for key in keys if any(other.get(key) != mine.get(key) for other in alike)]
        shown = [f"{key} {mine.get(key, 'none')}" for key in differing]
        if len(shown) > MOST_SHOWN:
            shown = [*shown[:MOST_SHOWN], f"and {len(shown) - MOST_SHOWN} more"]
        label = f"{name} ({', '.join(shown)})" if shown else name
        kind = (name, *((key, mine.get(key)) for key in differing))
        taken = kinds.setdefault(label, [])
        if kind not in taken:
            taken.append(kind)
        names[run.run_id] = label if taken[0] == kind else f"{label} #{taken.index(kind) + 1}"
    return names


def phases_of(config: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Return name and algorithm of the phases of a training run: of its recipe's list, or of the short form."""
    recipe = config.get("recipe", {})
    listed = [(str(table.get("name") or table.get("algorithm", "")), table) for table in recipe.get("phase", ())]
    if listed:
        return [(name, str(table.get("algorithm", name))) for name, table in listed]
    return [(str(name), str(name)) for name in recipe.get("phases") or ()]


def last_phase(config: Mapping[str, Json]) -> str:
    """Return the name of the last phase of a training run; empty if it has none."""
    return ([name for name, _ in phases_of(config)] or [""])[-1]


def final_runs(run: RunSummary) -> list[str]:
    """Return the runs that evaluate the final policy of a training run: one, or one for each environment of a mixture."""
    last = (run.config.get("arms") or [""])[-1]
    names = next((names for names in (run.config.get("totals") or {}).values() if last in names), [last])
    return [f"{run.run_id}-{name}" for name in names]


def _flat(value: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and values; the tables of a list are told by their names."""
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "name" in item for item in value):
        value = {item["name"]: {key: item[key] for key in item if key != "name"} for item in value}
    if isinstance(value, Mapping):
        for key in value:
            yield from _flat(value[key], f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def _area(curve: Mapping[int, float]) -> float:
    """Mean height of a curve between its first and last step (trapezoids): however often it is logged, the same."""
    steps = sorted(curve)
    total = sum((b - a) * (curve[a] + curve[b]) / 2 for a, b in pairwise(steps))
    return total / (steps[-1] - steps[0])


def curve_names(comparison: Comparison) -> list[str]:
    """Return the metrics worth drawing, in the order in which a reader wants them."""
    logged: set[str] = {name for group in comparison.groups for run in group.runs for name in run.curves}
    return [name for name in CURVE_METRICS if name in logged]


def alarm_notices(runs: Sequence[tuple[RunSummary, Sequence[Mapping[str, Any]]]]) -> list[str]:
    """Say which alarms rang in which runs: how often, and when for the first and last time.

    Args:
        runs: Runs with their logged metrics.
    """
    notices = []
    for run, log in runs:
        rung: dict[str, list[int]] = defaultdict(list)
        for record in log:
            for name, value in record.items():
                if name.rpartition("/")[2].startswith("alarm_") and value:
                    rung[name].append(int(record["step"]))
        for name, steps in sorted(rung.items()):
            phase, _, alarm = name.rpartition("/")
            when = f"at step {steps[0]}" if len(steps) == 1 else f"in {len(steps)} steps, from {min(steps)} to {max(steps)}"
            words = alarm.removeprefix("alarm_").replace("_", " ")
            notices.append(f"Run {run.run_id}, phase {phase}: the alarm for {words} rang {when}.")
    return notices
