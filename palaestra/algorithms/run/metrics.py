"""Training metrics: one JSON line per step, TensorBoard curves, and the run store, from one call.

`MetricsLog.log` writes; `MetricsLog.rewind` forgets what a killed run had logged beyond its last checkpoint, so that
a resumed run tells each step once. `episode_metrics` sums up what a set of trajectories shows, `measured` also by environment.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from palaestra.algorithms.run.feed import by_env
from palaestra.algorithms.run.trackers import Tracker
from palaestra.results.statistics import pass_at_k
from palaestra.types import Json, Trajectory

BY_ENV = ("episodes", "errors", "success", "score_mean", "return_mean", "turns_mean", "truncated_rounds", "invalid_actions")
"""Metrics of the episodes of a step that a mixture logs by environment too."""

CURVE = ("success", "score_mean", "turns_mean")
"""Metrics of a point of the learning curve, as `test_NAME`."""

LOOP = (
    "no_signal",
    "collapsed",
    "horizon",
    "seconds_collect",
    "seconds_update",
    "tokens_per_second",
    "total_no_signal_steps",
    "total_env_steps",
    "total_sampled_tokens",
    "total_skipped_updates",
)
"""Metrics that the shared outer loop logs in addition to those of the episodes and of the update."""

OWN = "metric_"
"""How metrics of environments are called: `metric_NAME`."""

BY_TYPE = ("success", "score_mean", "episodes")
"""Metrics that are logged by type of task too, as `success.type.TYPE`."""

MAX_TYPES = 16
"""Types of task that are told apart in metrics: the most frequent ones."""


class MetricsStore(Protocol):
    """The part of the run store that keeps metrics."""

    def log_metrics(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of a step."""
        ...


class MetricsLog:
    """Writes metrics of a run to every place where people look for them.

    Args:
        folder: Folder of the run; gets `metrics.jsonl` and `tensorboard/<phase>/`.
        store: Run store, which gets them as `<phase>/<name>`.
        run_id: The run in the store.
        tensorboard: Write TensorBoard files too, if the package is installed.
        trackers: Further places.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        store: MetricsStore | None = None,
        run_id: str = "",
        tensorboard: bool = True,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        """Make the folder."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / "metrics.jsonl"
        self.store = store
        self.run_id = run_id
        self.trackers = tuple(trackers)
        self._tensorboard = tensorboard and importlib.util.find_spec("tensorboard") is not None
        self._writers: dict[str, Any] = {}
        self._purge: dict[str, int] = {}

    def log(self, phase: str, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one step; values that are not finite are written as null and kept out of curves."""
        record = {"phase": phase, "step": step, **{name: _finite(value) for name, value in metrics.items()}}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        if self.store is not None:
            self.store.log_metrics(self.run_id, step, {f"{phase}/{name}": value for name, value in finite.items()})
        if self._tensorboard:
            writer = self._writer(phase)
            for name, value in finite.items():
                writer.add_scalar(f"{phase}/{name}", value, step)
        for tracker in self.trackers:
            tracker.log(phase, step, finite)

    def rewind(self, phase: str, step: int) -> None:
        """Forget what was logged of `phase` after `step`; called when a run resumes from a checkpoint."""
        self._purge[phase] = step + 1  # a phase has a folder of its own, because purging knows steps but no tags
        if not self.path.exists():
            return
        kept = [
            json.dumps(record)
            for record in read_metrics(self.path)
            if record.get("phase") != phase or record.get("step", 0) <= step
        ]
        draft = self.path.with_suffix(".draft")
        draft.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        draft.replace(self.path)

    def rows(self, phase: str) -> list[dict[str, Json]]:
        """Return the logged metrics of a phase, in order."""
        if not self.path.exists():
            return []
        return [row for row in read_metrics(self.path) if row.get("phase") == phase]

    def close(self) -> None:
        """Flush the TensorBoard files and close the trackers."""
        for tracker in self.trackers:
            tracker.close()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, phase: str) -> Any:
        """Return the TensorBoard writer of a phase."""
        if phase not in self._writers:
            from torch.utils.tensorboard import SummaryWriter

            self._writers[phase] = SummaryWriter(
                str(self.folder / "tensorboard" / phase), purge_step=self._purge.get(phase), flush_secs=30
            )
        return self._writers[phase]


def read_metrics(path: str | Path) -> list[dict[str, Json]]:
    """Read `metrics.jsonl`; a last line cut off by a kill is left out."""
    records = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def episode_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Sum up a set of episodes: score, success, length, truncation by cause, invalid actions, errors, metrics.

    Rates and means are over episodes without an error; every value is a plain float. A metric of the environment is
    `metric_NAME`, its mean over the episodes that have it.
    """
    scored = [t for t in trajectories if t.outcome.error is None and t.outcome.score is not None]
    scores = [float(t.outcome.score) for t in scored if t.outcome.score is not None]
    turns = [len(t.steps) for t in scored]
    num_steps = max(1, sum(turns))
    tokens = sum(sum(segment.action) for t in trajectories for segment in t.segments)
    mean = _mean(scores)
    clean = {}
    if any("clean_reward" in step.info for t in scored for step in t.steps):  # reward noise: the true return
        returns = (sum(float(step.info.get("clean_reward", step.reward)) for step in t.steps) for t in scored)
        clean["clean_return_mean"] = _mean(returns)
    return {
        **clean,
        "episodes": float(len(trajectories)),
        "errors": float(len(trajectories) - len(scored)),
        "score_mean": mean,
        "score_std": math.sqrt(_mean((score - mean) ** 2 for score in scores)),
        "success": _mean(float(bool(t.outcome.success)) for t in scored),
        "return_mean": _mean(t.return_ for t in scored),
        "turns_mean": _mean(turns),
        "turns_max": float(max(turns, default=0)),
        "truncated_rounds": _mean(float(t.outcome.stop_reason == "max_rounds") for t in scored),
        "truncated_tokens": _mean(float(t.outcome.stop_reason == "max_tokens") for t in scored),
        "invalid_actions": sum(bool(s.info.get("action_error")) for t in scored for s in t.steps) / num_steps,
        "env_steps": float(sum(turns)),
        "sampled_tokens": float(tokens),
        "tokens_per_turn": tokens / num_steps,
        **_own_metrics(scored),
    }


def by_type(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return the metrics of `BY_TYPE` for each type of task, in the order of names; empty where there are not several.

    Types that more tasks cannot be told from are left out beyond `MAX_TYPES`; characters that names of curves cannot hold are
    written as "_".
    """
    found: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        if kind := str(trajectory.task.get("type", "")):
            found.setdefault(re.sub(r"[^A-Za-z0-9_-]+", "_", kind), []).append(trajectory)
    if len(found) < 2:
        return {}
    kept = sorted(sorted(found, key=lambda kind: (-len(found[kind]), kind))[:MAX_TYPES])
    parts = {kind: episode_metrics(found[kind]) for kind in kept}
    return {f"{metric}.type.{kind}": parts[kind][metric] for kind in kept for metric in BY_TYPE}


def pass_at_powers(*parts: Sequence[Trajectory]) -> dict[str, float]:
    """Return the chance that one of k plays of a task is a success, `pass_at_K` for k = 2, 4, 8 ... up to the plays of a task.

    Each is the mean over the groups of which at least k episodes were scored; nothing where no task was played twice.

    Args:
        *parts: Episodes, those of each environment for themselves: equal names of groups are one group within a part only.
    """
    groups: dict[tuple[int, str, str], list[bool]] = {}
    for number, part in enumerate(parts):
        for t in part:
            if t.group_id and t.outcome.error is None and t.outcome.score is not None:
                groups.setdefault((number, t.group_id, t.seat), []).append(bool(t.outcome.success))
    most = max(map(len, groups.values()), default=0)
    powers = [2**n for n in range(1, most.bit_length()) if 2**n <= most]
    return {
        f"pass_at_{k}": _mean(pass_at_k(len(group), sum(group), k) for group in groups.values() if len(group) >= k)
        for k in powers
    }


def measured(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Sum up the episodes of a training step.

    Those of a mixture or of several seats also by these, as `success.NAME`; those of several types of task by type.
    """
    found = episode_metrics(trajectories) | by_type(trajectories) | pass_at_powers(trajectories)
    for name, members in (*by_env(trajectories).items(), *_by_seat(trajectories).items()):
        own = episode_metrics(members)
        found |= {f"{metric}.{name}": own[metric] for metric in with_own(BY_ENV, own)}
    return found


def with_own(names: Sequence[str], metrics: Iterable[str]) -> list[str]:
    """Return names of metrics, followed by those among `metrics` that an environment measures."""
    return [*names, *(name for name in metrics if name.startswith(OWN))]


def _by_seat(trajectories: Sequence[Trajectory]) -> dict[str, list[Trajectory]]:
    """Return the episodes by their seat; empty where they are all of one."""
    seats = dict.fromkeys(trajectory.seat for trajectory in trajectories)
    return {seat: [t for t in trajectories if t.seat == seat] for seat in seats} if len(seats) > 1 else {}


def _own_metrics(scored: Sequence[Trajectory]) -> dict[str, float]:
    """Return the means of what the environments measure."""
    names = sorted({name for t in scored for name in t.outcome.metrics})
    return {f"{OWN}{name}": _mean(t.outcome.metrics[name] for t in scored if name in t.outcome.metrics) for name in names}


def _mean(values: Iterable[float]) -> float:
    """Return the mean, 0 of nothing."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else 0.0


def _finite(value: float) -> float | None:
    """Return None for NaN and infinity, which JSON does not know."""
    return float(value) if math.isfinite(value) else None
