"""`palaestra toolforge`: tool-use tasks, built, looked at, checked, scored and exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder, expect_path

if TYPE_CHECKING:
    from palaestra.envs.toolforge.instance import Instance
    from palaestra.envs.toolforge.llm_build import LLMSettings

app = typer.Typer(help="Tool-use tasks with proofs: build them, check them, export them.", no_args_is_help=True)

T = TypeVar("T")

FOUND_FAULTS = 1
ENV_ID = "palaestra/ToolForge-v0"

InstancesFile = Annotated[Path, typer.Argument(metavar="FILE", help="Instances, or published rows.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write, one instance a line.")]


@app.callback()
def toolforge() -> None:
    """Tool-use tasks with proofs: build them, check them, export them."""


@app.command("build")
def build(
    out: Out,
    preset: Annotated[
        str, typer.Option(help="Preset of the offline builder: tiny, easy, paper_like, hard, stress.")
    ] = "paper_like",
    scenario: Annotated[str, typer.Option(help="One scenario; by default those of the preset.")] = "",
    number: Annotated[int, typer.Option("-n", help="How many instances.")] = 100,
    split: Annotated[str, typer.Option(help="train or test; they share no goal.")] = "train",
    seed: Annotated[int, typer.Option(help="Names a sequence of instances.")] = 0,
    level: Annotated[
        list[str] | None,
        typer.Option(
            "--level", metavar="NAME=0-3", help="Fix function, params, types or toolset. Repeatable.", show_default=False
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Let this model build them, e.g. openai:NAME; needs --topics.")] = "",
    topics: Annotated[Path | None, typer.Option(help="Topics for the model, one a line.", show_default=False)] = None,
    fictional: Annotated[bool, typer.Option(help="With --model: replace names by made-up ones.")] = False,
) -> None:
    """Build tool-use tasks, offline or with --model by a language model.

    With --model, the record of every request is written to FILE.audit.jsonl; items that did not pass are dropped, and replies
    that passed are kept in FILE.cache.json, so that a second run asks only for what is missing.
    """
    from palaestra.cli.options import parse_settings
    from palaestra.cli.output import say
    from palaestra.envs.toolforge.build import build_many
    from palaestra.envs.toolforge.files import write_instances
    from palaestra.errors import ConfigError

    expect_path(out)
    levels = {name: value for name, value in parse_settings(level, "--level").items() if isinstance(value, int)}
    if len(levels) < len(level or ()):
        raise ConfigError(f"--level got {level!r}; expected NAME=NUMBER with a number from 0 to 3, each name once.")
    if bool(model) != (topics is not None):
        raise ConfigError("--model and --topics go together: a model builds one instance for each topic.")
    if topics is not None:
        from palaestra.envs.toolforge.llm_build import LLMSettings

        settings = LLMSettings(
            scenario or "multi_hop", levels=levels, model=model, fictional=fictional, split=split, seed=seed
        )
        _build_with_model(out, settings, topics, number)
        return
    instances = build_many(preset, scenario=scenario or None, levels=levels, split=split, count=number, seed=seed)
    count = write_instances(out, _shown(instances, f"building {preset}", number))
    say(f"{count} instances -> {out}")


@app.command("describe")
def describe(file: InstancesFile, as_json: AsJson = False) -> None:
    """Show sizes by scenario: tools, nodes, parameters and their types."""
    from palaestra.cli.output import console, print_json, table
    from palaestra.envs.toolforge.files import open_instances
    from palaestra.envs.toolforge.stats import sizes_table

    sizes = sizes_table(open_instances(file))
    if as_json:
        print_json([dict(zip(sizes.columns, row, strict=True)) for row in sizes.rows])
        return
    shown = table(sizes.title, *sizes.columns, numbers=tuple(sizes.columns[1:]))
    for row in sizes.rows:
        shown.add_row(*row)
    console().print(shown)


@app.command("check")
def check(file: InstancesFile, as_json: AsJson = False) -> None:
    """Check every instance: the format, schemas that say less than the code, golden calls of tables.

    Exits with 1 if there is a fault. Warnings about published rows are not faults: they are loaded as they are.
    """
    from palaestra.cli.output import print_json, say
    from palaestra.envs.toolforge.files import open_instances
    from palaestra.envs.toolforge.oddities import warnings_of

    opened = open_instances(file)
    found = []
    for instance in _shown(opened, "checking", len(opened)):
        faults = _faults(instance)
        warnings = warnings_of(instance)
        if faults or warnings:
            found.append({"id": instance.id, "faults": faults, "warnings": warnings})
    wrong = sum(bool(entry["faults"]) for entry in found)
    if as_json:
        print_json({"instances": len(opened), "with_faults": wrong, "found": found})
    else:
        for entry in found:
            for kind in ("faults", "warnings"):
                for line in entry[kind]:
                    say(f"{kind.removesuffix('s'):<8} {entry['id']}  {line}")
        say(f"{len(opened)} instances, {wrong} with faults, {len(found) - wrong} with warnings only")
    if wrong:
        raise typer.Exit(FOUND_FAULTS)


@app.command("score")
def score(
    file: InstancesFile,
    episodes: Annotated[
        Path,
        typer.Argument(
            metavar="EPISODES",
            help='JSON lines: {"instance": ID, "turns": [{"content", "tool_calls": [{"name", "arguments"}]}]}.',
            show_default=False,
        ),
    ],
    profile: Annotated[str, typer.Option(help="strict, or published (bug for bug).")] = "strict",
    max_turns: Annotated[int, typer.Option("--max-turns", min=1, help="Messages after which an episode is cut off.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Play stored messages again, and print Solve-P, Solve-R, Solve-F1, answers and success by scenario."""
    from palaestra.cli.output import console, print_json
    from palaestra.cli.results import env_tables
    from palaestra.envs.toolforge.scoring import scored, scores_table

    found = list(scored(file, episodes, profile=profile, max_turns=max_turns))
    if as_json:
        print_json(found)
        return
    for part in env_tables([scores_table(found)]):
        console().print(part)


@app.command("collect")
def collect(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN_ID", help="Run with episodes of palaestra/ToolForge-v0.", show_default=False)
    ],
    out: Out,
    form: Annotated[
        str,
        typer.Option(help="ftrl: published rows, for trainers of single turns; toolenv: tasks that continue an episode."),
    ] = "ftrl",
    runs: RunsFolder = DEFAULT_RUNS,
) -> None:
    """Write the states of a run's episodes: their starts, and what followed every message with calls.

    A policy is trained on the next turn of each: rows go to trainers that take prompts (palaestra.envs.toolforge.training),
    tasks are played by the environment with instances=FILE and max_turns=1.
    """
    from contextlib import closing

    from palaestra.agents.evaluation.arms import PlayedRun, arms_of
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.output import say
    from palaestra.envs.toolforge.env import ToolForgeEnv
    from palaestra.envs.toolforge.files import write_instances
    from palaestra.envs.toolforge.training import FORMS, collected
    from palaestra.errors import UsageError, unknown_name

    expect_path(out)
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    with RunStore(runs, read_only=True) as store:
        arms = [one for one in arms_of([PlayedRun.of(store, run_id)], store.get) if one.arm.env_id == ENV_ID]
        if len(arms) != 1:
            raise UsageError(
                f"Run {run_id!r} holds episodes of {len(arms)} settings of {ENV_ID}; expected one. "
                f"Play each in a run of its own (palaestra evaluate --run NAME)."
            )
        arm, total = arms[0].arm, len(arms[0].episodes)
        with closing(ToolForgeEnv(**arm.env_kwargs)) as env:
            episodes = _shown(arm.episodes, f"collecting {run_id}", total)
            count = write_instances(out, collected(env.tasks, episodes, form=form), form=form)  # type: ignore[arg-type]
    say(f"{count} states of {total} episodes -> {out}")


@app.command("export")
def export(file: InstancesFile, out: Out) -> None:
    """Write instances as published rows (JSON lines, or parquet by its ending); tables become Python source."""
    from palaestra.cli.output import say
    from palaestra.envs.toolforge.files import open_instances, write_instances

    expect_path(out)
    opened = open_instances(file)
    count = write_instances(out, _shown(opened, "exporting", len(opened)), form="ftrl")
    say(f"{count} rows -> {out}")


def _faults(instance: Instance) -> list[str]:
    """Return what the proofs of the offline builder find wrong with an instance of tables."""
    from palaestra.envs.toolforge.stages.checks import check_instance
    from palaestra.envs.toolforge.stages.names import Reject

    if instance.source != "procedural":
        return []
    try:
        check_instance(instance.to_json(), len(instance.to_line().encode()))
    except Reject as reason:
        return [str(reason)]
    except (KeyError, TypeError, ValueError) as error:
        return [f"the tables cannot be read ({type(error).__name__}: {error})"]
    return []


def _shown(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield items, with their progress on standard error."""
    from palaestra.cli.output import progress

    with progress() as lines:
        line = lines.line(label, total)
        for number, item in enumerate(items, start=1):
            yield item
            line.update(number)


def _build_with_model(out: Path, settings: LLMSettings, topics: Path, number: int) -> None:
    """Build one instance for each topic by a model, and write what passed."""
    from palaestra.cli.asked_model import asked_model
    from palaestra.cli.output import progress, say
    from palaestra.envs.core.data_files import read_text
    from palaestra.envs.toolforge.files import write_instances
    from palaestra.envs.toolforge.llm_build import LLMBuilder

    wanted = [line.strip() for line in read_text(topics, max_bytes=10_000_000).splitlines() if line.strip()][:number]
    built = []
    with (
        asked_model(settings.model, out) as asked,
        closing(LLMBuilder(asked.complete, settings, cache=asked.cache)) as builder,
        progress() as lines,
    ):
        line = lines.line("building", len(wanted))
        for done, (instance, audit) in enumerate(builder.build_many(wanted), start=1):
            asked.audits.append(audit)
            built += [] if instance is None else [instance]
            line.update(done, note=f"{len(built)} kept")
    count = write_instances(out, built)
    say(f"{count} of {len(wanted)} instances -> {out}")
    reasons = Counter(audit.reason for audit in asked.audits if audit.reason)
    for reason, times in sorted(reasons.items()):
        say(f"dropped: {times} with {reason}")
