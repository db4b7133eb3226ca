"""Does an episode keep its verdict? Played again, after other episodes, from a snapshot, elsewhere, in another order.

* *replay*: the same actions in the same environment after other episodes, and in a fresh one, give the same episode.
* *elsewhere*: so they do in other processes, with another PYTHONHASHSEED and other clocks.
* *restore*: an episode that continues from a snapshot ends as it would have ended.
* *order*: two neighbouring actions that do not touch each other (each is told the same in either order, and the states
  after both differ in nothing but the order of records) may be swapped without another verdict, unless the episode then
  tells something else before it is over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium

from palaestra.envs.audit.card import Point, failed, not_judged, passed
from palaestra.envs.audit.elsewhere import Script, run_scripts
from palaestra.envs.audit.play import Action, Play, as_text, drawn, state_of
from palaestra.envs.audit.probes import was_refused
from palaestra.envs.audit.subject import Subject
from palaestra.envs.audit.texts import excerpt
from palaestra.envs.check.report import CheckFailed
from palaestra.envs.check.subject import Env
from palaestra.envs.registration import find_spec
from palaestra.types import Json

DRAWN = 6
"""Drawn actions that are played where the expert knows nothing, and in addition to it."""


def judge(subject: Subject) -> list[Point]:
    """Play episodes again in other circumstances.

    Args:
        subject: The environment under audit.

    Returns:
        The points "stability.replay", "stability.elsewhere", "stability.restore" and "stability.order".
    """
    scripts = _scripts(subject)
    if not scripts:
        return [not_judged("stability", "No episode could be played.")]
    return [_replay(subject, scripts), _elsewhere(subject, scripts), _restore(subject, scripts), _order(subject)]


# -- what is played ---------------------------------------------------------------------------------------------------


def _scripts(subject: Subject) -> list[Script]:
    """Return the actions of the expert in some tasks, and of drawn actions, idling and half a plan in a few."""
    num = subject.effort.repeated
    plans = [plan for plan in subject.plans if plan.ended != "error"][:num]
    scripts = [Script(plan.start.seed, plan.start.options, tuple(plan.actions)) for plan in plans if plan.steps]
    for plan in plans[: num if not scripts else max(1, num // 3)]:
        played = subject.play(plan.start, drawn(DRAWN), stream="stability")
        scripts.append(Script(plan.start.seed, plan.start.options, tuple(played.actions)))
    for plan in plans[: max(1, num // 3)]:
        if subject.takes_texts:
            scripts.append(Script(plan.start.seed, plan.start.options, ("Done.",) * 2))
        if len(plan.steps) > 1:  # the first and the last step without what belongs between
            scripts.append(Script(plan.start.seed, plan.start.options, (plan.actions[-1],)))
            scripts.append(Script(plan.start.seed, plan.start.options, (*plan.actions[:-1], *plan.actions[:-1])))
    return [script for script in scripts if script.actions]


# -- replay -----------------------------------------------------------------------------------------------------------


def _replay(subject: Subject, scripts: Sequence[Script]) -> Point:
    """Play scripts in fresh environments, and one after the other, forwards and backwards, in one."""
    name = "stability.replay"
    fresh: list[list[Json]] = []
    for script in scripts:
        with subject.open() as env:
            fresh.append(script.play(env))
    with subject.open() as env:
        for what, order in (("again", range(len(scripts))), ("after other episodes", range(len(scripts) - 1, -1, -1))):
            for index in order:
                for _ in range(2):
                    parted = difference(fresh[index], scripts[index].play(env))
                    if parted:
                        reason = (
                            f"Played {what} in the same environment, {scripts[index].name} parts from a fresh one: {parted}"
                        )
                        return failed(name, reason, task=scripts[index].name)
    return passed(name, f"{len(scripts)} episodes are the same in a fresh environment and after others.")


def _elsewhere(subject: Subject, scripts: Sequence[Script]) -> Point:
    """Play scripts in other processes, with other hash seeds and clocks."""
    name = "stability.elsewhere"
    if subject.cost != "cheap":
        return not_judged(name, "An environment on an engine is not started in further processes.")
    try:
        for here, there, what in run_scripts(_maker(subject), scripts):
            for script, a, b in zip(scripts, here, there, strict=True):
                if parted := difference(a, b):
                    return failed(name, f"In another process {what}, {script.name} parts: {parted}", task=script.name)
    except CheckFailed as failure:
        return not_judged(name, failure.detail)
    return passed(name, f"{len(scripts)} episodes are the same in other processes, with other hash seeds and clocks.")


def _maker(subject: Subject) -> Callable[[], Env]:
    """Return the function that makes the environment in another process."""
    return partial(gymnasium.make, find_spec(subject.env_id), disable_env_checker=True, **subject.arguments)


# -- restore ----------------------------------------------------------------------------------------------------------


def _restore(subject: Subject, scripts: Sequence[Script]) -> Point:
    """Let episodes continue from snapshots, in their own environment, in one that has played, and in a fresh one."""
    name = "stability.restore"
    inner: Any = subject.env.unwrapped
    if not callable(getattr(inner, "snapshot", None)) or not callable(getattr(inner, "restore", None)):
        return not_judged(name, "There are no snapshots (snapshot(), restore()).")
    num = 0
    for script in scripts:
        whole = script.play(subject.env)
        for cut in _cuts(len(whole) - 1, subject.effort.cuts):
            for what, other in (("its own", False), ("a fresh", True)):
                env = subject.make() if other else subject.env
                try:
                    again = _from_snapshot(script, cut, subject.env, env)
                except Exception as error:
                    subject.renew()
                    return failed(name, f"Restored after {cut} actions, {script.name} raises {type(error).__name__}: {error}")
                finally:
                    if other:
                        env.close()
                if parted := difference(whole[cut + 1 :], again):
                    reason = f"Restored in {what} environment after {cut} actions, {script.name} goes on otherwise: {parted}"
                    return failed(name, reason, task=script.name, actions=cut)
                num += 1
    return passed(name, f"{num} episodes continue from a snapshot as they would have continued.")


def _cuts(steps: int, most: int) -> list[int]:
    """Return after how many actions an episode is restored: some, spread over it, none after its end; one in the middle."""
    if most == 1 and steps > 0:
        return [(steps - 1) // 2]
    return sorted({round(i * (steps - 1) / (most - 1)) for i in range(most)}) if steps > 0 else []


def _from_snapshot(script: Script, cut: int, env: Env, other: Env) -> list[Json]:
    """Play the beginning, spoil the state by another end, and play the rest from the snapshot."""
    env.reset(seed=script.seed, options=None if script.options is None else dict(script.options))
    for action in script.actions[:cut]:
        env.step(action)
    inner: Any = env.unwrapped
    snapshot = inner.snapshot()
    for action in script.actions[cut:]:  # whatever it leaves behind must not show
        if any(env.step(action)[2:4]):
            break
    other.reset(seed=script.seed + 1)  # wrappers of Gymnasium want one before the first step
    back: Any = other.unwrapped
    back.restore(snapshot)
    return script.go_on(other, cut)


# -- order ------------------------------------------------------------------------------------------------------------


class _Swap(NamedTuple):
    """A plan with two neighbours swapped."""

    plan: Play
    at: int


def _order(subject: Subject) -> Point:
    """Swap neighbouring actions that do not touch each other."""
    name = "stability.order"
    inner: Any = subject.env.unwrapped
    if not callable(getattr(inner, "snapshot", None)):
        return not_judged(name, "There are no snapshots, so whether two actions touch each other cannot be seen.")
    if not subject.solved:
        return not_judged(name, "No episode of the expert was a success, so there is no verdict to keep.")
    closing = {as_text(plan.actions[-1]) for plan in subject.solved}  # "Done." may end a part of the task, not only all of it
    swaps = [
        _Swap(plan, i)
        for plan in subject.solved
        for i in range(len(plan.steps) - 2)
        if closing.isdisjoint(map(as_text, plan.actions[i : i + 2]))
    ]
    num = 0
    for swap in swaps:
        if num >= subject.effort.swaps:
            break
        end = _swapped(subject, swap)
        if end is None:
            continue
        num += 1
        plan = swap.plan
        if end.success != plan.success or abs(end.total - plan.total) > 1e-9:
            first, second = (excerpt(str(plan.actions[swap.at + i]), width=60) for i in range(2))
            reason = (
                f"In {plan.start.key} {first!r} and {second!r} do not touch each other, and in the other order the return "
                f"is {end.total:g} instead of {plan.total:g}."
            )
            return failed(name, reason, task=plan.start.key, step=swap.at)
    if not num:
        return passed(name, f"Does not apply: of {len(swaps)} pairs of neighbouring actions none is plainly independent.")
    return passed(name, f"{num} pairs of independent actions were swapped; the verdict stayed.")


def _swapped(subject: Subject, swap: _Swap) -> Play | None:
    """Play a plan with two actions swapped; None if they touch each other."""
    plan, i = swap
    states: dict[int, Json] = {}
    actions = list(plan.actions)
    actions[i], actions[i + 1] = actions[i + 1], actions[i]

    def act(episode: Any) -> Action:
        if episode.turn in (i, i + 1, i + 2):
            states[episode.turn] = state_of(episode.env)
        return actions[episode.turn] if episode.turn < len(actions) else None

    first, second = plan.steps[i], plan.steps[i + 1]
    if was_refused(first.info) or was_refused(second.info) or first.action == second.action:
        return None
    played = subject.play(plan.start, act, stream="stability.order")
    if len(played.steps) < i + 2:
        return None
    again = (played.steps[i + 1], played.steps[i])
    if any(a.observation != b.observation or was_refused(b.info) for a, b in zip((first, second), again, strict=True)):
        return None
    in_order = _states_of(subject, plan, (i, i + 1, i + 2))
    if len(states) < 3 or len(in_order) < 3:
        return None
    same = _canonical(states[i + 2]) == _canonical(in_order[i + 2])
    if not same and _touched(in_order[i], in_order[i + 1]) & _touched(states[i], states[i + 1]):
        return None
    return None if _is_told_otherwise(plan, played, i + 2) else played


def _is_told_otherwise(plan: Play, played: Play, begin: int) -> bool:
    """Whether an episode tells something else than a plan from a turn on, before it is over: what is drawn in it, say.

    An agent that is told otherwise acts otherwise; that the rest of the plan fails then says nothing about the order.
    """
    later = zip(plan.steps[begin:], played.steps[begin:], strict=False)
    num = len(played.steps) - begin - played.is_over
    return any(a.observation != b.observation for (a, b), _ in zip(later, range(num), strict=False))


def _states_of(subject: Subject, plan: Play, turns: Sequence[int]) -> dict[int, Json]:
    """Return the states before some turns of a plan."""
    states: dict[int, Json] = {}

    def act(episode: Any) -> Action:
        if episode.turn in turns:
            states[episode.turn] = state_of(episode.env)
        return plan.actions[episode.turn] if episode.turn <= max(turns) - 1 and episode.turn < len(plan.actions) else None

    subject.play(plan.start, act, stream="stability.order")
    return states


def _canonical(state: Json) -> str:
    """Return data without the order of lists."""
    if isinstance(state, dict):
        return json.dumps({key: _canonical(value) for key, value in sorted(state.items())})
    if isinstance(state, list):
        return json.dumps(sorted(_canonical(value) for value in state))
    return json.dumps(state)


def _touched(before: Json, after: Json) -> set[str]:
    """Return the differences of two states: paths of values, and records that only one of two lists holds."""
    return {place for place, _ in _facts(before) ^ _facts(after)}


def _facts(state: Json, path: str = "") -> set[tuple[str, str]]:
    """Return the facts of a state, each as a place and a value; the place of a record of a list is the record itself."""
    if isinstance(state, dict):
        return {fact for key, value in state.items() for fact in _facts(value, f"{path}.{key}")}
    if isinstance(state, list):
        return {(f"{path}: {_canonical(value)}", "") for value in state}
    return {(path, json.dumps(state))}


# -- comparing --------------------------------------------------------------------------------------------------------


def difference(first: Sequence[Json], second: Sequence[Json]) -> str:
    """Say where two transcripts part; empty if they are equal. Rewards may differ by rounding."""
    for number, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            what = next((f for f, x, y in zip(_FIELDS, a, b, strict=False) if x != y), "something")
            x, y = (entry[_FIELDS.index(what)] if what in _FIELDS else entry for entry in (a, b))
            return f"entry {number}, {what}: {excerpt(str(x), width=80)!r} against {excerpt(str(y), width=80)!r}."
    return "" if len(first) == len(second) else f"one has {len(first)} entries, the other {len(second)}."


_FIELDS = ("observation", "reward", "terminated", "truncated", "info")

__all__ = ["difference", "judge"]
