"""The horizon of an environment with its wrappers."""

from __future__ import annotations

from typing import Any

import gymnasium


def horizon_of(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return the most actions an episode may have: the smallest limit of the environment and its wrappers, None without one.

    Args:
        env: Any environment; `max_turns` of each layer counts, and Gymnasium's `TimeLimit`.
    """
    limits: list[Any] = []
    layer: Any = env
    while True:
        limits += [getattr(layer, name, None) for name in ("max_turns", "_max_episode_steps")]  # the second: TimeLimit's
        if not isinstance(layer, gymnasium.Wrapper):
            break
        layer = layer.env
    return min((limit for limit in limits if isinstance(limit, int) and not isinstance(limit, bool)), default=None)


__all__ = ["horizon_of"]
