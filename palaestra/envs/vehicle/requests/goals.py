"""Goals: intents with everything chosen, the calls that reach them, and the split that they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import Any

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.tables import SEATS, car_tables
from palaestra.envs.vehicle.requests.phrases import Intent, Phrase, phrasebooks
from palaestra.envs.vehicle.requests.spoken import Place, Quantity, all_word, fill, place_words, quantity_words

TEST_SHARE = 5  # one goal in five is kept for the test split
SALT = b"77"  # such that both splits know every coupling
MAX_EASY_WORDS = 8
ROWS = {"first": SEATS[:2], "second": SEATS[2:4], "third": SEATS[4:]}


class Clash(Exception):
    """What was drawn does not go together; it is drawn again."""


@dataclass(frozen=True, slots=True)
class Goal:
    """An intent with everything chosen.

    Attributes:
        intent: The intent.
        phrase: How it is said.
        flag: Which of the flag's two values; None without a flag.
        words: Value and words of each own slot.
        place: The places, or None if the intent has none.
        quantity: The amount; None for the default step and where there is none.
        other: Place whose level is copied, in "like" requests.
    """

    intent: Intent
    phrase: Phrase
    flag: bool | None = None
    words: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    place: Place | None = None
    quantity: Quantity | None = None
    other: Place | None = None

    def call(self) -> Call:
        """Return the call that reaches the goal."""
        intent = self.intent
        kwargs: dict[str, Any] = {}
        for param in intent.function.params:
            if param.name in intent.arguments:
                kwargs[param.name] = self.value(intent.arguments[param.name])
        if self.quantity is not None:
            if self.quantity.degree:
                kwargs["degree"] = self.quantity.degree
            else:
                kwargs["value"] = self.quantity.value
                if self.quantity.unit:
                    kwargs["unit"] = self.quantity.unit
        return Call(intent.module, intent.function.name, (), kwargs)

    def value(self, argument: Any) -> Any:
        """Return an argument with its slots filled."""
        if isinstance(argument, list):
            return [self.value(item) for item in argument]
        if not isinstance(argument, str) or not argument.startswith("{"):
            return argument
        name = argument[1:-1]
        if name.startswith("flag"):
            assert self.intent.flag is not None
            return self.intent.flag[0 if self.flag else 1]
        if name == "place":
            return self._position()
        return self.words[name][0]

    def _position(self) -> Any:
        """Return the places as the function takes them."""
        assert self.place is not None
        assert self.intent.targets is not None
        places, known = self.place.places, self.intent.targets.places
        is_list = any(p.name == self.intent.targets.param and p.type == "targets" for p in self.intent.function.params)
        if len(places) == len(known):
            return ["all"] if is_list else "all"
        return list(places) if is_list else places[0]

    def calls_of(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Call]:
        """Return calls of the intent's `prepare` or `forbid`."""
        return [
            Call(self.intent.module, name, (), {key: self.value(value) for key, value in arguments.items()})
            for name, arguments in rows
        ]

    def key(self) -> str:
        """Return the goal as a text that is the same for every way to say it and every state of the car."""
        call, intent = self.call(), self.intent
        name = phrasebooks()[intent.module].intents[intent.same_as].function.name if intent.same_as else call.function
        return json.dumps([call.module, name, sorted(call.kwargs.items())], separators=(",", ":"))

    def text(self) -> str:
        """Return how it is said, without capital letter and full stop."""
        return fill(self.phrase.text, self.flag, self._slot)

    def opposite(self) -> Goal:
        """Return the goal with the flag turned over."""
        return replace(self, flag=not self.flag)

    def _slot(self, name: str, noun: str) -> str:
        """Return the words of one slot."""
        if name in self.words:
            return self.words[name][1]
        if name in ("by", "much", "to", "level"):
            return self._amount_words(name)
        place = self.place
        assert place is not None
        match name:
            case "place":
                return place_words(place, "of", noun)
            case "for" | "at":
                return place_words(place, name)
            case "other":
                assert self.other is not None
                return place_words(self.other, "other")
            case "it":
                return "them" if len(place.places) > 1 else "it"
            case "is":
                return "are" if place.is_many else "is"
            case _:
                return "have" if place.is_many else "has"

    def _amount_words(self, name: str) -> str:
        """Return the amount as a slot wants it."""
        quantity = self.quantity
        if quantity is None:
            return ""
        said = quantity_words(quantity, is_step=name in ("by", "much"))
        if name == "to" or (name == "by" and not quantity.degree):
            return f"{name} {said}"
        return said


def split_of(keys: Iterable[str]) -> str:
    """Return the split that a request belongs to, from the keys of its goals.

    It is decided by a hash, one request in `TEST_SHARE` going to the test split. Goals that are one of a kind are spread so
    that none of their functions is unknown in training: a single call without arguments is for training, and of the values of
    a lone flag or word at least one is.
    """
    unique = sorted(set(keys))
    if len(unique) > 1:
        return "test" if _hash("\n".join(unique)) < 1 / TEST_SHARE else "train"
    return _split_of_one(unique[0])


@lru_cache(maxsize=4096)
def _split_of_one(key: str) -> str:
    """Return the split of a request with one goal."""
    module, name, arguments = json.loads(key)
    if not arguments:
        return "train"
    share = 1 / TEST_SHARE
    if len(arguments) == 1:
        argument, value = arguments[0]
        param = next(param for param in car_tables().modules[module].functions[name].params if param.name == argument)
        values = [True, False] if param.type == "bool" else list(param.enum)
        if value in values and len(values) > 1:
            if value == max(values, key=lambda other: _hash(json.dumps([module, name, argument, other]))):
                return "train"
            share *= len(values) / (len(values) - 1)
    return "test" if _hash(key) < share else "train"


def _hash(text: str) -> float:
    """Return a number from 0 to 1 that is the same for a text for ever."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4, salt=SALT).digest(), "big") / 2**32


class Chooser:
    """Chooses what a goal leaves open.

    Args:
        rng: Source of chance.
        car: The car; tells who speaks and what its lists hold.
        is_easy: Whether phrasings are short and places only "mine", one by name, or all.
    """

    def __init__(self, rng: Random, car: Car, *, is_easy: bool = False) -> None:
        """Keep the source and the car."""
        self.rng = rng
        self.car = car
        self.is_easy = is_easy

    @property
    def speaker(self) -> str:
        """Who speaks."""
        return str(self.car.state.values["environment.speaker"])

    def goal(self, intent: Intent, *, plain: bool = False, strange: bool = False) -> Goal:
        """Choose a goal of an intent.

        Args:
            intent: The intent.
            plain: Only phrasings that order something outright and name its place, fit to stand next to others.
            strange: Prefer values that the state does not hold, where the intent has such.

        Raises:
            Clash: If nothing fits.
        """
        phrases = intent.phrases
        if plain:
            phrases = tuple(phrase for phrase in phrases if not phrase.only and (not intent.place or phrase.names_place))
        if self.is_easy:
            phrases = tuple(phrase for phrase in phrases if phrase.text.count(" ") < MAX_EASY_WORDS)
        if not phrases:
            raise Clash
        phrase = self.rng.choice(phrases)
        place = self.place(intent, phrase) if intent.place else None
        words = {name: self._word(intent, name, phrase, strange) for name in intent.slots} if intent.slots else {}
        flag = None
        if intent.flag:
            flag = phrase.only == "true" if phrase.only in ("true", "false") else self.rng.random() < 0.5
        return Goal(intent, phrase, flag, words, place, self.quantity(intent, phrase))

    def place(self, intent: Intent, phrase: Phrase) -> Place:
        """Choose places that a phrasing can mean."""
        assert intent.targets is not None
        known = intent.targets.places
        if not phrase.names_place:
            if intent.unnamed == "all":
                return Place(known, "unnamed")
            if self.speaker not in known:
                raise Clash
            return Place((self.speaker,), "unnamed")
        if known[0] not in SEATS:
            name = self.rng.choice((*known, "all"))
            return Place(known, all_word(known)) if name == "all" else Place((name,), "name")
        return self.seats(known)

    def seats(self, known: tuple[str, ...]) -> Place:
        """Choose among seats, named or as the speaker sees them."""
        speaker, row = SEATS.index(self.speaker), SEATS.index(self.speaker) // 2
        draw = self.rng.random() * (0.85 if self.is_easy else 1)
        if draw < 0.3 and self.speaker in known:
            return Place((self.speaker,), "mine")
        if draw < 0.75:
            return Place((self.rng.choice(known),), "name")
        if draw < 0.85:
            return Place(known, all_word(known))
        how = self.rng.choice(("next", "behind", "ahead", "first", "second", "third", "rest"))
        if how == "next":
            places: tuple[str, ...] = (SEATS[speaker ^ 1],)
        elif how == "rest":
            places = tuple(seat for seat in SEATS if seat != self.speaker)
        elif how in ROWS:
            places = ROWS[how]
        else:
            ahead = row - 1 if how == "ahead" else row + 1
            places = SEATS[2 * ahead : 2 * ahead + 2] if 0 <= ahead < 3 else ()
        if not places or not set(places) <= set(known) or (len(places) == len(known) and how != "first"):
            return Place((self.rng.choice(known),), "name")
        return Place(places, how)

    def quantity(self, intent: Intent, phrase: Phrase) -> Quantity | None:
        """Choose an amount that a phrasing can say."""
        if phrase.only and phrase.only in intent.degrees:
            return Quantity(degree=phrase.only)
        if not intent.has_amount or not phrase.names_amount:
            return None
        draw = self.rng.random()
        if not intent.is_set and draw < 0.3:
            return None
        if intent.degrees and (draw < 0.6 or not intent.amount):
            return Quantity(degree=self.rng.choice(intent.degrees))
        if not intent.amount:
            raise Clash
        unit = self.rng.choice(tuple(intent.amount))
        low, high, step = intent.amount[unit]
        value = round(low + step * self.rng.randint(0, int((high - low) / step + 1e-9)), 6)
        return Quantity(int(value) if value == int(value) else value, unit)

    def _word(self, intent: Intent, name: str, phrase: Phrase, strange: bool) -> tuple[Any, str]:
        """Choose the value of an own slot, with what is said for it."""
        slot = intent.slots[name]
        if slot.list_path:
            records = self.car.state.items(slot.list_path)
            values = [record[slot.field] for record in records if record[slot.field]]
            if slot.others and strange:
                values = [other for other in slot.others if other not in values]
            if not values:
                raise Clash
            value = self.rng.choice(values)
            return value, str(value)
        rows = [row for row in slot.words if str(row[0]) == phrase.only] or slot.words
        value, said = self.rng.choice(rows)
        return value, self.rng.choice(said)
