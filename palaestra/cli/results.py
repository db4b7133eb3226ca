"""The tables of results that several commands print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palaestra.agents.evaluation.arms import ArmSummary
    from palaestra.agents.evaluation.floors import AboveFloor
    from palaestra.agents.evaluation.summary import GroupSummary, Summary
    from palaestra.results.metrics import Metric
    from palaestra.results.statistics import Estimate
    from palaestra.results.tables import EnvResults, ResultTable

WIDE = 110
TRAIN_CPU = "CPU s"


def print_results(out: Any, arms: Sequence[ArmSummary], results: Mapping[str, EnvResults]) -> None:
    """Print everything there is about arms: the common figures, metrics, and what the environments report of their own."""
    from palaestra.agents.evaluation.arms import metrics_of_arms, metrics_table, unshared_tasks
    from palaestra.agents.evaluation.floors import floors_of

    metrics = metrics_of_arms(arms)
    lead = [metric for metric in metrics if metric.lead]
    floors = floors_of(arms)
    out.print(results_table([(arm.name, arm.summary) for arm in arms], metrics=lead, floors=floors, width=out.width))
    for line in dict.fromkeys(one.told for one in floors):
        out.print(line, soft_wrap=True, markup=False)
    if any(arm.summary.answer_faults for arm in arms):
        for arm in arms:
            out.print(f"{arm.name}: {arm.summary.answers}", style="yellow", soft_wrap=True)
    for line in unshared_tasks(arms):
        out.print(line, style="yellow", soft_wrap=True, markup=False)
    tables = [metrics_table(arms, metrics)] if metrics else []
    for part in env_tables([*tables, *(table for found in results.values() for table in found.tables)]):
        out.print(part)


def results_table(
    arms: Sequence[tuple[str, Summary]],
    title: str = "",
    *,
    metrics: Sequence[Metric] = (),
    floors: Sequence[AboveFloor] = (),
    train_cpu_s: Mapping[str, float] | None = None,
    width: int = WIDE,
) -> Any:
    """Return a table with one row per arm, and one per task type below a single arm.

    Args:
        arms: Name and results.
        title: Shown above.
        metrics: Metrics of the environment that have a column.
        floors: What is for free, one for each arm, or none.
        train_cpu_s: CPU seconds that trained arms have cost, by name; with any there is a column of them.
        width: Characters of the terminal; below 110 the interval of the score, Avg@k and the floor itself are left out.
    """
    from palaestra.cli.output import table

    samples = max((summary.samples for _, summary in arms), default=1)
    narrow = width < WIDE
    groups = [(name, summary.total) for name, summary in arms]
    is_scored = any(group.num_errors < group.num_episodes for _, group in groups)
    if is_scored and len(arms) == 1 and len(arms[0][1].by_type) > 1:
        groups += [(f"  {task_type or '(no type)'}", group) for task_type, group in arms[0][1].by_type.items()]
    free = [_above_cells(one) for one in floors]
    if narrow:
        free = [{"Above floor": one["Above floor"]} for one in free]
    above = list(free[0]) if free else []
    columns = list(_cells(groups[0][1], samples, narrow, metrics)) if groups else []
    columns[2:2] = above
    cost = train_cpu_s or {}
    columns += [TRAIN_CPU] if cost else []
    grid = table(title, "Arm", *columns, numbers=tuple(columns))
    for i, (name, group) in enumerate(groups):
        cells = [*_cells(group, samples, narrow, metrics).values()]
        cells[2:2] = free[i].values() if i < len(free) else ["" for _ in above]
        cells += [f"{cost[name]:.0f}" if name in cost else "-"] if cost else []
        grid.add_row(name, *cells, style="dim" if i >= len(arms) else "")
    if counts := {summary.clusters for _, summary in arms} - {None}:
        found = " or ".join(f"{count:,}" for count in sorted(filter(None, counts)))
        grid.caption, grid.caption_justify = f"Intervals over {found} clusters of tasks that have something in common.", "left"
    return grid


def env_tables(tables: Sequence[ResultTable]) -> Iterator[Any]:
    """Yield the tables that an environment reports of its own, each with its note, to print."""
    from palaestra.cli.output import table

    for given in tables:
        grid = table(given.title, *given.columns, numbers=given.columns[given.text_columns :])
        for row in given.rows:
            grid.add_row(*row)
        grid.caption, grid.caption_justify = given.note or None, "left"
        yield grid


def _cells(group: GroupSummary, samples: int, narrow: bool, metrics: Sequence[Metric]) -> dict[str, str]:
    """Return the figures of one row by column."""
    scored = group.num_episodes - group.num_errors
    ends = f"{percent_range(group.success)} %"
    cells = {
        "Success": percent(group.success.mean),
        "95 % interval": ends,
        "Score": figure(group.score.mean),
        "95 % of score": _range(group.score),
    }
    for metric in metrics:
        found = group.metrics.get(metric.name)
        cells[f"{metric.title} {metric.arrow}".strip()] = "-" if found is None else metric.shown(found.mean)
    cells[f"Avg@{samples}"] = figure(group.avg_at_k.mean)
    whole = "" if group.pass_at_k.n == group.num_tasks else f" ({group.pass_at_k.n:,} of {group.num_tasks:,} tasks)"
    for title, estimate in ((f"Pass@{samples}", group.pass_at_k), (f"Pass^{samples}", group.pass_hat_k)):
        cells[title] = f"{percent(estimate.mean)}{whole}" if estimate.n else f"-{whole}"
    cells["Turns"] = f"{group.mean_turns:.1f}"
    if narrow:
        del cells["95 % of score"], cells[f"Avg@{samples}"]
    if samples == 1:
        cells = {name: cell for name, cell in cells.items() if "@" not in name and "^" not in name}
    if not scored:
        cells = dict.fromkeys(cells, "-")
    return {**cells, "Scored": f"{scored:,}", "Errors": f"{group.num_errors:,}"}


def success_cells(success: Estimate | None, found: AboveFloor) -> dict[str, str]:
    """Return success, its interval, the floor and success above it, by column."""
    known = ("-", "-") if success is None else (percent(success.mean), f"{percent_range(success)} %")
    return {"Success": known[0], "95 % interval": known[1], **_above_cells(found)}


def _above_cells(found: AboveFloor) -> dict[str, str]:
    """Return the floor and success above it, by column."""
    return {"Floor": floor_shown(found), "Above floor": above_shown(found.above)}


def floor_shown(found: AboveFloor) -> str:
    """Return the rate of the floor, or that no card says it."""
    return "no card" if found.floor is None else percent(found.floor.success or 0.0)


def above_shown(above: Estimate) -> str:
    """Return a difference of rates in points, with its interval; "-" where it is not known."""
    if math.isnan(above.mean):
        return "-"
    return f"{100 * above.mean:+.1f} ({100 * above.low:+.1f} to {100 * above.high:+.1f})"


def figure(value: float) -> str:
    """Return a number to three decimals; with an exponent where it is very large."""
    return f"{value:.3f}" if abs(value) < 1e9 else f"{value:.3e}"


def percent(share: float) -> str:
    """Return 0.4567 as "45.7 %"."""
    return f"{100 * share:.1f} %"


def percent_range(estimate: Estimate) -> str:
    """Return both ends of a rate's interval, without the unit."""
    return f"{100 * estimate.low:.1f} - {100 * estimate.high:.1f}"


def _range(estimate: Estimate) -> str:
    """Return both ends of an interval; a single task has none."""
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    return f"{figure(estimate.low)} - {figure(estimate.high)}" if known else "-"
