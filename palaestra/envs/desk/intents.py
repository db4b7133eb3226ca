"""What can be asked of a desk: one class per intent.

An intent draws its slots (what the request names), furnishes the scene with what the request presupposes, and solves the
request on a desk through the tools: these calls are the gold plan, and a text returned is the gold answer. How it is put
into words stands in `requests.toml` under the intent's name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from palaestra.envs.desk.scene import Clash, Desk, Pick, Scene, Slots
from palaestra.envs.desk.world import to_clock, to_minutes


class Intent(ABC):
    """One kind of request.

    Attributes:
        name: Key in `requests.toml`, and type of the task.
        is_question: Whether the request asks for an answer.
        is_exact: Whether the answer must be the gold answer and nothing more; else it must contain it.
    """

    name: ClassVar[str]
    is_question: ClassVar[bool] = False
    is_exact: ClassVar[bool] = False

    @abstractmethod
    def draw(self, pick: Pick) -> Slots:
        """Draw what the request names."""

    @abstractmethod
    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """Put what the request presupposes into the scene, and keep free what it needs free."""

    @abstractmethod
    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Solve the request with tools; return the answer to a question."""


class CreateEvent(Intent):
    """Enter an event whose data are all given."""

    name = "create_event"

    def draw(self, pick: Pick) -> Slots:
        """Draw title and time."""
        return {"title": pick.title(), **pick.times()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """Keep the time free."""
        scene.claim(slots["title"])
        scene.keep_free(slots["date"], slots["start"], slots["end"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Create it; the slots are the arguments."""
        desk.call("create_event", **slots)
        return None


class CreateEventAtPlace(CreateEvent):
    """Enter an event with a place."""

    name = "create_event_at_place"

    def draw(self, pick: Pick) -> Slots:
        """Draw title, time and place."""
        return {**super().draw(pick), "place": pick.word("places")}


class CreateEventWithGuest(CreateEvent):
    """Enter an event with a guest whose address has to be looked up."""

    name = "create_event_with_guest"

    def draw(self, pick: Pick) -> Slots:
        """Draw title, time and guest."""
        return {**super().draw(pick), "name": pick.name()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """Keep the time free; the guest is a contact."""
        super().furnish(scene, slots, pick)
        scene.add_contact(pick, slots["name"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Look the address up, then create."""
        email = desk.contact(slots["name"])["email"]
        event = {key: slots[key] for key in ("title", "date", "start", "end")}
        desk.call("create_event", **event, guests=[email])
        return None


class CreateEventFirstFree(Intent):
    """Enter an event at the earliest free time of a day."""

    name = "create_event_first_free"

    def draw(self, pick: Pick) -> Slots:
        """Draw title, day and length."""
        return {"title": pick.title(), "date": pick.date(), "minutes": pick.one([30, 60, 90])}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """Make the first hours of the day busy, with a gap or two."""
        scene.claim(slots["title"])
        scene.own_day(slots["date"])
        clock = 9 * 60
        for _ in range(pick.between(1, 4)):
            clock += pick.one([0, 0, 30, 60])
            end = clock + pick.one([30, 60, 90])
            scene.add_event(
                pick.title(), {"date": slots["date"], "start": to_clock(clock), "end": to_clock(end)}, is_owner=True
            )
            clock = end
        # the stretch right after them stays free, so that there is one unless they fill the day
        scene.keep_free(slots["date"], to_clock(clock), to_clock(clock + slots["minutes"]), is_owner=True)

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """List the day, then create in the first gap."""
        desk.call("list_events", date=slots["date"])
        start = desk.world.first_free(slots["date"], slots["minutes"])
        if start is None:
            raise Clash(f"{slots['date']} has no {slots['minutes']} minutes left before the desk closes")
        end = to_clock(to_minutes(start) + slots["minutes"])
        desk.call("create_event", title=slots["title"], date=slots["date"], start=start, end=end)
        return None


class MoveEvent(Intent):
    """Move an event, keeping its length."""

    name = "move_event"

    def draw(self, pick: Pick) -> Slots:
        """Draw the event and its new time."""
        times = pick.times()
        return {"title": pick.title(), "date": times["date"], "start": times["start"]}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The event is in the calendar; two hours at the new time stay free, which is longer than any event."""
        scene.add_event(slots["title"], pick.times(), pick.one(["", pick.word("places")]))
        scene.keep_free(slots["date"], slots["start"], to_clock(to_minutes(slots["start"]) + 120))

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Find its id, then move."""
        event = desk.event(slots["title"])
        desk.call("move_event", event_id=event["id"], date=slots["date"], start=slots["start"])
        return None


class CancelEvent(Intent):
    """Cancel one event."""

    name = "cancel_event"

    def draw(self, pick: Pick) -> Slots:
        """Draw title and day."""
        return {"title": pick.title(), "date": pick.date()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The event is in the calendar."""
        scene.add_event(slots["title"], {**pick.times(), "date": slots["date"]})

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Find its id, then cancel."""
        desk.call("cancel_event", event_id=desk.event(slots["title"])["id"])
        return None


class ClearDay(Intent):
    """Cancel all events of a day."""

    name = "clear_day"

    def draw(self, pick: Pick) -> Slots:
        """Draw the day."""
        return {"date": pick.date()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """Two or three events stand on that day."""
        furnish_day(scene, slots["date"], pick, pick.between(2, 3))

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """List the day, then cancel one by one."""
        for event in desk.call("list_events", date=slots["date"]):
            desk.call("cancel_event", event_id=event["id"])
        return None


class InviteGuest(Intent):
    """Invite a contact to an event; both have to be looked up."""

    name = "invite_guest"

    def draw(self, pick: Pick) -> Slots:
        """Draw event and guest."""
        return {"title": pick.title(), "name": pick.name()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The event is in the calendar, the guest in the contacts."""
        scene.add_event(slots["title"], pick.times())
        scene.add_contact(pick, slots["name"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Find event and address, then invite."""
        event, contact = desk.event(slots["title"]), desk.contact(slots["name"])
        desk.call("invite_guest", event_id=event["id"], email=contact["email"])
        return None


class AddNote(Intent):
    """Write a note."""

    name = "add_note"

    def draw(self, pick: Pick) -> Slots:
        """Draw title and text."""
        return {"title": pick.title(), "text": pick.text()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """Nothing else has its title."""
        scene.claim(slots["title"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Add it; the slots are the arguments."""
        desk.call("add_note", **slots)
        return None


class DeleteNote(Intent):
    """Delete a note."""

    name = "delete_note"

    def draw(self, pick: Pick) -> Slots:
        """Draw the note."""
        return {"title": pick.title()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The note is on the desk."""
        scene.add_note(slots["title"], pick.text())

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Find its id, then delete."""
        desk.call("delete_note", note_id=desk.note(slots["title"])["id"])
        return None


class AppendNote(DeleteNote):
    """Add a line to a note."""

    name = "append_note"
    mode: ClassVar[str] = "append"

    def draw(self, pick: Pick) -> Slots:
        """Draw the note and the line."""
        return {"title": pick.title(), "text": pick.text()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The note is on the desk, with another text."""
        text = pick.text()
        if text == slots["text"]:
            raise Clash(text)
        scene.add_note(slots["title"], text)

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Find its id, then write."""
        note = desk.note(slots["title"])
        desk.call("edit_note", note_id=note["id"], text=slots["text"], mode=self.mode)
        return None


class RewriteNote(AppendNote):
    """Replace the text of a note."""

    name = "rewrite_note"
    mode = "replace"


class AddContact(Intent):
    """Save a person."""

    name = "add_contact"

    def draw(self, pick: Pick) -> Slots:
        """Draw name, address and number."""
        name = pick.name()
        return {"name": name, "email": pick.email(name), "phone": pick.phone()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """Nobody else has the name or the address."""
        scene.claim(slots["name"])
        scene.claim(slots["email"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Add; the slots are the arguments."""
        desk.call("add_contact", **slots)
        return None


class UpdateEmail(Intent):
    """Change the address of a person."""

    name = "update_email"
    changed: ClassVar[str] = "email"

    def draw(self, pick: Pick) -> Slots:
        """Draw the person and the new value."""
        name = pick.name()
        return {"name": name, self.changed: pick.email(name) if self.changed == "email" else pick.phone()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The person is a contact, with another value."""
        scene.claim(slots[self.changed])
        scene.add_contact(pick, slots["name"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Find the id, then change."""
        contact = desk.contact(slots["name"])
        desk.call("update_contact", contact_id=contact["id"], **{self.changed: slots[self.changed]})
        return None


class UpdatePhone(UpdateEmail):
    """Change the phone number of a person."""

    name = "update_phone"
    changed = "phone"


class RemoveContact(Intent):
    """Remove a person."""

    name = "remove_contact"

    def draw(self, pick: Pick) -> Slots:
        """Draw the person."""
        return {"name": pick.name()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The person is a contact."""
        scene.add_contact(pick, slots["name"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Find the id, then remove."""
        desk.call("remove_contact", contact_id=desk.contact(slots["name"])["id"])
        return None


class NoteOfPhone(Intent):
    """Write a looked-up number into a note."""

    name = "note_of_phone"

    def draw(self, pick: Pick) -> Slots:
        """Draw the note and the person."""
        return {"title": pick.title(), "name": pick.name()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The person is a contact, the title is free."""
        scene.claim(slots["title"])
        scene.add_contact(pick, slots["name"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Look the number up, then write."""
        contact = desk.contact(slots["name"])
        desk.call("add_note", title=slots["title"], text=contact["phone"])
        return None


class PhoneFromNote(Intent):
    """Copy a number from a note into a contact."""

    name = "phone_from_note"

    def draw(self, pick: Pick) -> Slots:
        """Draw the note and the person."""
        return {"title": pick.title(), "name": pick.name()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The note holds a number, the person has another."""
        phone = pick.phone()
        scene.claim(phone)
        scene.add_note(slots["title"], phone)
        scene.add_contact(pick, slots["name"])

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Read the note, find the person, then change."""
        note, contact = desk.note(slots["title"]), desk.contact(slots["name"])
        desk.call("update_contact", contact_id=contact["id"], phone=note["text"])
        return None


class AskEmail(RemoveContact):
    """Ask for an address."""

    name = "ask_email"
    is_question = True
    asked: ClassVar[str] = "email"

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Look it up."""
        value: str = desk.contact(slots["name"])[self.asked]
        return value


class AskPhone(AskEmail):
    """Ask for a phone number."""

    name = "ask_phone"
    asked = "phone"


class AskStart(Intent):
    """Ask when an event begins."""

    name = "ask_start"
    is_question = True
    is_exact = True

    def draw(self, pick: Pick) -> Slots:
        """Draw the event."""
        return {"title": pick.title()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """The event is in the calendar."""
        scene.add_event(slots["title"], pick.times())

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """Look it up."""
        start: str = desk.event(slots["title"])["start"]
        return start


class AskCount(Intent):
    """Ask how many events a day has."""

    name = "ask_count"
    is_question = True
    is_exact = True

    def draw(self, pick: Pick) -> Slots:
        """Draw the day."""
        return {"date": pick.date()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """One to four events stand on that day."""
        furnish_day(scene, slots["date"], pick, pick.between(1, 4))

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """List the day and count."""
        return str(len(desk.call("list_events", date=slots["date"])))


class AskFirstEvent(Intent):
    """Ask for the first event of a day."""

    name = "ask_first_event"
    is_question = True

    def draw(self, pick: Pick) -> Slots:
        """Draw the day."""
        return {"date": pick.date()}

    def furnish(self, scene: Scene, slots: Slots, pick: Pick) -> None:
        """Two or three events stand on that day."""
        furnish_day(scene, slots["date"], pick, pick.between(2, 3))

    def solve(self, desk: Desk, slots: Slots) -> str | None:
        """List the day and take the first."""
        title: str = desk.call("list_events", date=slots["date"])[0]["title"]
        return title


def furnish_day(scene: Scene, date: str, pick: Pick, num_events: int) -> None:
    """Take a whole day for one request and put events on it."""
    scene.own_day(date)
    for _ in range(num_events):
        scene.add_event(pick.title(), {**pick.times(), "date": date}, is_owner=True)


INTENTS: dict[str, Intent] = {
    intent.name: intent
    for intent in (
        CreateEvent(),
        CreateEventAtPlace(),
        CreateEventWithGuest(),
        CreateEventFirstFree(),
        MoveEvent(),
        CancelEvent(),
        ClearDay(),
        InviteGuest(),
        AddNote(),
        DeleteNote(),
        AppendNote(),
        RewriteNote(),
        AddContact(),
        UpdateEmail(),
        UpdatePhone(),
        RemoveContact(),
        NoteOfPhone(),
        PhoneFromNote(),
        AskEmail(),
        AskPhone(),
        AskStart(),
        AskCount(),
        AskFirstEvent(),
    )
}
"""Every intent by name."""

EASY_INTENTS = ("create_event", "cancel_event", "add_note", "delete_note", "ask_email")
"""Intents that need only the tools of the easy desk."""


__all__ = ["EASY_INTENTS", "INTENTS", "Intent"]
