"""Observations changed by a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymnasium.utils import RecordConstructorArgs

from palaestra.envs.wrappers.text_wrapper import Action, Env, Result, TextWrapper


class TransformObservationText(TextWrapper, RecordConstructorArgs):
    """Changes every observation by a function from text to text.

    Args:
        env: Any text environment.
        function: Returns the text that the agent reads instead; a module-level function keeps the environment picklable.
    """

    def __init__(self, env: Env, function: Callable[[str], str]) -> None:
        """Keep the function."""
        RecordConstructorArgs.__init__(self, function=function, _disable_deepcopy=True)
        super().__init__(env)
        self.function = function

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.function(observation), info

    def step(self, action: Action) -> Result:
        """Play one action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self.function(observation), reward, terminated, truncated, info


__all__ = ["TransformObservationText"]
