"""`palaestra report RUN...`: one page about one run, or about several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder


def report(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN_ID...", help="Runs, in the order shown.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write; by default into the first run's folder.")
    ] = None,
    title: Annotated[str, typer.Option(help="Headline.")] = "",
    transcripts: Annotated[int | None, typer.Option(help="Most transcripts to embed.", min=0)] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML report of stored runs."""
    from palaestra.agents.report import TranscriptLimits, write_report
    from palaestra.agents.store import RunStore
    from palaestra.cli.output import print_json

    with RunStore(runs, read_only=out is not None) as store:
        path = out or store.run_folder(run_ids[0]) / ("report.html" if len(run_ids) == 1 else "comparison.html")
        limits = None if transcripts is None else TranscriptLimits(max_transcripts=transcripts)
        path = write_report(path, run_ids, store=store, title=title, limits=limits)
    if as_json:
        print_json({"report": str(path.resolve()), "runs": run_ids})
    else:
        print(path.resolve())
