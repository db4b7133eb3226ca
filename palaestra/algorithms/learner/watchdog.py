"""The watchdog of an optimiser: updates whose loss or gradient is not finite are skipped, several in a row stop training."""

from __future__ import annotations

import math
from collections.abc import Mapping

from palaestra.errors import TrainingStopped
from palaestra.types import Json


class FiniteWatchdog:
    """Skips updates that are not finite and stops training after several in a row.

    It keeps two counters, saved with the checkpoint, so that a resumed run stops where an unkilled one would.

    Args:
        limit: Bad updates in a row that stop training.
    """

    def __init__(self, limit: int = 3) -> None:
        """Start with a clean record."""
        self.limit = limit
        self.in_a_row = 0
        self.total = 0

    def accepts(self, loss: float, grad_norm: float) -> bool:
        """Return whether the update may be applied.

        Raises:
            TrainingStopped: If this is the last bad update in a row that is allowed.
        """
        if math.isfinite(loss) and math.isfinite(grad_norm):
            self.in_a_row = 0
            return True
        self.in_a_row += 1
        self.total += 1
        if self.in_a_row >= self.limit:
            raise TrainingStopped(
                f"{self.in_a_row} updates in a row had a loss or gradient that is not finite (loss {loss}, gradient norm "
                f"{grad_norm}). Resume from the last checkpoint with a lower learning rate or a smaller grad_clip."
            )
        return False

    def state(self) -> dict[str, Json]:
        """Return the counters."""
        return {"in_a_row": self.in_a_row, "total": self.total}

    def load(self, state: Mapping[str, Json]) -> None:
        """Continue from `state()`."""
        self.in_a_row, self.total = int(state["in_a_row"]), int(state["total"])
