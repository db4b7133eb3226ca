"""What intents work with: a source of names and times, a scene being furnished, and a desk on which plans are found."""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from palaestra.envs.desk.tools import DeskTools
from palaestra.envs.desk.world import TODAY, DeskWorld, Event, to_clock
from palaestra.envs.tools import Toolkit
from palaestra.types import Json, ToolCall

Slots = dict[str, Any]
"""What a request names: title, name, date, start, ... by slot."""

NUM_DAYS = 60
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_SINGLE_TABLES = ("topics", "first_names", "last_names")

T = TypeVar("T")


class Clash(Exception):
    """What was drawn leads nowhere: two parts of a scene do not go together, or it cannot be solved. It is drawn again."""


@cache
def request_data() -> dict[str, Any]:
    """Return the tables of `requests.toml`."""
    return tomllib.loads(Path(__file__).with_name("requests.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Pick:
    """Draws names, times and texts.

    Attributes:
        rng: Source of chance.
        is_easy: Whether texts are single words and dates are digits.
        is_single: Whether titles, names and the part of an address before the @ are single words of one list, and contacts
            have no phone number.
    """

    rng: np.random.Generator
    is_easy: bool = False
    is_single: bool = False

    def one(self, items: Sequence[T]) -> T:
        """Draw one of several."""
        return items[int(self.rng.integers(len(items)))]

    def between(self, low: int, high: int) -> int:
        """Draw an integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def word(self, table: str) -> str:
        """Draw from a word list of `requests.toml`."""
        words: list[str] = request_data()["words"][table]
        return self.one(words)

    def single(self) -> str:
        """Draw one of the words that all titles, names and addresses have in common where they are single words."""
        words = request_data()["words"]
        return self.one([str(word) for table in _SINGLE_TABLES for word in words[table]])

    def title(self) -> str:
        """Draw a title of an event or note."""
        return self.single() if self.is_single else f"{self.word('topics')} {self.word('kinds')}"

    def text(self) -> str:
        """Draw the text of a note."""
        return self.word("easy_things") if self.is_easy else f"{self.word('verbs')} {self.word('things')}"

    def name(self) -> str:
        """Draw a person."""
        return self.single() if self.is_single else f"{self.word('first_names')} {self.word('last_names')}"

    def email(self, name: str) -> str:
        """Draw an address that cannot be guessed from the name."""
        if self.is_single:
            return f"{self.single()}@{request_data()['words']['domains'][0]}"
        first, last = name.lower().split(" ")
        local = self.one(
            [f"{first}.{last}", f"{first[0]}.{last}", f"{last}.{first}", f"{first}_{last}", f"{first}{self.between(2, 99)}"]
        )
        return f"{local}@{self.word('domains')}"

    def phone(self) -> str:
        """Draw a phone number from the range kept for fiction; none where names are single words."""
        return "" if self.is_single else f"{self.between(200, 989)}-555-{self.between(100, 199):04d}"

    def date(self) -> str:
        """Draw a working day after today."""
        while True:
            day = TODAY + datetime.timedelta(days=self.between(1, NUM_DAYS))
            if day.weekday() < 5:
                return day.isoformat()

    def times(self) -> Slots:
        """Draw `date`, `start` and `end` of an event."""
        start = 30 * self.between(18, 33)
        return {"date": self.date(), "start": to_clock(start), "end": to_clock(start + self.one([30, 45, 60, 90]))}

    def day_words(self, date: str) -> str:
        """Put a date into words, or leave it as it is."""
        day = datetime.date.fromisoformat(date)
        if self.is_easy or self.rng.random() < 0.3:
            return date
        if day == TODAY + datetime.timedelta(days=1) and self.rng.random() < 0.5:
            return "tomorrow"
        return day_text(day)


@dataclass
class Scene:
    """The start of a task while it is being furnished.

    Attributes:
        events: Title, date, start, end, place and guests of each event.
        notes: Title and text of each note.
        contacts: Name, email and phone of each person.
    """

    events: list[tuple[str, str, str, str, str, tuple[str, ...]]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    contacts: list[tuple[str, str, str]] = field(default_factory=list)
    _claimed: set[str] = field(default_factory=set)
    _busy: list[Event] = field(default_factory=list)
    _owned_days: set[str] = field(default_factory=set)

    def claim(self, name: str) -> None:
        """Make sure that a title or name means one thing only."""
        if name in self._claimed:
            raise Clash(name)
        self._claimed.add(name)

    def keep_free(self, date: str, start: str, end: str, *, is_owner: bool = False) -> None:
        """Keep a stretch of a day free of everything else.

        Args:
            date: The day.
            start: Beginning.
            end: End.
            is_owner: Whether the caller owns the day (or only fills it up).
        """
        wanted = Event("", "", date, start, end)
        if any(wanted.overlaps(other) for other in self._busy) or (date in self._owned_days and not is_owner):
            raise Clash(f"{date} {start}")
        self._busy.append(wanted)

    def own_day(self, date: str) -> None:
        """Keep all other intents away from a day, because a request is about the whole of it."""
        if date in self._owned_days or any(busy.date == date for busy in self._busy):
            raise Clash(date)
        self._owned_days.add(date)

    def add_event(
        self, title: str, slots: Slots, place: str = "", guests: tuple[str, ...] = (), *, is_owner: bool = False
    ) -> None:
        """Put an event into the calendar; `slots` holds date, start and end."""
        self.keep_free(slots["date"], slots["start"], slots["end"], is_owner=is_owner)
        self.claim(title)
        self.events.append((title, slots["date"], slots["start"], slots["end"], place, guests))

    def add_note(self, title: str, text: str) -> None:
        """Put a note onto the desk."""
        self.claim(title)
        self.notes.append((title, text))

    def add_contact(self, pick: Pick, name: str) -> None:
        """Put a person into the address book."""
        self.claim(name)
        email, phone = pick.email(name), pick.phone()
        self.claim(email)
        if phone:
            self.claim(phone)
        self.contacts.append((name, email, phone))

    def fill(self, pick: Pick, num_events: int, num_notes: int, num_contacts: int) -> None:
        """Add things that no request is about, up to the numbers given."""
        for _ in range(4 * (num_events + num_notes + num_contacts)):
            try:
                if len(self.contacts) < num_contacts:
                    self.add_contact(pick, pick.name())
                elif len(self.notes) < num_notes:
                    self.add_note(pick.title(), pick.text())
                elif len(self.events) < num_events:
                    guests = (pick.one(self.contacts)[1],) if self.contacts and pick.rng.random() < 0.3 else ()
                    near = sorted(self._owned_days)  # some beside what is asked about, so that looking is needed
                    times = pick.times()
                    if near and pick.rng.random() < 0.4:
                        times["date"] = pick.one(near)
                    self.add_event(pick.title(), times, pick.one(["", pick.word("places")]), guests, is_owner=True)
            except Clash:
                continue

    def build(self, rng: np.random.Generator) -> DeskWorld:
        """Return the desk, with ids in chance order."""
        world = DeskWorld()
        for i in rng.permutation(len(self.events)):
            title, date, start, end, place, guests = self.events[i]
            world.add_event(title, date, start, end, place, guests)
        for i in rng.permutation(len(self.notes)):
            world.add_note(*self.notes[i])
        for i in rng.permutation(len(self.contacts)):
            world.add_contact(*self.contacts[i])
        return world


class Desk:
    """A desk on which a plan is found by doing it.

    Args:
        world: The start; changed in place.

    Attributes:
        world: The current state.
        plan: The calls made so far, as `{"name", "arguments"}`.
    """

    def __init__(self, world: DeskWorld) -> None:
        """Start with an empty plan."""
        self.world = world
        self.plan: list[dict[str, Json]] = []
        self._toolkit = Toolkit(DeskTools(world), world=world)

    def call(self, name: str, /, **arguments: Json) -> Any:
        """Make a call, add it to the plan and return the parsed result.

        Raises:
            Clash: If the call is refused; a scene in which a gold plan fails is a dead end.
        """
        result = self._toolkit.call(ToolCall(name, arguments))
        if result.status != "ok":
            raise Clash(f"{name}({arguments}) was refused: {result.content}")
        self.plan.append({"name": name, "arguments": arguments})
        return json.loads(result.content) if result.content[:1] in ("[", "{") else result.content

    def find(self, tool: str, key: str, value: str) -> dict[str, Any]:
        """Find the record with exactly this title or name.

        Raises:
            Clash: If the search does not find it.
        """
        found: list[dict[str, Any]] = [record for record in self.call(tool, query=value) if record[key] == value]
        if not found:
            raise Clash(f"{tool}({value!r}) does not find it")
        return found[0]

    def event(self, title: str) -> dict[str, Any]:
        """Find an event by title."""
        return self.find("find_events", "title", title)

    def note(self, title: str) -> dict[str, Any]:
        """Find a note by title."""
        return self.find("search_notes", "title", title)

    def contact(self, name: str) -> dict[str, Any]:
        """Find a person by name."""
        return self.find("find_contacts", "name", name)


def day_text(day: datetime.date) -> str:
    """Put a date into words, the same in every locale."""
    return f"{WEEKDAYS[day.weekday()]}, {day.day} {MONTHS[day.month - 1]}"


__all__ = ["Clash", "Desk", "Pick", "Scene", "Slots", "day_text", "request_data"]
