"""Worlds and their Gymnasium faces.

The names below are imported when they are first used: `import palaestra` has to be quick, and needs only the registry.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palaestra.envs.check import check_environment
    from palaestra.envs.core.tasks import FixedTasks, GeneratedTasks, Task, TaskSet
    from palaestra.envs.core.text_env import TextEnv, Turn, World
    from palaestra.envs.core.tool_env import ToolEnv
    from palaestra.envs.core.vector import TextVectorEnv
    from palaestra.envs.registration import list_envs
    from palaestra.envs.tools import Toolkit, tool
    from palaestra.envs.wrappers.wrappers import (
        MoveInstructions,
        RecordTrajectory,
        RewardNoise,
        TransformObservationText,
        TruncateObservation,
        TurnLimit,
    )

_HOMES = {
    "check": ("check_environment",),
    "core.text_env": ("TextEnv", "Turn", "World"),
    "registration": ("list_envs",),
    "core.tasks": ("FixedTasks", "GeneratedTasks", "Task", "TaskSet"),
    "core.tool_env": ("ToolEnv",),
    "tools": ("Toolkit", "tool"),
    "core.vector": ("TextVectorEnv",),
    "wrappers.wrappers": (
        "MoveInstructions",
        "RecordTrajectory",
        "RewardNoise",
        "TransformObservationText",
        "TruncateObservation",
        "TurnLimit",
    ),
}

__all__ = [
    "FixedTasks",
    "GeneratedTasks",
    "MoveInstructions",
    "RecordTrajectory",
    "RewardNoise",
    "Task",
    "TaskSet",
    "TextEnv",
    "TextVectorEnv",
    "ToolEnv",
    "Toolkit",
    "TransformObservationText",
    "TruncateObservation",
    "Turn",
    "TurnLimit",
    "World",
    "check_environment",
    "list_envs",
    "tool",
]


def __getattr__(name: str) -> Any:
    """Import a public name from the module that holds it."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"palaestra.envs.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List what is public."""
    return sorted(__all__)
