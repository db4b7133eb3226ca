"""`palaestra demo`: the main job in a few minutes of one CPU core."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder

RECIPE = "demo"


def demo(
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Change one value of the recipe. Repeatable.")
    ] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    run: Annotated[str | None, typer.Option("--run", metavar="ID", help="Resume this run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a tiny policy on TextCraft, compare it with random, expert, untrained and cloned play; write a report."""
    from palaestra.cli.train import run_recipe, show

    result, report = run_recipe(None if _is_stored(runs, run) else RECIPE, overrides or [], runs=runs, run_id=run)
    show(result, report, as_json=as_json)


def _is_stored(runs: Path, run_id: str | None) -> bool:
    """Whether a run of this name is there to resume."""
    from palaestra.agents.store.store import FILE_NAME, RunStore

    if run_id is None or not (runs / FILE_NAME).is_file():
        return False
    with RunStore(runs, read_only=True) as store:
        return run_id in {run.run_id for run in store.runs()}
