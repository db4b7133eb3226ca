"""`palaestra report RUN...`: one page about one run, or about several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder, expect_path
from palaestra.errors import UsageError


def report(
    run_ids: Annotated[
        list[str] | None, typer.Argument(metavar="RUN_ID...", help="Runs, in the order shown.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Where to write; by default into the first run's folder."),
    ] = None,
    title: Annotated[str, typer.Option(help="Headline.")] = "",
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME=ID,ID,...",
            help="Training runs that are seeds of one way to train; else their recipes tell. Repeatable.",
            show_default=False,
        ),
    ] = None,
    transcripts: Annotated[int | None, typer.Option(help="Most transcripts to embed.", min=0)] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained HTML report of stored runs; several training runs are compared across seeds."""
    from palaestra.agents.report import TranscriptLimits, write_report
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import print_json, say

    if out is not None:
        expect_path(out)
    by_run = _by_run(labels or [])
    run_ids = list(dict.fromkeys([*(run_ids or []), *by_run]))
    if not run_ids:
        raise UsageError("A report needs at least one run; name run ids, e.g. from: palaestra runs list.")
    with RunStore(runs, read_only=out is not None) as store:
        path = out or store.run_folder(run_ids[0]) / ("report.html" if len(run_ids) == 1 else "comparison.html")
        limits = None if transcripts is None else TranscriptLimits(max_transcripts=transcripts)
        path = write_report(path, run_ids, store=store, title=title, limits=limits, labels=by_run)
    if as_json:
        print_json({"report": str(path.resolve()), "runs": run_ids})
    else:
        say(path.resolve())


def _by_run(labels: list[str]) -> dict[str, str]:
    """Read `NAME=ID,ID` texts: label by run id."""
    found: dict[str, str] = {}
    for text in labels:
        name, _, ids = text.partition("=")
        listed = [run_id.strip() for run_id in ids.split(",") if run_id.strip()]
        if not name.strip() or not listed:
            raise UsageError(f"--label got {text!r}; expected NAME=ID,ID, e.g. --label ppo=run-1,run-2.")
        for run_id in listed:
            if found.setdefault(run_id, name.strip()) != name.strip():
                raise UsageError(f"Run {run_id!r} has the labels {found[run_id]!r} and {name.strip()!r}; give it one.")
    return found
