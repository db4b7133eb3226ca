"""Means over items: the paper's columns and Overall, breakdowns with intervals, and the behaviour table."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from palaestra.envs.critic.behaviour import ON_ERRORS, ON_FAILURES, WITHOUT_ERRORS
from palaestra.envs.critic.scoring import Scored
from palaestra.results.statistics.resampling import bootstrap_interval
from palaestra.results.tables import ResultTable
from palaestra.types import Json

COLUMNS = ("detect", "category", "tool", "args", "retry", "break", "external_tool", "external_args")
"""Columns of the paper: of internal items, of both modes of external ones, and (the last) of skipping alone."""
MEASURES = ("detect", "category", "tool", "args", "retry", "break", "thought", "parse_rate")
NONE = "-"
BY = "evolved by "
_TITLES = ("Detect", "Category", "Tool", "Args", "Retry", "Break", "Skip/Finish tool", "Skip args", "Overall")


def overall(columns: Mapping[str, float | None]) -> float | None:
    """Return the paper's Overall, None where a column is missing.

    0.2 mean(detect, category) + 0.3 mean(tool, args) + 0.05 retry + 0.45 mean(break, external_tool, external_args).

    Args:
        columns: Means by the names of `COLUMNS`, all as shares or all as percent.

    Source: arXiv:2506.13977, section 4; the weights give its two base tables to 0.12 points.
    """
    found = [columns.get(name) for name in COLUMNS]
    detect, category, tool, args, retry, stop, external_tool, external_args = found
    if (
        detect is None
        or category is None
        or tool is None
        or args is None
        or retry is None
        or stop is None
        or external_tool is None
        or external_args is None
    ):
        return None
    internal = 0.2 * (detect + category) / 2 + 0.3 * (tool + args) / 2
    return internal + 0.05 * retry + 0.45 * (stop + external_tool + external_args) / 3


def paper_columns(scored: Iterable[Scored]) -> dict[str, float | None]:
    """Return the paper's columns as shares: means over items, those of external items averaged over the modes that there are.

    Args:
        scored: Items of any modes.
    """
    by_mode: dict[str, list[Scored]] = {}
    for one in scored:
        by_mode.setdefault(one.mode, []).append(one)
    internal = by_mode.pop("internal", [])
    modes = [by_mode[mode] for mode in ("skip", "finish") if mode in by_mode]
    found: dict[str, float | None] = {name: _mean(internal, name) for name in COLUMNS[:4]}
    for column, name in (("retry", "retry"), ("break", "break"), ("external_tool", "tool")):
        found[column] = _average([_mean(items, name) for items in modes])
    found["external_args"] = _mean(by_mode.get("skip", []), "args")
    return found


def groups(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """Return items by everything they are reported by: all, mode, label, base or evolved, way of evolution, thoughts.

    Args:
        scored: Items of any modes.
    """
    found: dict[str, list[Scored]] = {"all": list(scored)}
    keys: tuple[Callable[[Scored], Sequence[str]], ...] = (
        lambda one: (f"mode {one.mode}",),
        lambda one: (
            f"{one.family} {one.label or 'no error named'}" if one.family == "external" else one.label or "no error",
        ),
        lambda one: ("evolved" if one.evolution else "base",),
        lambda one: [f"{BY}{tag}" for tag in one.evolution if tag != "evolved"],
        lambda one: ("with thoughts" if one.cot else "without thoughts",),
    )
    for key in keys:
        split: dict[str, list[Scored]] = {}
        for one in scored:
            for name in key(one):
                split.setdefault(name, []).append(one)
        if len(split) > 1 or any(name.startswith(BY) for name in split):
            found |= dict(sorted(split.items()))
    return found


def breakdown(scored: Sequence[Scored]) -> list[dict[str, Json]]:
    """Return the means of every group, with 95 % bootstrap intervals.

    Args:
        scored: Items of any modes.

    Returns:
        One dict a group: `group`, `n`, `credit` and each measure that applies as `{"mean", "low", "high", "n"}`.
    """
    rows = []
    for name, items in groups(scored).items():
        row: dict[str, Json] = {"group": name, "n": len(items), "credit": _estimate([one.credit for one in items])}
        for measure in MEASURES:
            if values := [one.scores[measure] for one in items if measure in one.scores]:
                row[measure] = _estimate(values)
        rows.append(row)
    return rows


def behaviours(scored: Iterable[Scored]) -> dict[str, dict[str, int]]:
    """Return how often each behaviour was seen: on errors, without an error, and on failures in each mode.

    Args:
        scored: Items of any modes.
    """
    found: dict[str, Counter[str]] = {}
    for one in scored:
        kind = one.mode if one.mode != "internal" else "errors" if one.label else "no error"
        found.setdefault(kind, Counter())[one.behaviour] += 1
    known = {"errors": ON_ERRORS, "no error": WITHOUT_ERRORS, "skip": ON_FAILURES, "finish": ON_FAILURES}
    return {kind: {name: found[kind][name] for name in known[kind]} for kind in known if kind in found}


def tables(scored: Sequence[Scored], similarity: str, profile: str) -> tuple[ResultTable, ...]:
    """Return the tables of some items: the paper's columns, the groups, the behaviours.

    Args:
        scored: Items of any modes.
        similarity: Name of the backend that compared texts.
        profile: Which scorer it was.
    """
    about = f"Profile {profile}, similarity {similarity}; percent."
    found = [
        ResultTable("CriticTool", ("Items", *_TITLES), ((str(len(scored)), *column_cells(paper_columns(scored))),), about),
        _groups_table(breakdown(scored)),
        behaviour_table({"": behaviours(scored)}),
    ]
    return tuple(found)


def column_cells(columns: Mapping[str, float | None]) -> tuple[str, ...]:
    """Return the cells of the paper's columns and Overall, in percent.

    Args:
        columns: Shares by the names of `COLUMNS`.
    """
    return (*(percent(columns[name]) for name in COLUMNS), percent(overall(columns)))


def paper_table(rows: Sequence[tuple[str, Mapping[str, float | None]]], note: str) -> ResultTable:
    """Return the table of the paper's columns.

    Args:
        rows: Names and columns.
        note: Shown below.
    """
    cells = tuple((name, *column_cells(columns)) for name, columns in rows)
    return ResultTable("CriticTool (percent)", ("Agent", *_TITLES), cells, note)


def behaviour_table(found: Mapping[str, Mapping[str, Mapping[str, int]]]) -> ResultTable:
    """Return the table of behaviours.

    Args:
        found: What `behaviours` returned, by the name of an agent; "" if there is only one.
    """
    rows = []
    for agent, kinds in found.items():
        for kind, counts in kinds.items():
            total = sum(counts.values())
            for name, count in counts.items():
                if count:
                    rows.append((agent, kind, name, str(count), percent(count / total)))
    return ResultTable("Behaviour", ("Agent", "On", "Behaviour", "Items", "Share"), tuple(rows), text_columns=3)


def published_table() -> ResultTable:
    """Return the paper's table."""
    published = published_numbers()
    rows = tuple((row["model"], *(f"{value:.2f}" for value in row["values"])) for row in published["rows"])
    return ResultTable("Published figures (percent)", ("Model", *_TITLES), rows, published["note"])


@cache
def published_numbers() -> dict[str, Any]:
    """Return the numbers of the paper."""
    return tomllib.loads((files("palaestra.envs.critic") / "published_numbers.toml").read_text(encoding="utf-8"))


def percent(value: float | None) -> str:
    """Return a share as text in percent, a dash for none."""
    return NONE if value is None else f"{100 * value:.1f}"


def _groups_table(rows: Sequence[Mapping[str, Json]]) -> ResultTable:
    """Return the table of the groups, credit with its interval."""
    cells = []
    for row in rows:
        credit = row["credit"]
        interval = f"{percent(credit['low'])} - {percent(credit['high'])}"
        shown = (percent(row[name]["mean"]) if name in row else NONE for name in MEASURES)
        cells.append((row["group"], str(row["n"]), percent(credit["mean"]), interval, *shown))
    titles = (name.replace("_", " ").capitalize() for name in MEASURES)
    columns = ("Group", "Items", "Credit", "95 %", *titles)
    return ResultTable("Groups (percent)", columns, tuple(cells), "Credit: what an item adds to Overall, from 0 to 100.")


def _estimate(values: Sequence[float]) -> dict[str, Json]:
    """Return the mean with its bootstrap interval."""
    return bootstrap_interval(values).to_json()


def _mean(items: Sequence[Scored], name: str) -> float | None:
    """Return the mean of a measure over the items that it applies to."""
    values = [one.scores[name] for one in items if name in one.scores]
    return sum(values) / len(values) if values else None


def _average(values: Sequence[float | None]) -> float | None:
    """Return the mean of some means, None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


__all__ = [
    "COLUMNS",
    "MEASURES",
    "behaviour_table",
    "behaviours",
    "breakdown",
    "column_cells",
    "groups",
    "overall",
    "paper_columns",
    "paper_table",
    "percent",
    "published_numbers",
    "published_table",
    "tables",
]
