"""Agents that nearly do what the expert does: one step left out, two swapped, one repeated.

Leaving out a step that matters must not be paid, and repeating one must not be paid more. An expert's plan may hold steps
that only look something up: the step left out is one after which the state of the world was another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from palaestra.envs.audit.card import Point, failed, not_judged, passed, warned
from palaestra.envs.audit.figures import few, percent, success_rate
from palaestra.envs.audit.play import Action, Play, replay
from palaestra.envs.audit.subject import Subject

CHANCE = 0.02
FREE = 0.5
EPSILON = 1e-6


class Variant(NamedTuple):
    """A way to change the expert's plan.

    Attributes:
        name: Its name on the card.
        about: What the agent does, for people.
        change: Returns the actions that are played instead of a plan's; None leaves the plan out.
    """

    name: str
    about: str
    change: Callable[[Play, np.random.Generator], list[Action] | None]

    def plays(self, subject: Subject) -> Sequence[Play]:
        """Return the episodes of the changed plans of those that were a success; played once, and kept."""
        return subject.kept(self.name, lambda: self._played(subject))

    def _played(self, subject: Subject) -> list[Play]:
        """Play the changed plans."""
        found = []
        for plan in subject.solved:
            actions = self.change(plan, subject.rng(self.name, plan.start))
            if actions is not None:
                found.append(subject.play(plan.start, replay(actions), stream=self.name, worlds=True))
        return found


def effective(plan: Play) -> list[int]:
    """Return the numbers of the steps of a plan after which the state was another one; all where states are not known."""
    states = plan.states
    if len(states) != len(plan.steps) + 1 or None in states:
        return list(range(len(plan.steps)))
    return [i for i in range(len(plan.steps)) if states[i] != states[i + 1]]


def _without_last(plan: Play, rng: np.random.Generator) -> list[Action] | None:
    """Leave out the last step that changed something; what was answered after it is said all the same."""
    del rng
    index = effective(plan)[-1] if effective(plan) else len(plan.steps) - 1
    return _without(plan, index)


def _without_one(plan: Play, rng: np.random.Generator) -> list[Action] | None:
    """Leave out a step that changed something, but not the last such one; nothing if there is only one."""
    indices = effective(plan)[:-1]
    return _without(plan, indices[int(rng.integers(len(indices)))]) if indices else None


def _without(plan: Play, index: int) -> list[Action]:
    """Return the actions of a plan without one."""
    return [action for i, action in enumerate(plan.actions) if i != index]


def _swapped(plan: Play, rng: np.random.Generator) -> list[Action] | None:
    """Swap two neighbouring steps; nothing if there is only one."""
    actions = plan.actions
    if len(actions) < 2:
        return None
    i = int(rng.integers(len(actions) - 1))
    return [*actions[:i], actions[i + 1], actions[i], *actions[i + 2 :]]


def _repeated(plan: Play, rng: np.random.Generator) -> list[Action] | None:
    """Play one step twice: one that was paid and did not end the episode, else one that changed something."""
    inner = range(len(plan.steps) - 1)
    paid = [i for i in inner if plan.steps[i].reward > 0]
    chosen = paid or [i for i in effective(plan) if i in inner] or list(inner)
    if not chosen:
        return None
    i = chosen[int(rng.integers(len(chosen)))]
    return [*plan.actions[: i + 1], plan.actions[i], *plan.actions[i + 1 :]]


WITHOUT_LAST = Variant("expert_without_last", "plays the expert's plan without its last effective step", _without_last)
WITHOUT_ONE = Variant("expert_without_one", "plays the expert's plan with another effective step left out", _without_one)
SWAPPED = Variant("expert_swapped", "plays the expert's plan with two neighbouring steps swapped", _swapped)
REPEATED = Variant("expert_repeated", "plays the expert's plan with one step repeated", _repeated)

NEAR = (WITHOUT_LAST, WITHOUT_ONE, SWAPPED, REPEATED)


def judge_near(subject: Subject) -> list[Point]:
    """Say whether the reward notices that a step is missing, and pays none twice."""
    names = ("near.left_out", "near.repeated", "near.swapped")
    if not subject.solved:
        return [not_judged(name, "The expert solves no task, so there is no plan to change.") for name in names]
    return [_judge_left_out(subject), _judge_repeated(subject), _judge_swapped(subject)]


def _judge_left_out(subject: Subject) -> Point:
    """Judge plans with a step left out: those without the last one, and those in which something stayed as it was."""
    name = "near.left_out"
    plans = {plan.start.key: plan for plan in subject.solved}
    last = WITHOUT_LAST.plays(subject)
    others = [play for play in WITHOUT_ONE.plays(subject) if unchanged(plans[play.start.key], play)]
    played = [*last, *others]
    paid = [play.start.key for play in played if play.success]
    said = f"With a step left out that matters the expert's plan succeeds in {percent(len(paid) / len(played))}"
    if len(paid) > CHANCE * len(played):
        judge = failed if len(paid) > FREE * len(played) else warned
        return judge(name, f"{said} of {len(played)} episodes, e.g. {few(paid)}.", tasks=paid[:10])
    return passed(name, f"{said} of {len(played)} episodes.")


def unchanged(plan: Play, play: Play) -> list[str]:
    """Return paths of what was there at the start, was changed by a plan, and in another episode stayed as it was."""
    if plan.worlds is None or play.worlds is None:
        return []
    start, end, other = leaves(plan.worlds[0]), leaves(plan.worlds[1]), leaves(play.worlds[1])
    return [path for path, value in start.items() if end.get(path, _GONE) != value and other.get(path, _GONE) == value]


def _judge_repeated(subject: Subject) -> Point:
    """Judge plans with a step repeated."""
    name, plays = "near.repeated", REPEATED.plays(subject)
    if not plays:
        return passed(name, "Does not apply: the expert's plans have one step each.")
    if more := _paid_more(subject, plays):
        (play, plan), *_ = more
        said = f"A repeated step is paid again in {len(more)} of {len(plays)} episodes"
        return failed(name, f"{said}, e.g. {play.total:g} instead of {plan.total:g} on {plan.start.key}.", tasks=_keys(more))
    return passed(name, f"In none of {len(plays)} episodes a repeated step is paid again.")


def _judge_swapped(subject: Subject) -> Point:
    """Say how often the order of two steps matters; both may be right."""
    name, plays = "near.swapped", SWAPPED.plays(subject)
    if not plays:
        return passed(name, "Does not apply: the expert's plans have one step each.")
    if more := _paid_more(subject, plays):
        (play, plan), *_ = more
        eg = f"e.g. {play.total:g} instead of {plan.total:g} on {plan.start.key}"
        if subject.return_varies and all(play.success and _is_paid_at_the_end(play) for play, _ in more):
            said = f"With two steps swapped the plan brings more in {len(more)} of {len(plays)} episodes, {eg}"
            return warned(name, f"{said}: the return varies, and the expert's is not the highest.", tasks=_keys(more))
        return failed(name, f"Swapped steps bring more than the plan in {len(more)} episodes, {eg}.", tasks=_keys(more))
    return passed(name, f"With two steps swapped the plan still succeeds in {percent(success_rate(plays))} of {len(plays)}.")


def _paid_more(subject: Subject, plays: Sequence[Play]) -> list[tuple[Play, Play]]:
    """Return the episodes that brought more than the expert's plan, each with the plan."""
    plans = {plan.start.key: plan for plan in subject.solved}
    pairs = [(play, plans[play.start.key]) for play in plays]
    return [(play, plan) for play, plan in pairs if play.total > plan.total + EPSILON]


def _is_paid_at_the_end(play: Play) -> bool:
    """Whether the last step alone was paid: what it brings is then of the whole episode, e.g. of its length."""
    return all(abs(step.reward) <= EPSILON for step in play.steps[:-1])


def _keys(pairs: Sequence[tuple[Play, Play]]) -> list[str]:
    """Return the keys of the tasks of a few episodes."""
    return [play.start.key for play, _ in pairs[:10]]


_GONE = object()


def leaves(value: object, path: str = "") -> dict[str, object]:
    """Return the values of plain data that hold no others, by their path."""
    if isinstance(value, dict):
        found: dict[str, object] = {}
        for key, item in value.items():
            found |= leaves(item, f"{path}/{key}")
        return found
    if isinstance(value, list):
        found = {}
        for index, item in enumerate(value):
            found |= leaves(item, f"{path}/{index}")
        return found
    return {path: value}


__all__ = ["NEAR", "REPEATED", "SWAPPED", "WITHOUT_LAST", "WITHOUT_ONE", "effective", "judge_near", "leaves", "unchanged"]
