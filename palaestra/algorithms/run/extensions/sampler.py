"""`[sampler]`: a server samples with the weights of the policy (`scale/server_sampler.py`)."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from palaestra.agents.core import Backend
from palaestra.algorithms.run.extension import Extension, ExtensionContext, RunCoroutine
from palaestra.algorithms.run.recipe_configs import PhaseConfig, Recipe
from palaestra.algorithms.scale.server_sampler import PLACES, SamplerConfig, ServerSampler
from palaestra.types import Trajectory


class Sampler(Extension):
    """Has a server sample the training episodes, and those of evaluations unless its table says otherwise.

    Attributes:
        server: Follows the policy; the phases and evaluations of a run that name the same server share it.
    """

    name: ClassVar[str] = "sampler"
    config_type = SamplerConfig
    movable = PLACES
    config: SamplerConfig

    def __init__(self, config: SamplerConfig, context: ExtensionContext) -> None:
        """Share the connection of the run; a phase begins by comparing the server with the trainer."""
        super().__init__(config, context)
        key = f"sampler {config.model_dump_json()}"
        if key not in context.shared:
            temperature = context.recipe.agent.temperature
            context.shared[key] = ServerSampler(context.policy, config, temperature=temperature)
        self.server: ServerSampler = context.shared[key]
        self._is_used = not context.evaluates or config.evaluation == "server"
        if not context.evaluates:
            self.server.begin_phase()

    @classmethod
    def settings(cls, config: SamplerConfig, fields: Any, given: Any) -> Any:
        """Correct for the server's log-probs unless the recipe says otherwise: another engine is another policy."""
        if "correction" not in fields:
            return given
        chosen = given.get("correction", {})
        return {**given, "correction": {"level": "token", **chosen} if isinstance(chosen, dict) else chosen}

    @classmethod
    def refuse(cls, config: SamplerConfig, phase: PhaseConfig, recipe: Recipe) -> None:
        """Refuse to write over the model that training begins with."""
        config.refuse(getattr(recipe.model, "path", None))

    @classmethod
    def check(cls, config: SamplerConfig, recipe: Recipe) -> None:
        """Look for the server's folder and token."""
        config.check(recipe.model.dtype)

    def start(self) -> None:
        """Find out whether the server can be used at all."""
        self.server.refresh()

    def ready(self, run: RunCoroutine = asyncio.run) -> None:
        """Give the server the current weights."""
        if not self._is_used:
            return
        if self.context.evaluates:
            self.server.refresh_here(run)
        else:
            self.server.refresh(run)

    def backend(self) -> Backend | None:
        """Return the server."""
        return self.server.backend if self._is_used else None

    def played(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Stop training where the server gave nothing at all."""
        if self._is_used:
            self.server.check_step(trajectories)
        return trajectories
