"""The published scores of a request: which changes were hit, how many, and what else moved.

Two forms give the same numbers. `score_request` compares whole states as flat maps; it is the definition. `score_changes`
needs only what changed during the request and how many leaves there are, and is what an environment uses.

Source: VehicleWorld (arXiv:2509.06736) and its published evaluation code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from math import fsum
from typing import Any, Final

from palaestra.envs.vehicle.car.call_result import Change, Scalar
from palaestra.envs.vehicle.car.state import CarState
from palaestra.envs.vehicle.published.visibility import ABSENT, Scope, visible
from palaestra.types import Json

Leaves = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class RequestScore:
    """Counts and scores of one request.

    Attributes:
        accuracy: Share of the changes wanted that were made right, 0..1; 1 if none was wanted.
        f1_positive: F1 of what was to change, 0..1.
        f1_negative: F1 of what was to stay, 0..1.
        true_positive: Leaves that were to change and did.
        false_positive: Leaves that changed and were not to.
        true_negative: Leaves that were to stay and did.
        false_negative: Leaves that were to change and did not.
        correct: Leaves that changed as wanted: numbers and booleans in the right direction, all else to the right value.
        should_change: Leaves that were to change.
        should_stay: Leaves that were to stay.
        incomparable: Numbers that became something that has no direction; the published code breaks off here, this one counts
            them as wrong changes.
    """

    accuracy: float
    f1_positive: float
    f1_negative: float
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    correct: int
    should_change: int
    should_stay: int
    incomparable: int = 0

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True, slots=True)
class MeanScore:
    """Published scores of several requests or tasks.

    Attributes:
        accuracy: Mean accuracy, 0..1.
        f1_positive: Mean F1 of what was to change.
        f1_negative: Mean F1 of what was to stay.
        n: How many were averaged.
        incomparable: How many had numbers that could not be compared.
    """

    accuracy: float
    f1_positive: float
    f1_negative: float
    n: int
    incomparable: int = 0

    @classmethod
    def of(cls, scores: Iterable[RequestScore | MeanScore]) -> MeanScore:
        """Return the mean of requests (the score of a task) or of tasks (the score of a run); of nothing it is 0."""
        found = list(scores)
        n = max(len(found), 1)
        return cls(
            fsum(score.accuracy for score in found) / n,
            fsum(score.f1_positive for score in found) / n,
            fsum(score.f1_negative for score in found) / n,
            len(found),
            sum(score.incomparable > 0 for score in found),
        )


def score_request(ref_before: Leaves, ref_after: Leaves, pred_before: Leaves, pred_after: Leaves) -> RequestScore:
    """Score one request from whole states.

    Args:
        ref_before: Leaves that the scoring sees, by path, before the request as the reference has it; null counts as absent.
        ref_after: The same after the request.
        pred_before: The same before the request as the agent found it.
        pred_after: The same as the agent left it.
    """
    before = {path: value for path, value in ref_before.items() if value is not None}
    after = {path: value for path, value in ref_after.items() if value is not None}
    count = _Count()
    num_stay = num_stayed = 0
    for path, old in before.items():
        new = after.get(path, ABSENT)
        pair = pred_before.get(path, ABSENT), pred_after.get(path, ABSENT)
        if new != old:
            count.wanted(old, new, *pair)
            continue
        num_stay += 1
        if pair[0] != pair[1]:
            count.false_positive += 1
        elif pair[0] is not ABSENT:  # a leaf that the agent's car lacks all along neither stays nor moves
            num_stayed += 1
    for path, new in after.items():
        if path not in before:
            count.wanted(ABSENT, new, pred_before.get(path, ABSENT), pred_after.get(path, ABSENT))
    for path in pred_after:
        if path not in pred_before and path not in ref_before and path not in ref_after:
            count.false_positive += 1
    return count.score(num_stay, num_stayed)


def score_changes(
    wanted: Mapping[str, tuple[Any, Any]],
    made: Mapping[str, tuple[Any, Any]],
    num_leaves: int,
    known: Callable[[str], bool],
    lacking: Iterable[str] = (),
) -> RequestScore:
    """Score one request from what changed in it; the same numbers as `score_request` from a fraction of the work.

    Args:
        wanted: What the scoring sees of the reference's changes: path -> (before, after), `ABSENT` for what is not there.
        made: The same of the agent's changes. A leaf that both leave alone is in neither.
        num_leaves: Leaves of the reference that the scoring sees before the request.
        known: Whether a path that the reference does not change is one of its leaves.
        lacking: Leaves of the reference before the request that the agent's state does not have after it.
    """
    count = _Count()
    num_before = 0
    for path, (old, new) in wanted.items():
        num_before += old is not ABSENT
        count.wanted(old, new, *made.get(path, _UNMOVED))
    num_stay = num_leaves - num_before
    moved = 0
    for path, (old, _) in made.items():
        if path in wanted:
            continue
        if known(path):
            moved += 1
        elif old is ABSENT:
            count.false_positive += 1
    count.false_positive += moved
    lost = sum(path not in wanted and path not in made for path in lacking)
    return count.score(num_stay, num_stay - moved - lost)


def score_scope(
    scope: Scope, reference: CarState, wanted: Iterable[Change], made: Iterable[Change], agent: CarState | None = None
) -> RequestScore:
    """Score one request of a car as published.

    Args:
        scope: Modules that the task lists.
        reference: State before the request, as the reference has it.
        wanted: What the reference changes in the request, over all modules.
        made: What the agent changed in it.
        agent: State after the request, as the agent left it; None if it has the leaves of the reference but for its changes.
    """
    seen, moved = scope.changes(wanted), scope.changes(made)
    lacking = () if agent is None else scope.lacking(reference, agent)
    return score_changes(seen, moved, scope.count(reference), lambda path: scope.holds(reference, path), lacking)


def idle_score(should_change: int, should_stay: int) -> RequestScore:
    """Return the score of an agent that does nothing.

    Args:
        should_change: Leaves that were to change.
        should_stay: Leaves that were to stay.
    """
    count = _Count()
    count.should_change = count.false_negative = should_change
    return count.score(should_stay, should_stay)


_UNMOVED: Final = (ABSENT, ABSENT)


class _Count:
    """Counts of one request while they are taken."""

    __slots__ = ("correct", "false_negative", "false_positive", "incomparable", "should_change", "true_positive")

    def __init__(self) -> None:
        """Start at zero."""
        self.should_change = self.true_positive = self.correct = 0
        self.false_negative = self.false_positive = self.incomparable = 0

    def wanted(self, old: Any, new: Any, pred_old: Any, pred_new: Any) -> None:
        """Count a leaf that was to change from `old` to `new`, and went from `pred_old` to `pred_new`."""
        self.should_change += 1
        if new is ABSENT:
            hit = pred_old is not ABSENT and pred_new is ABSENT
            right = hit
        elif old is ABSENT:
            hit = pred_old is ABSENT and pred_new is not ABSENT
            right = hit and pred_new == new
        else:
            hit = pred_old != pred_new
            if hit and isinstance(old, int | float) and isinstance(new, int | float):
                if not (isinstance(pred_old, int | float) and isinstance(pred_new, int | float)):
                    self.incomparable += 1
                    self.false_positive += 1
                    return
                right = (new > old) == (pred_new > pred_old)
            else:
                right = hit and pred_new == new
        if hit:
            self.true_positive += 1
            self.correct += right
        else:
            self.false_negative += 1

    def score(self, should_stay: int, stayed: int) -> RequestScore:
        """Return the scores that follow from the counts."""
        positive, change = self.true_positive, self.should_change
        precision = _ratio(positive, positive + self.false_positive, float(not change and not self.false_positive))
        recall = _ratio(positive, change, 1.0)
        kept = _ratio(stayed, stayed + self.false_negative, float(not should_stay and not self.false_negative))
        return RequestScore(
            accuracy=_ratio(self.correct, change, 1.0),
            f1_positive=_harmonic(precision, recall),
            f1_negative=_harmonic(kept, _ratio(stayed, should_stay, 1.0)),
            true_positive=positive,
            false_positive=self.false_positive,
            true_negative=stayed,
            false_negative=self.false_negative,
            correct=self.correct,
            should_change=change,
            should_stay=should_stay,
            incomparable=self.incomparable,
        )


def _ratio(part: int, whole: int, otherwise: float) -> float:
    """Return part / whole, or the value agreed on for an empty whole."""
    return part / whole if whole else otherwise


def _harmonic(precision: float, recall: float) -> float:
    """Return the harmonic mean."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


__all__ = [
    "ABSENT",
    "MeanScore",
    "RequestScore",
    "Scope",
    "idle_score",
    "score_changes",
    "score_request",
    "score_scope",
    "visible",
]
