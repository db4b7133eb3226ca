"""Tables of the report that are made from arms: by task type, errors, totals of mixtures, phases and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.agents.evaluation.arms import ArmSummary
from palaestra.agents.evaluation.summary import summarize_together
from palaestra.agents.report.charts import metric_rank, read_curves
from palaestra.agents.report.seeds import phases_of
from palaestra.agents.store.records import RunSummary
from palaestra.agents.store.store import RunStore
from palaestra.results.metrics import number
from palaestra.results.tables import ResultTable
from palaestra.types import Json


def by_type(arms: Sequence[ArmSummary]) -> list[dict[str, Any]]:
    """Return every task type with its rows; empty if there are not at least two types."""
    types = sorted({episode.task_type for arm in arms for episode in arm.episodes})
    if len(types) < 2:
        return []
    table = []
    for task_type in types:
        parts = [arm.of_type(task_type) for arm in arms]
        table.append({"name": task_type, "rows": [part for part in parts if part.episodes]})
    return table


def error_rows(arms: Sequence[ArmSummary]) -> list[dict[str, Any]]:
    """Return errors by boundary, arm and type, the most frequent first."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for arm in arms:
        for e in arm.episodes:
            if e.error_boundary:
                key = (e.error_boundary, arm.name, e.error_type)
                row = rows.setdefault(
                    key, {"boundary": key[0], "arm": key[1], "type": key[2], "count": 0, "message": e.error_message[:400]}
                )
                row["count"] += 1
    return sorted(rows.values(), key=lambda row: (-row["count"], row["boundary"], row["arm"], row["type"]))


def phases_table(run: RunSummary, log: Sequence[Mapping[str, Json]]) -> ResultTable:
    """Return the phases of a training run in their order: algorithm, last step that was logged, success there.

    Args:
        run: A training run.
        log: Its logged metrics.
    """
    curves, rows = read_curves([log]), []
    for name, algorithm in phases_of(run.config):
        last = max((int(record["step"]) for record in log if any(key.startswith(f"{name}/") for key in record)), default=None)
        success = [curve.values for curve in curves.get(f"{name}/success", ())]
        ends = [f"{100 * success[0][i]:.1f} %" if success else "-" for i in (0, -1)]
        rows.append((name, algorithm, "-" if last is None else f"{last:,}", *ends))
    columns = ("Phase", "Algorithm", "Steps", "Success at first", "Success at last")
    note = "Success: of the episodes that a phase trains on, not of test tasks."
    return ResultTable("Phases", columns, tuple(rows), note, text_columns=2)


def curves_table(log: Sequence[Mapping[str, Json]], *, most: int) -> ResultTable:
    """Return the curves of a training run in figures: first, lowest, highest and last value.

    Args:
        log: Its logged metrics.
        most: Curves that are shown, those first that a report draws first.
    """
    curves = read_curves([log])
    names = sorted(curves, key=metric_rank)
    rows = []
    for name in names[:most]:
        [curve] = curves[name]
        values = (curve.values[0], min(curve.values), max(curve.values), curve.values[-1])
        rows.append((name, *map(number, values), f"{len(curve.values):,}"))
    left = len(names) - len(rows)
    note = f"{left} more curves: palaestra report, or metrics.jsonl in the folder of the run." if left > 0 else ""
    return ResultTable("Curves", ("Metric", "First", "Lowest", "Highest", "Last", "Points"), tuple(rows), note)


def totals_tables(runs: Sequence[RunSummary], store: RunStore) -> list[ResultTable]:
    """Return, for every training run on a mixture, its arms over all environments."""
    known = {run.run_id for run in runs}
    tables = []
    for run in runs:
        rows = []
        order = run.config.get("arms") or []
        totals = run.config.get("totals") or {}
        for arm, names in sorted(totals.items(), key=lambda item: order.index(item[1][0])):
            parts = {name: store.episodes(f"{run.run_id}-{name}") for name in names if f"{run.run_id}-{name}" in known}
            total = summarize_together(parts).total
            if total.num_episodes > total.num_errors:
                low, high = 100 * total.success.low, 100 * total.success.high
                rows.append(
                    (
                        arm,
                        f"{100 * total.success.mean:.1f}",
                        f"{low:.1f} to {high:.1f}",
                        f"{total.return_.mean:.3f}",
                        f"{total.mean_turns:.1f}",
                        f"{total.num_episodes - total.num_errors:,}",
                    )
                )
        if rows:
            columns = ("arm", "success, %", "95 %", "return", "turns", "scored")
            note = "Every environment counts by its test episodes; the weights of training play no part."
            tables.append(ResultTable(f"{run.run_id}: all environments together", columns, tuple(rows), note))
    return tables
