"""The desk: a calendar, notes and contacts, as plain data.

Records are frozen, so a copy of the world copies three dictionaries. The world answers what is free, what clashes and what
it holds; what an agent may do with it, and is told when it may not, lives in `tools.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from palaestra.envs.core.typed import fits, typed
from palaestra.types import Json

TODAY = datetime.date(2031, 3, 3)
"""The day on which every task plays, a Monday; there is no clock."""


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the calendar.

    Attributes:
        id: `E1`, `E2`, ...
        title: What it is.
        date: Day as YYYY-MM-DD.
        start: Beginning as HH:MM.
        end: End as HH:MM on the same day, after `start`.
        place: Where; empty if nowhere in particular.
        guests: Email addresses, sorted.
    """

    id: str
    title: str
    date: str
    start: str
    end: str
    place: str = ""
    guests: tuple[str, ...] = ()

    def overlaps(self, other: Event) -> bool:
        """Whether two events share a minute."""
        return self.date == other.date and self.start < other.end and other.start < self.end

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {
            "id": self.id,
            "title": self.title,
            "date": self.date,
            "start": self.start,
            "end": self.end,
            "place": self.place,
            "guests": list(self.guests),
        }


@dataclass(frozen=True, slots=True)
class Note:
    """A note: an id (`N1`, `N2`, ...), a title and a text."""

    id: str
    title: str
    text: str

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {"id": self.id, "title": self.title, "text": self.text}


@dataclass(frozen=True, slots=True)
class Contact:
    """A person: an id (`C1`, `C2`, ...), a name, an email address and perhaps a phone number."""

    id: str
    name: str
    email: str
    phone: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {"id": self.id, "name": self.name, "email": self.email, "phone": self.phone}


@dataclass
class DeskWorld:
    """The state of a desk.

    Attributes:
        events: Calendar by id.
        notes: Notes by id.
        contacts: People by id.
        num_made: Records made so far by kind letter; ids are never used again.
    """

    events: dict[str, Event] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    num_made: dict[str, int] = field(default_factory=lambda: {"E": 0, "N": 0, "C": 0})

    def new_id(self, kind: str) -> str:
        """Return an unused id.

        Args:
            kind: "E" for events, "N" for notes, "C" for contacts.
        """
        self.num_made[kind] += 1
        return f"{kind}{self.num_made[kind]}"

    def add_event(self, title: str, date: str, start: str, end: str, place: str = "", guests: Iterable[str] = ()) -> Event:
        """Put an event into the calendar; the time must be free."""
        event = Event(self.new_id("E"), title, date, start, end, place, tuple(sorted(set(guests))))
        self.events[event.id] = event
        return event

    def add_note(self, title: str, text: str) -> Note:
        """Put a note onto the desk."""
        note = Note(self.new_id("N"), title, text)
        self.notes[note.id] = note
        return note

    def add_contact(self, name: str, email: str, phone: str = "") -> Contact:
        """Put a person into the address book."""
        contact = Contact(self.new_id("C"), name, email, phone)
        self.contacts[contact.id] = contact
        return contact

    def day(self, date: str) -> list[Event]:
        """Return the events of a day, by start."""
        return sorted((e for e in self.events.values() if e.date == date), key=lambda event: event.start)

    def clash(self, event: Event) -> Event | None:
        """Return the first other event that overlaps with `event`, or None."""
        return next((other for other in self.day(event.date) if other.id != event.id and other.overlaps(event)), None)

    def first_free(self, date: str, minutes: int, *, opens: str = "09:00", closes: str = "18:00") -> str | None:
        """Return the earliest start of a free stretch of a day, or None if there is none.

        Args:
            date: Day as YYYY-MM-DD.
            minutes: Length of the stretch.
            opens: Earliest start allowed.
            closes: Latest end allowed.
        """
        start = to_minutes(opens)
        for event in self.day(date):
            if to_minutes(event.start) >= start + minutes:
                break
            start = max(start, to_minutes(event.end))
        return to_clock(start) if start + minutes <= to_minutes(closes) else None

    def content(self) -> dict[str, Json]:
        """Return the content of the desk, without ids and order: two desks with equal content mean the same."""
        return {
            "events": sorted([e.title, e.date, e.start, e.end, e.place, list(e.guests)] for e in self.events.values()),
            "notes": sorted([n.title, n.text] for n in self.notes.values()),
            "contacts": sorted([c.name, c.email, c.phone] for c in self.contacts.values()),
        }

    def copy(self) -> DeskWorld:
        """Return an independent desk in the same state."""
        return DeskWorld(self.events.copy(), self.notes.copy(), self.contacts.copy(), self.num_made.copy())

    def to_json(self) -> dict[str, Json]:
        """Return the whole state as plain JSON data."""
        return {
            "events": [event.to_json() for event in self.events.values()],
            "notes": [note.to_json() for note in self.notes.values()],
            "contacts": [contact.to_json() for contact in self.contacts.values()],
            "num_made": dict(self.num_made),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DeskWorld:
        """Rebuild from `to_json()`.

        Raises:
            KeyError, TypeError: If it is not the state of a desk.
        """
        if not fits(data["num_made"], dict[str, int]) or data["num_made"].keys() != {"E", "N", "C"}:
            raise TypeError("num_made does not hold three counts")
        return cls(
            {e["id"]: typed(Event, {**e, "guests": tuple(e["guests"])}) for e in data["events"]},
            {n["id"]: typed(Note, n) for n in data["notes"]},
            {c["id"]: typed(Contact, c) for c in data["contacts"]},
            dict(data["num_made"]),
        )


def to_minutes(clock: str) -> int:
    """Return minutes since midnight of a time HH:MM."""
    return int(clock[:2]) * 60 + int(clock[3:])


def to_clock(minutes: int) -> str:
    """Return the time HH:MM of minutes since midnight, below 24 * 60."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def day_of(date: str) -> datetime.date | None:
    """Return the day of a date YYYY-MM-DD, or None if there is no such day."""
    try:
        return datetime.date.fromisoformat(date)
    except ValueError:
        return None


__all__ = ["TODAY", "Contact", "DeskWorld", "Event", "Note", "day_of", "to_clock", "to_minutes"]
