"""How far an episode is: what is solved, what was called, and the measures and rewards that follow from it.

What is solved is the state of the world: the turn and the position of the call that solved each node. The tally is what was
played: counts that refused messages change too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from palaestra.envs.core.typed import fits, typed
from palaestra.envs.toolforge.instance import Instance, Node
from palaestra.envs.toolforge.published import rewards_of_calls
from palaestra.results.metrics import SHARE, Metric
from palaestra.types import Json, ToolCall, ToolResult

Scheme = Literal["f1", "precision", "recall", "pr"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
MAX_REMEMBERED = 256
"""Calls that are remembered to find repeated ones."""
EMPTY, MARKUP, ALL_SOLVED = -0.5, -0.3, 0.5
"""The paper's rewards of an empty message, of marks of calls without a call, of a wrong answer when all is solved."""

METRICS = (
    Metric("solve_f1", "higher", SHARE, "2 x solved / (calls + expected): the paper's Solve-F1.", lead=True),
    Metric("solve_precision", "higher", SHARE, "Solved per call; without calls 1 as published, 0 under strict."),
    Metric("solve_recall", "higher", SHARE, "Solved of all expected answers: the paper's Solve-R.", lead=True),
    Metric("solve_ordered", "higher", SHARE, "The same, counting an answer only after those that it depends on."),
    Metric("final_correct", "higher", SHARE, "Whether the final answer was right.", lead=True),
    Metric("calls", "", "", "Calls of tools, refused ones included."),
    Metric("failed_calls", "lower", "", "Calls with another status than ok."),
    Metric("redundant_calls", "lower", "", "Calls that were made before with the same arguments."),
    Metric("parallelism", "", "", "Most calls of one message."),
)

Solved = dict[str, list[int]]
"""Turn and position of the call that solved a node, by its id."""


@dataclass
class Tally:
    """Counts of an episode.

    Attributes:
        turns: Messages with calls.
        calls: All calls.
        failed: Calls with another status than ok.
        seen: Digests of the last calls.
        redundant: Calls that were made before.
        widest: Most calls of one message.
        final_correct: Whether the final answer was given and right.
    """

    turns: int = 0
    calls: int = 0
    failed: int = 0
    seen: list[str] = field(default_factory=list)
    redundant: int = 0
    widest: int = 0
    final_correct: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Tally:
        """Rebuild from `to_json`.

        Raises:
            TypeError: If it is something else, or a count is negative.
        """
        tally = typed(cls, data)
        if min(tally.turns, tally.calls, tally.failed, tally.redundant, tally.widest) < 0:
            raise TypeError("a count of the tally is negative")
        return tally

    def to_json(self) -> dict[str, Json]:
        """Return plain data."""
        return asdict(self)

    def note(self, calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> None:
        """Count the calls of a message; `results` are as many."""
        self.turns += 1
        self.calls += len(calls)
        self.widest = max(self.widest, len(calls))
        self.failed += sum(result.status != "ok" for result in results)
        for call in calls:
            arguments = call.arguments if isinstance(call.arguments, str) else dict(call.arguments)
            mark = _mark([call.name, arguments])
            self.redundant += mark in self.seen
            self.seen.append(mark)
        del self.seen[:-MAX_REMEMBERED]


def open_nodes(instance: Instance, solved: Mapping[str, Any]) -> list[Node]:
    """Return the nodes that are not solved, in their order."""
    return [node for node in instance.nodes if node.id not in solved]


def solved_of(instance: Instance, data: Json) -> Solved:
    """Return the solved nodes of a saved state.

    Raises:
        TypeError: If it is something else, or names nodes that the instance does not have.
    """
    if not fits(data, dict[str, tuple[int, int]]) or min((min(place) for place in data.values()), default=0) < 0:
        raise TypeError("what is solved is not turns and positions by node")
    if unknown := [node for node in data if all(node != one.id for one in instance.nodes)]:
        raise TypeError(f"the node {unknown[0][:40]!r} is solved and does not exist")
    return {node: list(place) for node, place in data.items()}


def measures(instance: Instance, solved: Solved, tally: Tally, *, no_calls: float) -> dict[str, float]:
    """Return the values of `METRICS`.

    Args:
        instance: The instance.
        solved: What is solved.
        tally: What was played.
        no_calls: Precision of an episode without calls.
    """
    expected, found = len(instance.nodes), len(solved)
    ordered = sum(_is_ordered(node, solved) for node in instance.nodes)
    return {
        "solve_f1": 2 * found / (tally.calls + expected) if tally.calls + expected else 1.0,
        "solve_precision": found / tally.calls if tally.calls else no_calls,
        "solve_recall": found / expected if expected else 1.0,
        "solve_ordered": ordered / expected if expected else 1.0,
        "final_correct": float(tally.final_correct),
        "calls": float(tally.calls),
        "failed_calls": float(tally.failed),
        "redundant_calls": float(tally.redundant),
        "parallelism": float(tally.widest),
    }


def reward_of_calls(solved: int, calls: int, scheme: Scheme) -> float:
    """Return the paper's reward of a message with calls.

    Args:
        solved: Nodes that it solved.
        calls: Its calls, at least 1.
        scheme: One of `SCHEMES`.
    """
    name = {"f1": "solve_f1", "precision": "solve_precision", "recall": "solve_rate", "pr": "solve_pr"}[scheme]
    return float(rewards_of_calls(solved, calls)[name])


def reward_of_answer(*, is_correct: bool, num_open: int, no_free_guess: bool) -> float:
    """Return the paper's reward of a final answer.

    Args:
        is_correct: Whether it is right.
        num_open: Nodes that are not solved.
        no_free_guess: Whether an answer brings nothing while nodes are open.
    """
    if num_open and no_free_guess:
        return 0.0
    if is_correct:
        return 1 / (1 + num_open)
    return 0.0 if num_open else ALL_SOLVED


def _mark(call: Json) -> str:
    """Return a short digest of a call, whatever characters it holds."""
    return hashlib.blake2b(json.dumps(call, sort_keys=True).encode(), digest_size=6).hexdigest()


def _is_ordered(node: Node, solved: Solved) -> bool:
    """Whether a node was solved after all that it depends on."""
    return node.id in solved and all(dep in solved and solved[dep] < solved[node.id] for dep in node.deps)


__all__ = [
    "METRICS",
    "SCHEMES",
    "Scheme",
    "Solved",
    "Tally",
    "measures",
    "open_nodes",
    "reward_of_answer",
    "reward_of_calls",
    "solved_of",
]
