"""What a policy got, as figures of its episodes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from palaestra.envs.audit.play import Play

Kind = Literal["free", "harm", "near"]


def success_rate(plays: Sequence[Play]) -> float | None:
    """Return the share of successes, episodes that raised left out; None if no episode said whether it was one.

    An episode that was cut before it said so was none.
    """
    said = [play.success for play in plays if play.success is not None]
    cut = sum(play.ended == "cut" and play.success is None for play in plays)
    return sum(said) / (len(said) + cut) if said else None


def cut_after(plays: Sequence[Play], actions: int) -> int:
    """Return how many episodes were cut after so many actions."""
    return sum(play.ended == "cut" and len(play.steps) == actions for play in plays)


def mean_return(plays: Sequence[Play]) -> float | None:
    """Return the mean sum of rewards, episodes that raised left out; NaN if a reward was, None of no episodes."""
    totals = [play.total for play in plays if play.ended != "error"]
    return sum(totals) / len(totals) if totals else None


def by_type(plays: Sequence[Play]) -> dict[str, list[Play]]:
    """Return episodes by the type of their task, sorted; one group if there are no types."""
    groups: dict[str, list[Play]] = defaultdict(list)
    for play in plays:
        groups[play.start.type].append(play)
    return dict(sorted(groups.items()))


def percent(share: float | None) -> str:
    """Return a share as text."""
    if share is None or not math.isfinite(share):
        return "unknown"
    return f"{100 * share:.0f} %" if share in (0.0, 1.0) or 0.1 <= share <= 0.99 else f"{100 * share:.1f} %"


def few(names: Sequence[str], most: int = 3) -> str:
    """Return some names as text, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


__all__ = ["Kind", "by_type", "cut_after", "few", "mean_return", "percent", "success_rate"]
