"""Runs every judge on one environment and writes the card."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from palaestra.envs.audit import (
    ceiling,
    difficulty,
    flips,
    floors,
    leaks,
    length,
    near,
    rewards,
    splits,
    stability,
    vandal,
)
from palaestra.envs.audit.card import Card, Point, not_judged
from palaestra.envs.audit.effort import EFFORTS, Level
from palaestra.envs.audit.fingerprint import hashes_of, versions
from palaestra.envs.audit.pace import level_of
from palaestra.envs.audit.subject import Subject
from palaestra.envs.registration import find_spec, require
from palaestra.errors import ConfigError, unknown_name
from palaestra.types.plain_json import finite


class Judge(NamedTuple):
    """A subject of the audit.

    Attributes:
        name: Its name; a judge that raises leaves a point of this name that was not judged.
        judge: Returns the points about it.
        about: What it asks, for people.
    """

    name: str
    judge: Callable[[Subject], Sequence[Point]]
    about: str


JUDGES: tuple[Judge, ...] = (
    Judge("floor", floors.judge_floors, "is an agent paid that knows nothing?"),
    Judge("injection", floors.judge_injection, "is an agent paid for what it writes to the grader?"),
    Judge("vandal", vandal.judge_vandal, "does it matter what else is broken?"),
    Judge("near", near.judge_near, "does a step matter that is left out, and is none paid twice?"),
    Judge("ceiling", ceiling.judge_ceiling, "can the tasks be solved, and does the return say so?"),
    Judge("difficulty", difficulty.judge_difficulty, "do the tasks tell agents apart?"),
    Judge("length", length.judge_length, "how long is a solution, and does it fit?"),
    Judge("splits", splits.judge, "do the splits meet, and how many different goals are there?"),
    Judge("leaks", leaks.judge, "is an agent shown what it is to find out?"),
    Judge(
        "stability",
        stability.judge,
        "does an episode keep its verdict, again, elsewhere, restored and reordered?",
    ),
    Judge("flips", flips.judge, "does the seed of the world decide the outcome?"),
    Judge("episodes", rewards.judge_episodes, "do episodes run and end, and are rewards numbers within bounds?"),
)
"""All subjects, in the order they are judged; add one here."""


def audit_environment(
    env_id: str, n: int | None = None, *, seed: int = 0, split: str | None = None, effort: Level | None = None, **kwargs: Any
) -> Card:
    """Judge what an environment's reward is worth: floors, ceiling, splits, leaks.

    Args:
        env_id: Registered id, ours or a third party's (`module:Name-v0` imports the module first).
        n: Tasks that each agent of the panel plays, at least 1; fewer where there are not so many. By default 100, of an
            environment on an engine 20, in a browser 8, of one that takes longer 4.
        seed: Seed of all that is drawn; 0 plays the episodes that `palaestra.evaluate` plays with its seed 0.
        split: Split that is played; "test" by default, or the default split where there is no "test".
        effort: How much is played: "cheap", "engine", "browser" or "slow", from most to least. By default as
            registered, or less where that would take more than about five minutes, as a few episodes tell. The card names it.
        **kwargs: Arguments that the environment is made with.

    Returns:
        The card. An environment that raises gets points that say so; what cannot be judged is "not judged".

    Raises:
        UnknownNameError: For an unknown id, split or effort.
        UsageError: If the environment lacks something that its registration names.
        ConfigError: If `n` is not a whole number of at least 1.
    """
    check_n(n)
    require(find_spec(env_id).id, kwargs)
    if effort is not None and effort not in EFFORTS:
        raise unknown_name("effort", effort, EFFORTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's own, about what other checks look at
        level = level_of(env_id, kwargs, seed, split) if effort is None else effort
        subject = Subject(env_id, kwargs, EFFORTS[level].tasks if n is None else n, seed, split, level)
        try:
            return _card(subject)
        finally:
            subject.close()


def check_n(n: object) -> None:
    """Check a number of tasks; None is as many as the environment's cost allows.

    Raises:
        ConfigError: If it is not a whole number of at least 1.
    """
    if n is None:
        return
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ConfigError(f"n is {n!r}; expected a whole number of at least 1.")


def _card(subject: Subject) -> Card:
    """Return the card of an environment that can be made."""
    points = [point for judge in JUDGES for point in _points(judge, subject)]
    return Card(
        find_spec(subject.env_id).id,
        finite(subject.arguments),
        subject.split,
        len(subject.starts),
        subject.seed,
        floors.figures(subject),
        ceiling.figures(subject),
        points,
        {
            "difficulty": difficulty.facts(subject),
            "length": length.facts(subject),
            "effort": {"level": subject.level or subject.cost, **subject.effort._asdict(), "actions": subject.panel_actions},
        },
        hashes_of(subject.env_id),
        versions(),
    )


def _points(judge: Judge, subject: Subject) -> Sequence[Point]:
    """Return the points of a judge; one that raises has not judged."""
    try:
        return judge.judge(subject)
    except Exception as error:
        return [not_judged(judge.name, f"Judging it raised {type(error).__name__}: {error}")]


__all__ = ["JUDGES", "Judge", "audit_environment", "check_n"]
