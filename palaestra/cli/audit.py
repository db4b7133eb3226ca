"""`palaestra audit ENV_ID`: what is an environment's reward worth?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.agents.masking import masked, masked_message
from palaestra.agents.rollout.plans import MAX_SEED
from palaestra.cli.options import AsJson, EnvId, Settings, parse_settings

if TYPE_CHECKING:
    from palaestra.envs.audit import Card

FAILURES = 1
_MARKS = {"pass": "ok  ", "warn": "warn", "fail": "FAIL", "not judged": "?   "}


def audit(
    env_id: EnvId,
    settings: Settings = None,
    n: Annotated[int, typer.Option("-n", metavar="N", help="Tasks that each agent of the panel plays.", min=1)] = 100,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Split that is played.", show_default="test, if there is one")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.", min=0, max=MAX_SEED)] = 0,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with pictures.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play a panel of agents that must not be paid, and the expert; say what is free, leaks or cannot be solved.

    Exits with 1 if a point fails.
    """
    arguments = parse_settings(settings)
    from palaestra.cli.output import busy, print_json, say
    from palaestra.envs.audit import audit_environment

    with busy(f"auditing {env_id}"):
        card = audit_environment(env_id, n, seed=seed, split=split, **arguments)
    if html is not None:
        from palaestra.agents.report import write_card_page

        write_card_page(html, card)
    if as_json:
        print_json(masked(card.to_json()))
    else:
        _print(card)
        if html is not None:
            say(f"Page    {html.resolve()}")
    if card.verdict == "fail":
        raise typer.Exit(FAILURES)


def _print(card: Card) -> None:
    """Print a card for people."""
    from palaestra.cli.output import console, table

    out = console()
    out.print(f"{card.env}: {card.verdict}", style="bold")
    grid = table("", "Agent", "Success", "Return", "What it does", numbers=("Success", "Return"))
    for name, figure in card.floors.items():
        grid.add_row(name, _number(figure.success), _number(figure.mean_return), figure.about)
    grid.add_row("expert", _number(card.ceiling["success"]), _number(card.ceiling["return"]), "the environment's own expert")
    out.print(grid)
    for point in card.points:
        out.print(masked_message(f"{_MARKS[point.verdict]} {point.name}: {point.reason}"), soft_wrap=True)


def _number(value: float | None) -> str:
    """Return a figure as text."""
    return "-" if value is None else f"{value:.3f}"
