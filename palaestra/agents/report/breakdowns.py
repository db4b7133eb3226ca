"""Tables of the report that are made from arms: by task type, errors, metrics, totals of mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palaestra.agents.evaluation.arms import ArmSummary
from palaestra.agents.evaluation.summary import summarize_together
from palaestra.agents.store.records import RunSummary
from palaestra.agents.store.store import RunStore
from palaestra.results.tables import ResultTable


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
