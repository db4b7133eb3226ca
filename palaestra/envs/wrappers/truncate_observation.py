"""Long observations without their middle."""

from __future__ import annotations

from typing import Any

from gymnasium.utils import RecordConstructorArgs

from palaestra.envs.wrappers.text_wrapper import Action, Env, Result, TextWrapper
from palaestra.errors import ConfigError


class TruncateObservation(TextWrapper, RecordConstructorArgs):
    """Shortens long observations, keeping their beginning and their end and saying how much is missing.

    Args:
        env: Any text environment.
        max_chars: Longest observation in characters, the note included; at least 100.
    """

    def __init__(self, env: Env, max_chars: int) -> None:
        """Check the bound."""
        if not isinstance(max_chars, int) or max_chars < 100:
            raise ConfigError(f"max_chars is {max_chars!r}; expected an integer of at least 100.")
        RecordConstructorArgs.__init__(self, max_chars=max_chars)
        super().__init__(env)
        self.max_chars = max_chars

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._shorten(observation), info

    def step(self, action: Action) -> Result:
        """Play one action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._shorten(observation), reward, terminated, truncated, info

    def _shorten(self, text: str) -> str:
        """Cut out the middle of a text that is too long."""
        if len(text) <= self.max_chars:
            return text
        kept = self.max_chars - 50  # the note has 24 characters and a number
        head = (kept + 1) // 2
        note = f"\n[{len(text) - kept} characters left out]\n"
        return text[:head] + note + text[len(text) - (kept - head) :]


__all__ = ["TruncateObservation"]
