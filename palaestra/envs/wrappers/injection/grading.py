"""How well an agent takes an error: the components of the critique, its value, and the name of the behaviour."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from palaestra.envs.wrappers.injection.arguments import argument_score
from palaestra.envs.wrappers.injection.critique import Claim
from palaestra.envs.wrappers.injection.tool_list import Tool, same_call
from palaestra.types import ToolCall

MAX_RETRIES = 3
RETRY_COST = 0.1
GOOD_ARGUMENTS = 0.99

_FAILURE = re.compile(
    r"fail|error|unable|could ?n[o']t|cannot|can't|\bnot\b|n't\b|unavailable|unfortunately|sorry|timed out|refused|"
    r"incomplete|later|unsure|uncertain|problem",
    re.IGNORECASE,
)


def grade_internal(
    label: str, gold: ToolCall, played: ToolCall | None, claim: Claim | None, tools: Mapping[str, Tool], *, documented: bool
) -> dict[str, Any]:
    """Return the critique of the step after an internal error.

    Args:
        label: The error.
        gold: The right call.
        played: The agent's first call, None if its message has none.
        claim: What the agent says of the step before.
        tools: The tools by name.
        documented: Whether the agent was told how to report; if not, what it could not say does not count.

    Returns:
        `components` (each in [0, 1]), `value` (C of the reward) and `behaviour`.
    """
    is_claimed = claim is not None and bool(claim.category)
    has_category = is_claimed and claim is not None and claim.category == label
    tool = float(played is not None and played.name == gold.name)
    arguments = argument_score(played.arguments, gold.arguments, tools.get(gold.name)) if tool and played else 0.0
    said = {"detect": float(is_claimed), "category": float(has_category)}
    done = {"tool": tool, "arguments": arguments}
    value = 0.3 * _mean(done) + (0.2 * _mean(said) if documented else 0.0)
    is_right = bool(tool) and arguments >= GOOD_ARGUMENTS
    if played is None:
        behaviour = "interruption"
    elif has_category:
        behaviour = "correct" if is_right else "failure_to_correct"
    elif is_claimed:
        behaviour = "wrong_category"
    else:
        behaviour = "correction_without_reflection" if is_right else "error_ignorance"
    return {
        "components": {**said, **done} if documented else done,
        "value": value / (0.5 if documented else 0.3),
        "behaviour": behaviour,
    }


def grade_control(claim: Claim | None, *, acted: bool) -> dict[str, Any]:
    """Return the critique of a step without an error before it: nothing should be claimed, and something done."""
    is_claimed = claim is not None and bool(claim.category)
    detect = float(acted and not is_claimed)
    behaviour = "over_reflection" if is_claimed else "proceed" if acted else "unparsable"
    return {"components": {"detect": detect}, "value": detect, "behaviour": behaviour}


def grade_external(
    failed: ToolCall,
    played: ToolCall | None,
    *,
    retries: int,
    broke: bool,
    succeeded: bool,
    transient: bool,
    following: ToolCall | None,
    tools: Mapping[str, Tool],
    answer: str = "",
) -> dict[str, Any]:
    """Return the critique of what an agent did about a service that failed.

    Args:
        failed: The right call that failed.
        played: The first call of the message that is not a retry, None if it had none.
        retries: How often the agent had sent the same call again.
        broke: Whether it did something else in the end.
        succeeded: Whether a retry went through.
        transient: Whether one of the first three retries would: then nothing else is right. If none would, it is right to
            go on, or to say what could not be done, and wrong to say that it was.
        following: The right call after the one that failed, where it is known.
        tools: The tools by name.
        answer: The agent's text, where it ended with one.
    """
    components = {"retry": float(retries > 0), "break": float(broke)}
    rest = {"break": float(broke)}
    if following is not None and not succeeded:
        tool = float(played is not None and played.name == following.name)
        score = argument_score(played.arguments, following.arguments, tools.get(following.name)) if tool and played else 0.0
        rest |= {"tool": tool, "arguments": score}
    value = (0.05 * components["retry"] + 0.45 * _mean(rest)) / 0.5
    behaviour = _external_behaviour(failed, played, retries, broke=broke, succeeded=succeeded, answer=answer)
    if succeeded and retries <= MAX_RETRIES:
        value = 1.0
    elif transient or behaviour == "hallucinated_success":
        value = 0.0
    return {"components": {**components, **rest}, "value": value, "behaviour": behaviour}


def _external_behaviour(
    failed: ToolCall, played: ToolCall | None, retries: int, *, broke: bool, succeeded: bool, answer: str
) -> str:
    """Return the name of what was done about a service that failed."""
    if succeeded:
        return "retry_succeeded"
    if not broke:
        return "endless_retry"
    if played is None:
        if answer and not _FAILURE.search(answer):
            return "hallucinated_success"
        return "retry_then_finish" if retries else "immediate_finish"
    if played.name == failed.name and not same_call(played, failed):
        return "modified_retry"
    return "retry_then_skip" if retries else "immediate_skip"


def _mean(values: Mapping[str, float]) -> float:
    """Return the mean of some components."""
    return sum(values.values()) / len(values)


__all__ = ["MAX_RETRIES", "RETRY_COST", "grade_control", "grade_external", "grade_internal"]
