"""Cards that ship: with this package for its own environments, next to the module of a third party's for its own.

A file `audit_cards.json` is a list of cards in short form (no reasons, no evidence). `palaestra audit ... -o DIR` writes it.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from palaestra.envs.audit.card import Card, Figure, order_of
from palaestra.envs.registration import conditions, env_class
from palaestra.errors import UsageError
from palaestra.types import Json
from palaestra.types.plain_json import finite

FILE_NAME = "audit_cards.json"
OUR_CARDS = Path(__file__).with_name(FILE_NAME)

_SHORT_FIGURE = ("success", "return", "n", "kind")
_LEFT_OUT = ("render_mode",)  # arguments that change nothing that is played


class Floor(NamedTuple):
    """What is to be had for free in an environment.

    Attributes:
        agent: Name of the agent of the panel that got most, e.g. "nothing".
        success: Its share of success; None if the environment does not say.
        mean_return: Its mean return.
        n: Episodes behind it.
        source: Where the figures are from: "card", or "measured" in the same evaluation.
    """

    agent: str
    success: float | None
    mean_return: float | None
    n: int
    source: str = "card"

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        made: dict[str, Json] = finite({**self._asdict(), "return": self.mean_return})
        del made["mean_return"]
        return made


def floor_of(floors: Mapping[str, Figure], source: str = "card") -> Floor | None:
    """Return the best of the agents that know nothing: by success, then by return; None if none said whether it was one."""
    free = {name: found for name, found in floors.items() if found.kind == "free" and found.success is not None}
    if not free:
        return None
    name = max(free, key=lambda one: (free[one].success or 0.0, order_of(free[one].mean_return)))
    return Floor(name, free[name].success, free[name].mean_return, free[name].n, source)


def shipped_cards(env_id: str) -> tuple[Card, ...]:
    """Return the cards that ship for an id, in short form; none if there are none."""
    if env_id.startswith("palaestra/"):
        return _read(OUR_CARDS).get(env_id, ())
    module = conditions(env_id).entry_point.partition(":")[0]
    try:
        found = importlib.util.find_spec(module) if module else None
    except (ImportError, ValueError):
        return ()
    return () if found is None or not found.origin else _read(Path(found.origin).with_name(FILE_NAME)).get(env_id, ())


def shipped_card(env_id: str) -> Card | None:
    """Return the first card that ships for an id: that of the environment as it is registered."""
    return next((card for card in shipped_cards(env_id) if not card.arguments), None)


def shipped_floor(env_id: str, arguments: Mapping[str, Any], split: str | None) -> Floor | None:
    """Return the floor of an environment with these arguments in this split; None where no card says so.

    Args:
        env_id: Registered id.
        arguments: Arguments in addition to those of the id.
        split: Split that is played.
    """
    wanted = None
    for card in shipped_cards(env_id):
        if card.split != split:
            continue
        wanted = _effective(env_id, arguments) if wanted is None else wanted
        if _effective(env_id, card.arguments) == wanted:
            return floor_of(card.floors)
    return None


def short(card: Card) -> dict[str, Json]:
    """Return a card in the form in which it ships."""
    data = card.to_json()
    data["floors"] = {name: {key: figure[key] for key in _SHORT_FIGURE} for name, figure in data["floors"].items()}
    data["points"] = [{"name": point["name"], "verdict": point["verdict"]} for point in data["points"]]
    data["ceiling"] = {key: data["ceiling"].get(key) for key in ("success", "return", "n", "steps")}
    kept = (
        "env",
        "verdict",
        "arguments",
        "split",
        "n",
        "seed",
        "floors",
        "ceiling",
        "points",
        "quick",
        "effort",
        "hashes",
        "versions",
    )
    return {key: data[key] for key in kept if key in data}


def write_cards(path: Path, cards: Iterable[Card]) -> list[Card]:
    """Write cards in short form, one a line, in place of those of the same ids that the file holds.

    Returns:
        All cards that the file holds now, in short form.
    """
    cards = list(cards)
    replaced = {card.env for card in cards}
    old = [short(card) for env_id, found in _read(path).items() if env_id not in replaced for card in found]
    rows = sorted([*old, *map(short, cards)], key=lambda row: (row["env"], bool(row["arguments"])))
    lines = ",\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    _read_at.cache_clear()
    return [Card.from_json(row) for row in rows]


def _read(path: Path) -> Mapping[str, tuple[Card, ...]]:
    """Return the cards of a file by id; none if there is no such file."""
    try:
        return _read_at(path, path.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=32)
def _read_at(path: Path, changed: int) -> Mapping[str, tuple[Card, ...]]:
    """Return the cards of a file that was last changed at some time."""
    del changed
    try:
        cards = [Card.from_json(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, UsageError) as error:
        raise UsageError(
            f"{path} holds no audit cards ({error}); make it again with `palaestra audit ENV_ID -o DIR`."
        ) from None
    found: dict[str, tuple[Card, ...]] = {}
    for card in cards:
        found[card.env] = (*found.get(card.env, ()), card)
    return found


def _effective(env_id: str, arguments: Mapping[str, Any]) -> dict[str, Json]:
    """Return the arguments that an environment really gets: defaults of the class, those of the id, those given."""
    from gymnasium import spec

    try:
        parameters = inspect.signature(env_class(env_id)).parameters.values()
    except (ImportError, TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
    merged = {**defaults, **spec(env_id).kwargs, **arguments}
    return {name: finite(value) for name, value in merged.items() if name not in _LEFT_OUT}


__all__ = [
    "FILE_NAME",
    "OUR_CARDS",
    "Floor",
    "floor_of",
    "shipped_card",
    "shipped_cards",
    "shipped_floor",
    "short",
    "write_cards",
]
