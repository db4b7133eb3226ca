"""The strict scorer: which nodes the calls of a turn solve.

A call solves a node if it succeeded, is of the node's tool, gave the node's answer (at its path, or anywhere between token
boundaries), and did not bring the answer along in its arguments. Each call solves at most one node and each node is solved
once; of all ways to match the calls of a turn with nodes, one with the most solved nodes counts, whatever the order of calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from palaestra.envs.toolforge.answers import leaves, number_in, occurs, plain, same, value_at
from palaestra.envs.toolforge.instance import Instance, Node
from palaestra.types import Json, ToolStatus


@dataclass(frozen=True)
class Played:
    """A call that was made.

    Attributes:
        tool: Name of the tool.
        arguments: Its arguments.
        status: What came of it.
        value: What the tool returned; a text, or JSON data.
        content: The same as text.
    """

    tool: str
    arguments: Mapping[str, Json]
    status: ToolStatus
    value: Json
    content: str


def solved_by(instance: Instance, calls: Sequence[Played], open_nodes: Sequence[Node]) -> dict[str, int]:
    """Return the nodes that the calls of a turn solve, each with the position of its call.

    Args:
        instance: The instance.
        calls: The calls in order.
        open_nodes: Nodes that are not solved yet, in their order.
    """
    able = {node.id: [place for place, call in enumerate(calls) if is_solved(instance, node, call)] for node in open_nodes}
    for place, call in enumerate(calls):  # of several nodes that one call could solve, one whose answer is the whole result
        rivals = [node for node in open_nodes if place in able[node.id]]
        exact = [node for node in rivals if isinstance(node.answer, str) and plain(node.answer) == plain(call.content)]
        for node in rivals if exact else ():
            if node not in exact:
                able[node.id].remove(place)
    return matching(able)


def is_solved(instance: Instance, node: Node, call: Played) -> bool:
    """Whether a call solves a node, whatever else it could solve."""
    if call.status != "ok" or call.tool != node.tool:
        return False
    if node.path is not None:
        is_given = gives(call.value, node.path, node.answer, node.answer_type)
    else:
        is_given = occurs(node.answer, call.content, node.answer_type)
    return is_given and not brings_answer(instance, node, call.arguments)


def gives(result: Json, path: str, answer: Json, kind: str) -> bool:
    """Whether a result holds an answer at its path; the one rule for players, for builders and for their proofs.

    Args:
        result: What a tool returned.
        path: Keys and positions joined by dots.
        answer: The expected answer.
        kind: Its type.
    """
    return same(value_at(result, path), answer, kind)


def brings_answer(instance: Instance, node: Node, arguments: Mapping[str, Json]) -> bool:
    """Whether the answer of a node stands in the arguments of a call, other than in values that a right call may hold.

    Those are values that the question names, and answers of the nodes that this one depends on.
    """
    if node.answer_type == "bool":  # true and false are the values of options
        return False
    given = [leaf for leaf in leaves(arguments) if occurs(node.answer, leaf, node.answer_type)]
    if not given:
        return False
    known = [dep.answer for dep in instance.nodes if dep.id in node.deps]
    return not all(_is_known(leaf, known, instance.question) for leaf in given)


def matching(able: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return a largest matching of nodes with calls; earlier nodes are kept solved where not all can be.

    Args:
        able: Positions of the calls that could solve each node.
    """
    taken: dict[int, str] = {}

    def place_for(node: str, seen: set[int]) -> bool:
        """Find a call for a node, moving others to other calls where needed."""
        for place in able[node]:
            if place not in seen:
                seen.add(place)
                if place not in taken or place_for(taken[place], seen):
                    taken[place] = node
                    return True
        return False

    for node in able:
        place_for(node, set())
    return {node: place for place, node in sorted(taken.items())}


def _is_known(leaf: str, known: Sequence[Json], question: str) -> bool:
    """Whether an argument is the answer of a dependency, or stands in the question."""
    number = number_in(leaf)
    for answer in known:
        for part in answer if isinstance(answer, list) else (answer,):
            if (isinstance(part, str) and plain(part) == plain(leaf)) or (number is not None and number_in(part) == number):
                return True
    return occurs(leaf, question, "entity")


__all__ = ["Played", "brings_answer", "gives", "is_solved", "matching", "solved_by"]
