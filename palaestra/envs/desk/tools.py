"""The fourteen tools of the desk. A method under `@tool` is all there is to a tool."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Literal, TypeVar

from palaestra.envs.desk.world import Contact, DeskWorld, Event, Note, day_of, to_clock, to_minutes
from palaestra.envs.tools import TextForm, ToolRefusal, tool

Date = Annotated[str, TextForm("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", ("2031-03-04", "2031-03-07", "2031-03-11"))]
Clock = Annotated[str, TextForm("^([01][0-9]|2[0-3]):[0-5][0-9]$", ("09:30", "14:00", "15:15", "17:45"))]
Email = Annotated[
    str, TextForm("^[^@\\s<>]+@[^@\\s<>]+[.][^@\\s<>]+$", ("mara.lind@example.org", "q@example.net"), max_chars=100)
]
Title = Annotated[str, TextForm(min_chars=1, max_chars=100)]
Text = Annotated[str, TextForm(min_chars=1, max_chars=2000)]
Short = Annotated[str, TextForm(max_chars=100)]
EventId = Annotated[str, TextForm(examples=("E1", "E2", "E3", "E4", "E5"))]
NoteId = Annotated[str, TextForm(examples=("N1", "N2", "N3", "N4"))]
ContactId = Annotated[str, TextForm(examples=("C1", "C2", "C3", "C4"))]

EASY_TOOLS = ("find_events", "create_event", "cancel_event", "find_contacts", "search_notes", "add_note", "delete_note")

Record = TypeVar("Record", Event, Note, Contact)


class DeskTools:
    """What an agent can do at a desk.

    Args:
        world: The desk; changed in place.
    """

    def __init__(self, world: DeskWorld) -> None:
        """Keep the desk."""
        self.world = world

    # -- calendar -------------------------------------------------------------------------------------------------

    @tool
    def list_events(self, date: Date) -> list[Event]:
        """List the events of one day, by start.

        Args:
            date: Day as YYYY-MM-DD.
        """
        return self.world.day(_day(date))

    @tool
    def find_events(self, query: Short) -> list[Event]:
        """Find events whose title contains a text; an empty text finds all.

        Args:
            query: Part of the title; case does not matter.
        """
        found = _matching(self.world.events.values(), query, "title")
        return sorted(found, key=lambda event: (event.date, event.start))

    @tool
    def create_event(
        self,
        title: Title,
        date: Date,
        start: Clock,
        end: Clock,
        place: Short = "",
        guests: list[Email] = [],  # noqa: B006  (never changed)
    ) -> Event:
        """Create an event at a free time.

        Args:
            title: What it is.
            date: Day as YYYY-MM-DD.
            start: Beginning as HH:MM, 24 hours.
            end: End as HH:MM on the same day.
            place: Where it is.
            guests: Email addresses of those invited.
        """
        event = self.world.add_event(title, _day(date), start, end, place, guests)
        self._check_time(event)
        return event

    @tool
    def move_event(self, event_id: EventId, date: Date, start: Clock) -> Event:
        """Move an event to another time; it keeps its length.

        Args:
            event_id: Id of the event.
            date: New day as YYYY-MM-DD.
            start: New beginning as HH:MM.
        """
        event = _get(self.world.events, event_id, "event", "find_events")
        end = to_minutes(start) + to_minutes(event.end) - to_minutes(event.start)
        if end >= 24 * 60:
            raise ToolRefusal(f"{event_id} from {start} on would end after midnight; choose an earlier start")
        moved = replace(event, date=_day(date), start=start, end=to_clock(end))
        self._check_time(moved)
        self.world.events[event_id] = moved
        return moved

    @tool
    def cancel_event(self, event_id: EventId) -> str:
        """Cancel an event.

        Args:
            event_id: Id of the event.
        """
        event = _get(self.world.events, event_id, "event", "find_events")
        del self.world.events[event_id]
        return f"Cancelled {event_id}, {event.title!r}."

    @tool
    def invite_guest(self, event_id: EventId, email: Email) -> Event:
        """Invite one more guest to an event.

        Args:
            event_id: Id of the event.
            email: Email address of the guest.
        """
        event = _get(self.world.events, event_id, "event", "find_events")
        if email in event.guests:
            raise ToolRefusal(f"{email} is a guest of {event_id} already")
        self.world.events[event_id] = changed = replace(event, guests=tuple(sorted((*event.guests, email))))
        return changed

    # -- notes ----------------------------------------------------------------------------------------------------

    @tool
    def search_notes(self, query: Short) -> list[Note]:
        """Find notes whose title or text contains a text; an empty text finds all.

        Args:
            query: Part of title or text; case does not matter.
        """
        return _matching(self.world.notes.values(), query, "title", "text")

    @tool
    def add_note(self, title: Title, text: Text) -> Note:
        """Add a note.

        Args:
            title: Title that no other note has.
            text: What it says.
        """
        for note in self.world.notes.values():
            if note.title.casefold() == title.casefold():
                raise ToolRefusal(f"there is a note {note.title!r} already, {note.id}; edit it or choose another title")
        return self.world.add_note(title, text)

    @tool
    def edit_note(self, note_id: NoteId, text: Text, mode: Literal["replace", "append"] = "replace") -> Note:
        """Write into a note.

        Args:
            note_id: Id of the note.
            text: New text.
            mode: Whether it replaces the old text or becomes a new line at its end.
        """
        note = _get(self.world.notes, note_id, "note", "search_notes")
        changed = replace(note, text=text if mode == "replace" else f"{note.text}\n{text}")
        self.world.notes[note_id] = changed
        return changed

    @tool
    def delete_note(self, note_id: NoteId) -> str:
        """Delete a note.

        Args:
            note_id: Id of the note.
        """
        note = _get(self.world.notes, note_id, "note", "search_notes")
        del self.world.notes[note_id]
        return f"Deleted {note_id}, {note.title!r}."

    # -- contacts -------------------------------------------------------------------------------------------------

    @tool
    def find_contacts(self, query: Short) -> list[Contact]:
        """Find people whose name or email contains a text; an empty text finds all.

        Args:
            query: Part of name or email; case does not matter.
        """
        return _matching(self.world.contacts.values(), query, "name", "email")

    @tool
    def add_contact(self, name: Title, email: Email, phone: Short = "") -> Contact:
        """Add a person to the address book.

        Args:
            name: Full name that nobody else has.
            email: Email address.
            phone: Phone number.
        """
        for contact in self.world.contacts.values():
            if contact.name.casefold() == name.casefold():
                raise ToolRefusal(f"there is a contact {contact.name!r} already, {contact.id}; use update_contact")
        return self.world.add_contact(name, email, phone)

    @tool
    def update_contact(self, contact_id: ContactId, email: Email | None = None, phone: Short | None = None) -> Contact:
        """Change email or phone of a person; what is left out stays.

        Args:
            contact_id: Id of the contact.
            email: New email address.
            phone: New phone number.
        """
        contact = _get(self.world.contacts, contact_id, "contact", "find_contacts")
        if email is None and phone is None:
            raise ToolRefusal("nothing to change was given; give email, phone or both")
        changed = replace(
            contact, email=contact.email if email is None else email, phone=contact.phone if phone is None else phone
        )
        self.world.contacts[contact_id] = changed
        return changed

    @tool
    def remove_contact(self, contact_id: ContactId) -> str:
        """Remove a person from the address book.

        Args:
            contact_id: Id of the contact.
        """
        contact = _get(self.world.contacts, contact_id, "contact", "find_contacts")
        del self.world.contacts[contact_id]
        return f"Removed {contact_id}, {contact.name!r}."

    # -- private --------------------------------------------------------------------------------------------------

    def _check_time(self, event: Event) -> None:
        """Refuse times that run backwards or are taken."""
        if event.end <= event.start:
            raise ToolRefusal(f"the end {event.end} is not after the start {event.start}; choose a later end")
        other = self.world.clash(event)
        if other is not None:
            raise ToolRefusal(
                f"{event.start}-{event.end} on {event.date} overlaps {other.id}, {other.title!r} ({other.start}-{other.end}); "
                f"choose another time or move that event"
            )


def _day(date: str) -> str:
    """Return a date of the calendar, or refuse one that does not exist."""
    if day_of(date) is None:
        raise ToolRefusal(f"there is no day {date}; give an existing day as YYYY-MM-DD")
    return date


def _get(records: dict[str, Record], record_id: str, kind: str, finder: str) -> Record:
    """Look a record up, or refuse with the nearest ids."""
    if record_id in records:
        return records[record_id]
    near = difflib.get_close_matches(record_id[:20], records, n=3, cutoff=0.4)
    advice = f"did you mean {' or '.join(near)}? " if near else ""
    raise ToolRefusal(f"there is no {kind} {record_id[:40]!r}; {advice}{finder} shows ids")


def _matching(records: Iterable[Record], query: str, *fields: str) -> list[Record]:
    """Return the records in which one of the fields contains the query."""
    wanted = query.strip().casefold()
    return [record for record in records if any(wanted in getattr(record, name).casefold() for name in fields)]


__all__ = ["EASY_TOOLS", "DeskTools"]
