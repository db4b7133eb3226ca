"""Tables of the report that are made from arms: by task type, errors, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palaestra.agents.evaluation.arms import ArmSummary


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
