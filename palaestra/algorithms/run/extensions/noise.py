"""`[noise]`: noise on the rewards of training episodes; the noise itself is in `data/reward_noise.py`."""

from __future__ import annotations

from typing import ClassVar

from palaestra.algorithms.data.reward_noise import NoiseConfig, with_noise
from palaestra.algorithms.run.extension import Extension
from palaestra.types import Trajectory


class Noise(Extension):
    """Puts noise on the return of every training episode; evaluation is always clean."""

    name: ClassVar[str] = "noise"
    config_type = NoiseConfig
    config: NoiseConfig

    def observed(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Return the episodes with noisy rewards."""
        return with_noise(trajectories, self.config, seed=self.context.recipe.seed)
