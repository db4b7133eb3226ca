"""What there is to guess: things with facts, generated once from `ontology.toml`, and the questions that facts answer.

Things are invented, so that nobody knows them beforehand: a name, a kind in a small tree, a size, a colour, a place, for made
things a material, and sets of parts, abilities and qualities. Three quarters of them belong to the train split, the others to
the test split, for good.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from palaestra.errors import unknown_name

SEED = 20210705
PER_KIND = 32
TEST_SHARE = 4  # one thing in four belongs to the test split


@dataclass(frozen=True)
class Thing:
    """A thing and everything that is true of it.

    Attributes:
        name: Its invented name.
        kinds: What it is, from the leaf of the tree of kinds upwards.
        size: Index into `Ontology.sizes`.
        colour: Its colour.
        place: Where it is found.
        material: What it is made of; empty for living things.
        has: Its parts, without articles.
        can: What it can do, or have done to it.
        is_: Its qualities.
    """

    name: str
    kinds: tuple[str, ...]
    size: int
    colour: str
    place: str
    material: str
    has: frozenset[str]
    can: frozenset[str]
    is_: frozenset[str]


class Question(NamedTuple):
    """A yes/no question about one fact.

    Attributes:
        attribute: kind, size, colour, place, material, has, can, is, or name.
        relation: "=", or for sizes ">" (bigger than) and "<" (smaller than).
        value: What is asked for; for ">" and "<" a yardstick.
    """

    attribute: str
    relation: str
    value: str

    @property
    def key(self) -> str:
        """The question as a short text, e.g. "colour=red" or "size>cat"."""
        return f"{self.attribute}{self.relation}{self.value}"

    def holds(self, thing: Thing) -> bool:
        """Whether the true answer about a thing is yes."""
        value = self.value
        match self.attribute:
            case "kind":
                return value in thing.kinds
            case "size" if self.relation == "=":
                return ontology().sizes[thing.size] == value
            case "size":
                return (thing.size > ontology().yardsticks[value]) == (self.relation == ">")
            case "has":
                return value in thing.has
            case "can":
                return value in thing.can
            case "is":
                return value in thing.is_
        return bool(getattr(thing, self.attribute) == value)

    def text(self) -> str:
        """Return the question in English."""
        value = self.value
        match self.attribute:
            case "kind":
                return f"Is it {_article(value)} {value}?"
            case "size" if self.relation != "=":
                return f"Is it {'bigger' if self.relation == '>' else 'smaller'} than {_article(value)} {value}?"
            case "place":
                return f"Is it found in the {value}?"
            case "material":
                return f"Is it made of {value}?"
            case "has":
                return f"Does it have {ontology().part_names[value]}?"
            case "can":
                return f"Can it {value}?"
            case "name":
                return f"Is it the {value}?"
        return f"Is it {value}?"


@dataclass(frozen=True)
class Ontology:
    """Everything there is, and every word for it.

    Attributes:
        things: All things, in an order that never changes.
        sizes: Names of the sizes, smallest first.
        yardsticks: By name, the largest size that is still smaller.
        part_names: Parts with their article, by the part: "handle" is "a handle".
        synonyms: What else people say after "Is it", and the question that they mean.
        vocabulary: Values by attribute, sorted.
    """

    things: tuple[Thing, ...]
    sizes: tuple[str, ...]
    yardsticks: Mapping[str, int]
    part_names: Mapping[str, str]
    synonyms: Mapping[str, Question]
    vocabulary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Thing]:
        """All things by name."""
        return {thing.name: thing for thing in self.things}

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """Position of every thing, by name."""
        return {thing.name: number for number, thing in enumerate(self.things)}

    @cached_property
    def columns(self) -> Mapping[Question, int]:
        """Position of every question."""
        return {question: number for number, question in enumerate(self.questions)}

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """Every question about a fact, in an order that never changes; "smaller than" is "bigger than" the other way."""
        found = [Question("size", ">", name) for name in self.yardsticks]
        return (*found, *(Question(name, "=", value) for name, values in self.vocabulary.items() for value in values))

    def thing(self, name: str) -> Thing:
        """Return a thing by name.

        Raises:
            UnknownNameError: If there is none of this name.
        """
        if name not in self.by_name:
            raise unknown_name("thing", name, self.by_name)
        return self.by_name[name]

    def of_split(self, split: str) -> Sequence[Thing]:
        """Return the things of a split; none belongs to two."""
        return [thing for number, thing in enumerate(self.things) if (number % TEST_SHARE == 0) == (split == "test")]


def describe(thing: Thing) -> str:
    """Return everything that is true of a thing, in one line."""
    known = ontology()
    size, kind = known.sizes[thing.size], thing.kinds[0]
    head = f"{_article(size)} {size} {thing.colour} {kind}" + (f" of {thing.material}" if thing.material else "")
    parts = [known.part_names[part] for part in sorted(thing.has)]
    facts = [head + (f" with {', '.join(parts)}" if parts else ""), f"found in the {thing.place}"]
    if thing.can:
        facts.append(f"can {', '.join(sorted(thing.can))}")
    if thing.is_:
        facts.append(", ".join(sorted(thing.is_)))
    return "; ".join(facts)


@cache
def ontology() -> Ontology:
    """Return the ontology, generated from its data when first asked for; the same everywhere."""
    data = tomllib.loads(Path(__file__).with_name("ontology.toml").read_text(encoding="utf-8"))
    part_names = {_bare(part): part for kind in data["kinds"].values() for part in [*kind.get("cover", ()), *kind["has"]]}
    things = _generate(data)
    vocabulary = {
        "kind": tuple(sorted([*data["kinds"], *data["groups"]])),
        "size": tuple(data["sizes"]),
        "colour": tuple(data["colours"]),
        "place": _values(thing.place for thing in things),
        "material": _values(thing.material for thing in things if thing.material),
        "has": _values(part for thing in things for part in thing.has),
        "can": _values(ability for thing in things for ability in thing.can),
        "is": _values(quality for thing in things for quality in thing.is_),
    }
    synonyms = {words: Question(key.partition("=")[0], "=", key.partition("=")[2]) for words, key in data["synonyms"].items()}
    return Ontology(things, tuple(data["sizes"]), data["yardsticks"], part_names, synonyms, vocabulary)


@lru_cache(maxsize=8192)
def yes_mask(names: tuple[str, ...], question: Question) -> int:
    """Return for which things of a list the answer is yes: bit *i* is thing *i*."""
    known = ontology()
    return sum(1 << number for number, name in enumerate(names) if question.holds(known.thing(name)))


@cache
def truth_table() -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return the true answers to all questions about facts: a row for every thing, a column for every question."""
    known = ontology()
    return np.array([[question.holds(thing) for question in known.questions] for thing in known.things])


def _generate(data: Mapping[str, Any]) -> tuple[Thing, ...]:
    """Draw `PER_KIND` things of every kind, no two alike in name or facts, the kinds in turn."""
    rng = np.random.default_rng(SEED)
    names: set[str] = set()
    known: set[tuple[Any, ...]] = set()
    things: list[Thing] = []
    for _ in range(PER_KIND):
        for kind, table in data["kinds"].items():
            while True:
                thing = _draw(rng, data, kind, table)
                facts = (thing.kinds, thing.size, thing.colour, thing.place, thing.material, thing.has, thing.can, thing.is_)
                if thing.name not in names and facts not in known:
                    break
            names.add(thing.name)
            known.add(facts)
            things.append(thing)
    return tuple(things)


def _draw(rng: np.random.Generator, data: Mapping[str, Any], kind: str, table: Mapping[str, Any]) -> Thing:
    """Draw one thing of a kind."""
    syllables = data["syllables"]
    middle = [_pick(rng, syllables["middle"])] if rng.random() < 0.4 else []
    name = "".join([_pick(rng, syllables["first"]), *middle, _pick(rng, syllables["last"])])
    kinds, above = [kind], table["of"]
    while above:
        kinds.append(above)
        above = data["groups"][above]
    low, high = table["sizes"]
    has = {_bare(part) for part, chance in table["has"].items() if rng.random() < chance}
    if "cover" in table:
        has.add(_bare(_pick(rng, table["cover"])))
    return Thing(
        name,
        tuple(kinds),
        size=int(rng.integers(low, high + 1)),
        colour=_pick(rng, data["colours"]),
        place=_pick(rng, table["places"]),
        material=_pick(rng, table["material"]) if "material" in table else "",
        has=frozenset(has),
        can=frozenset(word for word, chance in table["can"].items() if rng.random() < chance),
        is_=frozenset(word for word, chance in table["is"].items() if rng.random() < chance),
    )


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    """Draw a word."""
    return words[int(rng.integers(len(words)))]


def _bare(part: str) -> str:
    """Return a part without its article."""
    return part.removeprefix("a ").removeprefix("an ")


def _values(found: Any) -> tuple[str, ...]:
    """Return each value once, sorted."""
    return tuple(sorted(set(found)))


def _article(word: str) -> str:
    """Return "a" or "an"."""
    return "an" if word[0] in "aeiou" else "a"


__all__ = ["Ontology", "Question", "Thing", "describe", "ontology", "truth_table", "yes_mask"]
