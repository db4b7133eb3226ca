"""Stricter scores next to the published ones: the whole car, every kind of leaf, exact values, and nothing else touched.

The published scores look at some leaves of the modules that a task lists, take any number that moved in the right direction,
and reward doing nothing wherever nothing is to be done. The scores here do none of that, and `normalised` sets any score
against what an agent gets that does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from typing import Any

from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.car.state import CarState
from palaestra.envs.vehicle.published.scoring import RequestScore, Scope, idle_score, score_scope
from palaestra.types import Json

TOLERANCE = 1e-6
_LENGTH = ".#len"  # follows from the leaves of the list


@dataclass(frozen=True, slots=True)
class StrictScore:
    """How a request compares with what was wanted, over the whole car.

    Attributes:
        request_success: Every wanted leaf has the wanted value (numbers within 1e-6) and no other leaf changed.
        loose_success: The same, but a number that the request asked for by a degree word ("a little") only has to move in the
            right direction.
        refusal: On requests that want no change: whether nothing changed. None on all others.
        missing: Leaves that were to change and did not.
        wrong: Leaves that were to change and came to another value.
        side_effects: Leaves that changed and were not to.
    """

    request_success: bool
    loose_success: bool
    refusal: bool | None
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    side_effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestVerdict:
    """All scores of one request.

    Attributes:
        published: Scores as published.
        strict: Strict scores.
        do_nothing: Published scores of an agent that does nothing for this request.
    """

    published: RequestScore
    strict: StrictScore
    do_nothing: RequestScore

    def scores(self) -> dict[str, Json]:
        """Return the scores as plain data, with those of doing nothing under "do_nothing"."""
        idle = self.strict.refusal is not None
        return {
            **_published(self.published),
            "request_success": self.strict.request_success,
            "loose_success": self.strict.loose_success,
            "refusal": self.strict.refusal,
            "side_effects": len(self.strict.side_effects),
            "incomparable": self.published.incomparable,
            "do_nothing": {
                **_published(self.do_nothing),
                "request_success": idle,
                "loose_success": idle,
                "refusal": True if idle else None,
                "side_effects": 0,
                "incomparable": 0,
            },
        }


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What serving requests cost, as measured; adds up with `+`.

    Attributes:
        model_calls: Requests to a model.
        prompt_tokens: Tokens read by the model.
        completion_tokens: Tokens written by the model.
        calls: Calls of functions of the car, failed ones included.
        failed_calls: Those of them that the car refused.
        writes: Properties written directly.
        wall_s: Seconds from the first to the last moment.
    """

    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    failed_calls: int = 0
    writes: int = 0
    wall_s: float = 0.0

    def __add__(self, other: Efficiency) -> Efficiency:
        """Add field by field."""
        return Efficiency(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def judge_request(
    scope: Scope,
    reference: CarState,
    wanted: Iterable[Change],
    made: Iterable[Change],
    degree_paths: AbstractSet[str] = frozenset(),
    *,
    agent: CarState | None = None,
) -> RequestVerdict:
    """Return all scores of one request.

    Args:
        scope: Modules that the task lists; only the published scores look at it.
        reference: State before the request, as the reference has it.
        wanted: What the reference changes in the request, over the whole car.
        made: What the agent changed in it, over the whole car.
        degree_paths: Leaves that the reference moved by a degree word.
        agent: State after the request, as the agent left it; only the published scores look at it, for leaves that it lost in
            earlier requests.
    """
    wanted, made = list(wanted), list(made)
    published = score_scope(scope, reference, wanted, made, agent)
    do_nothing = idle_score(published.should_change, published.should_stay)
    return RequestVerdict(published, strict_request(wanted, made, degree_paths), do_nothing)


def strict_request(
    wanted: Iterable[Change], made: Iterable[Change], degree_paths: AbstractSet[str] = frozenset()
) -> StrictScore:
    """Score one request strictly from what was to change and what did.

    Args:
        wanted: What the reference changes in the request, over the whole car.
        made: What the agent changed in it, over the whole car.
        degree_paths: Leaves that the reference moved by a degree word.
    """
    want = _by_path(wanted)
    got = _by_path(made)
    missing = tuple(path for path in want if path not in got)
    side_effects = tuple(path for path in got if path not in want)
    wrong, off = [], 0
    for path, change in want.items():
        if path in got and not _same_change(change, got[path]):
            wrong.append(path)
            off += not (path in degree_paths and _same_direction(change, got[path]))
    whole = not missing and not side_effects
    return StrictScore(whole and not wrong, whole and not off, None if want else not got, missing, tuple(wrong), side_effects)


def normalised(score: float, do_nothing: float) -> float:
    """Return how much of what there was to gain over doing nothing was gained.

    Args:
        score: A score with 1 as its best.
        do_nothing: The same score of an agent that does nothing.

    Returns:
        0 for an agent no better than one that does nothing, 1 for a perfect one, below 0 for one that does harm. Where doing
        nothing is perfect already there is nothing to gain, and only what was lost counts: `score - 1`.
    """
    return (score - do_nothing) / (1 - do_nothing) if do_nothing < 1 else score - 1


def _published(score: RequestScore) -> dict[str, Json]:
    """Return the three published scores."""
    return {"accuracy": score.accuracy, "f1_positive": score.f1_positive, "f1_negative": score.f1_negative}


def _by_path(changes: Iterable[Change]) -> Mapping[str, Change]:
    """Return changes by path, lengths of lists left out."""
    return {change.path: change for change in changes if not change.path.endswith(_LENGTH)}


def _same_change(one: Change, other: Change) -> bool:
    """Whether two changes of a leaf lead to the same."""
    return (one.op == "del") == (other.op == "del") and _same(one.new, other.new)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same; numbers may differ by rounding."""
    if _is_number(one) and _is_number(other):
        return bool(abs(one - other) <= TOLERANCE)
    return type(one) is type(other) and bool(one == other)


def _same_direction(one: Change, other: Change) -> bool:
    """Whether two changes move a number the same way."""
    if not all(_is_number(value) for value in (one.old, one.new, other.old, other.new)):
        return False
    return bool((one.new > one.old) == (other.new > other.old))  # type: ignore[operator]


def _is_number(value: Any) -> bool:
    """Whether a value is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
