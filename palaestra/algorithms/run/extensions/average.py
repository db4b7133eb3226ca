"""`[average]`: evaluations, and the result of a phase, by a mean of the weights of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from palaestra.algorithms.config import MOST_COUNTED, Config
from palaestra.algorithms.run.extension import Extension
from palaestra.algorithms.run.recipe_configs import PhaseConfig, Recipe
from palaestra.algorithms.scale.ranks import ranks
from palaestra.errors import ConfigError


class AverageConfig(Config):
    """Table `[average]`: a mean of the weights of a phase's steps is what is evaluated, and what the phase gives.

    Papers:
        Polyak averaging (doi:10.1137/0330046): the plain mean of iterates (`decay = 1`).
        Mean teacher (arXiv:1703.01780): the exponential moving average of weights. Left out: the loss that follows it.
    """

    decay: float = Field(default=0.95, gt=0, le=1)
    """Share of the mean that a step keeps: 1 / (1 - decay) steps count; 1 is the plain mean of all steps."""
    begin: int = Field(default=1, ge=1, le=MOST_COUNTED)
    """First training step that counts."""


class Average(Extension):
    """Keeps a running mean of the trained weights; training itself continues with the weights as they are."""

    name: ClassVar[str] = "average"
    config_type = AverageConfig
    config: AverageConfig
    copies: ClassVar[int] = 1
    shows: ClassVar[bool] = True
    metrics: ClassVar[frozenset[str] | None] = frozenset()

    def __init__(self, config: AverageConfig, context: Any) -> None:
        """Start without a mean."""
        super().__init__(config, context)
        self.count = 0
        self.mean: dict[str, Tensor] = {}

    @classmethod
    def refuse(cls, config: AverageConfig, phase: PhaseConfig, recipe: Recipe) -> None:
        """Refuse a phase that begins again from other weights, or is over before the mean begins."""
        if phase.algorithm == "rft":
            raise ConfigError(
                f"[average] is active in the phase {phase.name}, and each round of rft begins again from the base model. "
                f"Write average = false in [{phase.name}]."
            )
        steps = getattr(phase.settings, "steps", getattr(phase.settings, "max_updates", None))
        if steps is not None and config.begin > steps:
            raise ConfigError(
                f"average.begin is {config.begin}, and the phase {phase.name} has {steps} steps at most: none would count. "
                f"Lower it, or write average = false in [{phase.name}]."
            )

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def after_step(self, step: int, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Take the weights of a step into the mean."""
        del metrics
        if step < self.config.begin:
            return {}
        if ranks().sharing == "sharded":
            raise ConfigError("[average] does not go with sharded weights (FSDP); train without --use_fsdp.")
        self.count += 1
        # the first steps weigh equally, so that the weights at the start count for nothing
        new = max(1.0 / self.count, 1.0 - self.config.decay)
        for name, parameter in self.context.policy.model.named_parameters():
            now = parameter.detach().float()
            self.mean[name] = now.clone() if self.count == 1 else torch.lerp(self.mean[name], now, new)
        return {}

    def result_weights(self) -> Mapping[str, Tensor] | None:
        """Return the mean; None before the first step that counts."""
        return self.mean or None

    def state(self) -> dict[str, Any]:
        """Return the mean."""
        return {"count": self.count, "mean": {name: tensor.clone() for name, tensor in self.mean.items()}}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.count = int(state["count"])
        self.mean = {name: tensor.clone() for name, tensor in state["mean"].items()}
