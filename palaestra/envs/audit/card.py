"""The card of an environment: what an audit found, point by point, with a verdict each and one for all.

A point *passes*, *warns* or *fails*, each with a reason in words; or it was *not judged*, and the reason says what was
missing. Nothing is passed in silence: a card with a point that was not judged is at best a warning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from palaestra.errors import UsageError
from palaestra.types import Json
from palaestra.types.plain_json import finite

Verdict = Literal["pass", "warn", "fail", "not judged"]

_RANK = {"pass": 0, "not judged": 1, "warn": 1, "fail": 2}


@dataclass(frozen=True, slots=True)
class Point:
    """What was found about one question.

    Attributes:
        name: What was asked, e.g. "floor.nothing"; dots group points of one subject.
        verdict: "pass", "warn", "fail" or "not judged".
        reason: Why, in words for people; what was missing where it was not judged.
        evidence: What led to the verdict, as plain JSON: figures, keys of tasks, excerpts.
    """

    name: str
    verdict: Verdict
    reason: str = ""
    evidence: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        kept: dict[str, Json] = {"name": self.name, "verdict": self.verdict, "reason": self.reason}
        return {**kept, "evidence": finite(self.evidence)} if self.evidence else kept


@dataclass(frozen=True, slots=True)
class Figure:
    """What one agent of the panel got.

    Attributes:
        success: Share of episodes that were a success, 0 to 1; None where the environment does not say.
        mean_return: Mean sum of rewards; NaN if a reward was.
        n: Episodes that were played to a verdict; those that raised are left out.
        errors: Episodes that raised.
        kind: "free" (knows nothing: what it gets is for free), "harm" (must not be paid), "near" (almost the expert).
        about: What the agent does.
        by_type: Share of success by task type, where there are several.
        cut: Episodes that the audit cut before they ended; they count as not solved.
    """

    success: float | None
    mean_return: float | None
    n: int
    errors: int = 0
    kind: str = "free"
    about: str = ""
    by_type: Mapping[str, float | None] = field(default_factory=dict)
    cut: int = 0

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number."""
        kept: dict[str, Json] = {"success": self.success, "return": self.mean_return, "n": self.n, "errors": self.errors}
        kept |= {"kind": self.kind, "about": self.about, **({"cut": self.cut} if self.cut else {})}
        return finite({**kept, "by_type": dict(self.by_type)} if self.by_type else kept)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Figure:
        """Rebuild from `to_json`."""
        return cls(
            data["success"],
            data["return"],
            data.get("n", 0),
            data.get("errors", 0),
            data.get("kind", "free"),
            data.get("about", ""),
            data.get("by_type", {}),
            data.get("cut", 0),
        )


@dataclass(frozen=True, slots=True)
class Card:
    """What an audit found about one environment.

    Attributes:
        env: Its registered id.
        arguments: The arguments it was made with, in addition to those of the id.
        split: Split that was played; None where there are no tasks.
        n: Tasks that each agent of the panel was to play.
        seed: Seed of all that was drawn.
        floors: What each agent of the panel got that should get nothing, by its name.
        ceiling: What the expert got: `success`, `return`, `n`, `errors`, `steps`, `failed`.
        points: The points, in the order they were judged.
        sections: Further facts by subject: `difficulty`, `length`, `effort` (how much was played), ...
        hashes: Digests of the environment's code and data.
        versions: Versions of what it ran on.
    """

    env: str
    arguments: Mapping[str, Json]
    split: str | None
    n: int
    seed: int
    floors: Mapping[str, Figure]
    ceiling: Mapping[str, Json]
    points: Sequence[Point]
    sections: Mapping[str, Json] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Literal["pass", "warn", "fail"]:
        """The worst verdict of all points; at best "warn" if one was not judged, or there is none."""
        worst = max((_RANK[point.verdict] for point in self.points), default=1)
        return ("pass", "warn", "fail")[worst]

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict, strict JSON."""
        data: dict[str, Json] = {
            "env": self.env,
            "verdict": self.verdict,
            "arguments": dict(self.arguments),
            "split": self.split,
            "n": self.n,
            "seed": self.seed,
            "floors": {name: figure.to_json() for name, figure in self.floors.items()},
            "ceiling": dict(self.ceiling),
            "points": [point.to_json() for point in self.points],
            **self.sections,
            "hashes": dict(self.hashes),
            "versions": dict(self.versions),
        }
        made: dict[str, Json] = finite(data)
        return made

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Card:
        """Rebuild from `to_json`.

        Raises:
            UsageError: If it is not a card.
        """
        known = {"env", "verdict", "arguments", "split", "n", "seed", "floors", "ceiling", "points", "hashes", "versions"}
        try:
            return cls(
                data["env"],
                data["arguments"],
                data["split"],
                data["n"],
                data["seed"],
                {name: Figure.from_json(figure) for name, figure in data["floors"].items()},
                data["ceiling"],
                tuple(_point(**point) for point in data["points"]),
                {name: value for name, value in data.items() if name not in known},
                data["hashes"],
                data["versions"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"This is not an audit card ({error!r}); pass what `palaestra audit --json` printed.") from None


def _point(name: str, verdict: Verdict, reason: str = "", evidence: Mapping[str, Json] | None = None) -> Point:
    """Return a point that was read from a card."""
    if verdict not in get_args(Verdict):
        raise TypeError(f"verdict {verdict!r}")
    return Point(name, verdict, reason, evidence or {})


def passed(name: str, reason: str = "", **evidence: Json) -> Point:
    """Return a point that passes."""
    return Point(name, "pass", reason, evidence)


def warned(name: str, reason: str, **evidence: Json) -> Point:
    """Return a point that warns."""
    return Point(name, "warn", reason, evidence)


def failed(name: str, reason: str, **evidence: Json) -> Point:
    """Return a point that fails."""
    return Point(name, "fail", reason, evidence)


def not_judged(name: str, reason: str, **evidence: Json) -> Point:
    """Return a point that could not be judged; the reason says what was missing."""
    return Point(name, "not judged", reason, evidence)


def order_of(value: float | None) -> float:
    """Return a figure to compare; what is unknown is least."""
    return value if value is not None and math.isfinite(value) else -math.inf


__all__ = ["Card", "Figure", "Point", "Verdict", "failed", "not_judged", "order_of", "passed", "warned"]
