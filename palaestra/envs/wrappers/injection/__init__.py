"""Errors injected into calls of tools: labels, mutators, plans, and the wrapper `InjectErrors`."""

from palaestra.envs.wrappers.injection.inject_errors import InjectErrors
from palaestra.envs.wrappers.injection.mutators import Corruption, corrupt, holds
from palaestra.envs.wrappers.injection.outages import damaged, outage_message
from palaestra.envs.wrappers.injection.plans import Plan, PlanSampler
from palaestra.envs.wrappers.injection.summary import summarise
from palaestra.envs.wrappers.injection.taxonomy import EXTENDED, EXTERNAL, INTERNAL, KINDS, LABELS, family_of
from palaestra.envs.wrappers.injection.tool_list import Tool, tool_list

__all__ = [
    "EXTENDED",
    "EXTERNAL",
    "INTERNAL",
    "KINDS",
    "LABELS",
    "Corruption",
    "InjectErrors",
    "Plan",
    "PlanSampler",
    "Tool",
    "corrupt",
    "damaged",
    "family_of",
    "holds",
    "outage_message",
    "summarise",
    "tool_list",
]
