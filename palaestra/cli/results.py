"""The table of results that several commands print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palaestra.agents.statistics import Estimate
    from palaestra.agents.summary import GroupSummary, Summary


def results_table(arms: Sequence[tuple[str, Summary]], title: str = "") -> Any:
    """Return a table with one row per arm, and one per task type below a single arm.

    Args:
        arms: Name and results.
        title: Shown above.
    """
    from palaestra.cli.output import table

    samples = max((summary.samples for _, summary in arms), default=1)
    several = [f"Avg@{samples}", f"Pass@{samples}"] if samples > 1 else []
    numbers = ("Success", "Score", *several, "Turns", "Scored", "Errors")
    columns = ["Arm", "Success", "95 % interval", "Score", "95 % interval ", *several, "Turns", "Scored", "Errors"]
    grid = table(title, *columns, numbers=numbers)
    for name, summary in arms:
        grid.add_row(name, *_cells(summary.total, samples))
    if len(arms) == 1 and len(arms[0][1].by_type) > 1:
        for task_type, group in arms[0][1].by_type.items():
            grid.add_row(f"  {task_type or '(no type)'}", *_cells(group, samples), style="dim")
    return grid


def _cells(group: GroupSummary, samples: int) -> list[str]:
    """Return the figures of one row."""
    scored = group.num_episodes - group.num_errors
    if not scored:
        return ["-"] * (5 + 2 * (samples > 1)) + ["0", str(group.num_errors)]
    several = [f"{group.avg_at_k.mean:.3f}", percent(group.pass_at_k.mean)] if samples > 1 else []
    return [
        percent(group.success.mean),
        f"{100 * group.success.low:.1f} - {100 * group.success.high:.1f} %",
        f"{group.score.mean:.3f}",
        _range(group.score),
        *several,
        f"{group.mean_turns:.1f}",
        f"{scored:,}",
        f"{group.num_errors:,}",
    ]


def percent(share: float) -> str:
    """Return 0.4567 as "45.7 %"."""
    return f"{100 * share:.1f} %"


def _range(estimate: Estimate) -> str:
    """Return both ends of an interval; a single task has none."""
    return "-" if estimate.high == float("inf") else f"{estimate.low:.3f} - {estimate.high:.3f}"
