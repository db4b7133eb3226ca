"""The moment of an error: which call it befalls, what becomes of it, and what is written down of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from palaestra.envs.core.outermost import outermost
from palaestra.envs.wrappers.chance import generator_of
from palaestra.envs.wrappers.injection.episode import Injection
from palaestra.envs.wrappers.injection.mutators import corrupt
from palaestra.envs.wrappers.injection.outages import PAYLOADS, damaged, outage_message
from palaestra.envs.wrappers.injection.plans import Plan
from palaestra.envs.wrappers.injection.playing import failed_call, play_without
from palaestra.envs.wrappers.injection.reading import values_of
from palaestra.envs.wrappers.injection.taxonomy import SELECT, VALUE, family_of
from palaestra.envs.wrappers.injection.tool_list import is_right_call
from palaestra.envs.wrappers.injection.turn import Host
from palaestra.envs.wrappers.text_wrapper import Result
from palaestra.types import Message, ToolCall, ToolResult

FALLBACK = "service_unavailable"
"""What a damaged payload becomes where there is no result to damage."""


def strike(host: Host, injection: Injection, message: Message, answered: Mapping[int, ToolResult]) -> Result | None:
    """Play a message with the error of the plan in it; None if it holds no call that the error can befall.

    Args:
        host: The wrapper.
        injection: State of the episode; what is injected, or why nothing is, is written into it.
        message: The agent's message.
        answered: Results of calls that are not the environment's, by position.
    """
    plan, tools = injection.wanted, host.tools_by_name
    calls = [(i, call) for i, call in enumerate(message.tool_calls) if i not in answered]
    limit = getattr(host.env.unwrapped, "max_calls_per_turn", None)
    targets = [(i, call) for i, call in calls[:limit] if is_right_call(call, tools)]
    if not targets:
        injection.why = f"no call from step {plan.step} to step {injection.steps} was right by the schemas of its tool"
        return None
    rng = generator_of([*injection.key, "error", plan.seed])
    if family_of(plan.label) == "external":
        return _fail(host, injection, plan, message, targets[0], answered, rng)
    context = values_of(injection.texts) if plan.label in (SELECT, VALUE) else []
    for at, call in targets:
        made = corrupt(call, tools, plan.label, rng, kind=plan.kind, explicit=plan.explicit, context=context)
        if made is not None:
            wrong = replace(message, tool_calls=_with(message.tool_calls, at, made.call))
            # an error that a validator tells of changes nothing; the state is looked at only where one may have had an effect
            ask = None if made.explicit else outermost(host.env, "state_hash")
            before = ask() if callable(ask) else None
            result = play_without(host.env, wrong, answered) if answered else host.env.step(wrong)
            told = _result_at(result[4], at, wrong)
            is_explicit = made.explicit if told is None else told.status != "ok"
            _write_down(host, injection, plan, at, call, made.label, made.kind)
            assert injection.record is not None
            injection.record |= {
                "explicit": is_explicit,
                "changed": not is_explicit and (not callable(ask) or ask() != before),
                "wrong": made.call.to_json(),
                "played": wrong.to_json(),
                "result": None if told is None else told.to_json(),
            }
            injection.turn_failed = injection.turn if is_explicit else -1
            return result
    injection.why = f"no call up to step {injection.steps} could be made wrong as planned"
    return None


def _fail(
    host: Host,
    injection: Injection,
    plan: Plan,
    message: Message,
    target: tuple[int, ToolCall],
    answered: Mapping[int, ToolResult],
    rng: np.random.Generator,
) -> Result:
    """Let a service fail on one call of a message, and run the others."""
    at, call = target
    label, content = plan.label, None
    if label in PAYLOADS:
        content = _payload(host, injection, label, call, rng)
        label = label if content is not None else FALLBACK
    if content is None:
        told = failed_call(
            host.env.unwrapped, call, outage_message(label, call.name, rng), "timeout" if label == "timeout" else "error"
        )
    else:
        told = ToolResult(call.name, content, "error", call.id)
    _write_down(host, injection, plan, at, call, label, "payload" if content is not None else "message")
    assert injection.record is not None
    injection.record |= {"explicit": content is None, "result": told.to_json(), "failures": 1}
    injection.result = told.to_json()
    injection.left = -1 if plan.persistence == "always" else int(plan.persistence) - 1
    injection.turn_failed = injection.turn
    return play_without(host.env, message, {**answered, at: told})


def _write_down(host: Host, injection: Injection, plan: Plan, at: int, call: ToolCall, label: str, kind: str) -> None:
    """Write down what was injected."""
    injection.record = {
        "mode": host.mode,
        "label": label,
        "family": family_of(label),
        "kind": kind,
        "planned": plan.to_json(),
        "step": injection.steps,
        "turn": injection.turn,
        "index": at,
        "call": call.to_json(),
    }
    injection.gold = call.to_json()
    injection.turn_injected, injection.is_open, injection.why = injection.turn, True, ""


def _payload(host: Host, injection: Injection, label: str, call: ToolCall, rng: np.random.Generator) -> str | None:
    """Return a result that is not right: an earlier one, or the genuine one damaged; None if there is none."""
    if label == "stale_result":
        return next((content for name, content in reversed(injection.last) if name == call.name), None)
    genuine = _tried(host, call)
    return None if genuine is None else damaged(label, genuine, rng)


def _tried(host: Host, call: ToolCall) -> str | None:
    """Return what a call would give, the environment being as before afterwards; None if it cannot be told."""
    save, restore = outermost(host.env, "snapshot"), outermost(host.env, "restore")
    if not callable(save) or not callable(restore):
        return None
    before = save()
    try:
        info = host.env.step(Message("assistant", tool_calls=(call,)))[4]
    finally:
        restore(before)
    told = _result_at(info, 0, Message("assistant", tool_calls=(call,)))
    return told.content if told is not None and told.status == "ok" else None


def _result_at(info: Mapping[str, Any], at: int, message: Message) -> ToolResult | None:
    """Return the result of one call, None if the environment tells none."""
    results: Sequence[ToolResult] = info.get("tool_results") or ()
    return results[at] if len(results) == len(message.tool_calls) else None


def _with(calls: tuple[ToolCall, ...], at: int, call: ToolCall) -> tuple[ToolCall, ...]:
    """Return calls with another one at a position."""
    return (*calls[:at], call, *calls[at + 1 :])


__all__ = ["FALLBACK", "strike"]
