"""`palaestra export RUN`: episodes of a run as training data, or as a log for other tools."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder, expect_path
from palaestra.cli.output import say
from palaestra.errors import UsageError

if TYPE_CHECKING:
    from palaestra.agents.export.export import Export
    from palaestra.agents.store.records import RunSummary

ALIASES = {"messages": "chat", "trajectories": "jsonl", "hf": "dataset", "inspect": "eval"}


def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="Run to export.", show_default=False)],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="PATH", help="File to write; for dataset (hf) a folder.", show_default=False)
    ],
    format: Annotated[
        str,
        typer.Option(
            help="agenttraj, sharegpt, chat (messages), experience, jsonl (trajectories), dataset (hf) or eval (inspect)."
        ),
    ] = "agenttraj",
    only_success: Annotated[bool, typer.Option("--only-success", help="Leave out what did not solve its task.")] = False,
    of_seat: Annotated[
        str,
        typer.Option("--of-seat", metavar="NAME", help="Whose episodes, if there are several seats: the policy's by default."),
    ] = "",
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Export the episodes of a run: as training data, whole trajectories, a dataset, or a log for `inspect view`."""
    from palaestra.agents.export.eval_log import LoggedRun
    from palaestra.agents.export.export import export_trajectories
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import print_json, progress

    expect_path(out)
    with RunStore(runs, read_only=True) as store, progress() as lines:
        run = store.run(run_id)
        num_episodes = run.num_episodes
        if not num_episodes:  # a training run keeps its evaluations in runs of their own
            near = [run.run_id for run in store.runs() if run.run_id.startswith(f"{run_id}-") and run.num_episodes]
            hint = f"its evaluations are {', '.join(sorted(near))}" if near else "palaestra runs lists those that do"
            raise UsageError(f"Run {run_id!r} holds no episodes; {hint}.")
        line = lines.line(f"exporting {run_id}")
        format = ALIASES.get(format, format)
        damaged: dict[str, str] = {}
        written = export_trajectories(
            store.trajectories(run_id, damaged=damaged),
            out,
            format,
            select="success" if only_success else None,
            total=num_episodes,
            progress=line.update,
            media=store.media(run_id),
            seat=of_seat,
            damaged=damaged,
            run=LoggedRun.of(store, run_id) if format == "eval" else None,
        )
    for episode_id, problem in written.damaged.items():
        say(f"left out {episode_id}: {problem}", stderr=True)
    _tell_lost(written)
    if not written.num_written and written.num_skipped:
        say(_why_nothing(run, written.num_skipped, only_success, runs), stderr=True)
    if run.cut_off:
        say(run.cut_off, stderr=True)
    lost: dict[str, Any] = {"lost": {name: list(told) for name, told in written.lost.items()}} if written.lost else {}
    if written.damaged:
        lost["damaged"] = dict(written.damaged)
    if as_json:
        media = {} if written.media is None else {"media": str(written.media.resolve()), "num_media": written.num_media}
        figures = {"path": str(written.path.resolve()), "written": written.num_written, "skipped": written.num_skipped}
        print_json({**figures, **media, **lost, **({"caveat": run.cut_off} if run.cut_off else {})})
    else:
        num_left_out = written.num_skipped + len(written.lost) + len(written.damaged)
        left_out = f", {num_left_out:,} left out" if num_left_out else ""
        shown = f", {written.num_media:,} sounds and pictures in {written.media.name}" if written.media else ""
        say(f"{written.num_written:,} episodes in {written.path.resolve()}{left_out}{shown}")


def _why_nothing(run: RunSummary, num_skipped: int, only_success: bool, runs: Path) -> str:
    """Say why no episode of a run was written, and how to get some."""
    those = f"Nothing was written: {num_skipped:,} of {run.num_episodes:,} episodes"
    if only_success:
        return f"{those} did not solve their task. Leave out --only-success, or choose another run."
    where = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    again = shlex.join(["palaestra", "evaluate", "--run", run.run_id, "--retry-errors", *where])
    play = f", or play them again: {again}" if run.config.get("kind") == "evaluate" else ""
    return f"{those} ended in an error, and there is nothing to learn from them. Write them with --format jsonl or eval{play}"


def _tell_lost(written: Export) -> None:
    """Say on stderr which sounds and pictures were missing or damaged, and of which episodes."""
    if written.lost:
        say(f"{len(written.lost):,} episodes left out: their sounds or pictures are missing or damaged.", stderr=True)
    for episode_id, problems in written.lost.items():
        say(f"  {episode_id}: {' '.join(problems)}", stderr=True)
    if written.num_absent:
        say(
            f"{written.num_absent:,} episodes show sounds or pictures that are not in the run's folder; their tags stay text.",
            stderr=True,
        )
