"""`palaestra compare`: runs against each other, task by task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder
from palaestra.cli.results import success_cells
from palaestra.results.statistics import PairedDifference

if TYPE_CHECKING:
    from palaestra.agents.evaluation.comparing import Pair, RunComparison

NOT_JUDGED = 1
SHOWN_FLIPS = 5


def compare(
    runs_compared: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Names of two or more runs.", show_default=False)
    ],
    by: Annotated[str, typer.Option("--by", metavar="FIGURE", help="success, score, return_ or a metric.")] = "success",
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Compare runs task by task: difference with interval, flips, McNemar, Holm, where the variance comes from.

    Exits with 1 if a pair could not be judged; the table says why.
    """
    from palaestra.agents.evaluation.arms import PlayedRun
    from palaestra.agents.evaluation.comparing import compare_arms
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.memory import no_cycles
    from palaestra.cli.output import print_json

    with no_cycles():
        with RunStore(runs, read_only=True) as store:
            names = list(dict.fromkeys(runs_compared))
            played = [PlayedRun.of(store, name) for name in names]
            unfinished = [run.cut_off for run in map(store.run, names) if run.cut_off]
        found = compare_arms(played, by=by)
    if as_json:
        data = found.to_json()
        print_json({**data, "notices": [*unfinished, *data["notices"]]})
    else:
        print_comparison(found, unfinished)
    if not found.pairs or any(pair.problem for pair in found.pairs):
        raise typer.Exit(NOT_JUDGED)


def print_comparison(found: RunComparison, unfinished: list[str]) -> None:
    """Print the tables of a comparison, and what the runs that are not finished say of themselves."""
    from palaestra.cli.output import console, table

    out = console()
    parts: tuple[str, ...] = ("Success", "95 % interval", "Floor", "Above floor")
    grid = table("", "Arm", *parts, numbers=parts)
    for arm, floor in zip(found.arms, found.floors, strict=True):
        grid.add_row(arm.name, *success_cells(arm.success, floor).values())
    if found.arms:
        out.print(grid)
    for line in dict.fromkeys(one.told for one in found.floors):
        out.print(line, soft_wrap=True, markup=False)
    columns = ("First", "Second", "Tasks", f"{found.by}: first - second", "95 % interval", "p (Holm)", "Better")
    grid = table("", *columns, numbers=columns[2:6])
    for pair in found.pairs:
        better = {"first": pair.first, "second": pair.second}.get(pair.verdict, pair.verdict)
        grid.add_row(
            pair.first, pair.second, f"{pair.num_tasks:,}", *_shown(pair.difference, found.by), _p(pair.p_holm), better
        )
    out.print(grid)
    for pair in found.pairs:
        _print_pair(out, pair)
    parts = ("task", "world", "partner", "model")
    grid = table("Variance of success", "Agent", "Environment", *parts, "Episodes", numbers=(*parts, "Episodes"))
    for (agent, env_id), split in found.variances.items():
        shown = ("-" if (part := getattr(split, name)) is None else f"{part:.4f}" for name in parts)
        grid.add_row(agent, env_id, *shown, f"{split.n:,}")
    if found.variances:
        out.print(grid)
        out.print("-: no two episodes differ in that alone; it is part of the figure to its left.", soft_wrap=True)
    for notice in (*unfinished, *found.notices):
        out.print(notice, style="yellow", soft_wrap=True)


def _print_pair(out: Any, pair: Pair) -> None:
    """Print what is behind a row."""
    out.print(f"{pair.first} against {pair.second}:", style="bold", soft_wrap=True)
    for notice in pair.notices:
        out.print(f"  {notice}", style="yellow", soft_wrap=True)
    if pair.problem:
        out.print(f"  not judged: {pair.problem}", style="red", soft_wrap=True)
        return
    for name, keys in ((pair.first, pair.only_first), (pair.second, pair.only_second)):
        shown = ", ".join(keys[:SHOWN_FLIPS]) + (", ..." if len(keys) > SHOWN_FLIPS else "")
        out.print(f"  {len(keys):,} tasks better by {name}{f': {shown}' if keys else ''}", soft_wrap=True)
    out.print(f"  McNemar: exact p {_p(pair.exact)}, mid-p {_p(pair.mid_p)}", soft_wrap=True)
    for title, difference in ((f"Pass@{pair.k}", pair.at_k), (f"Pass^{pair.k}", pair.hat_k)):
        if difference is not None:
            mean, ends = _shown(difference, "success")
            out.print(f"  {title}: {mean} ({ends})", soft_wrap=True)


def _shown(difference: PairedDifference, by: str) -> tuple[str, str]:
    """Return a difference and its interval as texts, of rates in points."""
    scale, unit = (100, " points") if by == "success" else (1, "")
    values = [scale * value for value in (difference.mean, difference.low, difference.high)]
    mean, low, high = (f"{value:+.{1 if unit else 3}f}" if math.isfinite(value) else "-" for value in values)
    return (f"{mean}{unit}" if mean != "-" else "-"), ("-" if "-" in (low, high) else f"{low} to {high}")


def _p(value: float) -> str:
    """Return a p-value as a text."""
    return "-" if math.isnan(value) else "< 0.0001" if value < 1e-4 else f"{value:.4f}"
