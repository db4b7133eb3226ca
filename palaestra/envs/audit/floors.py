"""Points about what is to be had for free: no agent of the panel may be paid."""

from __future__ import annotations

import math

from palaestra.envs.audit.card import Figure, Point, failed, not_judged, passed, warned
from palaestra.envs.audit.figures import by_type, few, mean_return, percent, success_rate
from palaestra.envs.audit.panel import PANEL, Member
from palaestra.envs.audit.play import Play
from palaestra.envs.audit.subject import Subject

CHANCE = 0.02
"""Share of success, or of the full return, that chance may bring; more is a warning."""
FREE = 0.2
"""Share from which on it is a failure."""
MIN_OF_TYPE = 3
"""Tasks of a type from which on a type is looked at alone."""


def figures(subject: Subject) -> dict[str, Figure]:
    """Return the figures of each agent of the panel by its name; those that do not apply are left out."""
    return {member.name: figure(member, subject.plays(member.name, member.act)) for member in PANEL}


def figure(member: Member, plays: list[Play]) -> Figure:
    """Return the figures of an agent."""
    groups = by_type(plays)
    return Figure(
        success_rate(plays),
        mean_return(plays),
        n=sum(play.ended != "error" for play in plays),
        errors=sum(play.ended == "error" for play in plays),
        kind=member.kind,
        about=member.about,
        by_type={name: success_rate(group) for name, group in groups.items()} if len(groups) > 1 else {},
    )


def judge_floors(subject: Subject) -> list[Point]:
    """Say of each agent that knows nothing whether it is paid."""
    return [_judge_free(subject, member) for member in PANEL if member.kind == "free"]


def _judge_free(subject: Subject, member: Member) -> Point:
    """Judge an agent that knows nothing."""
    name = f"floor.{member.name}"
    plays = subject.plays(member.name, member.act)
    success, got = success_rate(plays), mean_return(plays)
    full = subject.full_return
    if success is None and (got is None or full is None):
        if got is None:
            return not_judged(name, "No episode could be played.")
        return not_judged(name, "The environment says neither whether an episode was a success nor what a full return is.")
    share = None if got is None or not full or not math.isfinite(got) else got / full
    paid = [play.start.key for play in plays if play.success or (full and play.total >= full)]
    worst = max(value for value in (success, share, 0.0) if value is not None)
    said = f"An agent that {member.about} succeeds in {percent(success)} of {len(plays)} tasks"
    said += f" and gets {percent(share)} of the full return" if share is not None else ""
    if worst > FREE:
        return failed(name, f"{said}, e.g. {few(paid)}." if paid else f"{said}.", tasks=paid[:10])
    if worst > CHANCE:
        return warned(name, f"{said}, e.g. {few(paid)}." if paid else f"{said}.", tasks=paid[:10])
    for kind, group in by_type(plays).items():
        rate = success_rate(group)
        if rate is not None and rate > FREE and len(group) >= MIN_OF_TYPE:
            return warned(name, f"An agent that {member.about} succeeds in {percent(rate)} of the tasks of type {kind!r}.")
    return passed(name, f"{said}.")


__all__ = ["figure", "figures", "judge_floors"]
