"""The agent that plays with a policy as a recipe says: prompt format (one for each environment), temperature, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import gymnasium

from palaestra.agents.core import Backend, Sampling
from palaestra.agents.formats import Format, make_format
from palaestra.agents.llm import LLMAgent
from palaestra.algorithms.run.feed import env_of
from palaestra.algorithms.run.recipe_configs import EnvConfig, Recipe
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.algorithms.learner.policy import Policy


def policy_agent(
    policy: Policy,
    recipe: Recipe,
    *,
    backend: Backend | None = None,
    seed: int | None = None,
    name: str = "policy",
    env: EnvConfig | None = None,
) -> LLMAgent:
    """Return the agent that plays with a policy the way the recipe says.

    Args:
        policy: Its weights are shared, not copied: the agent always plays the current policy.
        recipe: Format, temperature, limits.
        backend: Samples with the weights that it was given last; None samples in this process.
        seed: Seed of sampling; the recipe's by default.
        name: Shown in reports.
        env: Environment that is played, where it is one alone; by default the ids of the episodes say it.
    """
    table = recipe.agent
    backend = policy.sampler(max_batch=table.concurrency) if backend is None else backend
    seed = recipe.seed if seed is None else seed
    sampling = Sampling(temperature=table.temperature, max_tokens=table.max_tokens_per_turn, seed=seed)
    shown: Literal["system", "none"] = "system" if table.instructions else "none"
    options: dict[str, Any] = {"sampling": sampling, "instructions_as": shown, "name": name, "cut": table.cut}
    if env is None and recipe.is_mixture and any(config.format for config in recipe.envs):
        formats = {config.name: config.format or table.format for config in recipe.envs}
        return MixtureAgent(backend, formats=formats, format=table.format, **options)
    alone = env or recipe.envs[0]
    return LLMAgent(backend, format=alone.format or table.format, **options)


class MixtureAgent(LLMAgent):
    """Plays several environments, in each with a prompt format of its own.

    Args:
        backend: The model.
        formats: Prompt format by name of the environment, which the id of an episode says (`feed.env_of`).
        **options: Arguments of `LLMAgent`; its `format` is for episodes of other environments.
    """

    def __init__(self, backend: Backend, *, formats: Mapping[str, str], **options: Any) -> None:
        """Make the formats."""
        super().__init__(backend, **options)
        self._formats: dict[str, Format] = {name: make_format(format_) for name, format_ in formats.items()}
        self._default = self.format

    def shaped_by(self) -> dict[str, Json]:
        """Return the settings that hold everywhere, and the format of each environment."""
        return {**super().shaped_by(), "formats": {name: form.name for name, form in self._formats.items()}}

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        """Open a dialogue in the format of the episode's environment."""
        self.format = self._formats.get(env_of(session), self._default)
        super().reset(info, env=env, session=session)


__all__ = ["MixtureAgent", "policy_agent"]
