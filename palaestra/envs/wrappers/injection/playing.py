"""Playing a message of which some calls are not run: they have results already, in the environment's own form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium

from palaestra.envs.core.text_env import TextEnv
from palaestra.envs.formats.hermes import format_results
from palaestra.envs.wrappers.text_wrapper import Env, Result
from palaestra.types import Message, ToolCall, ToolResult, ToolStatus


def failed_call(env: gymnasium.Env[Any, Any], call: ToolCall, problem: str, status: ToolStatus = "error") -> ToolResult:
    """Return the result of a call that a service failed on, in the form of the unwrapped environment."""
    if isinstance(env, TextEnv):
        return env.failed_call(call, problem, status)
    return ToolResult(call.name, f"Error: {problem}", status, call.id)


def play_without(env: Env, message: Message, answered: Mapping[int, ToolResult]) -> Result:
    """Play a message without the calls that have a result already, and tell all results in order.

    If no call is left, the environment is given a message that it refuses: that costs a turn and changes nothing. (One that
    is not a `TextEnv` is not asked at all.)

    Args:
        env: The wrapped environment.
        message: Its calls; those at the positions in `answered` are not run.
        answered: Results by position.
    """
    calls = message.tool_calls
    left = [i for i in range(len(calls)) if i not in answered]
    inner = env.unwrapped
    if left:
        observation, reward, terminated, truncated, info = env.step(replace(message, tool_calls=tuple(calls[i] for i in left)))
        given = list(info.get("tool_results") or ())
        if len(given) != len(left):  # the message was refused as a whole, or tells no results
            return observation, reward, terminated, truncated, info
        by_place = {**dict(zip(left, given, strict=True)), **answered}
        observation, results = _told(inner, [by_place[i] for i in range(len(calls))])
        return observation, reward, terminated, truncated, {**info, **_outcome(results)}
    text, results = _told(inner, [answered[i] for i in range(len(calls))])
    if not isinstance(inner, TextEnv):
        quiet = {"score": 0.0, "success": False, "stop_reason": "", "reward_parts": {"task": 0.0}}
        return text, 0.0, False, False, {**quiet, **_outcome(results)}
    observation, reward, terminated, truncated, info = env.step(replace(message, error=text or " "))
    return observation if text else text, reward, terminated, truncated, {**info, **_outcome(results)}


def _told(env: gymnasium.Env[Any, Any], results: Sequence[ToolResult]) -> tuple[str, tuple[ToolResult, ...]]:
    """Return the observation that results make, and the results as they are told."""
    return env.answer_calls(results) if isinstance(env, TextEnv) else (format_results(results), tuple(results))


def _outcome(results: Sequence[ToolResult]) -> dict[str, Any]:
    """Return the part of an info that tells of calls."""
    failed = all(result.status != "ok" for result in results)
    return {
        "tool_results": tuple(results),
        "action_error": "\n".join(result.content for result in results) or "nothing came back" if failed else "",
    }


__all__ = ["failed_call", "play_without"]
