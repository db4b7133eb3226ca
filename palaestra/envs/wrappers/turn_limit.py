"""A limit on the actions of an episode that says why it stopped."""

from __future__ import annotations

from typing import Any

from gymnasium.utils import RecordConstructorArgs

from palaestra.envs.wrappers.text_wrapper import Action, Env, Result, TextWrapper
from palaestra.errors import ConfigError, EpisodeStateError


class TurnLimit(TextWrapper, RecordConstructorArgs):
    """Truncates an episode after a number of actions, with `stop_reason` "max_rounds".

    Gymnasium's `TimeLimit` does not say why it stopped. For environments that have `max_turns` themselves, the
    smaller of the two limits holds.

    Args:
        env: Any text environment.
        max_turns: Number of actions in an episode, at least 1.
    """

    def __init__(self, env: Env, max_turns: int) -> None:
        """Check the limit."""
        if not isinstance(max_turns, int) or isinstance(max_turns, bool) or max_turns < 1:
            raise ConfigError(f"max_turns is {max_turns!r}; expected an integer of at least 1.")
        RecordConstructorArgs.__init__(self, max_turns=max_turns)
        super().__init__(env)
        self.max_turns = max_turns
        self.num_turns = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode and count from 0."""
        self.num_turns = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Action) -> Result:
        """Play one action.

        Raises:
            EpisodeStateError: After the limit was reached.
        """
        if self.num_turns >= self.max_turns:
            raise EpisodeStateError(f"This episode was stopped after {self.max_turns} turns; call reset().")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.num_turns += 1
        if self.num_turns >= self.max_turns and not terminated and not truncated:
            truncated, info = True, {**info, "stop_reason": "max_rounds"}
        return observation, reward, terminated, truncated, info


__all__ = ["TurnLimit"]
