"""What was served of the requests of an episode, those apart for which nothing has to be done.

A request that holds already, or that the car does not allow, is served by doing nothing. That is worth asking, and an agent
that always does nothing is right there: `changes_served` is what it does not get.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from palaestra.envs.vehicle.strict import StrictScore
from palaestra.results.metrics import NOTHING_TO_DO, SHARE, Metric
from palaestra.types import Json

METRICS = (
    Metric("changes_served", "higher", SHARE, about="requests that something has to change for, served exactly", lead=True),
    NOTHING_TO_DO,
)


@dataclass(slots=True)
class Served:
    """Counts of the requests that were judged.

    Attributes:
        judged: All of them.
        solved: Those that were served exactly.
        idle: Those for which nothing has to change.
        idle_solved: Those of `idle` that were served exactly.
    """

    judged: int = 0
    solved: int = 0
    idle: int = 0
    idle_solved: int = 0

    def add(self, score: StrictScore) -> None:
        """Count a request."""
        is_idle = score.refusal is not None
        self.judged += 1
        self.solved += score.request_success
        self.idle += is_idle
        self.idle_solved += is_idle and score.request_success

    def metrics(self) -> dict[str, float]:
        """Return the metrics of `METRICS`; no share of nothing."""
        found = {NOTHING_TO_DO.name: self.idle / self.judged} if self.judged else {}
        if self.judged > self.idle:
            found["changes_served"] = (self.solved - self.idle_solved) / (self.judged - self.idle)
        return found

    def to_json(self) -> dict[str, Json]:
        """Return the counts as plain data; `Served(**data)` has them again."""
        return asdict(self)


__all__ = ["METRICS", "Served"]
