"""ScalingInter-RL: a horizon that grows with training, as a pure function of the step.

Rollouts of step t may take at most `horizon(t, rounds, interval)` turns. Nothing else changes with the stage, and since
nothing is remembered, training that resumes at any step continues with the same horizons.

Papers:
    AgentGym-RL (arXiv:2509.08755): ScalingInter-RL (section 3.3), a horizon that grows by stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from palaestra.algorithms.config import MOST_COUNTED, Config
from palaestra.errors import ConfigError


class HorizonConfig(Config):
    """Table `[horizon]` of a recipe: how many turns a training episode may take."""

    rounds: tuple[Annotated[int, Field(le=MOST_COUNTED)], ...]
    """Turns allowed in each stage, at least one stage, each at least 1; one entry is a fixed horizon."""
    interval: int = Field(default=100, ge=1, le=MOST_COUNTED)
    """Training steps per stage; 100 in the paper's scripts."""

    @model_validator(mode="after")
    def _rounds_make_sense(self) -> HorizonConfig:
        horizon(1, self.rounds, self.interval)
        return self

    def at(self, step: int) -> int:
        """Return the number of turns allowed at training step `step`, counted from 1."""
        return horizon(step, self.rounds, self.interval)


def horizon(step: int, rounds: Sequence[int], interval: int) -> int:
    """Return the most turns a rollout of training step `step` may take.

    Args:
        step: Training step, counted from 1.
        rounds: Turns allowed in each stage; the last stage lasts to the end.
        interval: Steps per stage, at least 1.

    Raises:
        ConfigError: If there is no stage, a stage allows no turn, or `interval` or `step` is below 1.
    """
    if not rounds:
        raise ConfigError("rounds is empty; expected the turns allowed in each stage, e.g. [10, 20, 30].")
    if min(rounds) < 1:
        raise ConfigError(f"rounds is {list(rounds)}; expected at least 1 turn in every stage.")
    if interval < 1:
        raise ConfigError(f"interval is {interval}; expected at least 1 training step per stage.")
    if step < 1:
        raise ConfigError(f"step is {step}; training steps are counted from 1.")
    return rounds[min((step - 1) // interval, len(rounds) - 1)]
