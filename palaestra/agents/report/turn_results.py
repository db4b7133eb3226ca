"""Results of single requests inside an episode, as the transcript viewer shows them.

An environment whose steps carry `info["turn_result"]` (the step that ends a request) says there what was asked, what has
changed, what should have, and how that is scored. Here this becomes one block a request: what the agent did for it, a table of
the leaves concerned, and the scores beside those of doing nothing. Whatever part is absent or odd is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palaestra.types import Json, Message, Step

MAX_ROWS = 80
"""Leaves in the table of one request; the rest is counted."""
MAX_VALUE_CHARS = 160
"""Characters of one value in the table."""

_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_COUNTS = (("rounds", "round"), ("calls", "call"), ("failed_calls", "failed call"), ("writes", "write"))
_UNCHANGED, _ABSENT, _REMOVED = "unchanged", "absent", "removed"


def request_block(result: Any, acts: Sequence[str], clip: Callable[[str], str]) -> dict[str, Json] | None:
    """Return one request as the viewer reads it.

    Args:
        result: What the environment reported in `info["turn_result"]`.
        acts: What the agent did for this request, message by message.
        clip: Cuts texts that are too long for a report.

    Returns:
        Plain data; None if `result` is no such report.
    """
    if not isinstance(result, Mapping):
        return None
    rows = _rows(result)
    scores = result.get("scores")
    return {
        "index": result["index"] if isinstance(result.get("index"), int) else None,
        "request": clip(str(result.get("request") or "")),
        "kinds": _texts(result.get("kinds")),
        "modules": _texts(result.get("selected")) or _texts(result.get("modules")),
        "acts": [clip(act) for act in acts if act.strip()],
        "counts": [
            f"{result[key]} {name}{'' if result[key] == 1 else 's'}"
            for key, name in _COUNTS
            if isinstance(result.get(key), int) and (result[key] or key == "calls")
        ],
        "rows": rows[:MAX_ROWS],
        "more_rows": max(0, len(rows) - MAX_ROWS),
        "scores": _scores(scores) if isinstance(scores, Mapping) else [],
        "served": scores.get("turn_success") is True if isinstance(scores, Mapping) and "turn_success" in scores else None,
    }


def acts_of(step: Step) -> list[str]:
    """Return what a message did: its tool calls, else its fenced blocks, else its text."""
    action: Message = step.action
    if action.tool_calls:
        return [f"{call.name}({_arguments(call.arguments)})" for call in action.tool_calls]
    blocks = [block.strip() for block in _FENCED.findall(action.content)]
    return blocks or [action.content.strip()]


def _arguments(arguments: Any) -> str:
    """Return the arguments of a tool call as one would write them."""
    if not isinstance(arguments, Mapping):
        return str(arguments)
    return ", ".join(f"{name}={_shown(value)}" for name, value in arguments.items())


def _rows(result: Mapping[str, Any]) -> list[dict[str, Json]]:
    """Return the leaves that were to change or have changed, those that were to change first."""
    expected, changed = _changes(result.get("expected")), _changes(result.get("changed"))
    marks = {
        path: verdict
        for key, verdict in (("missing", "missing"), ("wrong", "wrong"), ("side_effects", "side effect"))
        for path in _texts(result.get(key))
    }
    rows: list[dict[str, Json]] = []
    for path in dict.fromkeys([*expected, *changed, *marks]):
        gold, agent = expected.get(path), changed.get(path)
        known = gold or agent or {}
        verdict = marks.get(path, "right" if path in expected else "side effect")
        rows.append(
            {
                "path": path,
                "before": _shown(known["old"]) if "old" in known else _ABSENT if known else "",
                "gold": _outcome(gold),
                "agent": _outcome(agent),
                "verdict": verdict,
            }
        )
    return rows


def _changes(rows: Any) -> dict[str, Mapping[str, Any]]:
    """Return changes by path; what is no change is skipped."""
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        return {}
    return {str(row["path"]): row for row in rows if isinstance(row, Mapping) and "path" in row}


def _outcome(change: Mapping[str, Any] | None) -> str:
    """Return what a leaf has become."""
    if change is None:
        return _UNCHANGED
    return _shown(change["new"]) if "new" in change else _REMOVED


def _shown(value: Any) -> str:
    """Return a value as text."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}..."


def _scores(scores: Mapping[str, Any]) -> list[dict[str, Json]]:
    """Return every score with that of doing nothing beside it, if there is one."""
    nothing = scores.get("do_nothing")
    beside = nothing if isinstance(nothing, Mapping) else {}
    return [
        {"name": str(name).replace("_", " "), "value": _score(value), "nothing": _score(beside.get(name))}
        for name, value in scores.items()
        if isinstance(value, bool | int | float) or (value is None and beside.get(name) is not None)
    ]


def _score(value: Any) -> str:
    """Return a score as text: yes and no, or a number; empty if there is none."""
    if value is None or not isinstance(value, bool | int | float):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _texts(values: Any) -> list[str]:
    """Return a list of texts; anything else counts as empty."""
    return [str(value) for value in values] if isinstance(values, Sequence) and not isinstance(values, str) else []
