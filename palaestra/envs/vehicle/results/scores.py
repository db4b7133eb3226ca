"""Scores of many requests in a car: means as published, strict rates, all with intervals that know what belongs together.

Published scores are means over the requests of an episode, then over episodes. Strict scores are shares of requests. Intervals
take the samples of a task, and the requests of a task, as one cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import fsum, isfinite, nan
from typing import Any

from palaestra.envs.vehicle.results.requests import RequestRow
from palaestra.results.statistics import Estimate, mean_interval, rate_estimate, share_interval
from palaestra.types import Json

_Part = tuple[str, Sequence[RequestRow]]
_Values = Callable[[Sequence[RequestRow]], list[float]]


@dataclass(frozen=True, slots=True)
class CarScores:
    """Scores of a set of requests.

    Attributes:
        num_tasks: Different tasks.
        num_requests: Requests, those of all samples of a task.
        num_unplayed: Requests among them that the episode never came to.
        num_incomparable: Requests in which a number became something that cannot be compared; see `scoring`.
        accuracy: Published accuracy, 0..1.
        f1_positive: Published F1 of what was to change.
        f1_negative: Published F1 of what was to stay.
        request_success: Share of requests that changed exactly the wanted leaves of the whole car, to the wanted values.
        loose_success: The same, amounts asked for by a degree word only in direction.
        task_success: Share of episodes with every request a success.
        refusal: Share of requests that want no change in which nothing changed.
        side_effects: Leaves changed besides, per request.
        idle: Accuracy and request success of an agent that does nothing.
        normalised_accuracy: Accuracy against doing nothing: 0 is as good, 1 is perfect.
        normalised_success: Turn success against doing nothing.
    """

    num_tasks: int
    num_requests: int
    num_unplayed: int
    num_incomparable: int
    accuracy: Estimate
    f1_positive: Estimate
    f1_negative: Estimate
    request_success: Estimate
    loose_success: Estimate
    task_success: Estimate
    refusal: Estimate
    side_effects: Estimate
    idle: Mapping[str, float]
    normalised_accuracy: Estimate
    normalised_success: Estimate

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {key: value.to_json() if isinstance(value, Estimate) else _plain(value) for key, value in values.items()}


def car_scores(episodes: Iterable[_Part]) -> CarScores:
    """Score requests.

    Args:
        episodes: Key of the task and requests of each episode; samples of a task have the same key, and episodes without a
            request are ignored.
    """
    parts = [(task, requests) for task, requests in episodes if requests]
    everything = [row for _, requests in parts for row in requests]
    idle = {
        "accuracy": _mean(value for _, requests in parts for value in _mean_of("do_nothing", "accuracy")(requests)),
        "request_success": _mean(float(row.do_nothing["request_success"]) for row in everything),
    }
    return CarScores(
        num_tasks=len({task for task, _ in parts}),
        num_requests=len(everything),
        num_unplayed=sum(not row.played for row in everything),
        num_incomparable=sum(bool(row.scores.get("incomparable")) for row in everything),
        accuracy=share_interval(_clusters(parts, _mean_of("scores", "accuracy"))),
        f1_positive=share_interval(_clusters(parts, _mean_of("scores", "f1_positive"))),
        f1_negative=share_interval(_clusters(parts, _mean_of("scores", "f1_negative"))),
        request_success=rate_estimate(_clusters(parts, _each("request_success"))),
        loose_success=rate_estimate(_clusters(parts, _each("loose_success"))),
        task_success=rate_estimate(_clusters(parts, lambda requests: [float(all(_each("request_success")(requests)))])),
        refusal=rate_estimate(_clusters(parts, _each("refusal"))),
        side_effects=mean_interval(_clusters(parts, _each("side_effects"))),
        idle=idle,
        normalised_accuracy=_scaled(mean_interval(_clusters(parts, _mean_gain("accuracy"))), idle["accuracy"]),
        normalised_success=_scaled(mean_interval(_clusters(parts, _each_gain("request_success"))), idle["request_success"]),
    )


def _clusters(parts: Sequence[_Part], values: _Values) -> list[list[float]]:
    """Return the values of all episodes, those of one task together."""
    clusters: dict[str, list[float]] = {}
    for task, requests in parts:
        clusters.setdefault(task, []).extend(values(requests))
    return list(clusters.values())


def _mean_of(side: str, name: str) -> _Values:
    """Return what gives the mean of a score over the requests of an episode."""
    return lambda requests: [_mean(float(getattr(row, side)[name]) for row in requests)]


def _each(name: str) -> _Values:
    """Return what gives a score of every request that has it."""
    return lambda requests: [float(row.scores[name]) for row in requests if row.scores[name] is not None]


def _mean_gain(name: str) -> _Values:
    """Return what gives the mean gain of an episode over doing nothing."""
    return lambda requests: [_mean(float(row.scores[name]) - float(row.do_nothing[name]) for row in requests)]


def _each_gain(name: str) -> _Values:
    """Return what gives the gain of every request over doing nothing."""
    return lambda requests: [float(row.scores[name]) - float(row.do_nothing[name]) for row in requests]


def _scaled(gain: Estimate, idle: float) -> Estimate:
    """Return a gain over doing nothing as a share of what there was to gain; see `strict.normalised`."""
    if not idle < 1:
        return gain
    return Estimate(gain.mean / (1 - idle), gain.low / (1 - idle), gain.high / (1 - idle), gain.n)


def _mean(values: Iterable[float]) -> float:
    """Return the mean; NaN of nothing."""
    found = list(values)
    return fsum(found) / len(found) if found else nan


def _plain(value: Any) -> Json:
    """Return plain data with None for what is no number."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


__all__ = ["CarScores", "car_scores"]
