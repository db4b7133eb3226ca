"""The page of the experiment, from its rows: recovery and success by arm and condition, paired over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

ARMS = ("flawless", "errors")
CONDITIONS = ("clean", "outage", "slip")
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Two-sided 95 % quantiles of Student's t, by number of seeds."""


def share(marks: str) -> tuple[int, int]:
    """Return how many of the counted episodes have a "1", and how many are counted."""
    return marks.count("1"), len(marks) - marks.count("-")


def paired(first: str, second: str) -> tuple[float, int]:
    """Return the mean difference, second minus first, over the tasks that count in both, and how many these are."""
    pairs = [(int(a), int(b)) for a, b in zip(first, second, strict=True) if "-" not in (a, b)]
    return (sum(b - a for a, b in pairs) / len(pairs) if pairs else math.nan), len(pairs)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean and bounds of the 95 % interval over seeds (Student's t)."""
    mean, n = sum(values) / len(values), len(values)
    if n < 2:
        return mean, math.nan, math.nan
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    half = _T.get(n, 1.96) * spread
    return mean, mean - half, mean + half


def _alone(row: Mapping[str, Any]) -> str:
    """Return a line on a policy whose partner has not been trained."""
    counts = {condition: share(row[condition]["solved"]) for condition in CONDITIONS}
    shown = [f"{condition} {solved} of {counted}" for condition, (solved, counted) in counts.items()]
    return f"Seed {row['seed']}, {row['arm']}, solved: {', '.join(shown)}."


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the page."""
    by_arm = {arm: {int(row["seed"]): row for row in rows if row["arm"] == arm} for arm in ARMS}
    seeds = sorted(by_arm[ARMS[0]].keys() & by_arm[ARMS[1]].keys())
    lines = [
        "# Cloning under injected errors",
        "",
        "Written by `python -m experiments.critic.run` from `rows.jsonl`; the top of `run.py` says how. A tiny policy is",
        "cloned on the easy desk, from flawless episodes or with an error in half of them, for the same updates. It then",
        "plays test requests clean, with an outage and with a slip at one of its first two calls. *Recovered*: the right",
        "call went through later, or the task was solved; *solved*: the task was solved. Under errors only the episodes",
        "count in which one was injected. How many that are depends on the policy, so differences are paired over the",
        "tasks that count in both arms.",
        "",
    ]
    if not seeds:
        alone = [_alone(row) for row in rows]
        return "\n".join([*lines, "No seed has both arms yet, so nothing is compared.", *alone, ""])
    for condition in CONDITIONS:
        for figure in ("solved",) if condition == "clean" else ("recovered", "solved"):
            lines += [f"## {condition.capitalize()}: {figure}", "", "| seed | flawless | errors | paired difference | pairs |"]
            lines += ["|---:|---:|---:|---:|---:|"]
            differences = []
            for seed in seeds:
                first, second = (by_arm[arm][seed][condition][figure] for arm in ARMS)
                difference, pairs = paired(first, second)
                differences.append(difference)
                shown = [f"{solved} of {counted}" for solved, counted in map(share, (first, second))]
                lines.append(f"| {seed} | {shown[0]} | {shown[1]} | {difference:+.3f} | {pairs} |")
            known = [value for value in differences if not math.isnan(value)]
            if known:
                mean, low, high = interval(known)
                said = f"Mean over {len(known)} seeds {mean:+.3f}, 95 % interval {low:+.3f} to {high:+.3f} (Student's t)."
                lines += ["", said if len(known) > 1 else f"One seed, {mean:+.3f}: there is no interval.", ""]
    return "\n".join(lines).rstrip() + "\n"


__all__ = ["ARMS", "CONDITIONS", "interval", "page", "paired", "share"]
