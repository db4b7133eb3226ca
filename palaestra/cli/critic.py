"""`palaestra critic`: items about wrong and failed tool calls, converted and scored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from palaestra.cli.options import AsJson, expect_path

if TYPE_CHECKING:
    from palaestra.envs.critic.blocks import Mode
    from palaestra.envs.critic.documents import Profile

app = typer.Typer(help="Self-critique under tool-calling errors: convert items, score replies.", no_args_is_help=True)

FOUND_FAULTS = 1

ItemsFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Items: *.json as published, *.jsonl of critic/1, or a folder.", show_default=False),
]


@app.callback()
def critic() -> None:
    """Self-critique under tool-calling errors: convert items, score replies."""


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
    for fault in opened.faults.values():
        say(f"left out: {fault}")
    if opened.faults:
        raise typer.Exit(FOUND_FAULTS)


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
