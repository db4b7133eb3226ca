"""Returns up to a limit: an extension added from outside, in one file and one line of the package's metadata.

A recipe uses it by name, for all of its phases or for one:

    [toys_clip]                     [grpo.toys_clip]
    limit = 0.5                     limit = 0.25
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from palaestra.algorithms.config import Config
from palaestra.algorithms.run.extension import Extension
from palaestra.types import Trajectory


class ClipConfig(Config):
    """Table `[toys_clip]`: training sees no return above a limit."""

    limit: float = Field(default=0.5, gt=0)
    """Largest return of an episode."""


class Clip(Extension):
    """Takes what is above the limit from the reward of the last turn, and counts the episodes."""

    name: ClassVar[str] = "toys_clip"
    config_type = ClipConfig
    config: ClipConfig
    clipped = 0

    def observed(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Return the episodes with returns up to the limit."""
        found = []
        for trajectory in trajectories:
            excess = trajectory.return_ - self.config.limit
            if trajectory.steps and excess > 0:
                last = trajectory.steps[-1]
                steps = (*trajectory.steps[:-1], replace(last, reward=last.reward - excess))
                trajectory = replace(trajectory, steps=steps)
                self.clipped += 1
            found.append(trajectory)
        return found

    def after_step(self, step: int, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Log how many returns were above the limit so far."""
        return {"toys_clipped": float(self.clipped)}

    def state(self) -> dict[str, int]:
        """Return the count."""
        return {"clipped": self.clipped}

    def load(self, state: Mapping[str, int]) -> None:
        """Continue to count."""
        self.clipped = state["clipped"]
