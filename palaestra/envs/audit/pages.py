"""Audit cards as files: one page an environment in Markdown and JSON, an index, and the short forms that ship.

Names and reasons come from environments that may be anybody's: they are shown as text, whatever marks they hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from palaestra.envs.audit.card import Card
from palaestra.envs.audit.figures import percent
from palaestra.envs.audit.shipped import FILE_NAME, floor_of, write_cards
from palaestra.types import Json

INDEX = "README.md"
HEAD = "<!-- Written by the audit; make it again instead of changing it. -->\n\n"

_KINDS = {"free": "knows nothing", "harm": "harms", "near": "nearly the expert"}
_SPECIAL = re.compile(r"[\\`*\[\]<>|~]|(?<!\w)_|_(?!\w)")


def write_pages(folder: Path, cards: Iterable[Card]) -> list[Path]:
    """Write a page and a JSON file for each environment, the index, and `audit_cards.json`.

    Args:
        folder: Made if it is not there. Cards of other ids that its `audit_cards.json` holds stay; the index names them, too.
        cards: Cards in long form, those of an id one after the other.

    Returns:
        The files that were written.
    """
    by_id: dict[str, list[Card]] = {}
    for card in cards:
        by_id.setdefault(card.env, []).append(card)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for env_id, found in by_id.items():
        stem = folder / page_name(env_id)
        stem.with_name(f"{stem.name}.md").write_text(HEAD + card_page(found), encoding="utf-8")
        data = json.dumps([card.to_json() for card in found], indent=1, ensure_ascii=False, allow_nan=False)
        stem.with_name(f"{stem.name}.json").write_text(f"{data}\n", encoding="utf-8")
        written += [stem.with_name(f"{stem.name}.md"), stem.with_name(f"{stem.name}.json")]
    kept = write_cards(folder / FILE_NAME, [card for found in by_id.values() for card in found])
    (folder / INDEX).write_text(HEAD + index_page(kept), encoding="utf-8")
    return [*written, folder / FILE_NAME, folder / INDEX]


def page_name(env_id: str) -> str:
    """Return the name of an environment's files, without suffix: its id without the namespace of this package."""
    return re.sub(r"[^\w.-]+", "-", env_id.removeprefix("palaestra/"))


def index_page(cards: Iterable[Card]) -> str:
    """Return the page that names all cards."""
    rows = []
    for card in cards:
        floor = floor_of(card.floors)
        said = "-" if floor is None else f"{_number(floor.success)} {_code(floor.agent)}"
        points = ", ".join(f"{_code(point.name)} {point.verdict}" for point in card.points if point.verdict != "pass")
        name = f"[{_code(card.env)}]({page_name(card.env)}.md)"
        expert = _number(card.ceiling["success"])
        rows.append((name, _arguments(card), _split(card), card.verdict, said, expert, points or "-"))
    head = ("id", "arguments", "split", "verdict", "best floor", "expert", "what does not pass")
    return f"# Audit cards\n\n{_table(head, rows)}\n"


def card_page(cards: Sequence[Card]) -> str:
    """Return the page of an environment: for each split figures, points with their reasons, difficulty and length.

    Args:
        cards: Its cards, at least one.
    """
    parts = [f"# Audit of {_text(cards[0].env)}"]
    for card in cards:
        parts += [f"## {_title(card)}: {card.verdict}", _intro(card), "### Agents", _agents(card), "### Points", _points(card)]
        parts += _facts(card)
    card = cards[0]
    made = [f"{name} {value}" for name, value in card.versions.items() if value]
    made += [f"{name} {_code(value)}" for name, value in card.hashes.items()]
    return "\n\n".join([*parts, f"Made with {', '.join(made)}."]) + "\n"


def _title(card: Card) -> str:
    """Return what tells a card from others of its environment."""
    title, arguments = "Without tasks" if card.split is None else f"Split {_text(card.split)}", _arguments(card)
    return title if arguments == "-" else f"{title} with {arguments}"


def _intro(card: Card) -> str:
    """Return how the card was made, and what the expert got."""
    what = "tasks" if card.split is not None else "seeds"
    found = card.ceiling
    said = f"Each agent plays {card.n} {what} (seed {card.seed}). {left_out(card)}"
    if not found.get("n"):
        return f"{said}There is no expert."
    steps = found.get("steps")
    taken = f" in {steps:.1f} steps on average" if isinstance(steps, (int, float)) else ""
    success = found["success"] if isinstance(found["success"], (int, float)) else None
    return f"{said}The expert succeeds in {percent(success)} of them{taken}; its mean return is {_number(found['return'])}."


def left_out(card: Card) -> str:
    """Return in words what was played less, with a space at the end; empty of a card that was played in full."""
    effort: Mapping[str, Any] = card.sections.get("effort") or {}
    if effort.get("level", "cheap") == "cheap":
        return ""
    return (
        f"A step or a solution takes long here (effort {effort['level']!r}): episodes of agents that are to get nothing are "
        f"cut after {effort['actions']} actions and then count as not solved, {effort['held_out']} held-out tasks at most are "
        f"compared with {effort['others']} of each other split, and {effort['repeated']} are played again. "
    )


def _agents(card: Card) -> str:
    """Return the table of the panel."""
    rows = []
    for name, figure in card.floors.items():
        num = f"{figure.n} ({figure.cut} cut)" if figure.cut else str(figure.n)
        got = (_number(figure.success), _number(figure.mean_return), num)
        rows.append((_code(name), _KINDS[figure.kind], *got, _text(figure.about)))
    return _table(("agent", "kind", "success", "return", "episodes", "what it does"), rows)


def _points(card: Card) -> str:
    """Return the table of points."""
    marked = {"pass": "pass", "not judged": "*not judged*"}
    rows = [
        (_code(point.name), marked.get(point.verdict, f"**{point.verdict}**"), _text(point.reason)) for point in card.points
    ]
    return _table(("point", "verdict", "reason"), rows)


def _facts(card: Card) -> list[str]:
    """Return the tables of difficulty and length, as far as there is something to say."""
    parts: list[str] = []
    difficulty: Mapping[str, Any] = card.sections.get("difficulty") or {}
    groups = {"type": difficulty.get("by_type") or {}, **(difficulty.get("by_parameter") or {})}
    told = [(name, value, row) for name, group in groups.items() for value, row in group.items() if len(group) > 1]
    rows = []
    for name, value, row in told:
        got = (str(row["n"]), _number(row["steps"]), *map(_number, row["success"].values()))
        rows.append((_code(name), _code(value) if value else "-", *got))
    if rows:
        parts += ["### Difficulty", _table(("by", "value", "tasks", "steps", *map(_text, told[0][2]["success"])), rows)]
    length: Mapping[str, Any] = card.sections.get("length") or {}
    if forms := length.get("by_format"):
        head = ("prompt", "first", "written", "read", "read_once")
        lines = [(_code(form), *(f"{cost[name]:,}" for name in head)) for form, cost in forms.items()]
        names = ("actions as", "prompt", "first observation", "written", "read, all turns", "read, nothing twice")
        parts += ["### Tokens of an episode of the expert, estimated", _table(names, lines)]
    return parts


def _arguments(card: Card) -> str:
    """Return the arguments of a card."""
    return ", ".join(_code(f"{name}={json.dumps(value)}") for name, value in card.arguments.items()) or "-"


def _split(card: Card) -> str:
    """Return the split of a card."""
    return "-" if card.split is None else _text(card.split)


def _number(value: Json) -> str:
    """Return a figure as text."""
    return f"{value:.3g}" if isinstance(value, (int, float)) else "-"


def _text(text: object) -> str:
    """Return a text that shows as it is, in one line."""
    return _SPECIAL.sub(lambda mark: f"\\{mark[0]}", " ".join(str(text).split()))


def _code(text: object) -> str:
    """Return a name or value as code, in one line, also within a table."""
    plain = " ".join(str(text).split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


__all__ = ["INDEX", "card_page", "index_page", "left_out", "page_name", "write_pages"]
