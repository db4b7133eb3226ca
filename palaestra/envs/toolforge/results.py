"""Results of ToolForge in the form of its paper: Solve-P, Solve-R and Solve-F1 by scenario, next to the published figures."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.results.statistics import mean_interval
from palaestra.results.tables import Arm, EnvResults, ResultTable
from palaestra.types import Json, Trajectory

MEASURES = (
    ("solve_precision", "Solve-P"),
    ("solve_recall", "Solve-R"),
    ("solve_f1", "Solve-F1"),
    ("solve_ordered", "Ordered"),
    ("final_correct", "Answer"),
)
_ALL = "all"


def forge_results(arms: Sequence[Arm]) -> EnvResults:
    """Return the tables of some arms.

    Args:
        arms: One for each agent and set of arguments.
    """
    rows, data = [], []
    for arm in arms:
        episodes = [one for one in arm.episodes if one.outcome.error is None and one.outcome.metrics]
        for scenario in (*SCENARIOS, _ALL):
            chosen = [one for one in episodes if scenario in (_ALL, one.task.get("type"))]
            if chosen and not (scenario == _ALL and len({one.task.get("type") for one in chosen}) == 1):
                figures = _figures(chosen)
                rows.append((arm.name, scenario, str(len(chosen)), *_cells(figures)))
                data.append({"arm": arm.name, "scenario": scenario, "episodes": len(chosen), **figures})
    if not rows:
        return EnvResults()
    columns = ("Agent", "Scenario", "Episodes", *(title for _, title in MEASURES), "Success", "95 % of Solve-F1")
    own = ResultTable(
        "ToolForge (percent)",
        columns,
        tuple(rows),
        "Means over episodes. Ordered: solved after everything that an answer depends on. Answer: the final answer is right.",
        text_columns=2,
    )
    return EnvResults((own, _published_table()), data={"arms": data, "published": _published()})


def _figures(episodes: Sequence[Trajectory]) -> dict[str, Json]:
    """Return the means over some episodes, each task's own first where tasks were repeated."""
    found: dict[str, Json] = {}
    for name, _ in MEASURES:
        found[name] = _by_task(episodes, [one.outcome.metrics.get(name, 0.0) for one in episodes])
    found["success"] = _by_task(episodes, [float(bool(one.outcome.success)) for one in episodes])
    estimate = mean_interval(
        _clusters(episodes, [one.outcome.metrics.get("solve_f1", 0.0) for one in episodes]), by_cluster=True
    )
    numbers = estimate.to_json()
    found["solve_f1_low"], found["solve_f1_high"] = numbers["low"], numbers["high"]
    return found


def _by_task(episodes: Sequence[Trajectory], values: Iterable[float]) -> float:
    """Return the mean over tasks of the means over their episodes."""
    clusters = _clusters(episodes, values)
    return sum(sum(found) / len(found) for found in clusters) / len(clusters)


def _clusters(episodes: Sequence[Trajectory], values: Iterable[float]) -> list[list[float]]:
    """Return the values of each task."""
    tasks: dict[str, list[float]] = {}
    for one, value in zip(episodes, values, strict=True):
        tasks.setdefault(str(one.task.get("key")), []).append(value)
    return list(tasks.values())


def _cells(figures: dict[str, Json]) -> tuple[str, ...]:
    """Return the cells of a row."""
    shown = [f"{100 * figures[name]:.1f}" for name in (*(name for name, _ in MEASURES), "success")]
    low, high = figures["solve_f1_low"], figures["solve_f1_high"]
    return (*shown, "-" if low is None or high is None else f"{100 * low:.1f} - {100 * high:.1f}")


def _published_table() -> ResultTable:
    """Return the figures of the paper."""
    published = _published()
    rows = tuple((row["model"], row["kind"], *(f"{value:.2f}" for value in row["solve"])) for row in published["rows"])
    return ResultTable(
        "Published figures (percent)",
        ("Model", "Kind", "Solve-P", "Solve-R", "Solve-F1"),
        rows,
        published["note"],
        text_columns=2,
    )


@cache
def _published() -> dict[str, Json]:
    """Return the numbers of the paper."""
    text = (files("palaestra.envs.toolforge") / "published_numbers.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


__all__ = ["MEASURES", "forge_results"]
