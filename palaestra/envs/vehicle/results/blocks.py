"""Results of single requests inside an episode, as blocks of the transcript viewer.

The step that ends a request says in `info["request_result"]` what was asked, what has changed, what should have, and how that
is scored. Here this becomes one block: what the agent did for the request, a table of the leaves concerned, and the scores
with those of doing nothing below. Whatever part is absent or odd in a stored episode is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.vehicle.results.requests import request_result
from palaestra.results.tables import Mark, ResultTable, StepBlock
from palaestra.types import Message, Step, Trajectory

MAX_ROWS = 80
"""Leaves in the table of one request; the rest is counted."""
MAX_VALUE_CHARS = 160
"""Characters of one value in the table."""

_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_COUNTS = (("rounds", "round"), ("calls", "call"), ("failed_calls", "failed call"), ("writes", "write"))
_MARKS: Mapping[str, Mark] = {"right": "good", "wrong": "bad", "missing": "missing", "side effect": "extra"}
_UNCHANGED, _ABSENT, _REMOVED = "unchanged", "absent", "removed"


def request_blocks(trajectory: Trajectory) -> dict[int, list[StepBlock]]:
    """Return the block of each step that ends a request; it tells what was done since the request before."""
    blocks: dict[int, list[StepBlock]] = {}
    acts: list[str] = []
    for index, step in enumerate(trajectory.steps):
        acts += acts_of(step)
        block = request_block(request_result(step.info), acts)
        if block is not None:
            blocks[index] = [block]
            acts = []
    return blocks


def request_block(result: Any, acts: Sequence[str]) -> StepBlock | None:
    """Return one request as the viewer shows it.

    Args:
        result: What the environment reported in `info["request_result"]`.
        acts: What the agent did for this request, message by message.

    Returns:
        None if `result` is not such a report.
    """
    if not isinstance(result, Mapping):
        return None
    index, scores = result.get("index"), result.get("scores")
    scores = scores if isinstance(scores, Mapping) else {}
    served = scores.get("request_success") is True if "request_success" in scores else None
    counts = [
        f"{result[key]} {name}{'' if result[key] == 1 else 's'}"
        for key, name in _COUNTS
        if isinstance(result.get(key), int) and (result[key] or key == "calls")
    ]
    modules = _texts(result.get("selected")) or _texts(result.get("modules"))
    done = "\n".join(act for act in acts if act.strip())
    return StepBlock(
        title=f"Request {index + 1}" if isinstance(index, int) else "Request",
        verdict="" if served is None else "served exactly" if served else "not served exactly",
        mark="" if served is None else "good" if served else "bad",
        tags=tuple(_texts(result.get("kinds"))),
        notes=(*counts, *([f"modules {', '.join(modules)}"] if modules else [])),
        text=str(result.get("request") or ""),
        details=(("What was done for it", done),) if done else (),
        tables=(_leaves(result), *_score_tables(scores)),
    )


def acts_of(step: Step) -> list[str]:
    """Return the action of a message: its tool calls, else its fenced blocks, else its text."""
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


def _leaves(result: Mapping[str, Any]) -> ResultTable:
    """Return the leaves that were to change or have changed, those that were to change first."""
    expected, changed = _changes(result.get("expected")), _changes(result.get("changed"))
    verdicts = {
        path: verdict
        for key, verdict in (("missing", "missing"), ("wrong", "wrong"), ("side_effects", "side effect"))
        for path in _texts(result.get(key))
    }
    rows: list[tuple[str, ...]] = []
    for path in dict.fromkeys([*expected, *changed, *verdicts]):
        gold, agent = expected.get(path), changed.get(path)
        known = gold or agent or {}
        before = _shown(known["old"]) if "old" in known else _ABSENT if known else ""
        verdict = verdicts.get(path, "right" if path in expected else "side effect")
        rows.append((path, before, _outcome(gold), _outcome(agent), verdict))
    note = "" if rows else "Nothing was to change, and nothing changed."
    if len(rows) > MAX_ROWS:
        more = len(rows) - MAX_ROWS
        note = f"{more:,} further {'leaf' if more == 1 else 'leaves'} left out."
    shown = tuple(rows[:MAX_ROWS])
    return ResultTable(
        "What changed and what should have",
        ("State", "Before", "Gold", "Agent", ""),
        shown,
        note,
        text_columns=5,
        marks=tuple(_MARKS[row[-1]] for row in shown),
        quiet=(_UNCHANGED,),
    )


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


def _score_tables(scores: Mapping[str, Any]) -> list[ResultTable]:
    """Return every score with that of doing nothing below it, if there is one; no table without scores."""
    idle = scores.get("do_nothing")
    idle = idle if isinstance(idle, Mapping) else {}
    names = [
        name
        for name, value in scores.items()
        if isinstance(value, bool | int | float) or (value is None and idle.get(name) is not None)
    ]
    rows = [("agent", scores), ("doing nothing", idle)][: 2 if any(_score(idle.get(name)) for name in names) else 1]
    if not names:
        return []
    columns = ("", *(str(name).replace("_", " ") for name in names))
    cells = tuple((who, *(_score(values.get(name)) or "–" for name in names)) for who, values in rows)
    return [ResultTable("Scores of this request", columns, cells)]


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
