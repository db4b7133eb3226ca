"""What wrappers may answer for an environment: the contract's methods, asked of the outermost that has them."""

from __future__ import annotations

from typing import Any

import gymnasium


def outermost(env: gymnasium.Env[Any, Any], name: str) -> Any:
    """Return an attribute of the outermost wrapper that has it, else the environment's own; None if nobody has it.

    `snapshot`, `restore`, `state_hash`, `expert` and `full_return` are asked for in this way: a wrapper with a state of its
    own, such as `InjectErrors`, has its own answer to them.

    Args:
        env: An environment, wrapped or not.
        name: Name of the attribute.
    """
    return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None


__all__ = ["outermost"]
