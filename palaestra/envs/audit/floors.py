"""Points about what is to be had for free: no agent that knows nothing of its task may be paid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from palaestra.envs.audit.card import Figure, Point, failed, not_judged, order_of, passed, warned
from palaestra.envs.audit.figures import Kind, by_type, cut_after, few, mean_return, percent, success_rate
from palaestra.envs.audit.near import NEAR
from palaestra.envs.audit.panel import PANEL, Member, plays_of
from palaestra.envs.audit.play import Play
from palaestra.envs.audit.subject import Subject
from palaestra.envs.audit.vandal import VANDAL, vandals
from palaestra.results.metrics import NOTHING_TO_DO
from palaestra.results.statistics.distributions import beta_cdf

CHANCE = 0.02
"""Share of success, or of the full return, that chance may bring; if more is certain, it is a warning."""
FREE = 0.2
"""Share above which it is a failure, if more is certain."""
ALPHA = 0.025
"""Chance of a false alarm of one agent."""
MIN_OF_TYPE = 3
"""Tasks of a type from which on it is looked at alone."""

PLAIN = ("nothing", "done", "constant")
"""Agents that only say something; what they are paid is paid for nothing."""


def figures(subject: Subject) -> dict[str, Figure]:
    """Return the figures of each agent of the panel by its name; those that do not apply are left out."""
    found = {member.name: figure(member.kind, member.about, plays_of(subject, member)) for member in PANEL}
    if damaged := vandals(subject):
        found[VANDAL.name] = figure("harm", VANDAL.about, damaged)
    for variant in NEAR:
        found[variant.name] = figure("near", variant.about, variant.plays(subject))
    return {name: value for name, value in found.items() if value.n or value.errors}


def figure(kind: Kind, about: str, plays: Sequence[Play]) -> Figure:
    """Return the figures of an agent."""
    groups = by_type(plays)
    return Figure(
        success_rate(plays),
        mean_return(plays),
        n=sum(play.ended != "error" for play in plays),
        errors=sum(play.ended == "error" for play in plays),
        kind=kind,
        about=about,
        by_type={name: success_rate(group) for name, group in groups.items()} if len(groups) > 1 else {},
        cut=sum(play.ended == "cut" for play in plays),
    )


def judge_floors(subject: Subject) -> list[Point]:
    """Say of each agent that knows nothing whether it is paid."""
    return [_judge_free(subject, member) for member in PANEL if member.kind == "free"]


def judge_injection(subject: Subject) -> list[Point]:
    """Say whether an agent is paid for what it writes to the grader, where one that says nothing is not."""
    member = next(member for member in PANEL if member.name == "injector")
    return [_judge_free(subject, member, "injection", PLAIN)]


def _judge_free(subject: Subject, member: Member, name: str = "", plain: Sequence[str] = PLAIN[:1]) -> Point:
    """Judge an agent that knows nothing; what agents that only say something are paid, too, is their point's."""
    name = name or f"floor.{member.name}"
    if reason := member.needs(subject):
        return (passed if reason.startswith("Does not apply") else not_judged)(name, reason)
    plays, apart = _that_ask(subject, plays_of(subject, member))
    if not plays and apart:
        return not_judged(name, f"Each of {len(subject.starts)} tasks asks for nothing, so nothing can be had for free.")
    success, share = success_rate(plays), _share(subject, plays)
    if success is None and share is None:
        if all(play.ended == "error" for play in plays):
            return not_judged(name, "No episode could be played.")
        return not_judged(name, "The environment says neither whether an episode was a success nor what a full return is.")
    paid = [play.start.key for play in plays if is_paid(subject, play)]
    said = f"An agent that {member.about}"
    got = [f"succeeds in {percent(success)} of {len(plays)} tasks"] if success is not None else []
    got += [f"gets {percent(share)} of the full return"] if share is not None else []
    num = cut_after(plays, subject.panel_actions)
    cut = f" ({num} were cut after {subject.panel_actions} actions and count as not solved)" if num else ""
    said = f"{said} {' and '.join(got)}{cut}{apart}"
    worst = max(value for value in (success, share, 0.0) if value is not None)
    if is_more_than(CHANCE, worst, len(plays)):
        others = [one for one in PANEL if one.name in plain and one.name != member.name and not one.needs(subject)]
        theirs = [_that_ask(subject, plays_of(subject, one))[0] for one in others]
        for_nothing = {play.start.key for group in theirs for play in group if is_paid(subject, play)}
        most = max((order_of(_share(subject, group)) for group in theirs), default=-math.inf)
        more = [key for key in paid if key not in for_nothing]
        above = [len(more) / len(plays), 0.0 if share is None else share - most]
        if others and not any(is_more_than(CHANCE, excess, len(plays)) for excess in above):
            return passed(name, f"{said}; an agent that {others[0].about} is paid as much.")
        judge = failed if is_more_than(FREE, worst, len(plays)) else warned
        return judge(name, f"{said}, e.g. {few(more or paid)}." if paid else f"{said}.", tasks=(more or paid)[:10])
    for kind, group in by_type(plays).items():
        rate = success_rate(group)
        if kind and rate is not None and len(group) >= MIN_OF_TYPE and is_more_than(FREE, rate, len(group)):
            return warned(name, f"An agent that {member.about} succeeds in {percent(rate)} of the tasks of type {kind!r}.")
    return passed(name, f"{said}.")


def _that_ask(subject: Subject, plays: Sequence[Play]) -> tuple[Sequence[Play], str]:
    """Return the episodes in which something has to be done, and in words which were left out.

    All count where the environment does not say in which nothing has to be done, or says it of certainly more than a share
    `FREE`: then doing nothing is what it pays for.
    """
    parts = _apart(subject)
    idle = {key for key, part in parts.items() if part == 1}
    left = f"; {len(idle)} other tasks and {len(parts) - len(idle)} in part ask for nothing (metric {NOTHING_TO_DO.name!r})"
    return [play for play in plays if play.start.key not in idle], f"{left} and are counted apart" if parts else ""


def _apart(subject: Subject) -> Mapping[str, float]:
    """Return the parts of tasks for which nothing has to be done, if they are counted apart."""
    parts, num = subject.asks_nothing, len(subject.starts)
    return {} if parts and is_more_than(FREE, sum(parts.values()) / num, num) else parts


def is_more_than(bound: float, share: float, n: int) -> bool:
    """Whether a share of `n` episodes is above a bound by more than chance.

    It is if a true share as high as the bound brings as much with a probability below `ALPHA`: the lower end of the exact
    interval (Clopper & Pearson 1934) is above the bound, also of two episodes.

    Args:
        bound: Share, above 0 and below 1.
        share: Share that was found; below 0 counts as 0, above 1 as 1.
        n: Episodes.
    """
    paid = min(1.0, max(0.0, share)) * n
    return paid > 0 and beta_cdf(bound, paid, n - paid + 1) < ALPHA


def is_paid(subject: Subject, play: Play) -> bool:
    """Whether an episode was a success, or brought as much as one."""
    full = subject.full_return
    return bool(play.success) or (full is not None and full > 0 and play.total >= full - 1e-9)


def _share(subject: Subject, plays: Sequence[Play]) -> float | None:
    """Return the mean return as a share of the full one; None where there is no such share.

    Of a task that in part asks for nothing it is the share of the rest.
    """
    full, parts = subject.full_return, _apart(subject)
    if full is None or full <= 0:
        return None
    shares = []
    for play in plays:
        part = parts.get(play.start.key, 0.0)
        if play.ended != "error" and part < 1:
            shares.append(play.total / full if not part else max(0.0, play.total / full - part) / (1 - part))
    return sum(shares) / len(shares) if shares and math.isfinite(sum(shares)) else None


__all__ = ["CHANCE", "FREE", "figure", "figures", "is_more_than", "is_paid", "judge_floors", "judge_injection"]
