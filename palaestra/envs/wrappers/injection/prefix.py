"""Mode "prefix": the expert plays the beginning of an episode, and the agent takes over after a step with an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from palaestra.envs.core.outermost import outermost
from palaestra.envs.core.text_env import TextEnv
from palaestra.envs.formats.hermes import format_message
from palaestra.envs.wrappers.chance import generator_of
from palaestra.envs.wrappers.injection.episode import Injection
from palaestra.envs.wrappers.injection.reading import read_action
from palaestra.envs.wrappers.injection.striking import strike
from palaestra.envs.wrappers.injection.turn import Host
from palaestra.envs.wrappers.text_wrapper import Action
from palaestra.types import Json, Message

MAX_GOLDEN = 200  # actions of the expert that are looked at

Start = tuple[str, dict[str, Any]]


class _Golden(NamedTuple):
    """An action of the expert, as it was said and as a message."""

    action: Action
    message: Message


def present(host: Host, injection: Injection, start: Start, *, seed: int | None, options: dict[str, Any] | None) -> Start:
    """Play the beginning of an episode that was just reset, with the error of its plan, and return what the agent sees.

    Args:
        host: The wrapper.
        injection: State of the episode.
        start: Observation and info of the reset.
        seed: Seed of the reset.
        options: Options of the reset.

    Returns:
        Observation and info, those of the reset if nothing can be injected; `injection.why` then says why.
    """
    golden = _golden_plan(host)
    start = _again(host, start, seed, options)
    steps = [i for i, one in enumerate(golden) if one.message.tool_calls]
    wanted = injection.wanted.step
    if wanted == "random" and steps:
        wanted = 1 + int(generator_of([*injection.key, "step"]).integers(len(steps)))
        injection.plan["step"] = wanted
    if not steps or wanted == "random" or wanted > len(steps):
        injection.plan["step"] = 1 if wanted == "random" else wanted
        return _nothing(injection, start, f"the expert's plan has {len(steps)} steps with calls")
    last = steps[wanted - 1]
    shown: list[str] = []
    history: list[Json] = []
    observation, info = start
    for at, one in enumerate(golden[: last + 1]):
        injection.steps += bool(one.message.tool_calls)
        if at == last and injection.label:
            result = strike(host, injection, one.message, {})
            if result is None:
                return _nothing(injection, _again(host, start, seed, options), injection.why)
        else:
            result = host.env.step(one.action)
        reply, _, terminated, truncated, told = result
        if terminated or truncated:
            injection.record = injection.gold = injection.result = None
            return _nothing(injection, _again(host, start, seed, options), f"the episode ended with step {injection.steps}")
        host.offer(told)
        if isinstance(host.env.unwrapped, TextEnv):
            host.env.unwrapped.count_turns_from_here()
        played = one.message
        if injection.record is not None and "played" in injection.record:
            played = Message.from_json(injection.record["played"])
        shown += [format_message(played), reply]
        results = [result.to_json() for result in told.get("tool_results") or ()]
        history.append({"message": played.to_json(), "results": results, "observation": reply})
        injection.note(reply)
    following = next((one.message for one in golden[last + 1 :] if one.message.tool_calls), None)
    injection.following = None if following is None else following.tool_calls[0].to_json()
    told = {} if injection.record is None else {"injection": dict(injection.record)}
    told |= {"opening": observation, "history": history}
    observation = "\n\n".join([observation, "What you have done so far, and what came of it:", *shown])
    return observation, {**info, "tools": list(host.schemas), **told}


def _golden_plan(host: Host) -> list[_Golden]:
    """Play the expert to the end of the episode and return its actions."""
    ask = outermost(host.env, "expert")
    golden: list[_Golden] = []
    if not callable(ask):
        return golden
    for action in ask():
        message = read_action(host.env.unwrapped, action, host.schemas)
        golden.append(_Golden(action, Message("assistant", str(action)) if message is None else message))
        _, _, terminated, truncated, info = host.env.step(action)
        host.offer(info)
        if terminated or truncated or len(golden) >= MAX_GOLDEN:
            break
    return golden


def _again(host: Host, start: Start, seed: int | None, options: dict[str, Any] | None) -> Start:
    """Begin the same episode again: by its seed, else by the key of its task."""
    if seed is not None:
        start = host.env.reset(seed=seed, options=options)
    else:
        task = start[1].get("task")
        rest = {name: value for name, value in (options or {}).items() if name != "split"}
        named: Mapping[str, Any] = {} if not isinstance(task, Mapping) or "task" in rest else {"task": task["key"]}
        start = host.env.reset(options={**rest, **named})
    host.offer(start[1])
    return start


def _nothing(injection: Injection, start: Start, why: str) -> Start:
    """Hand an episode over as it began, and say why."""
    injection.why, injection.steps = why, 0
    injection.turn_injected = injection.turn_failed = -1
    injection.is_open, injection.texts = False, [start[0][:4_000]]
    return start


__all__ = ["present"]
