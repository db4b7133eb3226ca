"""The panel: agents that must not be paid, each one small function of the episode so far."""

from __future__ import annotations

from typing import NamedTuple

from palaestra.envs.audit.figures import Kind
from palaestra.envs.audit.play import Action, Episode, Policy


class Member(NamedTuple):
    """An agent of the panel.

    Attributes:
        name: Its name on the card.
        kind: "free" if it knows nothing of the task, so that what it gets is for free.
        about: What it does, for people.
        act: Says what it plays next.
    """

    name: str
    kind: Kind
    about: str
    act: Policy


def say_nothing(episode: Episode) -> Action:
    """Leave everything as it is, in plain words."""
    del episode
    return "I leave everything as it is."


def say_done(episode: Episode) -> Action:
    """Claim to be done."""
    del episode
    return "Done."


PANEL: tuple[Member, ...] = (
    Member("nothing", "free", "says each time that it leaves everything as it is", say_nothing),
    Member("done", "free", 'says "Done." each time', say_done),
)

__all__ = ["PANEL", "Member"]
