"""What AgentGym's server would have answered: for `compat="upstream"`."""

from __future__ import annotations

from dataclasses import dataclass, field

from palaestra.envs.agentgym.sciworld.engine import Reply
from palaestra.types import Json

MAX_MOVES = 100
"""Moves after which the simulator's own package ends an episode (`envStepLimit`)."""


@dataclass
class UpstreamEpisode:
    """An episode of the published server, which ends after 100 moves whatever the score.

    Source: WooooDyy/AgentGym, agentenv-sciworld (environment.py), on ScienceWorldEnv of the package.

    Attributes:
        task: Name of the task.
        variation: Number of the variation.
    """

    task: str
    variation: int
    _last: dict[str, Json] = field(default_factory=dict)

    def begin(self, description: str, reply: Reply) -> dict[str, Json]:
        """Return the reply of `POST /reset`."""
        self._last = {"observation": reply.text, "reward": reply.score, "score": reply.score, "done": False}
        return {
            "task_name": self.task,
            "var_num": self.variation,
            "task_description": description,
            **self._last,
            "deleted": False,
        }

    def answer(self, reply: Reply, num_moves: int) -> dict[str, Json]:
        """Return the reply of `POST /step`."""
        if self._last["done"]:
            return {"error": "The task with environment 0 has finished."}
        self._last = {
            "observation": reply.text,
            "reward": reply.score - self._last["score"],
            "score": reply.score,
            "done": reply.is_over or reply.score < 0 or num_moves > MAX_MOVES,
        }
        return dict(self._last)

    def never_sent(self) -> dict[str, Json]:
        """Return the reply of the published client to a message that it cannot read; nothing reaches the server."""
        return {**self._last, "observation": f"Invalid Action.\n\n{self._last['observation']}", "reward": 0, "done": False}


__all__ = ["MAX_MOVES", "UpstreamEpisode"]
