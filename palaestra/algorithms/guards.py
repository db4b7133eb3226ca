"""Guards of a training loop: numbers that are no numbers, and the signs of collapse.

Both keep a little state, saved with the checkpoint, so that a resumed run watches on as if nothing had happened.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from palaestra.errors import PalaestraError
from palaestra.types import Json


class TrainingStopped(PalaestraError):
    """Training was stopped by a guard; the last checkpoint is good."""


class FiniteGuard:
    """Skips updates whose loss or gradient is not finite, and stops training after several in a row.

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


class CollapseWatch:
    """Notices when a policy collapses: the spread within groups goes first, then the entropy.

    It fires when, over the last steps, the mean spread is below a quarter of its running maximum AND either the mean
    entropy is below a quarter of what it was at `baseline_step`, or the mean return is below a quarter of its own running
    maximum. The second sign is ours: a policy that a far too large step turned into noise has *more* entropy than before.

    Args:
        share: The quarter.
        baseline_step: Step whose entropy is the yardstick.
        window: Steps that are averaged, so that one unlucky batch is no alarm.

    Source: specs of the project; the order of the signs as reported in Wang et al. 2025, RAGEN (arXiv:2504.20073).
    """

    def __init__(self, *, share: float = 0.25, baseline_step: int = 10, window: int = 3) -> None:
        """Start without a record."""
        self.share = share
        self.baseline_step = baseline_step
        self.max_spread = 0.0
        self.baseline_entropy: float | None = None
        self.max_return = 0.0
        self._return: deque[float] = deque(maxlen=window)
        self._spread: deque[float] = deque(maxlen=window)
        self._entropy: deque[float] = deque(maxlen=window)

    def observe(self, step: int, *, spread: float, entropy: float, return_: float | None = None) -> bool:
        """Take in one step and return whether the policy has collapsed.

        Args:
            step: Training step, from 1.
            spread: Mean standard deviation of returns within groups.
            entropy: Mean entropy per action token, nats.
            return_: Mean return; None leaves the second sign out.
        """
        self._spread.append(spread)
        self._entropy.append(entropy)
        mean_spread = sum(self._spread) / len(self._spread)
        self.max_spread = max(self.max_spread, mean_spread)
        has_fallen = False
        if return_ is not None:
            self._return.append(return_)
            mean_return = sum(self._return) / len(self._return)
            self.max_return = max(self.max_return, mean_return)
            has_fallen = mean_return < self.share * self.max_return
        if self.baseline_entropy is None:
            if step >= self.baseline_step:
                self.baseline_entropy = entropy
            return False
        mean_entropy = sum(self._entropy) / len(self._entropy)
        is_certain = mean_entropy < self.share * self.baseline_entropy
        return mean_spread < self.share * self.max_spread and (is_certain or has_fallen)

    def state(self) -> dict[str, Json]:
        """Return the record."""
        return {
            "max_spread": self.max_spread,
            "max_return": self.max_return,
            "return": list(self._return),
            "baseline_entropy": self.baseline_entropy,
            "spread": list(self._spread),
            "entropy": list(self._entropy),
        }

    def load(self, state: Mapping[str, Json]) -> None:
        """Continue from `state()`."""
        self.max_spread = float(state["max_spread"])
        self.max_return = float(state["max_return"])
        self._return.extend(state["return"])
        self.baseline_entropy = state["baseline_entropy"]
        self._spread.extend(state["spread"])
        self._entropy.extend(state["entropy"])
