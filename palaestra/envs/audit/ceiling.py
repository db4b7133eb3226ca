"""Points about the expert: can the tasks be solved, and does the reward say so?"""

from __future__ import annotations

import math
from collections import defaultdict

from palaestra.envs.audit.card import Point, failed, not_judged, passed, warned
from palaestra.envs.audit.figures import by_type, few, mean_return, success_rate
from palaestra.envs.audit.panel import PANEL, plays_of
from palaestra.envs.audit.subject import Subject
from palaestra.types import Json

LOW = 0.5
"""Success of the expert, of all tasks or of one type, below which it is a failure."""

EPSILON = 1e-9


def figures(subject: Subject) -> dict[str, Json]:
    """Return success and return of the expert, its steps, and where it fails; figures are None where it knows no task."""
    plans = [plan for plan in subject.plans if plan.steps or plan.error]
    solved = subject.solved
    return {
        "success": success_rate(plans),
        "return": mean_return(plans),
        "n": len(plans),
        "errors": sum(plan.ended == "error" for plan in plans),
        "steps": sum(len(plan.steps) for plan in solved) / len(solved) if solved else None,
        "failed": [plan.start.key for plan in plans if not plan.success],
    }


def judge_ceiling(subject: Subject) -> list[Point]:
    """Say whether the expert solves the tasks, and whether it gets the return that the environment declares."""
    plans = [plan for plan in subject.plans if plan.steps or plan.error]
    if not plans:
        reason = "There is no expert, so whether the tasks can be solved is not known."
        return [not_judged("ceiling.success", reason), not_judged("ceiling.return", reason)]
    return [_judge_success(subject), _judge_return(subject)]


def _judge_success(subject: Subject) -> Point:
    """Judge whether the tasks can be solved."""
    name, plans = "ceiling.success", subject.plans
    if all(plan.error and not plan.steps for plan in plans):
        return not_judged(name, f"No episode of the expert could be played; it raised {plans[0].error}")
    missed = [plan.start.key for plan in plans if not plan.success]
    if all(plan.success is None and not plan.error for plan in plans if plan.steps):
        return not_judged(name, "The environment does not say whether an episode was a success (info['success']).")
    if not missed:
        return passed(name, f"The expert solves all of {len(plans)} tasks.")
    rates = {kind: (len(group) - sum(bool(p.success) for p in group), len(group)) for kind, group in by_type(plans).items()}
    low = [kind for kind, (bad, num) in rates.items() if kind and bad / num > 1 - LOW]
    errors = [plan.error for plan in plans if plan.error]
    said = f"The expert does not solve {len(missed)} of {len(plans)} tasks ({few(missed)})"
    said += f"; of type {few(low)} it fails in more than half" if low else ""
    said += f"; it raised {errors[0]}" if errors else ""
    judge = failed if low or len(missed) > LOW * len(plans) else warned
    return judge(name, f"{said}.", tasks=missed[:10])


def _judge_return(subject: Subject) -> Point:
    """Judge whether a solved episode brings what is declared."""
    name, full, solved = "ceiling.return", subject.full_return, subject.solved
    if not solved:
        return not_judged(name, "No episode of the expert was a success, so what one brings is not known.")
    if full is None and subject.return_varies:
        return _judge_varying(subject)
    if full is None:
        return not_judged(name, "The environment declares no full return, so what a solved episode should bring is not known.")
    wrong = [plan for plan in solved if not math.isclose(plan.total, full, rel_tol=1e-6, abs_tol=1e-9)]
    if wrong:
        said = f"{len(wrong)} of {len(solved)} solved episodes bring another return than {full:g}"
        return failed(
            name, f"{said}, e.g. {wrong[0].total:g} on {wrong[0].start.key}.", tasks=[p.start.key for p in wrong[:10]]
        )
    return passed(name, f"Each of {len(solved)} solved episodes brings {full:g}.")


def _judge_varying(subject: Subject) -> Point:
    """Judge a return that varies by its order: a solution brings more than 0, and than what is not solved."""
    name, solved = "ceiling.return", subject.solved
    least: dict[str, float] = defaultdict(float)
    for member in PANEL:
        for play in plays_of(subject, member) if member.kind == "free" else ():
            if play.success is False and math.isfinite(play.total):
                least[play.start.key] = max(least[play.start.key], play.total)
    wrong = [plan for plan in solved if not plan.total > least[plan.start.key] + EPSILON]
    if wrong:
        said = f"{len(wrong)} of {len(solved)} solved episodes bring no more than one that is not solved, or than 0"
        said = f"{said}, e.g. {wrong[0].total:g} on {wrong[0].start.key}: the return does not say that they are solved."
        return failed(name, said, tasks=[plan.start.key for plan in wrong[:10]])
    return passed(
        name, f"The full return varies; each of {len(solved)} solved episodes brings more than one that is not solved."
    )


__all__ = ["figures", "judge_ceiling"]
