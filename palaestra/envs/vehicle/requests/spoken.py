"""From meanings to words: places, amounts, sentences. The words stand in `words.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from palaestra.envs.vehicle.car.tables import SEATS
from palaestra.envs.vehicle.requests.phrases import CHOICE, SLOT

_SPACES = re.compile(r"\s+([,;:?!.])")
_PRONOUN = re.compile(r"I\b")


@dataclass(frozen=True, slots=True)
class Place:
    """Places as somebody names them.

    Attributes:
        places: The places meant, in the car's order.
        how: "unnamed", "name" (one place by name) or a key of "special" in `words.json`.
        that: Adjective of "every".
    """

    places: tuple[str, ...]
    how: str
    that: str = ""

    @property
    def depends_on_speaker(self) -> bool:
        """Whether somebody else would mean other places with the same words."""
        return self.how in ("mine", "next", "behind", "ahead", "rest") or (self.how == "unnamed" and len(self.places) == 1)

    @property
    def is_many(self) -> bool:
        """Whether it is spoken of in the plural."""
        return len(self.places) > 1 and self.how != "every"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount as somebody says it: a value in a unit, or a degree word."""

    value: float | None = None
    unit: str = ""
    degree: str = ""


@cache
def words() -> Mapping[str, Any]:
    """Return the tables of `words.json`."""
    file = files("palaestra.envs.vehicle.requests") / "words.json"
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return data


def place_words(place: Place, form: str, noun: str = "") -> str:
    """Return a place in words.

    Args:
        place: The place.
        form: "of" (with a noun), "for", "at" or "other" (of one place only).
        noun: The noun, perhaps with its plural after a slash.
    """
    table = words()
    single, _, plural = noun.partition("/")
    key = "mine" if place.how == "unnamed" and len(place.places) == 1 and place.places[0] in SEATS else place.how
    row = (
        table["places"][place.places[0]] if key == "name" else table["special"][_all_words(place) if key == "unnamed" else key]
    )
    text: str = row[form]
    if not noun:
        return text
    return text.replace("{nouns}", plural or f"{single}s").replace("{noun}", single).replace("{that}", place.that)


def all_word(places: tuple[str, ...]) -> str:
    """Return the key of "special" that names all of a function's places."""
    if places[0] in SEATS:
        return "first" if len(places) == 2 else "all"
    return {"front": "both ends", "front row": "both rows"}.get(places[0], "both")


def _all_words(place: Place) -> str:
    """Return how an unnamed place that stands for all is named."""
    return all_word(place.places)


def quantity_words(quantity: Quantity, *, is_step: bool) -> str:
    """Return an amount in words.

    Args:
        quantity: The amount.
        is_step: Whether it says by how much ("2 gears"), not where to ("gear 2").
    """
    table = words()
    if quantity.degree:
        return str(table["degrees"][quantity.degree])
    number = f"{quantity.value:g}"
    form = 2 if not is_step else int(quantity.value != 1)
    return str(table["units"][quantity.unit][form]).replace("{n}", number)


def fill(text: str, flag: bool | None, slot: Callable[[str, str], str]) -> str:
    """Return a phrasing with its alternatives chosen and its slots filled.

    Args:
        text: The phrasing.
        flag: Which alternative of brackets holds.
        slot: Gives the words of a slot from its name and what follows the colon.
    """
    if "[" in text:
        text = CHOICE.sub(r"\1" if flag else r"\2", text)
    text = SLOT.sub(lambda match: slot(*match[1].split(":", 1)) if ":" in match[1] else slot(match[1], ""), text)
    return _SPACES.sub(r"\1", " ".join(text.split()))


def sentence(text: str) -> str:
    """Return a text with a capital first letter and a mark at its end."""
    text = text[0].upper() + text[1:]
    return text if text[-1] in "?!." else f"{text}."


def uncapital(text: str) -> str:
    """Return a text as it stands within a sentence: "I" and words in capitals stay."""
    if _PRONOUN.match(text) or text[1:2].isupper() or not text[1:2].isalpha():
        return text
    return text[0].lower() + text[1:]
