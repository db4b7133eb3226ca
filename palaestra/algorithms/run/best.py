"""The best checkpoint of a phase by a metric, and when to stop because it gets no better.

`Best` sees the metrics of every step, as alarms do, and is a function of what was logged: a resumed run reads its log again.
The policy that was measured at the best step lies in `checkpoints/PHASE/best/`, next to the newest checkpoints, from which a
run resumes: after the update of the step for what is measured on test tasks, before it for everything else, which is
measured on episodes that the step has played, or on batches that it has learned from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from palaestra.algorithms.run.checkpoint import Checkpoint, Checkpoints
from palaestra.algorithms.run.recipe_configs import CheckpointConfig
from palaestra.types import Json

FOLDER = "best"
AFTER_UPDATE = "test_"
"""How names of metrics begin that are measured after the update of their step."""


class Best:
    """The best value that a metric has had.

    Args:
        metric: Its name, as logged: "test_success", "return_mean".
        mode: Whether the highest or the lowest value is best.
        patience: Measurements without a better value after which a phase ends; None goes on to its last step.

    Attributes:
        step: Of the best value; None before the first measurement.
        value: The best value.
        waited: Measurements since then.
        seen: Names of the metrics that could have been asked for.
    """

    def __init__(self, metric: str, *, mode: str = "max", patience: int | None = None) -> None:
        """Start without a record."""
        self.metric = metric
        self.patience = patience
        self._sign = 1.0 if mode == "max" else -1.0
        self.step: int | None = None
        self.value = math.nan
        self.waited = 0
        self.seen: set[str] = set()

    @classmethod
    def of(cls, table: CheckpointConfig) -> Best | None:
        """Return the record that a recipe asks for; None where it asks for none."""
        return None if table.best is None else cls(table.best, mode=table.best_mode, patience=table.patience)

    def observe(self, step: int, metrics: Mapping[str, float | None]) -> bool:
        """Take in one step; return whether it is better than all before it. The first of equal ones is best.

        Args:
            step: Training step.
            metrics: As logged; None stands for a number that is not finite.
        """
        self.seen |= metrics.keys()
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return False
        if self.step is not None and self._sign * value <= self._sign * self.value:
            self.waited += 1
            return False
        self.step, self.value, self.waited = step, float(value), 0
        return True

    @property
    def is_of_played(self) -> bool:
        """Whether the metric is one of the policy before the update of its step, which has played."""
        return not self.metric.startswith(AFTER_UPDATE)

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, Json]:
        """Return where the best policy is, for the last checkpoint of a phase."""
        return {"step": self.step, "value": self.value}


def best_of(checkpoints: Checkpoints, last: Checkpoint) -> Checkpoint:
    """Return the checkpoint whose policy is the result of a phase: the best one where there is a record of it, else the last.

    Args:
        checkpoints: Of the phase.
        last: The last of them.
    """
    step = (last.state().get("best") or {}).get("step")
    if step is None:
        return last
    return kept(checkpoints).at(int(step)) or last


def kept(checkpoints: Checkpoints) -> Checkpoints:
    """Return the best checkpoints of a phase."""
    return Checkpoints(Path(checkpoints.folder) / FOLDER)


__all__ = ["Best", "best_of", "kept"]
