"""The graph of a question's parts: its levels and its scenario, in linear time and without recursion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Literal, get_args

MAX_NODES = 1_000
"""Most nodes of an instance; the largest published question has 13."""

Scenario = Literal["single_hop", "parallel_single_hop", "multi_hop", "parallel_multi_hop"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
"""Shapes of a question: one part; parts side by side; a chain; branches that are joined.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1.
"""

Graph = Mapping[str, Sequence[str]]
"""The ids of the nodes that each node depends on, by its id."""


def levels_of(graph: Graph) -> dict[str, int]:
    """Return the level of each node: 0 without dependencies, else one more than the highest of them.

    Args:
        graph: Every dependency is a node of it.

    Raises:
        ValueError: If there is a cycle; the message names a node of it.
    """
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ValueError(f"the nodes depend on one another in a circle, at or before {error.args[1][0]!r}") from None
    levels: dict[str, int] = {}
    for node in order:
        levels[node] = 1 + max((levels[dep] for dep in graph[node]), default=-1)
    return {node: levels[node] for node in graph}


def depth_of(graph: Graph) -> int:
    """Return the number of nodes on the longest path."""
    return max(levels_of(graph).values(), default=-1) + 1


def width_of(graph: Graph) -> int:
    """Return the number of nodes on the widest level."""
    return max(Counter(levels_of(graph).values()).values(), default=0)


def scenario_of(graph: Graph, *, has_operation: bool = False) -> Scenario | None:
    """Return the scenario that a graph is an example of, None for a graph that is none.

    Args:
        graph: Nodes and dependencies, without a cycle.
        has_operation: Whether the final answer is computed from several nodes' answers.
    """
    edges = sum(len(set(deps)) for deps in graph.values())
    roots = sum(not deps for deps in graph.values())
    parents = {dep for deps in graph.values() for dep in deps}
    if len(graph) == 1:
        return "single_hop"
    if not edges:
        return "parallel_single_hop" if graph else None
    fan_out = len(parents) < edges
    if roots == 1 and edges == len(graph) - 1 and not fan_out:  # a tree with one root in which no node has two children
        return "multi_hop"
    sinks = len(graph) - len(parents)
    if roots >= 2 and (sinks == 1 or has_operation):
        return "parallel_multi_hop"
    return None


def graph_problem(graph: Graph, scenario: str | None, *, has_operation: bool = False) -> str:
    """Say why a graph cannot be that of a scenario; empty if it can.

    Args:
        graph: Nodes and dependencies, anything at all.
        scenario: The scenario claimed; None to look at the graph alone.
        has_operation: As of `scenario_of`.
    """
    for node, deps in graph.items():
        if len(set(deps)) < len(deps):
            return f"node {node!r} names a dependency twice"
        if unknown := [dep for dep in deps if dep not in graph]:
            return f"node {node!r} depends on {unknown[0]!r}, which does not exist"
    try:
        levels_of(graph)
    except ValueError as error:
        return str(error)
    if scenario is None:
        return ""
    found = scenario_of(graph, has_operation=has_operation)
    if found == scenario:
        return ""
    shape = f"make it {found!r}" if found else f"form none of {', '.join(SCENARIOS)}"
    return f"the scenario is given as {scenario!r}, but its {len(graph)} nodes {shape}"


__all__ = ["MAX_NODES", "SCENARIOS", "Graph", "Scenario", "depth_of", "graph_problem", "levels_of", "scenario_of", "width_of"]
