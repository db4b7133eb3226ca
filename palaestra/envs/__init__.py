"""Worlds and their Gymnasium faces.

The names below are imported when they are first used: `import palaestra` has to be quick, and needs only the registry.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.envs.audit import audit_environment
    from palaestra.envs.check import check_environment
    from palaestra.envs.core.child_process import ChildProcess
    from palaestra.envs.core.command_env import CommandEnv
    from palaestra.envs.core.engine_command_env import EngineCommandEnv
    from palaestra.envs.core.engine_env import EngineEnv
    from palaestra.envs.core.engines import Engine
    from palaestra.envs.core.seated import Exchange, Refused, SeatedEnv
    from palaestra.envs.core.tasks import FixedTasks, GeneratedTasks, Task, TaskSet
    from palaestra.envs.core.text_env import TextEnv, Turn, World
    from palaestra.envs.core.tool_env import ToolEnv
    from palaestra.envs.core.vector import TextVectorEnv
    from palaestra.envs.multi_agent import list_multi_agent, make_multi_agent
    from palaestra.envs.registration import list_envs
    from palaestra.envs.tools import SchemaTool, Toolkit, tool
    from palaestra.envs.wrappers import (
        InjectErrors,
        MoveInstructions,
        RecordTrajectory,
        RewardNoise,
        TransformObservationText,
        TruncateObservation,
        TurnLimit,
    )

_HOMES = {
    "audit": ("audit_environment",),
    "check": ("check_environment",),
    "core.child_process": ("ChildProcess",),
    "core.command_env": ("CommandEnv",),
    "core.engine_command_env": ("EngineCommandEnv",),
    "core.engine_env": ("EngineEnv",),
    "core.engines": ("Engine",),
    "core.seated": (
        "Exchange",
        "Refused",
        "SeatedEnv",
    ),
    "core.tasks": (
        "FixedTasks",
        "GeneratedTasks",
        "Task",
        "TaskSet",
    ),
    "core.text_env": (
        "TextEnv",
        "Turn",
        "World",
    ),
    "core.tool_env": ("ToolEnv",),
    "core.vector": ("TextVectorEnv",),
    "multi_agent": (
        "list_multi_agent",
        "make_multi_agent",
    ),
    "registration": ("list_envs",),
    "tools": (
        "SchemaTool",
        "Toolkit",
        "tool",
    ),
    "wrappers": (
        "InjectErrors",
        "MoveInstructions",
        "RecordTrajectory",
        "RewardNoise",
        "TransformObservationText",
        "TruncateObservation",
        "TurnLimit",
    ),
}

__all__ = [
    "ChildProcess",
    "CommandEnv",
    "Engine",
    "EngineCommandEnv",
    "EngineEnv",
    "Exchange",
    "FixedTasks",
    "GeneratedTasks",
    "InjectErrors",
    "MoveInstructions",
    "RecordTrajectory",
    "Refused",
    "RewardNoise",
    "SchemaTool",
    "SeatedEnv",
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
    "audit_environment",
    "check_environment",
    "list_envs",
    "list_multi_agent",
    "make_multi_agent",
    "tool",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
