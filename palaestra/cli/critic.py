"""`palaestra critic`: items about wrong and failed tool calls, built, converted, made harder and scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from palaestra.cli.options import DEFAULT_RUNS, AsJson, RunsFolder, Settings, expect_path, parse_settings, typed_id

if TYPE_CHECKING:
    from palaestra.envs.critic.blocks import Mode
    from palaestra.envs.critic.documents import Profile
    from palaestra.envs.critic.evolution import Rewriter

app = typer.Typer(
    help="Self-critique under tool-calling errors: build items, convert them, make them harder, score replies.",
    no_args_is_help=True,
)

FOUND_FAULTS = 1

ItemsFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Items: *.json as published, *.jsonl of critic/1, or a folder.", show_default=False),
]


@app.callback()
def critic() -> None:
    """Self-critique under tool-calling errors: build items, convert them, make them harder, score replies."""


@app.command("build")
def build(
    env: Annotated[
        str, typer.Option("--env", metavar="ID", help="Any environment with tools.", show_default=False, callback=typed_id)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write, *.jsonl of critic/1.")],
    number: Annotated[int, typer.Option("-n", help="How many items.", min=1)] = 150,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(help="Source of all chance.")] = 0,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Only items of this error; repeatable, '' for right steps. By default all.", show_default=False),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the tasks; by default the usual one.", show_default=False)
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Take the solved episodes of this stored run instead of the expert's.", show_default=False),
    ] = None,
    runs: RunsFolder = DEFAULT_RUNS,
) -> None:
    """Build items from the expert's steps in an environment, or from those of a stored run: an error at one of them.

    Every error is equally frequent. The environment runs the wrong calls itself. Exits with 1 if items are missing, with the
    reasons: an environment does not have every error.
    """
    from palaestra.agents.store.store import RunStore
    from palaestra.cli.environments import open_env
    from palaestra.cli.output import busy, say
    from palaestra.envs.critic.build import LABELS, build_items
    from palaestra.envs.critic.files import write_items
    from palaestra.errors import UsageError

    expect_path(out)
    played = []
    if run is not None:
        with RunStore(runs, read_only=True) as store:
            played = [one for one in store.trajectories(run) if one.env_id == env]
        if not played:
            raise UsageError(f"Run {run!r} holds no episode of {env}; name the environment that it was played in.")
    made = open_env(env, parse_settings(settings))
    try:
        with busy(f"building from {env}"):
            built = build_items(made, number, seed=seed, labels=label or LABELS, split=split, trajectories=played)
    finally:
        made.close()
    count = write_items(out, built.records)
    say(f"{count} of {number} items -> {out}")
    for name, missed in built.missing.items():
        reasons = {reason: times for (other, reason), times in built.dropped.items() if other == name}
        told = ", ".join(f"{reason} {times} times" for reason, times in reasons.items())
        say(f"missing: {missed} of {name or 'no error'} ({told})")
    if built.missing:
        raise typer.Exit(FOUND_FAULTS)


@app.command("convert")
def convert(
    file: ItemsFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help="File to write: *.jsonl gets critic/1, any other the published form."
        ),
    ],
) -> None:
    """Convert items from the published form to critic/1 or back, without loss.

    Exits with 1 if items were left out because they cannot be used; the others are written.
    """
    from palaestra.cli.output import say
    from palaestra.envs.critic.files import open_items, write_items

    expect_path(out)
    opened = open_items(file)
    count = write_items(out, opened)
    say(f"{count} items -> {out}")
    _left_out(opened.faults.values())


@app.command("evolve")
def evolve(
    file: ItemsFile,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write; *.jsonl keeps the ways as tags.")],
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="long_context, extra_tools, noisy_query or harder_tools; repeatable. By default two to four are mixed.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="With the ids of the items the source of all chance.")] = 0,
    corpus: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Texts for long contexts, separated by empty lines.", show_default=False),
    ] = None,
    model: Annotated[str, typer.Option(help="Let this model word queries, documents and texts, e.g. openai:NAME.")] = "",
) -> None:
    """Make items harder, with the same ground truth: long context, extra tools, noisy queries, harder documents.

    With --model, the record of every request is written to FILE.audit.jsonl, and replies that passed are kept in
    FILE.cache.json, so that a second run asks only for what is missing. Exits with 1 if items were left out.
    """
    from palaestra.cli.output import say
    from palaestra.envs.core.data_files import read_text
    from palaestra.envs.critic.evolution import evolve_all
    from palaestra.envs.critic.files import open_items, write_items

    expect_path(out)
    opened = open_items(file)
    pool = {tool["function"]["name"]: tool for record in opened for tool in record.tools}
    texts = [] if corpus is None else read_text(corpus, max_bytes=100_000_000).split("\n\n")
    read = [text.strip() for text in texts if text.strip()]
    with _rewriter(out, model) as rewriter:
        found = evolve_all(opened, strategy or (), seed=seed, pool=[*pool.values()], corpus=read, rewriter=rewriter)
    count = write_items(out, found.records)
    say(f"{count} of {len(opened)} items -> {out}")
    _left_out(f"{key}: {fault}" for key, fault in {**opened.faults, **found.refused}.items())


@app.command("score")
def score(
    file: ItemsFile,
    replies: Annotated[
        Path,
        typer.Argument(
            metavar="REPLIES",
            help='JSON lines: {"id": ID, "reply": TEXT} or {"id": ID, "replies": [TEXT, ...], "mode": "skip" or "finish"}.',
            show_default=False,
        ),
    ],
    profile: Annotated[str, typer.Option(help="paper, or published (bug for bug).")] = "paper",
    mode: Annotated[str, typer.Option(help="Of replies to failures that do not say: skip or finish.")] = "skip",
    similarity: Annotated[str, typer.Option(help="bow, or embed:PATH with a local transformers model.")] = "bow",
    as_json: AsJson = False,
) -> None:
    """Score stored replies: the paper's columns and Overall, groups with intervals, behaviours.

    Exits with 1 if a line could not be scored; the others are.
    """
    from palaestra.cli.output import console, print_json, say
    from palaestra.cli.results import env_tables
    from palaestra.envs.critic.replies import score_file
    from palaestra.envs.critic.report import behaviours, breakdown, overall, paper_columns, tables
    from palaestra.envs.critic.similarity import similarity_of

    backend = similarity_of(similarity)
    chosen = (cast("Profile", profile), cast("Mode", mode))
    found = score_file(file, replies, profile=chosen[0], mode=chosen[1], similarity=backend)
    if as_json:
        columns = paper_columns(found.scored)
        print_json(
            {
                "profile": profile,
                "similarity": backend.name,
                "n": len(found.scored),
                "columns": columns,
                "overall": overall(columns),
                "groups": breakdown(found.scored),
                "behaviours": behaviours(found.scored),
                "faults": found.faults,
            }
        )
    else:
        for part in env_tables(list(tables(found.scored, backend.name, profile))):
            console().print(part)
        for where, fault in found.faults.items():
            say(f"{where}: {fault}")
    if found.faults:
        raise typer.Exit(FOUND_FAULTS)


def _left_out(faults: Iterable[str]) -> None:
    """Say what was left out, and exit with 1 if anything was."""
    from palaestra.cli.output import say

    told = list(faults)
    for fault in told:
        say(f"left out: {fault}")
    if told:
        raise typer.Exit(FOUND_FAULTS)


@contextmanager
def _rewriter(out: Path, model: str) -> Iterator[Rewriter | None]:
    """Yield what words items by a model, None without one; its replies and its record are kept next to the file."""
    if not model:
        yield None
        return
    from palaestra.cli.asked_model import asked_model
    from palaestra.envs.critic.evolution import Rewriter

    with asked_model(model, out) as asked:
        rewriter = Rewriter(asked.complete, name=model, cache=asked.cache)
        asked.audits = rewriter.audits
        yield rewriter
