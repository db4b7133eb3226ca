"""As `trl_step`, with few long episodes: 16 of 20 turns."""

from __future__ import annotations

from benchmarks.rows import Row
from benchmarks.trl_step import Setting, compare


def run() -> list[Row]:
    """Measure long episodes."""
    return [compare(Setting(tasks=2, group=8, turns=20, rounds=5))]
