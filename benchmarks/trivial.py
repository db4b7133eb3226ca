"""The smallest text environments there can be: ours on `TextEnv`, and Gymnasium's, written by hand.

They do the same: answer "ok", count the turns, sum the rewards, and report the same six fields of info.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium

from palaestra.envs import FixedTasks, Task, TextEnv, Turn
from palaestra.spaces import TextSpace
from palaestra.types import Json, Message

OURS = "benchmarks/Trivial-v0"
BY_HAND = "benchmarks/ByHand-v0"
BARE = "benchmarks/Bare-v0"
MAX_TURNS = 10**9


class TrivialEnv(TextEnv):
    """Answers "ok" to everything."""

    def __init__(self, *, max_turns: int | None = MAX_TURNS, render_mode: str | None = None) -> None:
        """Hold one task."""
        super().__init__(FixedTasks([Task("only", "train")]), max_turns=max_turns, render_mode=render_mode)

    def _begin(self, task: Task) -> str:
        return "go"

    def _act(self, action: str | Message) -> Turn:
        return Turn("ok")

    def _save(self) -> Json:
        return None

    def _load(self, task: Task, state: Json) -> None:
        return None


class ByHandEnv(gymnasium.Env[str, str]):
    """The same without a base class; its turns are limited by Gymnasium's TimeLimit."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self) -> None:
        """Make the spaces."""
        self.observation_space = TextSpace()
        self.action_space = TextSpace()
        self.score = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self.score = 0.0
        return "go", {"task": {"key": "only", "split": "train", "type": ""}, "instructions": "", "tools": []}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Play one action."""
        if not isinstance(action, str):
            raise TypeError(f"The action is a {type(action).__name__}; expected a str.")
        reward = 0.0
        self.score += reward
        info = {
            "score": self.score,
            "success": False,
            "stop_reason": "",
            "reward_parts": {"task": reward},
            "tool_results": (),
            "action_error": "",
        }
        return "ok", reward, False, False, info


class BareEnv(ByHandEnv):
    """Does nothing at all: what the call itself costs."""

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Return constants."""
        return "ok", 0.0, False, False, {}


def register() -> None:
    """Register the three with Gymnasium, ours as all environments of the package are."""
    if OURS in gymnasium.registry:
        return
    gymnasium.register(OURS, TrivialEnv, order_enforce=False, vector_entry_point=f"palaestra.envs.core.vector:{OURS}")
    gymnasium.register(BY_HAND, ByHandEnv, max_episode_steps=MAX_TURNS)
    gymnasium.register(BARE, BareEnv, max_episode_steps=MAX_TURNS)
