"""What counts as solved, and the shortest way there from any state of the desk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.desk.world import DeskWorld
from palaestra.types import Json

_WORD = re.compile(r"[^\W_]+")


def is_right_answer(answer: str, *, gold: str, is_exact: bool, others: Sequence[str]) -> bool:
    """Whether an answer is right, letter case and punctuation aside.

    Args:
        answer: What the agent wrote.
        gold: The right answer.
        is_exact: Whether the answer must be the gold answer and nothing more; else it must contain it.
        others: Answers to the same question about other things; a right answer contains none of them.
    """
    words, wanted = _words(answer), _words(gold)
    if is_exact:
        return words == wanted
    return _contains(words, wanted) and not any(_contains(words, _words(other)) for other in others)


def distance(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
    """Number of records that only one of two contents holds (see `DeskWorld.content`)."""
    return sum(len(_beyond(a[kind], b[kind])) for a, b in ((present, wanted), (wanted, present)) for kind in wanted)


def mending_plan(world: DeskWorld, content: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Return calls that turn a desk into one with the given content: what is too much goes, then what is missing comes.

    Args:
        world: The desk as it is; not changed.
        content: What `DeskWorld.content()` shall be.
    """
    present = world.content()
    plan: list[dict[str, Json]] = []
    for event in world.events.values():
        row = [event.title, event.date, event.start, event.end, event.place, list(event.guests)]
        if row not in content["events"]:
            plan.append(_call("cancel_event", event_id=event.id))
    for note in world.notes.values():
        if [note.title, note.text] not in content["notes"]:
            plan.append(_call("delete_note", note_id=note.id))
    for contact in world.contacts.values():
        if [contact.name, contact.email, contact.phone] not in content["contacts"]:
            plan.append(_call("remove_contact", contact_id=contact.id))
    for row in content["events"]:
        if row not in present["events"]:
            plan.append(_call("create_event", **dict(zip(_EVENT_ARGUMENTS, row, strict=True))))
    for title, text in content["notes"]:
        if [title, text] not in present["notes"]:
            plan.append(_call("add_note", title=title, text=text))
    for name, email, phone in content["contacts"]:
        if [name, email, phone] not in present["contacts"]:
            plan.append(_call("add_contact", name=name, email=email, phone=phone))
    return plan


_EVENT_ARGUMENTS = ("title", "date", "start", "end", "place", "guests")


def _call(name: str, /, **arguments: Any) -> dict[str, Json]:
    """Return one step of a plan."""
    return {"name": name, "arguments": arguments}


def _beyond(rows: Sequence[Json], others: Sequence[Json]) -> list[Json]:
    """Return the rows that are left when each of the others has struck out one equal to it."""
    left = list(rows)
    for other in others:
        if other in left:
            left.remove(other)
    return left


def _words(text: str) -> list[str]:
    """Return the letters and digits of a text as lower-case words."""
    return _WORD.findall(text.casefold())


def _contains(words: list[str], wanted: list[str]) -> bool:
    """Whether `wanted` occurs in `words` as one stretch."""
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))


__all__ = ["distance", "is_right_answer", "mending_plan"]
