"""`palaestra train RECIPE.toml`: a training run, resumable, with a report."""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder, typed_id
from palaestra.errors import ConfigError, PalaestraError, UsageError
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.store.store import RunStore
    from palaestra.algorithms.run.recipe import Recipe
    from palaestra.algorithms.run.training import TrainingResult

EPISODE_ERRORS = 3


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE.toml]", help="Recipe file, or the name of one that is included.", show_default=False),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=VALUE", help="Change one value of the recipe, e.g. grpo.lr=3e-4. Repeatable."),
    ] = None,
    runs: RunsFolder = DEFAULT_RUNS,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="ID", help="Resume this run (its recipe is kept), or give a new one this name."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines of text instead of the dashboard, also on a terminal.")
    ] = False,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe; say what a step plays and what a device holds; train nothing.")
    ] = False,
    devices: Annotated[
        int | None, typer.Option("--devices", min=1, help="With --dry-run: processes that train together, one on each device.")
    ] = None,
    sharded: Annotated[
        bool, typer.Option("--sharded", help="With --dry-run: the devices cut the trained weights among them (FSDP).")
    ] = False,
    device_memory: Annotated[
        float | None,
        typer.Option("--device-memory", metavar="GIB", min=0.001, help="With --dry-run: refuse what a device cannot hold."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a policy by a recipe: baselines, training phases, evaluations on test tasks, checkpoints, a report.

    Whatever is finished is kept at once: after a crash or Ctrl-C, `--run ID` resumes from the last checkpoint. Under
    `accelerate launch` several processes train together, and the first one speaks.
    """
    if dry:
        plan_recipe(
            recipe,
            overrides or [],
            runs=runs,
            run_id=run,
            devices=devices or 1,
            sharded=sharded,
            device_gib=device_memory,
            as_json=as_json,
        )
        return
    if devices is not None or sharded or device_memory is not None:
        raise UsageError("--devices, --sharded and --device-memory belong to --dry-run; accelerate launch says how to train.")
    with _launched() as is_main:
        result, report = run_recipe(recipe, overrides or [], runs=runs, run_id=run, plain=plain, is_main=is_main)
    if is_main:  # after all have left: an exit code of the first one is no loss to the others
        show(result, report, as_json=as_json)


def plan_recipe(
    recipe: str | None,
    overrides: Sequence[str],
    *,
    runs: Path,
    run_id: str | None,
    devices: int,
    sharded: bool,
    device_gib: float | None,
    as_json: bool,
) -> None:
    """Check a recipe and print what it will do and hold; see `algorithms.run.dry_run`."""
    from palaestra.agents.store.store import RunStore
    from palaestra.algorithms.run.dry_run import dry_run
    from palaestra.cli.dry_run import show_plan

    if recipe is not None:  # nothing is stored, so no folder of runs is made either
        loaded = _given(recipe, overrides)
    else:
        with RunStore(runs) as store:
            loaded = _load(store, recipe, overrides, run_id)
    _check_env(loaded)
    show_plan(dry_run(loaded, devices=devices, sharded=sharded), device_gib=device_gib, as_json=as_json)


def run_recipe(
    recipe: str | None, overrides: Sequence[str], *, runs: Path, run_id: str | None, plain: bool = False, is_main: bool = True
) -> tuple[TrainingResult, Path]:
    """Train, then write the report.

    Args:
        recipe: File or name; None takes the recipe of the run to resume.
        overrides: `KEY=VALUE` with dotted keys.
        runs: Folder of the run store.
        run_id: Run to resume, or the name of a new one.
        plain: Show lines of text instead of the dashboard.
        is_main: Whether this process shows progress and writes the report.

    Returns:
        The result, and the path of the report.
    """
    from palaestra.agents.report import write_report
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.dashboard import watching
    from palaestra.cli.output import Interrupted

    with RunStore(runs) as store:
        loaded = _load(store, recipe, overrides, run_id)
        _check_env(loaded)
        if run_id is None:
            slug = re.sub(r"[^A-Za-z0-9.]+", "-", loaded.name).strip("-.")[:40] or "train"
            run_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}-{slug}"
        from palaestra.algorithms.run.training import train as run_training

        try:
            with watching(loaded, run_id, plain=plain) if is_main else contextlib.nullcontext() as told:
                result = run_training(loaded, store=store, run_id=run_id, progress=told)
        except KeyboardInterrupt:
            raise Interrupted(_resume_command(run_id, runs)) from None
        except UsageError:
            raise
        except PalaestraError as error:
            raise type(error)(f"{error} Resume with: {_resume_command(run_id, runs)}") from error
        run_id = result.run_id  # several processes agree on that of the first
        report = store.run_folder(run_id) / "report.html"
        if is_main:
            write_report(report, [run_id], store=store)
    return result, report


def show(result: TrainingResult, report: Path, *, as_json: bool) -> None:
    """Print the arms of a training run and where to look; exit with 3 if episodes ended in errors."""
    from palaestra.cli.output import console, print_json
    from palaestra.cli.results import results_table

    num_errors = sum(evaluation.summary.total.num_errors for evaluation in result.arms.values())
    if as_json:
        page: dict[str, Json] = {**result.to_json(), "report": str(report.resolve())}
        print_json(page)
    else:
        out = console()
        rows = [(name, evaluation.summary) for name, evaluation in result.arms.items()]
        rows += [(f"{arm}, all", summary) for arm, summary in result.totals.items()]
        declared = {
            metric: None for evaluation in result.arms.values() for found in evaluation.metrics.values() for metric in found
        }
        lead = [metric for metric in declared if metric.lead]
        out.print(results_table(rows, "On test tasks", metrics=lead, train_cpu_s=result.train_cpu_s, width=out.width))
        if num_errors:
            out.print(
                f"{num_errors} test episodes ended in an error and are not scored; see the report.",
                style="red",
                soft_wrap=True,
            )
        out.print(f"Run     {result.run_id}  ({result.seconds:.0f} s)", soft_wrap=True)
        out.print(f"Policy  hf:{result.policy_path.resolve()}", soft_wrap=True)
        out.print(f"Report  {report.resolve()}", soft_wrap=True)
    if num_errors:
        raise typer.Exit(EPISODE_ERRORS)


@contextlib.contextmanager
def _launched() -> Iterator[bool]:
    """Join the processes that a launcher started with this one; yield whether this is the first."""
    from palaestra.algorithms.scale.heartbeat import is_launch_alone, num_launched

    # without torch there is nothing to join, and a clear error comes later
    if num_launched() < 2 and not is_launch_alone():
        yield True
        return
    from palaestra.algorithms.scale.ranks import join_ranks

    with join_ranks() as team:
        yield team.is_main


def _load(store: RunStore, recipe: str | None, overrides: Sequence[str], run_id: str | None) -> Recipe:
    """Return the recipe given, or the one that a stored run was started with."""
    from palaestra.algorithms.run.recipe import as_it_played, parse_recipe

    if recipe is not None:
        return _given(recipe, overrides)
    if run_id is None:
        raise UsageError("There is no recipe to train; give a TOML file, e.g. palaestra train textcraft_tiny.")
    stored = store.run(run_id).config
    if "recipe" not in stored:
        raise UsageError(
            f"Run {run_id!r} is not a training run; an evaluation resumes with: palaestra evaluate --run {run_id}"
        )
    if overrides:
        raise ConfigError(f"Run {run_id!r} keeps its recipe; leave out --set, or train under another run id.")
    return parse_recipe(as_it_played(stored["recipe"]))


def _given(recipe: str, overrides: Sequence[str]) -> Recipe:
    """Return the recipe that was given on the command line; modules of its environments may lie in the current folder."""
    from palaestra.algorithms.run.recipe import load_recipe

    found = load_recipe(recipe, overrides)
    for env in found.envs:
        typed_id(env.id)
    return found


def _check_env(recipe: Recipe) -> None:
    """Refuse an unknown environment, argument or split before anything is stored."""
    from palaestra.cli.environments import open_env

    for config in recipe.envs:
        env = open_env(config.id, config.arguments)
        try:
            if hasattr(env.unwrapped, "tasks"):
                env.unwrapped.tasks.split(config.train_split)
                env.unwrapped.tasks.split(config.test_split)
        finally:
            env.close()


def _resume_command(run_id: str, runs: Path) -> str:
    """Return the command that resumes a run."""
    where = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    return shlex.join(["palaestra", "train", "--run", run_id, *where])
