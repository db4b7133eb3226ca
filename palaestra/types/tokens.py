"""Tokens that a policy saw and sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from palaestra.types.plain_json import Json


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """The tokens that a policy sampled in one turn, inside its segment.

    Attributes:
        start: Index of the first sampled token.
        end: Index after the last one; equal to `start` for an empty turn.
        turn: Index into `Trajectory.steps` of the step these tokens caused (it holds reward, flags and state hash).
        stop: Why sampling stopped: "eos" (the end token was sampled and is part of the span), "length", "stop_string".
    """

    start: int
    end: int
    turn: int
    stop: Literal["eos", "length", "stop_string"] = "eos"

    def to_json(self) -> list[Json]:
        """Return `[start, end, turn, stop]`."""
        return [self.start, self.end, self.turn, self.stop]

    @classmethod
    def from_json(cls, data: Sequence[Json]) -> TurnSpan:
        """Rebuild from `to_json()`."""
        return cls(*data)


@dataclass(frozen=True, slots=True)
class Segment:
    """One contiguous token sequence that the policy was conditioned on, built only by appending.

    All per-token tuples have the same length T (specs/algorithms, section 1.1).

    Attributes:
        ids: Everything the policy saw or sampled, in order.
        action: True where the token was sampled by the policy.
        log_prob: Log-probability under the sampling policy at the sampling temperature; 0 where `action` is False.
        version: Version of the policy that sampled the token; -1 where `action` is False.
        turns: Spans of the turns, in order.
    """

    ids: tuple[int, ...]
    action: tuple[bool, ...]
    log_prob: tuple[float, ...]
    version: tuple[int, ...]
    turns: tuple[TurnSpan, ...]

    def __post_init__(self) -> None:
        """Refuse tuples of different length."""
        lengths = {len(self.ids), len(self.action), len(self.log_prob), len(self.version)}
        if len(lengths) != 1:
            raise ValueError(f"Segment fields have different lengths {sorted(lengths)}; all must be equal.")

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; only action positions carry log-prob and version."""
        return {
            "ids": list(self.ids),
            "turns": [span.to_json() for span in self.turns],
            "log_prob": [p for p, a in zip(self.log_prob, self.action, strict=True) if a],
            "version": [v for v, a in zip(self.version, self.action, strict=True) if a],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Segment:
        """Rebuild from `to_json()`; the action mask follows from the spans."""
        ids = tuple(data["ids"])
        turns = tuple(TurnSpan.from_json(span) for span in data["turns"])
        action = [False] * len(ids)
        for span in turns:
            action[span.start : span.end] = [True] * (span.end - span.start)
        log_probs, versions = iter(data["log_prob"]), iter(data["version"])
        return cls(
            ids=ids,
            action=tuple(action),
            log_prob=tuple(next(log_probs) if a else 0.0 for a in action),
            version=tuple(next(versions) if a else -1 for a in action),
            turns=turns,
        )
