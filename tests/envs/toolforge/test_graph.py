"""Levels and scenarios of graphs against slower definitions."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.toolforge.graph import SCENARIOS, depth_of, graph_problem, levels_of, scenario_of, width_of


@st.composite
def graphs(draw, most=9):
    """Draw an acyclic graph whose nodes stand in any order."""
    size = draw(st.integers(1, most))
    order = draw(st.permutations(range(size)))
    deps = {f"n{node}": [f"n{one}" for one in range(node) if draw(st.booleans())] for node in range(size)}
    return {f"n{node}": deps[f"n{node}"] for node in order}


def slow_level(graph, node):
    return max((slow_level(graph, dep) + 1 for dep in graph[node]), default=0)


def slow_scenario(graph, has_operation):
    """Classify by the words of the definition."""
    edges = [(dep, node) for node, deps in graph.items() for dep in deps]
    if len(graph) == 1:
        return "single_hop"
    if not edges:
        return "parallel_single_hop"
    by_level = sorted(graph, key=lambda node: slow_level(graph, node))
    if all(list(graph[node]) == ([by_level[place - 1]] if place else []) for place, node in enumerate(by_level)):
        return "multi_hop"
    roots = [node for node in graph if not graph[node]]
    sinks = [node for node in graph if all(dep != node for dep, _ in edges)]
    return "parallel_multi_hop" if len(roots) >= 2 and (len(sinks) == 1 or has_operation) else None


@given(graphs(), st.booleans())
def test_the_classifier_says_what_the_definition_says(graph, has_operation):
    assert scenario_of(graph, has_operation=has_operation) == slow_scenario(graph, has_operation)


def test_every_graph_of_three_nodes_is_classified_as_defined():
    nodes = ("a", "b", "c")
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    for chosen, has_operation in product(product((False, True), repeat=3), (False, True)):
        graph = {node: [dep for (dep, user), on in zip(pairs, chosen, strict=True) if on and user == node] for node in nodes}
        assert scenario_of(graph, has_operation=has_operation) == slow_scenario(graph, has_operation)


@given(graphs())
def test_levels_depth_and_width(graph):
    levels = levels_of(graph)
    assert levels == {node: slow_level(graph, node) for node in graph}
    assert depth_of(graph) == max(levels.values()) + 1
    assert width_of(graph) == max(list(levels.values()).count(level) for level in levels.values())


@given(graphs(), st.data())
def test_an_edge_back_is_a_circle(graph, data):
    last = data.draw(st.sampled_from(sorted(graph)))
    first = last
    while graph[first]:
        first = graph[first][0]
    looped = {**graph, first: [last]}
    assert "in a circle" in graph_problem(looped, None)
    with pytest.raises(ValueError, match="in a circle"):
        levels_of(looped)


@given(graphs(), st.sampled_from(SCENARIOS))
def test_another_scenario_than_the_graph_has_is_a_problem(graph, claimed):
    problem = graph_problem(graph, claimed)
    assert (problem == "") == (scenario_of(graph) == claimed)
    assert not problem or repr(claimed) in problem


def test_dependencies_that_are_not_there_or_stand_twice():
    assert "does not exist" in graph_problem({"a": ["b"]}, None)
    assert "twice" in graph_problem({"a": [], "b": ["a", "a"]}, None)


def test_a_long_chain_needs_no_recursion():
    graph = {f"n{place}": [f"n{place - 1}"] if place else [] for place in range(20_000)}
    assert scenario_of(graph) == "multi_hop"
    assert depth_of(graph) == 20_000
