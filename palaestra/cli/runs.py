"""`palaestra runs`: what is in the run store; list, show, score again, delete."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder, new_run_ids
from palaestra.errors import UsageError

if TYPE_CHECKING:
    from palaestra.agents.evaluation.arms import ArmSummary
    from palaestra.agents.evaluation.evaluation import Evaluation
    from palaestra.agents.store.store import RunStore
    from palaestra.results.tables import EnvResults

app = typer.Typer(help="List, show, rescore and delete stored runs; on its own it lists them.")

RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="Name of a run, from: palaestra runs list.", show_default=False)]
EPISODE_ERRORS = 3


@app.callback(invoke_without_command=True)
def runs_of_folder(context: typer.Context, runs: RunsFolder = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """List, show, rescore and delete stored runs; on its own it lists them."""
    if context.invoked_subcommand is None:
        list_runs(runs, as_json)


@app.command("list")
def list_runs(runs: RunsFolder = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """List all runs, newest first."""
    from palaestra.agents.evaluation.floors import floor_of_run
    from palaestra.agents.store.about import far, what_of
    from palaestra.agents.store.records import BIASED
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import console, print_json, table
    from palaestra.cli.results import WIDE, floor_shown

    with RunStore(runs, read_only=True) as store:
        found = store.runs()
    if as_json:
        print_json([run.to_json() for run in found])
        return
    out = console()
    narrow = out.width < WIDE
    numbers = ("Episodes", "Success") if narrow else ("Episodes", "Success", "Floor", "Score", "Errors")
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
        figures = [f"{run.num_episodes:,}", success]
        if not narrow:
            floor = floor_of_run(run)
            figures += ["-" if floor is None else floor_shown(floor), score, f"{run.num_errors:,}"]
        grid.add_row(run.run_id, *([] if narrow else [created]), what_of(run.config), far(run), *figures)
    out.print(grid)
    if any(BIASED in run.caveat for run in found):
        out.print(f"Figures of unfinished runs are those so far, {BIASED}.", soft_wrap=True)


@app.command("show")
def show_run(run_id: RunId, runs: RunsFolder = DEFAULT_RUNS, as_json: AsJson = False) -> None:
    """Show one run: settings, results by arm and of its environment's own, last episodes; of a training run the curves."""
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import print_json
    from palaestra.cli.run_page import print_page, read_page

    with RunStore(runs, read_only=True) as store:
        page = read_page(store, run_id)
    if as_json:
        print_json(page.to_json())
    else:
        print_page(page)


@app.command("rescore")
def rescore_run(
    run_id: RunId,
    scorer: Annotated[
        str,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Takes a trajectory and returns score, success, metrics (what it leaves out stays); may be async.",
            show_default=False,
        ),
    ],
    into: Annotated[
        str | None, typer.Option(metavar="ID", help="Name of the run for the scores; one that exists is resumed.")
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Score episodes again that ended in a scoring error.")
    ] = False,
    concurrency: Annotated[int, typer.Option(help="Episodes that an async scorer scores at once.", min=1)] = 16,
    runs: RunsFolder = DEFAULT_RUNS,
    as_json: AsJson = False,
) -> None:
    """Score the episodes of a run again, without playing, into a run of their own; the old scores stay."""
    from palaestra.agents.evaluation.arms import PlayedRun, arms_of, env_results
    from palaestra.agents.evaluation.rescoring import rescore
    from palaestra.agents.report import write_report
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import Interrupted, progress

    function = _scorer(scorer)
    into = into or new_run_ids([scorer.rpartition(":")[2]])[0]
    where = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    resume = shlex.join(["palaestra", "runs", "rescore", run_id, "--scorer", scorer, "--into", into, *where])
    with RunStore(runs) as store:
        with progress() as lines:
            try:
                done = rescore(
                    store,
                    run_id,
                    function,
                    into=into,
                    name=scorer,
                    retry_errors=retry_errors,
                    concurrency=concurrency,
                    progress=lines.line(f"scoring {run_id}").update,
                    results=False,  # of both runs together, below
                )
            except KeyboardInterrupt:
                raise Interrupted(resume) from None
        both = [PlayedRun.of(store, one) for one in (run_id, into)]
        arms = arms_of(both, store.get)
        own = env_results([row.arm for row in arms])
        report = write_report(store.run_folder(into) / "report.html", [run_id, into], store=store, results=own)
    _print_rescored(done, arms, own, report, resume, as_json)
    if done.status != "finished" or "scoring" in done.summary.errors:
        raise typer.Exit(EPISODE_ERRORS)


def _scorer(spec: str) -> Any:
    """Import a scorer, also from the current folder; a class is made into an object that is called."""
    from palaestra.results.tables import load_named

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does
    found = load_named(spec, "scorer", example="my_package.scoring:score")
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise UsageError(f"The scorer {spec!r} could not be built: {type(error).__name__}: {error}.") from error
    if not callable(found):
        raise UsageError(f"{spec!r} is a {type(found).__name__}; expected a function of a trajectory.")
    return found


def _print_rescored(
    done: Evaluation,
    arms: Sequence[ArmSummary],
    own: Mapping[str, EnvResults],
    report: Path,
    resume: str,
    as_json: bool,
) -> None:
    """Print old and new scores side by side, what could not be scored, and where to look."""
    from palaestra.cli.output import console, print_json
    from palaestra.cli.results import print_results

    if as_json:
        tables = {"results": {env_id: found.to_json() for env_id, found in own.items()}} if own else {}
        print_json({"runs": [done.to_json()], **tables, "report": str(report.resolve())})
        return
    out = console()
    print_results(out, arms, own)
    if done.status != "finished":
        out.print(f"{done.run_id} {done.status}: {done.note}", style="red", soft_wrap=True)
        out.print(f"  resume: {resume}", soft_wrap=True)
    if num_errors := done.summary.errors.get("scoring"):
        out.print(f"{num_errors:,} episodes could not be scored", style="red")
        out.print(f"  score them again: {resume} --retry-errors", soft_wrap=True)
    out.print(f"Run     {done.run_id}", soft_wrap=True)
    out.print(f"Report  {report.resolve()}", soft_wrap=True)


@app.command("check")
def check_runs(
    runs: RunsFolder = DEFAULT_RUNS,
    repair: Annotated[
        bool, typer.Option("--repair", help="Save what is whole to a new file; the damaged one is kept under another name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the whole run store and its media, and say what is damaged; exits with 1 if anything is and was not repaired."""
    from palaestra.agents.store.check import check_store
    from palaestra.cli.output import console, print_json

    checked = check_store(runs, repair=repair)
    if as_json:
        print_json(checked.to_json())
    else:
        out = console()
        for problem in checked.problems:
            out.print(problem, style="red", soft_wrap=True)
        for run in checked.runs:
            names = ", ".join(run.lost[:5]) + (" ..." if len(run.lost) > 5 else "")
            lost = f", {len(run.lost):,} lost ({names})" if run.lost else ""
            again = f", {run.rebuilt:,} of them with a new summary" if run.rebuilt else ""
            problem = f"; {run.problem}" if run.problem else ""
            out.print(f"{run.run_id}: {run.kept:,} episodes whole{again}{lost}{problem}", soft_wrap=True)
            for media in run.media[:5]:
                named = f"named by {media.episodes:,} episodes" if media.episodes != 1 else "named by 1 episode"
                out.print(f"  media/{media.file}: {media.problem}, {named}", style="red", soft_wrap=True)
            if len(run.media) > 5:
                out.print(f"  ... {len(run.media):,} media files in all; --json lists them", style="red", soft_wrap=True)
        for note in checked.notes:
            out.print(note, soft_wrap=True, markup=False)
        if checked.unknown:
            out.print(f"{checked.unknown:,} episodes lost of which nothing can be read", style="red", soft_wrap=True)
        if checked.is_whole:
            out.print(f"Nothing in {checked.file} is damaged.", soft_wrap=True)
        elif checked.saved_as:
            out.print(f"Saved in {checked.file}; the damaged file is {checked.saved_as}.", soft_wrap=True)
            out.print("Resume the runs to play the lost episodes again.", soft_wrap=True)
        elif not checked.is_file_whole:
            where = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
            command = shlex.join(["palaestra", "runs", "check", *where, "--repair"])
            out.print(f"Save what is whole with: {command}", soft_wrap=True, markup=False)
        if not checked.has_all_media:
            out.print("Restore the media files from a copy; the trajectories that name them are kept.", soft_wrap=True)
    if not checked.has_all_media or not (checked.is_file_whole or checked.saved_as):
        raise typer.Exit(1)


@app.command("delete")
def delete_run(
    run_id: RunId,
    runs: RunsFolder = DEFAULT_RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a run, its episodes and its folder; with a training run the evaluations of its arms."""
    from palaestra.agents.evaluation.arms import with_arms
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import print_json, say

    with RunStore(runs) as store:
        run, *others = with_arms(store, [run_id])
        # a run of that name which somebody played by hand is not the training run's to delete
        arms = [arm for arm in others if arm.config.get("training_run") == run_id]
        num_episodes = sum(one.num_episodes for one in (run, *arms))
        those = f" with its {len(arms)} evaluation{'s' if len(arms) > 1 else ''}" if arms else ""
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(
                    f"Deleting {run_id!r}{those} ({num_episodes:,} episodes) needs --yes where nobody can be asked."
                )
            question = f"Delete run {run_id}{those} and {num_episodes:,} episodes, and its folder?"
            typer.confirm(question, abort=True, err=True)
        with store.lock(run_id):
            pass  # a run that is being trained keeps its evaluations as well
        for one in (*arms, run):  # the training run last: what is interrupted can be deleted by the same command
            _delete(store, one.run_id)
    if as_json:
        print_json(
            {"deleted": run_id, "episodes": num_episodes, **({"evaluations": [arm.run_id for arm in arms]} if arms else {})}
        )
    else:
        say(f"Deleted {run_id}{those} ({num_episodes:,} episodes).")


def _delete(store: RunStore, run_id: str) -> None:
    """Delete one run and its folder."""
    import shutil

    from palaestra.errors import StoreError

    folder = store.folder_of(run_id)
    store.delete_run(run_id)
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"The run is deleted, but its folder {folder} is not ({error}); delete it by hand.") from error
