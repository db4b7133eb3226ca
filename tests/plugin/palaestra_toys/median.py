"""An advantage estimator added from outside: returns over the median of the batch.

A recipe uses it by name: `[grpo] advantage = "toys_median"`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from palaestra.algorithms import AdvantageConfig, Batch, estimator
from palaestra.algorithms.math.estimators import Compared, episode_returns


class MedianAdvantage(AdvantageConfig):
    """Return over the median of the batch."""

    compares: ClassVar[Compared] = "batch"

    estimator: Literal["toys_median"] = "toys_median"
    """Median of the batch."""


@estimator(MedianAdvantage)
def over_the_median(batch: Batch, reward: Tensor, config: MedianAdvantage) -> Tensor:
    """Return of each episode over the mean of the two middle ones of the batch (of the middle one, if their number is odd).

    Source: a toy.
    """
    del config
    return_ = episode_returns(batch, reward)  # [E], NaN for errors
    return batch.spread(return_ - return_.nanquantile(0.5))  # [E] -> [B, T]
