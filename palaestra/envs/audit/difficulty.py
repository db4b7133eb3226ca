"""How hard the tasks are: by type and by parameters of the generator, and which of them separate nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from palaestra.envs.audit.card import Point, not_judged, passed, warned
from palaestra.envs.audit.figures import few, percent, success_rate
from palaestra.envs.audit.floors import is_paid
from palaestra.envs.audit.panel import PANEL, plays_of
from palaestra.envs.audit.play import Play
from palaestra.envs.audit.subject import Subject
from palaestra.types import Json

MAX_VALUES = 8
"""Values of a parameter up to which tasks are counted by it."""
REFERENCES = ("nothing", "random", "common_actions", "other_plan")
"""Agents to compare the expert with."""
SHARE = 0.02


def facts(subject: Subject) -> dict[str, Json]:
    """Return the profile: `by_type`, `by_parameter`, and three shares of tasks.

    These are what `nobody` solves, what `everybody` solves, and where there is `nothing_to_do`, as the environment says.
    """
    solvers = _solvers(subject)
    nobody, everybody = _extremes(subject)
    num = len(subject.starts)
    return {
        "by_type": _profile(subject, {start.index: start.type for start in subject.starts}, solvers),
        "by_parameter": {name: _profile(subject, values, solvers) for name, values in _parameters(subject).items()},
        "nobody": len(nobody) / num if num else None,
        "everybody": len(everybody) / num if num else None,
        "nothing_to_do": sum(subject.asks_nothing.values()) / num if num else None,
    }


def judge_difficulty(subject: Subject) -> list[Point]:
    """Say whether there are tasks that separate no agents: solved by nobody, or by everybody."""
    name = "difficulty"
    if len(_solvers(subject)) < 2 or not subject.starts:
        return [not_judged(name, "Fewer than two reference agents can play, so tasks cannot be compared.")]
    nobody, everybody = _extremes(subject)
    num = len(subject.starts)
    plays = [play for group in _solvers(subject).values() for play in group]
    if subject.full_return is None and all(play.success is None for play in plays if play.steps):
        return [
            not_judged(name, "No episode says whether it was a success (info['success']), so what is solved is not known.")
        ]
    if len(nobody) == num and not any(plan.steps for plan in subject.plans):
        return [not_judged(name, f"There is no expert, and no other reference agent solves any of {num} tasks.")]
    found = []
    if len(nobody) > SHARE * num:
        found.append(f"nobody solves {percent(len(nobody) / num)} of {num} tasks ({few(nobody)})")
    if len(everybody) > SHARE * num:
        found.append(f"every reference agent solves {percent(len(everybody) / num)} of {num} tasks ({few(everybody)})")
    if found:
        text = "; ".join(found)
        return [warned(name, f"{text[:1].upper()}{text[1:]}.", nobody=nobody[:10], everybody=everybody[:10])]
    return [passed(name, f"Of {num} tasks nobody solves {len(nobody)}, and every reference agent {len(everybody)}.")]


def _solvers(subject: Subject) -> dict[str, Sequence[Play]]:
    """Return the episodes of expert and reference agents by their names; those that cannot play are left out."""
    found: dict[str, Sequence[Play]] = {}
    if any(plan.steps for plan in subject.plans):
        found["expert"] = subject.plans
    for member in PANEL:
        if member.name in REFERENCES and (plays := plays_of(subject, member)):
            found[member.name] = plays
    return found


def _extremes(subject: Subject) -> tuple[list[str], list[str]]:
    """Return the keys of tasks that nobody solves, and of those that the expert and every reference agent solve."""
    solvers = _solvers(subject)
    solved: dict[int, int] = defaultdict(int)
    for plays in solvers.values():
        for play in plays:
            solved[play.start.index] += is_paid(subject, play)
    nobody = [start.key for start in subject.starts if not solved[start.index]]
    return nobody, [start.key for start in subject.starts if solvers and solved[start.index] == len(solvers)]


def _parameters(subject: Subject) -> dict[str, dict[int, str]]:
    """Return values of the tasks' data by name and task: plain values with a few different ones, and lengths of lists."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for start in subject.starts:
        data = start.task.data if start.task is not None and isinstance(start.task.data, Mapping) else {}
        for name, value in data.items():
            if isinstance(value, (bool, int, str)) or value is None:
                found[name][start.index] = str(value)
            elif isinstance(value, (list, tuple)):
                found[f"len({name})"][start.index] = str(len(value))
    num = len(subject.starts)
    return {name: of for name, of in found.items() if len(of) == num and 1 < len(set(of.values())) <= MAX_VALUES}


def _profile(subject: Subject, groups: Mapping[int, str], solvers: Mapping[str, Sequence[Play]]) -> dict[str, Json]:
    """Return by value: number of tasks, success of each reference agent, and mean steps of the expert."""
    profile: dict[str, Json] = {}
    for value in sorted(set(groups.values()), key=lambda one: (len(one), one) if one.isdecimal() else (0, one)):
        chosen = {index for index, of in groups.items() if of == value}
        steps = [len(plan.steps) for plan in subject.solved if plan.start.index in chosen]
        success = {name: success_rate([p for p in plays if p.start.index in chosen]) for name, plays in solvers.items()}
        profile[value] = {"n": len(chosen), "steps": sum(steps) / len(steps) if steps else None, "success": success}
    return profile


__all__ = ["facts", "judge_difficulty"]
