"""What the made worlds know: types of things and the relations between them, from `catalogue.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SCALARS = ("int", "float", "year", "date", "code")
NUMBERS = ("int", "float")
LANGUAGES = ("en", "de", "fr", "es")


@dataclass(frozen=True)
class Relation:
    """A relation: from a thing, or from two things in any order, to a thing or a scalar.

    Attributes:
        name: Its name, which is also the field of a result that holds its value.
        sources: Types of the things that it starts from, one or two.
        target: Type of its value, one of the types of things or of `SCALARS`.
        nouns: How it is called, each for this relation alone.
        phrases: Other ways to say it, with {x} and {y} in place of the things.
        gives: What it tells, after "Tells".
        unit: Unit of its value; empty if there is none.
        low: Least value of a number.
        high: Largest value of a number.
    """

    name: str
    sources: tuple[str, ...]
    target: str
    nouns: tuple[str, ...]
    phrases: tuple[str, ...]
    gives: str
    unit: str = ""
    low: int = 0
    high: int = 0

    @property
    def is_scalar(self) -> bool:
        """Whether its value is not a thing."""
        return self.target in SCALARS

    @property
    def is_binary(self) -> bool:
        """Whether it starts from two things."""
        return len(self.sources) == 2

    def forms(self) -> tuple[str, ...]:
        """Return all ways to say it, the plainest first."""
        ends = "{x} and {y}" if self.is_binary else "{x}"
        return (*(f"the {noun} of {ends}" for noun in self.nouns), *self.phrases)


@dataclass(frozen=True)
class Catalogue:
    """Everything that is known.

    Attributes:
        relations: By name, in the order of the file.
        labels: The word for a type in each of `LANGUAGES`.
        units: Units that convert into each other, by kind: how many of each make up the same amount.
        questions: Templates of questions by operation.
    """

    relations: Mapping[str, Relation]
    labels: Mapping[str, tuple[str, ...]]
    units: Mapping[str, Mapping[str, float]]
    questions: Mapping[str, tuple[str, ...]]

    def units_with(self, unit: str) -> Mapping[str, float]:
        """Return the units that a unit converts into, itself among them; empty if there are none."""
        return next((table for table in self.units.values() if unit in table), {})


@cache
def catalogue() -> Catalogue:
    """Return the catalogue."""
    data = tomllib.loads((Path(__file__).parent / "catalogue.toml").read_text(encoding="utf-8"))
    return Catalogue(
        relations={name: _relation(name, entry) for name, entry in data["relations"].items()},
        labels={name: tuple(entry["labels"]) for name, entry in data["types"].items()},
        units=data["units"],
        questions={name: tuple(forms) for name, forms in data["questions"].items()},
    )


def _relation(name: str, entry: Mapping[str, Any]) -> Relation:
    """Return a relation from its line in the file."""
    sources = (entry["of"], entry["with"]) if "with" in entry else (entry["of"],)
    rest = {key: entry[key] for key in ("gives", "unit", "low", "high") if key in entry}
    return Relation(name, sources, entry["to"], tuple(entry["nouns"]), tuple(entry["phrases"]), **rest)


__all__ = ["LANGUAGES", "NUMBERS", "SCALARS", "Catalogue", "Relation", "catalogue"]
