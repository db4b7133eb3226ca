"""Agents, LLM backends, rollout engine, run store, evaluation and report.

The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.agents.backends.registry import list_backends, make_backend
    from palaestra.agents.backends.scripted import ScriptedBackend
    from palaestra.agents.context import ContextPolicy
    from palaestra.agents.core import Agent, AgentRecord, Backend, Generation, Request, Sampling
    from palaestra.agents.evaluation import (
        EnvSpec,
        Evaluation,
        Summary,
        UntilDecided,
        evaluate,
        evaluate_async,
        rescore,
        rescore_async,
        summarize,
    )
    from palaestra.agents.evaluation.summary import compare
    from palaestra.agents.export.eval_log import LoggedRun
    from palaestra.agents.export.export import EXPORT_FORMATS, export_trajectories
    from palaestra.agents.export.reading import load_conversations, load_episodes, load_trajectories
    from palaestra.agents.llm import LLMAgent
    from palaestra.agents.own import AgentLike
    from palaestra.agents.reference import ExpertAgent, HumanAgent, NothingAgent, RandomAgent
    from palaestra.agents.registry import list_agents, make_agent
    from palaestra.agents.report import TranscriptLimits, write_report
    from palaestra.agents.rollout import EpisodePlan, RolloutEngine
    from palaestra.agents.seats import OtherSeats, Seats
    from palaestra.agents.store import RunStore
    from palaestra.agents.sync import run_sync

_HOMES = {
    "backends.registry": (
        "list_backends",
        "make_backend",
    ),
    "backends.scripted": ("ScriptedBackend",),
    "context": ("ContextPolicy",),
    "core": (
        "Agent",
        "AgentRecord",
        "Backend",
        "Generation",
        "Request",
        "Sampling",
    ),
    "evaluation": (
        "EnvSpec",
        "Evaluation",
        "Summary",
        "UntilDecided",
        "evaluate",
        "evaluate_async",
        "rescore",
        "rescore_async",
        "summarize",
    ),
    "evaluation.summary": ("compare",),
    "export.eval_log": ("LoggedRun",),
    "export.export": (
        "EXPORT_FORMATS",
        "export_trajectories",
    ),
    "export.reading": (
        "load_conversations",
        "load_episodes",
        "load_trajectories",
    ),
    "llm": ("LLMAgent",),
    "reference": (
        "ExpertAgent",
        "HumanAgent",
        "NothingAgent",
        "RandomAgent",
    ),
    "own": ("AgentLike",),
    "registry": (
        "list_agents",
        "make_agent",
    ),
    "report": (
        "TranscriptLimits",
        "write_report",
    ),
    "rollout": (
        "EpisodePlan",
        "RolloutEngine",
    ),
    "seats": (
        "OtherSeats",
        "Seats",
    ),
    "store": ("RunStore",),
    "sync": ("run_sync",),
}

__all__ = [
    "EXPORT_FORMATS",
    "Agent",
    "AgentLike",
    "AgentRecord",
    "Backend",
    "ContextPolicy",
    "EnvSpec",
    "EpisodePlan",
    "Evaluation",
    "ExpertAgent",
    "Generation",
    "HumanAgent",
    "LLMAgent",
    "LoggedRun",
    "NothingAgent",
    "OtherSeats",
    "RandomAgent",
    "Request",
    "RolloutEngine",
    "RunStore",
    "Sampling",
    "ScriptedBackend",
    "Seats",
    "Summary",
    "TranscriptLimits",
    "UntilDecided",
    "compare",
    "evaluate",
    "evaluate_async",
    "export_trajectories",
    "list_agents",
    "list_backends",
    "load_conversations",
    "load_episodes",
    "load_trajectories",
    "make_agent",
    "make_backend",
    "rescore",
    "rescore_async",
    "run_sync",
    "summarize",
    "write_report",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
