"""What agents made of injected errors, over episodes: recovery, grades and behaviours, by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from palaestra.types import Json, Trajectory


def error_of(trajectory: Trajectory) -> Mapping[str, Any] | None:
    """Return the error that was injected into an episode, as its step tells it; None if there was none."""
    for step in trajectory.steps:
        told = step.info.get("injection")
        if isinstance(told, Mapping) and "label" in told and not told.get("again"):
            return told
    return None


def critique_of(trajectory: Trajectory) -> Mapping[str, Any] | None:
    """Return the last critique of an episode, on the answer to its error; None if there is none."""
    told = [step.info["critique"] for step in trajectory.steps if isinstance(step.info.get("critique"), Mapping)]
    return told[-1] if told else None


def was_injected(trajectory: Trajectory) -> bool:
    """Whether an error was injected into an episode, also by a prefix, which no step shows."""
    return error_of(trajectory) is not None or "recovered" in (critique_of(trajectory) or {})


def has_recovered(trajectory: Trajectory) -> bool:
    """Whether the right call went through after an error, or the task was solved."""
    return bool(trajectory.outcome.success) or bool((critique_of(trajectory) or {}).get("recovered"))


def summarise(trajectories: Iterable[Trajectory]) -> dict[str, dict[str, Json]]:
    """Return figures by label; "" are the episodes without an error, "prefix" errors that no step shows.

    Args:
        trajectories: Episodes played under `InjectErrors`; those that failed themselves do not count.

    Returns:
        For each label: `episodes`, `success` (share), `behaviours` (counts); with an error also `recovered` (share),
        `steps_to_recovery` (mean over those that recovered), `retries` (mean) and `value` (mean of the grade); without one
        `over_reflection` (share of the graded episodes in which an error was claimed), if any was graded.
    """
    groups: dict[str, list[Trajectory]] = {}
    for one in trajectories:
        if one.outcome.error is None:
            error = error_of(one)
            label = str(error["label"]) if error is not None else "prefix" if was_injected(one) else ""
            groups.setdefault(label, []).append(one)
    return {label: _figures(label, groups[label]) for label in sorted(groups)}


def _figures(label: str, episodes: Sequence[Trajectory]) -> dict[str, Json]:
    """Return the figures of episodes of one label."""
    grades = [critique_of(one) or {} for one in episodes]
    behaviours = Counter(str(grade["behaviour"]) for grade in grades if grade.get("behaviour"))
    figures: dict[str, Json] = {
        "episodes": len(episodes),
        "success": sum(bool(one.outcome.success) for one in episodes) / len(episodes),
        "behaviours": dict(sorted(behaviours.items())),
    }
    if not label:
        if behaviours:
            figures["over_reflection"] = behaviours["over_reflection"] / behaviours.total()
        return figures
    steps = [grade["steps_to_recovery"] for grade in grades if grade.get("steps_to_recovery") is not None]
    values = [grade["value"] for grade in grades if "value" in grade]
    figures["recovered"] = sum(has_recovered(one) for one in episodes) / len(episodes)
    figures["retries"] = sum(grade.get("retries", 0) for grade in grades) / len(episodes)
    figures["steps_to_recovery"] = sum(steps) / len(steps) if steps else None
    figures["value"] = sum(values) / len(values) if values else None
    return figures


__all__ = ["critique_of", "error_of", "has_recovered", "summarise", "was_injected"]
