"""`palaestra export RUN`: episodes of a run as training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder
from palaestra.errors import UsageError

ALIASES = {"messages": "chat", "trajectories": "jsonl", "hf": "dataset"}


def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="Run to export.", show_default=False)],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="PATH", help="File to write; for dataset (hf) a folder.", show_default=False)
    ],
    format: Annotated[
        str, typer.Option(help="agenttraj, sharegpt, chat (messages), experience, jsonl (trajectories) or dataset (hf).")
    ] = "agenttraj",
    only_success: Annotated[bool, typer.Option("--only-success", help="Leave out what did not solve its task.")] = False,
    of_seat: Annotated[
        str,
        typer.Option("--of-seat", metavar="NAME", help="Whose episodes, if there are several seats: the policy's by default."),
    ] = "",
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Export the episodes of a run: AgentTraj, ShareGPT, chat messages, whole trajectories or a Hugging Face dataset."""
    from palaestra.agents.export.export import export_trajectories
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import print_json, progress

    with RunStore(runs, read_only=True) as store, progress() as lines:
        num_episodes = store.run(run_id).num_episodes
        if not num_episodes:  # a training run keeps its evaluations in runs of their own
            near = [run.run_id for run in store.runs() if run.run_id.startswith(f"{run_id}-") and run.num_episodes]
            hint = f"its evaluations are {', '.join(sorted(near))}" if near else "palaestra runs lists those that do"
            raise UsageError(f"Run {run_id!r} holds no episodes; {hint}.")
        line = lines.line(f"exporting {run_id}")
        written = export_trajectories(
            store.trajectories(run_id),
            out,
            ALIASES.get(format, format),
            select="success" if only_success else None,
            total=num_episodes,
            progress=line.update,
            media=store.media(run_id),
            seat=of_seat,
        )
    if as_json:
        media = {} if written.media is None else {"media": str(written.media.resolve()), "num_media": written.num_media}
        figures = {"path": str(written.path.resolve()), "written": written.num_written, "skipped": written.num_skipped}
        print_json({**figures, **media})
    else:
        left_out = f", {written.num_skipped:,} left out" if written.num_skipped else ""
        shown = f", {written.num_media:,} sounds and pictures in {written.media.name}" if written.media else ""
        print(f"{written.num_written:,} episodes in {written.path.resolve()}{left_out}{shown}")
