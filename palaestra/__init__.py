"""Palaestra: Gymnasium environments, an agent SDK and training algorithms for LLM agents.

Importing it registers every environment with Gymnasium (`gymnasium.make("palaestra/TextCraft-v0")`), and nothing else:
the names below are imported when they are first used, torch, servers and LLM clients where they are needed.
"""

from typing import TYPE_CHECKING

from palaestra.envs.registration import list_envs, register_environments
from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.agents import RunStore, evaluate, make_agent, write_report
    from palaestra.algorithms import train
    from palaestra.envs.check import check_environment as check
    from palaestra.envs.multi_agent import list_multi_agent, make_multi_agent

__version__ = "0.1.0"

_HOMES = {
    "agents": (
        "RunStore",
        "evaluate",
        "make_agent",
        "write_report",
    ),
    "algorithms": ("train",),
    "envs.check": ("check_environment as check",),
    "envs.multi_agent": (
        "list_multi_agent",
        "make_multi_agent",
    ),
}

__all__ = [
    "RunStore",
    "__version__",
    "check",
    "evaluate",
    "list_envs",
    "list_multi_agent",
    "make_agent",
    "make_multi_agent",
    "train",
    "write_report",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, eager=("__version__", "list_envs"), feature="Training", extra="train")
register_environments()
del register_environments  # has done its work; nothing for users to call
