"""`palaestra runs`: what is in the run store."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder
from palaestra.types import Json

app = typer.Typer(help="List, show and delete stored runs; on its own it lists them.")

RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="Name of a run, from: palaestra runs list.", show_default=False)]
_MOST_EPISODES = 20


@app.callback(invoke_without_command=True)
def runs_of_folder(context: typer.Context, runs: RunsFolder = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """List, show and delete stored runs; on its own it lists them."""
    if context.invoked_subcommand is None:
        list_runs(runs, as_json)


@app.command("list")
def list_runs(runs: RunsFolder = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """List all runs, newest first."""
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import console, print_json, table
    from palaestra.cli.results import WIDE

    with RunStore(runs, read_only=True) as store:
        found = store.runs()
    if as_json:
        print_json([run.to_json() for run in found])
        return
    out = console()
    narrow = out.width < WIDE
    numbers = ("Episodes", "Success") if narrow else ("Episodes", "Success", "Score", "Errors")
    # names stay in one piece on any terminal: they are there to be copied
    grid = table(
        "",
        "Run",
        *(() if narrow else ("Created (UTC)",)),
        "What",
        "Status",
        *numbers,
        numbers=numbers,
        whole=("Run", "Status"),
    )
    for run in found:
        scored = run.num_episodes - run.num_errors
        created = time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.created_s))
        success = f"{100 * run.num_success / scored:.1f} %" if scored else "-"
        score = "-" if run.mean_score is None else f"{run.mean_score:.3f}"
        figures = [f"{run.num_episodes:,}", success, *([] if narrow else [score, f"{run.num_errors:,}"])]
        grid.add_row(run.run_id, *([] if narrow else [created]), _what(run.config), run.status, *figures)
    out.print(grid)


@app.command("show")
def show_run(run_id: RunId, runs: RunsFolder = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """Show one run: settings, results by arm, what its environment reports of its own, the last episodes."""
    from palaestra.agents.evaluation.arms import PlayedRun, arms_of, env_results
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import console, print_json, table
    from palaestra.cli.results import print_results

    with RunStore(runs, read_only=True) as store:
        run, episodes = store.run(run_id), store.episodes(run_id)
        folder, media = store.folder / run_id, store.media(run_id)
        arms = arms_of([PlayedRun(run_id, run.config, episodes)], store.get)
        own = env_results([row.arm for row in arms])
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent != media.folder) if folder.is_dir() else ()
    files = sorted(str(path.relative_to(folder)) for path in found)[:200]
    if as_json:
        results = {arm.name: arm.summary.to_json() for arm in arms}
        tables = {"env_results": {env_id: found.to_json() for env_id, found in own.items()}} if own else {}
        shown = {"media": {"files": len(media), "bytes": media.num_bytes}} if len(media) else {}
        print_json({**run.to_json(), "results": results, **tables, "folder": str(folder.resolve()), "files": files, **shown})
        return
    out = console()
    out.print(f"{run.run_id}  {run.status}{': ' + run.note if run.note else ''}", style="bold", soft_wrap=True)
    for key, value in run.config.items():
        out.print(f"  {key} = {value}", soft_wrap=True)
    print_results(out, arms, own)
    grid = table(
        f"Last {min(_MOST_EPISODES, len(episodes))} episodes",
        "Episode",
        "Type",
        "Outcome",
        "Score",
        "Turns",
        numbers=("Score", "Turns"),
    )
    for e in episodes[-_MOST_EPISODES:]:
        outcome = f"{e.error_boundary} error: {e.error_message}" if e.error_boundary else e.stop_reason
        grid.add_row(e.episode_id, e.task_type, outcome, "-" if e.score is None else f"{e.score:g}", str(e.num_turns))
    out.print(grid)
    if files:
        out.print(f"Files in {folder.resolve()}: {', '.join(files[:12])}{' ...' if len(files) > 12 else ''}", soft_wrap=True)
    if len(media):
        size = f"{media.num_bytes / 1e6:,.1f} MB" if media.num_bytes >= 100_000 else f"{media.num_bytes / 1e3:,.1f} kB"
        out.print(f"{len(media):,} sounds and pictures ({size}) in {media.folder.resolve()}", soft_wrap=True)


@app.command("delete")
def delete_run(
    run_id: RunId,
    runs: RunsFolder = DEFAULT_RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a run, its episodes and its folder."""
    import shutil
    import sys

    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import print_json
    from palaestra.errors import StoreError, UsageError

    with RunStore(runs) as store:
        run = store.run(run_id)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(f"Deleting {run_id!r} ({run.num_episodes:,} episodes) needs --yes where nobody can be asked.")
            typer.confirm(f"Delete run {run_id} with {run.num_episodes:,} episodes and its folder?", abort=True, err=True)
        folder = store.folder / run_id
        store.delete_run(run_id)
        try:
            if folder.is_dir():
                shutil.rmtree(folder)
        except OSError as error:
            raise StoreError(f"The run is deleted, but its folder {folder} is not ({error}); delete it by hand.") from error
    if as_json:
        print_json({"deleted": run_id, "episodes": run.num_episodes})
    else:
        print(f"Deleted {run_id} ({run.num_episodes:,} episodes).")


def _what(config: Any) -> str:
    """Say in a few words what a run did."""
    settings: dict[str, Json] = dict(config)
    envs = ", ".join(str(env.get("env_id")) for env in settings.get("envs", ()))
    if settings.get("kind") == "evaluate":
        return f"{settings.get('agent', '')} on {envs}"
    name = str(settings.get("name") or settings.get("kind") or "")
    env = settings.get("env")
    return f"{name} on {env.get('id')}" if isinstance(env, dict) else name
