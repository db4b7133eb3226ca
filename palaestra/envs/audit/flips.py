"""Does the seed of the world decide the outcome? The same task with other seeds, played by the expert and by a fixed plan.

A task may well be drawn again with each seed, if the expert, who looks, solves it every time. What a task must not do is pay
one episode and not another in which everything that was seen and done was the same: that is luck which no agent can learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from palaestra.envs.audit.card import Point, failed, not_judged, passed
from palaestra.envs.audit.figures import few
from palaestra.envs.audit.hidden import text_of
from palaestra.envs.audit.play import Play, Policy, Start, as_text, drawn, replay
from palaestra.envs.audit.subject import Subject, expert_policy
from palaestra.envs.core.tasks import task_seed
from palaestra.types import Json

NUM_SEEDS = 5
DRAWN = 8


def judge(subject: Subject) -> list[Point]:
    """Play tasks with several seeds.

    Args:
        subject: The environment under audit.

    Returns:
        The points "flips.expert" (tasks that the expert solves with some seeds only) and "flips.luck" (episodes in which all
        was the same but the outcome).
    """
    if not subject.splits:
        reason = "There are no tasks that could be played with several seeds; a seed is the task here."
        return [not_judged("flips.expert", reason), not_judged("flips.luck", reason)]
    starts = subject.starts[: subject.effort.repeated]
    by_expert = [_seeds(subject, start, expert_policy()) for start in starts]
    is_known = any(play.steps for plays in by_expert for play in plays)
    fixed = [_seeds(subject, start, replay(_first_plan(plays))) for start, plays in zip(starts, by_expert, strict=True)]
    same = drawn(DRAWN, seed=lambda episode: episode.start.index)  # the same actions with every seed of the world
    by_chance = [_seeds(subject, start, same) for start in starts[: subject.effort.repeated // 2]]
    if not is_known:
        reason = "There is no expert, so what a seed changes cannot be told from what nobody can know."
        return [not_judged("flips.expert", reason), not_judged("flips.luck", reason)]
    settled = [len({_said(play) for play in plays}) == 1 for plays in by_expert]  # the seed draws nothing that matters
    others = [[plays for plays, is_settled in zip(group, settled, strict=False) if is_settled] for group in (fixed, by_chance)]
    return [_expert(by_expert, fixed), _luck([*by_expert, *others[0], *others[1]])]


def _seeds(subject: Subject, start: Start, policy: Policy) -> list[Play]:
    """Play a task with several seeds."""
    seeds = [start.seed, *(task_seed(start.seed, 1 + i) for i in range(NUM_SEEDS - 1))]
    plays = [subject.play(replace(start, seed=seed), policy, stream="flips") for seed in seeds]
    return [play for play in plays if play.ended != "error"]


def _first_plan(plays: Sequence[Play]) -> list[object]:
    """Return the actions of the first episode that was a success, else of the first."""
    return next((play.actions for play in plays if play.success), plays[0].actions if plays else [])


def _expert(by_expert: Sequence[Sequence[Play]], fixed: Sequence[Sequence[Play]]) -> Point:
    """Judge the tasks that the expert solves with some seeds only."""
    name = "flips.expert"
    flipped = [plays for plays in by_expert if len({play.success for play in plays}) > 1]
    repeated = sum(len({play.success for play in plays}) > 1 for plays in fixed if plays)
    num = sum(bool(plays) for plays in by_expert)
    evidence: dict[str, Json] = {
        "tasks": num,
        "seeds": NUM_SEEDS,
        "flipped": [plays[0].start.key for plays in flipped[:10]],
        "fixed_plan_flipped": repeated,
    }
    if flipped:
        keys = few([plays[0].start.key for plays in flipped])
        lost = sum(not play.success for plays in flipped for play in plays)
        reason = f"The expert solves {len(flipped)} of {num} tasks with some seeds only ({keys}; {lost} episodes lost)."
        return failed(name, reason, **evidence)
    return passed(name, f"The outcome of the expert is the same with {NUM_SEEDS} seeds in {num} tasks.", **evidence)


def _luck(groups: Sequence[Sequence[Play]]) -> Point:
    """Judge episodes of one task in which everything was the same but the outcome."""
    name = "flips.luck"
    num = 0
    for plays in groups:
        seen: dict[tuple[str, ...], Play] = {}
        for play in plays:
            if not play.steps:
                continue
            num += 1
            twin = seen.setdefault(_seen(play), play)
            if (twin.success, round(twin.total, 9)) != (play.success, round(play.total, 9)):
                reason = (
                    f"In {play.start.key} the same actions and observations bring {twin.total:g} with the seed "
                    f"{twin.start.seed} and {play.total:g} with {play.start.seed}."
                )
                return failed(name, reason, task=play.start.key, seeds=[twin.start.seed, play.start.seed])
    if not num:
        return not_judged(name, "No episode could be played.")
    return passed(name, f"Among {num} episodes none differ in nothing but the outcome.")


def _said(play: Play) -> tuple[str, ...]:
    """Return the actions as texts."""
    return tuple(as_text(action) for action in play.actions)


def _seen(play: Play) -> tuple[str, ...]:
    """Return all that was seen and done up to the last action, whose outcome is the question."""
    told = [text_of(play.observation), *(text_of(step.observation) for step in play.steps[:-1])]
    return (*told, *_said(play))


__all__ = ["judge"]
