"""Is the agent shown what it is to find out? Hidden data in infos, tools, instructions, observations and errors.

What is hidden follows from what the expert says (see `hidden`) and from what the record of a task calls an answer. Three
kinds of evidence are looked for, in every text and value that an agent gets, decoded where it is base64, JSON, hex, compressed
or turned round:

* a field *is* what is sought, task by task, where the values of other tasks would fit seldom;
* a text *holds* a long value that nothing had shown, and hardly any other hidden value;
* a text has what solves the task *at a fixed place*, after the same words in every task.

Without an expert, values of infos, errors and observations are played as actions: what then solves tasks was shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.envs.audit.card import Point, failed, not_judged, passed, warned
from palaestra.envs.audit.evidence import Leak, leaks_in
from palaestra.envs.audit.figures import percent
from palaestra.envs.audit.harvest import Harvest, harvested
from palaestra.envs.audit.play import Play
from palaestra.envs.audit.shown import Case, cases_of
from palaestra.envs.audit.subject import Subject, expert_policy

NUM_TASKS = 24
"""Tasks that are looked at."""


def judge(subject: Subject) -> list[Point]:
    """Look for hidden data in all that an agent is shown.

    Args:
        subject: The environment under audit.

    Returns:
        The points "leaks.info", "leaks.tools" (and instructions), "leaks.observation" and "leaks.error".
    """
    plans = [plan for plan in _plans(subject) if plan.ended != "error"][:NUM_TASKS]
    if not plans:
        return [not_judged("leaks", "No episode could be begun.")]
    cases = cases_of(subject, plans)
    found = leaks_in(cases)
    has_values = any(case.sought.values or case.sought.answers for case in cases)
    by_play = {} if has_values else harvested(subject)
    points = []
    for name, channels in (
        ("info", ("info",)),
        ("tools", ("tools", "instructions")),
        ("observation", ("observation",)),
        ("error", ("error",)),
    ):
        leaks = [leak for channel in channels for leak in found.get(channel, ())]
        leaks += [_of_harvest(one) for channel in channels for one in by_play.get(channel, ())]
        points.append(_point(f"leaks.{name}", leaks, cases, has_values=has_values, was_played=bool(by_play)))
    return points


def _plans(subject: Subject) -> list[Play]:
    """Return plans of the expert in enough tasks, more than are played otherwise where those are few."""
    plans = list(subject.plans)
    if subject.split is not None and len(plans) < NUM_TASKS and subject.cost == "cheap":
        more = subject.starts_of(subject.split, NUM_TASKS)[len(plans) :]
        plans += [subject.play(start, expert_policy(), stream="leaks") for start in more]
    return plans


def _point(name: str, leaks: Sequence[Leak], cases: Sequence[Case], *, has_values: bool, was_played: bool) -> Point:
    """Return the point of a channel."""
    if leaks and all(leak.is_of_one for leak in leaks):
        said = "of one task it is not known whether that is of the task, or in what all are told"
        return not_judged(name, f"{leaks[0].reason.removesuffix('.')}; {said}.")
    if leaks := [leak for leak in leaks if not leak.is_of_one]:
        judged = failed if any(leak.is_sure for leak in leaks) else warned
        most = sorted(leaks, key=lambda leak: not leak.is_sure)
        return judged(name, " ".join(leak.reason for leak in most[:2]), found=[dict(leak.evidence) for leak in most[:5]])
    if has_values:
        num = sum(bool(case.sought.values or case.sought.answers) for case in cases)
        return passed(name, f"Nothing that the expert says in {num} tasks is shown too early.")
    if was_played:
        return passed(name, "Values that are shown were played as actions and solved nothing more often than others.")
    return not_judged(name, "There is no expert, and no record of a task says what is to be found out.")


def _of_harvest(one: Harvest) -> Leak:
    """Return the leak that playing shown values found."""
    return Leak(
        f"Playing what stands at {one.place} solves {percent(one.rate)} of {one.num} tasks, e.g. {one.value!r} {one.key}.",
        {"place": one.place, "task": one.key, "value": one.value, "rate": one.rate, "control": one.control},
    )


__all__ = ["judge"]
