"""`[horizon]`: the turns that a training episode may take, as a schedule (`run/scaling_inter.py`)."""

from __future__ import annotations

from typing import ClassVar

from palaestra.algorithms.run.extension import Extension
from palaestra.algorithms.run.scaling_inter import HorizonConfig


class Horizon(Extension):
    """Limits the turns of training episodes; evaluation has its own fixed horizon."""

    name: ClassVar[str] = "horizon"
    config_type = HorizonConfig
    config: HorizonConfig

    def max_turns(self, step: int) -> int:
        """Return the horizon of a training step."""
        return self.config.at(step)
