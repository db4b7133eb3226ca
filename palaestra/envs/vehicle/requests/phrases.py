"""How people ask for what the car's functions do: the files under `phrases/`, read into intents and conditions.

The format of the files is described in README.md next to this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from palaestra.envs.vehicle.calls.targets import Targets
from palaestra.envs.vehicle.car.tables import MODULES, SEATS, Function, car_tables
from palaestra.errors import ConfigError, UnknownNameError

SLOT = re.compile(r"\{([^{}]*)\}")
CHOICE = re.compile(r"\[([^\[\]|]*)\|([^\[\]|]*)\]")
PLACE_SLOTS = ("place", "for", "at")
AMOUNT_SLOTS = ("by", "much", "to", "level")
STEP_DEGREES = ("large", "little", "tiny")
_QUERIES = ("query", "mileage", "message_view")  # reading a message only changes the state the first time
_INTENT_KEYS = {
    "name", "function", "arguments", "slots", "amount", "degrees", "say", "say_for", "again", "prepare", "forbid", "unnamed",
    "same_as", "kinds", "like", "say_like",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """A free part of an intent.

    Attributes:
        name: Its name in braces.
        words: What is said for each value, where values are listed.
        list_path: Full path of the list in the state that it is drawn from; empty if there is none.
        field: Field of the records of that list.
        others: Values that are not in the list.
    """

    name: str
    words: tuple[tuple[Any, tuple[str, ...]], ...] = ()
    list_path: str = ""
    field: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Phrase:
    """One phrasing.

    Attributes:
        text: As written, with slots in braces and alternatives of a flag in brackets.
        only: Value that it is for (a flag as "true" or "false", a word, a degree); empty for all.
        slots: Slots that it holds, without what follows a colon.
    """

    text: str
    only: str
    slots: frozenset[str]

    @classmethod
    def of(cls, text: str, only: str = "") -> Phrase:
        """Return a phrasing from its text."""
        return cls(text, only, frozenset(slot.partition(":")[0] for slot in SLOT.findall(text)))

    @property
    def nouns(self) -> tuple[str, ...]:
        """Things whose place it names, in the singular."""
        return tuple(slot[6:].partition("/")[0] for slot in SLOT.findall(self.text) if slot.startswith("place:"))

    @property
    def names_place(self) -> bool:
        """Whether it says which place is meant."""
        return not self.slots.isdisjoint(PLACE_SLOTS)

    @property
    def names_amount(self) -> bool:
        """Whether it has room for an amount."""
        return not self.slots.isdisjoint(AMOUNT_SLOTS)


@dataclass(frozen=True, slots=True, eq=False)
class Intent:
    """One thing that people ask for.

    Attributes:
        module: Module of the function.
        name: Name within the module.
        function: Row of the function.
        arguments: Constants and slots by parameter.
        flag: Values that a flag stands for (said first, said second), or None.
        place: Parameter that takes the places, or "".
        targets: How the function reads places, or None.
        slots: Own slots by name.
        amount: Least, greatest and step of numbers by unit.
        degrees: Degree words that may be said.
        has_amount: Whether the function takes an amount.
        phrases: All phrasings.
        again: Follow-ups to the same places.
        prepare: Calls that make it possible: function and arguments.
        forbid: Calls that make the car refuse it.
        unnamed: Place meant where none is named: "speaker" or "all".
        same_as: Intent that does the same, or "".
        kinds: Further labels.
        like: Leaf whose level can be copied and its unit, or None.
        phrases_like: Phrasings that copy a level.
    """

    module: str
    name: str
    function: Function
    arguments: Mapping[str, Any]
    flag: tuple[Any, Any] | None
    place: str
    targets: Targets | None
    slots: Mapping[str, Slot]
    amount: Mapping[str, tuple[float, float, float]]
    degrees: tuple[str, ...]
    has_amount: bool
    phrases: tuple[Phrase, ...]
    again: tuple[Phrase, ...]
    prepare: tuple[tuple[str, Mapping[str, Any]], ...]
    forbid: tuple[tuple[str, Mapping[str, Any]], ...]
    unnamed: str
    same_as: str = ""
    kinds: tuple[str, ...] = ()
    like: Mapping[str, str] | None = None
    phrases_like: tuple[Phrase, ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether its amount is where to, not by how much."""
        return self.has_amount and not any(degree in STEP_DEGREES for degree in self.degrees_taken)

    @property
    def degrees_taken(self) -> tuple[str, ...]:
        """Degree words that the function takes."""
        return next((param.enum for param in self.function.params if param.name == "degree"), ())

    @property
    def is_query(self) -> bool:
        """Whether it only asks."""
        return self.function.op in _QUERIES


@dataclass(frozen=True, slots=True)
class Condition:
    """A question about one leaf of the state.

    Attributes:
        module: Module of the leaf.
        path: Path below the module; `{seat}` or `{place}` stands for a place.
        test: "is", "below" or "above".
        value: Value asked for.
        say: How it is said.
        that: Adjective for things of which it holds; empty if there is none.
    """

    module: str
    path: str
    test: str
    value: Any
    say: Phrase
    that: str = ""

    def holds_for(self, value: Any) -> bool:
        """Whether it holds for a leaf of this value."""
        if self.test == "is":
            return bool(value == self.value)
        return bool(value < self.value if self.test == "below" else value > self.value)


@dataclass(frozen=True, slots=True, eq=False)
class Phrasebook:
    """The requests about one module."""

    module: str
    intents: Mapping[str, Intent]
    conditions: tuple[Condition, ...] = field(default=())


@cache
def phrasebooks() -> Mapping[str, Phrasebook]:
    """Return the requests of every module that has a file, in the order of the modules."""
    folder = files("palaestra.envs.vehicle.requests") / "phrases"
    books = {}
    for module in MODULES:
        file = folder / f"{module}.json"
        if file.is_file():
            books[module] = read_phrasebook(module, json.loads(file.read_text(encoding="utf-8")))
    return books


def read_phrasebook(module: str, data: Mapping[str, Any]) -> Phrasebook:
    """Return the requests of one file.

    Raises:
        ConfigError: If the data do not have the form told in README.md.
    """
    where = f"phrases/{module}.json"
    surplus = set(data) - {"module", "prepare", "conditions", "intents"}
    if data.get("module") != module or surplus:
        raise ConfigError(
            f"{where} has module {data.get('module')!r} and keys {sorted(surplus)}; expected {module!r} and none."
        )
    intents: dict[str, Intent] = {}
    for row in data["intents"]:
        intent = _intent(module, row, data.get("prepare", ()))
        if intent.name in intents:
            raise ConfigError(f"{where} has two intents named {intent.name!r}; names must be unique.")
        intents[intent.name] = intent
    conditions = []
    for row in data.get("conditions", ()):
        tests = [test for test in ("is", "below", "above") if test in row]
        if set(row) - {"path", "say", "that", *tests} or not {"path", "say"} <= set(row) or len(tests) != 1:
            raise ConfigError(f"{where} has the condition {row!r}; expected path, say, one of is/below/above, perhaps that.")
        (test,) = tests
        conditions.append(Condition(module, row["path"], test, row[test], Phrase.of(row["say"]), row.get("that", "")))
    return Phrasebook(module, intents, tuple(conditions))


def _intent(module: str, row: Mapping[str, Any], prepare: Any) -> Intent:
    """Return an intent from its row."""
    where = f"phrases/{module}.json, intent {row.get('name')!r}"
    surplus = set(row) - _INTENT_KEYS
    missing = {"name", "function", "say"} - set(row)
    if surplus or missing:
        raise ConfigError(f"{where} lacks the keys {sorted(missing)} and has unknown keys {sorted(surplus)}.")
    try:
        function = car_tables().function(module, row["function"])
    except UnknownNameError as error:
        raise ConfigError(f"{where}: {error}") from error
    arguments = row.get("arguments", {})
    targets = Targets.of(function, car_tables().modules[module].settings)
    place = next((name for name, value in arguments.items() if value == "{place}"), "")
    degrees = next((param.enum for param in function.params if param.name == "degree"), ())
    phrases = [Phrase.of(text) for text in row["say"]]
    phrases += [Phrase.of(text, only) for only, texts in row.get("say_for", {}).items() for text in texts]
    return Intent(
        module,
        row["name"],
        function,
        arguments,
        _flag(arguments),
        place,
        targets,
        {name: _slot(module, name, data, where) for name, data in row.get("slots", {}).items()},
        {unit: tuple(steps) for unit, steps in row.get("amount", {}).items()},
        tuple(row.get("degrees", degrees if "amount" in row else ())),
        "amount" in row or "degrees" in row,
        tuple(phrases),
        tuple(Phrase.of(text) for text in row.get("again", ())),
        tuple((name, call) for name, call in row.get("prepare", prepare)),
        tuple((name, call) for name, call in row.get("forbid", ())),
        row.get("unnamed", "speaker" if targets is not None and SEATS[0] in targets.places else "all"),
        row.get("same_as", ""),
        tuple(row.get("kinds", ())),
        row.get("like"),
        tuple(Phrase.of(text) for text in row.get("say_like", ())),
    )


def _flag(arguments: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Return the two values of an intent's flag."""
    for value in strings(arguments):
        if value == "{flag}":
            return True, False
        if value.startswith("{flag:"):
            first, _, second = value[6:-1].partition("/")
            return first, second
    return None


def _slot(module: str, name: str, data: Mapping[str, Any], where: str) -> Slot:
    """Return a slot from its row."""
    match data:
        case {"words": dict(words), **rest} if not rest:
            return Slot(name, tuple((value, tuple(said)) for value, said in words.items()))
        case {"values": list(values), **rest} if not rest:
            return Slot(name, tuple((value, tuple(said)) for value, said in values))
        case {"any": list(texts), **rest} if not rest:
            return Slot(name, tuple((text, (text,)) for text in texts))
        case {"list": str(path), "field": str(key), **rest} if set(rest) <= {"others"}:
            return Slot(name, (), f"{module}.{path}", key, tuple(rest.get("others", ())))
    raise ConfigError(f"{where}: slot {name!r} is {data!r}; expected words, values, any, or list with field.")


def strings(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and maps."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)
