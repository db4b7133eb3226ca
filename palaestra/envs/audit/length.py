"""How long an episode is, and what it costs in tokens, by the form in which actions are written.

Tokens are estimated as UTF-8 bytes / 4: no tokenizer is part of this package, and what counts here is the ratio.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from palaestra.envs.audit.card import Point, not_judged, passed, warned
from palaestra.envs.audit.play import Play, as_text
from palaestra.envs.audit.subject import Subject
from palaestra.envs.core.actions import read_message
from palaestra.envs.formats.action_format import ActionFormat
from palaestra.envs.formats.registry import ACTION_FORMATS
from palaestra.errors import UsageError
from palaestra.types import Json, Message, plain

BYTES_PER_TOKEN = 4
MAX_TOKENS = 32_000
"""Tokens of the longest episode from which on it is a warning: many models are given no more."""


def facts(subject: Subject) -> dict[str, Json]:
    """Return steps of the expert's solutions (`mean`, `median`, `most`), and estimated tokens by form of actions.

    `by_format` has for each form: `prompt` (instructions, explanation of the form, tools), `first` (first observation),
    `written` (all actions), `read` (what is sent over all turns, the whole dialogue in each), `read_once` (the same where
    nothing is sent twice).
    """
    solved = [plan for plan in subject.solved if plan.steps]
    if not solved:
        return {"steps": None, "by_format": {}}
    steps = sorted(len(plan.steps) for plan in solved)
    forms = {"text": _mean([_cost(plan, None) for plan in solved])}
    for name, form in ACTION_FORMATS.items():
        if name != "text" and all(_expresses(form, plan) for plan in solved[:1]) and _calls(solved[0]):
            costs = [cost for plan in solved if (cost := _written(plan, form)) is not None]
            forms |= {name: _mean(costs)} if costs else {}
    if subject.tools:
        sizes = [_size(json.dumps(plain(list(plan.info.get("tools") or ())))) for plan in solved]
        forms["tools"] = _mean([_cost(plan, None, size) for plan, size in zip(solved, sizes, strict=True)])
    counted = {"mean": sum(steps) / len(steps), "median": steps[len(steps) // 2], "most": steps[-1]}
    return {"steps": counted, "by_format": forms}


def judge_length(subject: Subject) -> list[Point]:
    """Say how long the expert's episodes are, and whether they fit into usual contexts."""
    name, solved = "length", [plan for plan in subject.solved if plan.steps]
    if not solved:
        return [not_judged(name, "The expert solves no task, so how long a solution is is not known.")]
    steps = [len(plan.steps) for plan in solved]
    longest = max(_cost(plan, None)["read_once"] for plan in solved)
    said = f"A solution takes {sum(steps) / len(steps):.1f} steps on average and {max(steps)} at most"
    said += f"; the longest episode has about {longest:,.0f} tokens"
    limit = getattr(subject.env.unwrapped, "max_turns", None)
    if isinstance(limit, int) and max(steps) >= limit:
        return [warned(name, f"{said}; the turn limit of {limit} leaves no room for a detour.")]
    return [(warned if longest > MAX_TOKENS else passed)(name, f"{said}.")]


def _size(text: str) -> float:
    """Return the estimated tokens of a text."""
    return len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN


def _cost(plan: Play, actions: Sequence[str] | None, extra: float = 0.0) -> dict[str, float]:
    """Return the estimated tokens of a plan's episode.

    Args:
        plan: What was played.
        actions: How its actions are written; as they were played by default.
        extra: Tokens of the prompt in addition to the instructions.
    """
    prompt = _size(str(plan.info.get("instructions") or "")) + extra
    written = [_size(text) for text in ([as_text(action) for action in plan.actions] if actions is None else actions)]
    shown = [_size(str(plan.observation)), *(_size(str(step.observation)) for step in plan.steps)]
    sent, context = 0.0, prompt
    for observation, action in zip(shown, written, strict=False):
        context += observation
        sent += context
        context += action
    return {"prompt": prompt, "first": shown[0], "written": math.fsum(written), "read": sent, "read_once": context}


def _calls(plan: Play) -> bool:
    """Whether a plan acts by calls of tools."""
    return bool(plan.info.get("tools")) and bool(_message(plan.actions[0]).tool_calls)


def _message(action: object) -> Message:
    """Return the message that an action stands for."""
    return action if isinstance(action, Message) else read_message(str(action))


def _expresses(form: ActionFormat, plan: Play) -> bool:
    """Whether a form can write a plan."""
    return _written(plan, form) is not None


def _written(plan: Play, form: ActionFormat) -> dict[str, float] | None:
    """Return the cost of a plan in a form; None if it cannot express it."""
    tools = list(plan.info.get("tools") or ())
    try:
        texts = [form.write(_message(action), tools) for action in plan.actions]
        return _cost(plan, texts, _size(form.describe(tools)))
    except (UsageError, KeyError, TypeError):  # a tool of others may have a schema that a form cannot show
        return None


def _mean(costs: Sequence[dict[str, float]]) -> dict[str, Json]:
    """Return the means of some costs, in whole tokens."""
    return {name: round(sum(cost[name] for cost in costs) / len(costs)) for name in costs[0]}


__all__ = ["facts", "judge_length"]
