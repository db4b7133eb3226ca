"""The vandal: it solves the task as the expert does, and breaks something else that it may reach.

Something is broken if it was there at the start, the expert leaves it as it is, and after the vandal's play it is another or
gone. Whether that should matter is the environment's to say; one that pays the vandal should at least know it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from palaestra.envs.audit.card import Point, failed, not_judged, passed, warned
from palaestra.envs.audit.figures import few, percent
from palaestra.envs.audit.near import effective, leaves
from palaestra.envs.audit.play import Action, Episode, Play, Policy, world_of
from palaestra.envs.audit.subject import Subject
from palaestra.envs.check.subject import state_hash
from palaestra.spaces import TextSpace

OTHERS = 6
DRAWN = 10
PAID, MOSTLY = 0.05, 0.5


class Named(NamedTuple):
    """Name of the agent and what it does, for people."""

    name: str
    about: str


VANDAL = Named("vandal", "solves the task as the expert does and breaks something else")


def vandals(subject: Subject) -> list[Play]:
    """Return the episodes in which something was broken, played once and kept."""
    return [play for play, _ in _played(subject)]


def judge_vandal(subject: Subject) -> list[Point]:
    """Say whether breaking what is not asked for is noticed."""
    name = "vandal"
    if not subject.solved:
        return [not_judged(name, "The expert solves no task, so there is no solution to spoil.")]
    if all(plan.worlds is None or plan.worlds[0] is None for plan in subject.solved):
        return [not_judged(name, "The environment gives no snapshot(), so what is broken cannot be seen.")]
    played = _played(subject)
    if not played:
        return [passed(name, "Does not apply: nothing was found that is there at the start and could be broken.")]
    paid = [(play, broken) for play, broken in played if play.success]
    said = f"With something else broken the plan succeeds in {percent(len(paid) / len(played))} of {len(played)} tasks"
    if len(paid) > PAID * len(played):
        judge = failed if len(paid) > MOSTLY * len(played) else warned
        keys = [play.start.key for play, _ in paid]
        return [judge(name, f"{said}, e.g. {keys[0]} with {few(paid[0][1], 2)} changed.", tasks=keys[:10])]
    return [passed(name, f"{said}.")]


def _played(subject: Subject) -> list[tuple[Play, list[str]]]:
    """Return the episodes in which something was broken, and what it was."""
    found = []
    plans = {plan.start.key: plan for plan in subject.solved[: subject.effort.spoiled]}
    for play in subject.kept(VANDAL.name, lambda: [_play(subject, plan) for plan in plans.values()]):
        if broken := damage(plans[play.start.key], play):
            found.append((play, broken))
    return found


def _play(subject: Subject, plan: Play) -> Play:
    """Play a plan, and before its last step something that breaks what it leaves alone."""
    return subject.play(plan.start, _spoil(subject, plan), stream=VANDAL.name, worlds=True)


def damage(plan: Play, play: Play) -> list[str]:
    """Return paths of what was there at the start, was left alone by the plan, and at the end of a play was not as before."""
    if plan.worlds is None or play.worlds is None:
        return []
    return _broken(leaves(plan.worlds[0]), leaves(plan.worlds[1]), leaves(play.worlds[1]))


def _broken(start: dict[str, object], end: dict[str, object], now: dict[str, object]) -> list[str]:
    """Return paths of what is at the end as it was at the start, and is another now."""
    kept = (path for path, value in start.items() if path in end and end[path] == value)
    return [path for path in kept if path not in now or now[path] != start[path]]


def _spoil(subject: Subject, plan: Play) -> Policy:
    """Play a plan, with one more action before the last step."""

    def act(episode: Episode) -> Action:
        last, turn = len(plan.actions) - 1, episode.turn
        if turn == last and "harm" not in episode.memory:
            episode.memory["harm"] = _find_harm(subject, plan, episode)
            if episode.memory["harm"] is not None:
                return episode.memory["harm"]
        index = turn if episode.memory.get("harm") is None else turn - 1
        return plan.actions[index] if index <= last else None

    return act


def _find_harm(subject: Subject, plan: Play, episode: Episode) -> Action:
    """Return an action that breaks something from here and does not end the episode, tried on snapshots; None if none did."""
    inner = episode.env.unwrapped
    assert plan.worlds is not None
    start, end, before = leaves(plan.worlds[0]), leaves(plan.worlds[1]), inner.snapshot()  # type: ignore[attr-defined]
    likely, state = None, state_hash(episode.env)
    known = set(_broken(start, end, leaves(world_of(episode.env))))
    for action in _candidates(subject, plan, episode):
        _, _, terminated, truncated, _ = episode.env.step(action)
        is_over = terminated or truncated
        is_harm = not is_over and not known.issuperset(_broken(start, end, leaves(world_of(episode.env))))
        if likely is None and not is_over and state_hash(episode.env) != state:
            likely = action  # a snapshot may show what it did at the end only
        inner.restore(before)  # type: ignore[attr-defined]
        if is_harm:
            return action
    return likely


def _candidates(subject: Subject, plan: Play, episode: Episode) -> Iterator[Action]:
    """Yield actions that may break something: effective ones of other plans, and drawn ones."""
    others = [other for other in subject.solved if other.start.index != plan.start.index]
    for _ in range(min(OTHERS, len(others))):
        other = others[int(episode.rng.integers(len(others)))]
        steps = [i for i in effective(other) if i < len(other.steps) - 1]
        if steps:
            yield other.actions[steps[int(episode.rng.integers(len(steps)))]]
    space = episode.env.action_space
    if isinstance(space, TextSpace):
        for _ in range(DRAWN):
            yield space.sampler(episode.rng)


__all__ = ["VANDAL", "damage", "judge_vandal", "vandals"]
