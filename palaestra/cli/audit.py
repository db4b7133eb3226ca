"""`palaestra audit ENV_ID` and `palaestra audit --all`: what is an environment's reward worth?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.agents.masking import masked, masked_message
from palaestra.agents.rollout.plans import MAX_SEED
from palaestra.cli.options import AnyEnvId, AsJson, Settings, expect_path, parse_settings
from palaestra.errors import UsageError

if TYPE_CHECKING:
    from palaestra.envs.audit import Card

FAILURES = 1
_MARKS = {"pass": "ok  ", "warn": "warn", "fail": "FAIL", "not judged": "?   "}


def audit(
    env_id: AnyEnvId = None,
    settings: Settings = None,
    every: Annotated[bool, typer.Option("--all", help="Audit every registered id in every split.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="Write a page (.md, .json) for each id, an index, and audit_cards.json; of one id every split is audited.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            metavar="N",
            help="Tasks that each agent of the panel plays.",
            min=1,
            show_default="100, on an engine 20, in a browser 8, of what takes longer 4",
        ),
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="How much is played: cheap (most), engine, browser or slow.",
            show_default="as registered, or less where that would take more than five minutes",
        ),
    ] = None,
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

    Exits with 1 if a point fails. An `audit_cards.json` next to the module of an environment's class ships with it: `list`,
    `show` and reports read it.
    """
    arguments = parse_settings(settings)
    if out is not None:
        expect_path(out)
    if every:
        if env_id is not None or arguments or split is not None or html is not None or effort is not None:
            raise UsageError(
                "--all audits every id as it is registered; leave out ENV_ID, --set, --split, --effort and --html, or --all."
            )
        cards = _audit_all(n, seed, as_json=as_json)
    elif env_id is None:
        raise UsageError("Name what is to be audited: ENV_ID, or --all. List all with `palaestra list`.")
    else:
        from palaestra.cli.output import busy, print_json, say
        from palaestra.envs.audit import audit_environment, audit_splits

        level: Any = effort  # checked there
        with busy(f"auditing {env_id}"):
            if out is None:
                cards = (audit_environment(env_id, n, seed=seed, split=split, effort=level, **arguments),)
            else:
                cards = audit_splits(env_id, n, seed=seed, split=split, effort=level, **arguments)
        if html is not None:
            from palaestra.agents.report import write_card_page

            write_card_page(html, cards[0])
        if as_json:
            print_json(masked(cards[0].to_json() if out is None else {"cards": [card.to_json() for card in cards]}))
        else:
            for card in cards:
                _print(card)
            if html is not None:
                say(f"Page    {html.resolve()}")
    _write(out, cards)
    if any(card.verdict == "fail" for card in cards):
        raise typer.Exit(FAILURES)


def _audit_all(n: int | None, seed: int, *, as_json: bool) -> Sequence[Card]:
    """Audit every id, print a line for each card and the reasons of those without one, and return the cards."""
    from palaestra.cli.output import console, print_json, say, table
    from palaestra.envs.audit import audit_all
    from palaestra.envs.audit.shipped import floor_of

    found = audit_all(n, seed=seed, begin=lambda env_id: say(f"auditing {env_id}", stderr=True))
    if as_json:
        cards = [card.to_json() for card in found.cards]
        print_json(masked({"cards": cards, "skipped": dict(found.skipped)}))
    else:
        grid = table(
            "", "ID", "Split", "Verdict", "Best floor", "Expert", "What does not pass", numbers=("Best floor", "Expert")
        )
        for card in found.cards:
            floor = floor_of(card.floors)
            points = ", ".join(point.name for point in card.points if point.verdict != "pass")
            got = ("-" if floor is None else _number(floor.success), _number(card.ceiling["success"]))
            grid.add_row(card.env, card.split or "-", card.verdict, *got, points or "-")
        console().print(grid)
    for env_id, reason in found.skipped.items():
        say(masked(f"{env_id} was not audited: {reason}"), stderr=True)
    return found.cards


def _write(out: Path | None, cards: Sequence[Card]) -> None:
    """Write the pages of cards, if there is a place to write to."""
    if out is None or not cards:
        return
    from palaestra.cli.output import say
    from palaestra.envs.audit.pages import write_pages

    for path in write_pages(out, cards):
        say(f"Wrote {path}", stderr=True)


def _print(card: Card) -> None:
    """Print a card for people."""
    from palaestra.cli.output import console, table
    from palaestra.envs.audit.pages import left_out

    out = console()
    out.print(f"{card.env}: {card.verdict}", style="bold")
    if said := left_out(card):
        out.print(masked_message(said.strip()))
    grid = table("", "Agent", "Success", "Return", "What it does", numbers=("Success", "Return"))
    for name, figure in card.floors.items():
        grid.add_row(name, _number(figure.success), _number(figure.mean_return), figure.about)
    grid.add_row("expert", _number(card.ceiling["success"]), _number(card.ceiling["return"]), "the environment's own expert")
    out.print(grid)
    for point in card.points:
        out.print(masked_message(f"{_MARKS[point.verdict]} {point.name}: {point.reason}"), soft_wrap=True)


def _number(value: float | None) -> str:
    """Return a figure as text."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"
