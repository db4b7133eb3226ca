"""Points about episodes as such: do they run, do they end, are the rewards numbers within bounds?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from palaestra.envs.audit.card import Point, failed, not_judged, passed, warned
from palaestra.envs.audit.figures import cut_after, few
from palaestra.envs.audit.play import Play
from palaestra.envs.audit.subject import Subject

EPSILON = 1e-6


def judge_episodes(subject: Subject) -> list[Point]:
    """Look at everything that was played."""
    plays = [(name, play) for name, played in (("expert", subject.plans), *subject.played.items()) for play in played]
    if not plays:
        return [not_judged("episodes", f"No episode was played: split {subject.split!r} holds no tasks.")]
    if not any(play.steps for _, play in plays):
        nothing = "No action could be played, so that there is no {}."
        names = {"episodes.end": "episode that could end", "reward.finite": "reward", "reward.bound": "return"}
        return [_runs(plays), *(not_judged(name, nothing.format(what)) for name, what in names.items())]
    return [_runs(plays), *_says(plays), _ends(subject, plays), *_rewards(subject, plays)]


def _says(plays: list[tuple[str, Play]]) -> Iterator[Point]:
    """Say so if the environment says neither yes nor no about success, but something else."""
    said = [(name, play, play.steps[-1].said) for name, play in plays if play.steps and play.success is None]
    odd = [(name, play, value) for name, play, value in said if value is not None and not play.error]
    if odd:
        name, play, value = odd[0]
        reason = f"info['success'] is {value!r} in {len(odd)} episodes, e.g. that of {name} on {play.start.key}"
        yield failed("episodes.success", f"{reason}; expected True or False, or nothing where it is not known.")


def _runs(plays: list[tuple[str, Play]]) -> Point:
    """Judge whether episodes raise."""
    broken = [(name, play) for name, play in plays if play.error]
    if not broken:
        return passed("episodes.run", f"{len(plays)} episodes were played; none raised.")
    name, play = broken[0]
    keys = list(dict.fromkeys(play.start.key for _, play in broken))
    said = f"{len(broken)} of {len(plays)} episodes raised ({few(keys)})"
    said = f"{said}, e.g. that of {name} on {play.start.key}: {play.error}"
    return failed("episodes.run", said, tasks=keys[:10])


def _ends(subject: Subject, plays: list[tuple[str, Play]]) -> Point:
    """Judge whether episodes end."""
    name, cut = "episodes.end", [(name, play) for name, play in plays if play.ended == "cut"]
    if not cut:
        return passed(name, "Every episode ended, or its agent gave up.")
    endless = [(name, play) for name, play in cut if cut_after([play], subject.max_actions)]
    if not endless:
        said = f"{len(cut)} of {len(plays)} episodes were cut after {subject.panel_actions} actions, to save time"
        return not_judged(name, f"{said}; whether they end is not known, and what they would have been paid later.")
    who = list(dict.fromkeys(name for name, _ in endless))
    said = f"{len(endless)} of {len(plays)} episodes did not end within {subject.max_actions} actions"
    return warned(name, f"{said} (those of {few(who)}).")


def _rewards(subject: Subject, plays: list[tuple[str, Play]]) -> Iterator[Point]:
    """Judge whether rewards are numbers, and returns within bounds."""
    yield _of_steps("reward.finite", plays, math.isfinite, "is not a finite number")
    yield _bound(subject, plays)


def _bound(subject: Subject, plays: list[tuple[str, Play]]) -> Point:
    """Judge whether returns lie between 0 and the full one; where that varies it is what the expert's solution brings."""
    full = subject.full_return
    if full is not None:
        high = [(name, play) for name, play in plays if play.total > full + EPSILON]
        most = f"the full return of {full:g}"
    elif not subject.return_varies:
        return not_judged("reward.bound", "The environment declares no full return.")
    elif not subject.solved:
        reason = "The full return varies by task, and the expert solves none, so what one brings at most is not known."
        return not_judged("reward.bound", reason)
    else:
        brings = {plan.start.key: plan.total for plan in subject.solved}
        known = [(name, play) for name, play in plays if play.success is False and play.start.key in brings]
        high = [(name, play) for name, play in known if play.total > brings[play.start.key] + EPSILON]
        most = "the solution of the expert, and are not solved"
    low = [(name, play) for name, play in plays if play.total < -EPSILON]
    if high:
        return _outside(failed, high, f"more than {most}")
    if low:
        return _outside(warned, low, "less than 0")
    if full is not None:
        return passed("reward.bound", f"Every return lies between 0 and {full:g}.")
    return passed("reward.bound", "No return is below 0, and no episode that is not solved brings more than the solution.")


def _of_steps(name: str, plays: list[tuple[str, Play]], is_good: Callable[[float], bool], what: str) -> Point:
    """Judge the rewards of all steps."""
    bad = [(who, play, step.reward) for who, play in plays for step in play.steps if not is_good(step.reward)]
    if not bad:
        return passed(name, "Every reward is a finite number.")
    who, play, reward = bad[0]
    return failed(name, f"{len(bad)} rewards: {reward} {what}, e.g. one of {who} on {play.start.key}.")


def _outside(judge: Callable[..., Point], plays: list[tuple[str, Play]], what: str) -> Point:
    """Return the point of returns that are out of bounds."""
    name, play = plays[0]
    said = f"{len(plays)} episodes bring {what}, e.g. {play.total:g} for {name} on {play.start.key}."
    return judge("reward.bound", said, tasks=list(dict.fromkeys(play.start.key for _, play in plays))[:10])


__all__ = ["judge_episodes"]
