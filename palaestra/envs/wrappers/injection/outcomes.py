"""What follows an error: the grade of the answer to it, whether the agent recovered, rewards, and what infos tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.wrappers.injection.episode import Injection
from palaestra.envs.wrappers.injection.grading import (
    MAX_RETRIES,
    RETRY_COST,
    grade_control,
    grade_external,
    grade_internal,
)
from palaestra.envs.wrappers.injection.tool_list import same_call
from palaestra.envs.wrappers.injection.turn import Host, Turn
from palaestra.envs.wrappers.text_wrapper import Result
from palaestra.types import ToolCall, ToolResult

MAX_LAST = 8  # results that may come back as stale ones
MAX_RESULT_CHARS = 2_000


def follow(host: Host, injection: Injection, turn: Turn | None, result: Result) -> Result:
    """Return the result of a step with what the error brings: infos and reward.

    Args:
        host: The wrapper.
        injection: State of the episode, after the step was played.
        turn: What the agent sent; None if nothing can come of it any more.
        result: What the environment returned.
    """
    observation, reward, terminated, truncated, info = result
    is_over, is_new = terminated or truncated, injection.turn_injected == injection.turn
    told: dict[str, Any] = {}
    value, is_said, before = 0.0, False, injection.critique
    if turn is None:
        is_said = injection.turn_recovered is None and bool(info.get("success"))
        injection.turn_recovered = injection.turn if is_said else injection.turn_recovered
    elif injection.record is not None:
        ran = not is_new and _went_through(injection, turn, info)
        if is_new or injection.turn_failed == injection.turn:
            told["injection"] = dict(injection.record) if is_new else _again(injection)
        if not is_new:
            value, is_said = _graded(host, injection, turn, info, ran=ran, is_over=is_over)
        if injection.turn_recovered is None and (ran or bool(info.get("success"))):
            injection.turn_recovered, is_said = injection.turn, True
    elif not injection.label:
        value, is_said = _graded_control(host, injection, turn, info)
    elif is_over:
        told["injection"] = {"mode": host.mode, "planned": dict(injection.plan), "why": why_nothing(injection)}
    is_graded = injection.critique is not before
    if is_said or (is_over and (injection.record is not None)):
        told["critique"] = _critique(injection) | ({} if is_said else {"again": True})
    injection.note(observation)
    _keep_results(injection, info.get("tool_results") or ())
    if value or is_graded or host.w_task != 1.0:
        parts = info.get("reward_parts") or {"task": float(reward)}
        told["reward_parts"] = {name: host.w_task * part for name, part in parts.items()} | {"critic": host.w_critic * value}
        reward = host.w_task * float(reward) + host.w_critic * value
    return observation, reward, terminated, truncated, {**info, **told} if told else info


def why_nothing(injection: Injection) -> str:
    """Return why an episode ended without its error."""
    step = injection.plan["step"]
    return injection.why or f"the episode ended after {injection.steps} steps with calls, before step {step}"


def _graded(
    host: Host, injection: Injection, turn: Turn, info: Mapping[str, Any], *, ran: bool, is_over: bool
) -> tuple[float, bool]:
    """Grade the answer to an error if this is it; return what is paid, and whether there is anything to say."""
    gold, record = injection.right_call, injection.record
    assert gold is not None
    assert record is not None
    calls = [call for _, call in turn.calls]
    played = calls[0] if calls else None
    if injection.family == "internal":
        if not injection.is_open:
            return 0.0, False
        documented = host.critique is not None
        grade = grade_internal(record["label"], gold, played, turn.claim, host.tools_by_name, documented=documented)
        if turn.message is None:
            grade["behaviour"] = "unparsable"
        return _close(injection, turn, grade), True
    is_retry = any(same_call(call, gold) for call in calls)
    extra = -RETRY_COST if is_retry and injection.retries > MAX_RETRIES and injection.turn_recovered is None else 0.0
    if not injection.is_open:
        return extra, False
    if is_retry and not ran and injection.retries <= MAX_RETRIES and not is_over:
        return extra, False
    following = None if injection.following is None else ToolCall.from_json(injection.following)
    grade = grade_external(
        gold,
        played,
        retries=injection.retries,
        broke=not is_retry,
        succeeded=ran,
        transient=_is_transient(record),
        following=following,
        tools=host.tools_by_name,
        answer="" if turn.message is None else turn.message.content,
    )
    return _close(injection, turn, grade) + extra, True


def _graded_control(host: Host, injection: Injection, turn: Turn, info: Mapping[str, Any]) -> tuple[float, bool]:
    """Grade the step without an error that an agent might take for one; only where critiques are asked for."""
    if host.critique is None or injection.critique is not None:
        return 0.0, False
    injection.steps += bool(turn.calls)
    at = injection.plan["step"]
    if host.mode != "prefix" and (at == "random" or injection.steps <= at) and turn.calls:
        return 0.0, False
    grade = grade_control(turn.claim, acted=turn.message is not None and not info.get("action_error"))
    return _close(injection, turn, grade), True


def _close(injection: Injection, turn: Turn, grade: dict[str, Any]) -> float:
    """Keep a grade and return its value."""
    claim = None if turn.claim is None else turn.claim.category
    injection.critique = {**grade, "claim": claim}
    injection.is_open = False
    return float(grade["value"])


def _critique(injection: Injection) -> dict[str, Any]:
    """Return what is said of the answer to an error so far."""
    recovered = injection.turn_recovered
    told: dict[str, Any] = {**(injection.critique or {}), "retries": injection.retries}
    if injection.record is not None:
        told |= {
            "recovered": recovered is not None,
            "steps_to_recovery": None if recovered is None else recovered - injection.turn_injected,
        }
    return told


def _is_transient(record: Mapping[str, Any]) -> bool:
    """Whether a call that failed goes through within the retries that are free."""
    persistence = record["planned"]["persistence"]
    return persistence != "always" and int(persistence) <= MAX_RETRIES


def _again(injection: Injection) -> dict[str, Any]:
    """Return what is told of a call that fails again."""
    record = injection.record
    assert record is not None
    record["failures"] += 1
    return {
        **{key: record[key] for key in ("mode", "label", "family", "kind", "call", "result", "failures")},
        "turn": injection.turn,
        "again": True,
    }


def _went_through(injection: Injection, turn: Turn, info: Mapping[str, Any]) -> bool:
    """Whether the right call was run in this step and went through."""
    gold = injection.right_call
    assert gold is not None
    if injection.turn_failed == injection.turn or turn.message is None:
        return False
    results: Sequence[ToolResult] = info.get("tool_results") or ()
    if len(results) != len(turn.message.tool_calls):
        return not info.get("action_error") and any(same_call(call, gold) for _, call in turn.calls)
    return any(same_call(call, gold) and results[i].status == "ok" for i, call in turn.calls)


def _keep_results(injection: Injection, results: Sequence[ToolResult]) -> None:
    """Keep what tools have said, for results that come back stale."""
    if injection.record is not None:
        return
    kept = [[result.name, result.content[:MAX_RESULT_CHARS]] for result in results if result.status == "ok"]
    injection.last = [*injection.last, *kept][-MAX_LAST:]


__all__ = ["follow", "why_nothing"]
