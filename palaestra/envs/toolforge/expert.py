"""The expert of ToolForge: golden calls level by level, then the answer; with noise, some calls go wrong first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palaestra.envs.core.snapshots import digest
from palaestra.envs.toolforge.answers import leaves
from palaestra.envs.toolforge.instance import Instance, Node
from palaestra.envs.toolforge.rows import answer_text
from palaestra.types import Json, ToolCall


def ready_nodes(nodes: Sequence[Node], solved: Sequence[str]) -> list[Node]:
    """Return the nodes that can be asked for next: their golden call is known, and all that it needs is solved."""
    done = set(solved)
    return [node for node in nodes if node.id not in done and node.golden_args is not None and done.issuperset(node.deps)]


def answer_of(instance: Instance, *, is_published: bool) -> str:
    """Return the final answer as text; values of one word are joined without spaces, which small models copy more easily."""
    answer = instance.final.answer
    if not is_published and isinstance(answer, list) and all(isinstance(part, str) and part.isalnum() for part in answer):
        return ",".join(answer)
    return answer_text(answer)


def noisy(instance: Instance, call: ToolCall, noise: float, turn: int, place: int) -> ToolCall:
    """Return a call, or with some chance a wrong one in its place: another value in it, or another tool.

    Args:
        instance: The instance.
        call: The golden call.
        noise: Chance of a wrong call, 0 to 1.
        turn: Number of the turn; with `place` and the instance's id it decides what happens.
        place: Position of the call in the message.
    """
    if not noise:
        return call
    rng = np.random.default_rng(int(digest([instance.id, turn, place])[:16], 16))
    if rng.random() >= noise:
        return call
    others = [name for name in instance.tool_names() if name != call.name]
    values = _other_values(instance, call)
    arguments = dict(call.arguments) if not isinstance(call.arguments, str) else {}
    if others and (not values or rng.random() < 0.5):
        return ToolCall(others[int(rng.integers(len(others)))], arguments)
    if not values:
        return call
    other = values[int(rng.integers(len(values)))]
    return ToolCall(call.name, {name: _replaced(value, other) for name, value in arguments.items()})


def _other_values(instance: Instance, call: ToolCall) -> list[str]:
    """Return texts of the instance that a wrong call may hold: keys of the tool's table, and arguments of other calls."""
    own = set(leaves(call.arguments)) if not isinstance(call.arguments, str) else set()
    implementation = instance.impl.get(call.name)
    found: list[str] = []
    if implementation is not None and implementation.kind == "table":
        tables = implementation.spec.get("tables")
        for table in tables.values() if isinstance(tables, dict) else ():
            rows = table.get("rows") if isinstance(table, dict) else None
            found += [str(row[0]) for row in rows.values() if isinstance(row, list) and row] if isinstance(rows, dict) else []
    for node in instance.nodes:
        found += [value for value in (node.golden_args or {}).values() if isinstance(value, str)]
    return [value for value in dict.fromkeys(found) if value not in own]


def _replaced(value: Json, other: str) -> Json:
    """Return a value with another text in place of a text, in lists and objects too."""
    if isinstance(value, dict):
        return {key: _replaced(inner, other) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, other) for inner in value]
    return other if isinstance(value, str) else value


__all__ = ["answer_of", "noisy", "ready_nodes"]
