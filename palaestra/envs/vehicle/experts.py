"""The expert of each mode: the gold plan of the present request, said as the mode wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from palaestra.envs.formats.hermes import ensure_call_ids
from palaestra.envs.vehicle import tools as native
from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, PRESETS
from palaestra.envs.vehicle.protocol import MAX_SELECTED
from palaestra.envs.vehicle.reference import carry_out
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.envs.vehicle.writes import Write, format_writes, writes_between
from palaestra.types import Message, ToolCall

if TYPE_CHECKING:
    from palaestra.envs.vehicle.env import VehicleWorldEnv

DONE = "Done."
DECLINE = "Nothing has to be changed."

_STATE_KINDS = frozenset({"inform", "refuse", "already", "unmet", "no_action"})
_SPEAKER_KINDS = frozenset({"speaker", "C8"})


def expert_action(env: VehicleWorldEnv) -> str | Message:
    """Return the message that serves the present request best in the present state.

    Function calls follow the gold plan: all of it from the start of a request, later the end of it that leads to the goal.
    Writes mend the difference to the goal from any state.
    """
    request = env.request
    assert request is not None
    calls = [call for call in request.calls if _is_sayable(call)]
    match env.progress.stage:
        case "plan":
            return _plan(calls)
        case "select":
            return _selection(env, calls)
        case _ if env.rules.mode == "sfc":
            return _writing(env)
        case _:
            return _calling(env, calls, request.kinds)


def goal(env: VehicleWorldEnv) -> VehicleWorld:
    """Return the car as the gold plan of the present request leaves it, from where the request found it."""
    world = VehicleWorld(env.world.profile, env.world.state.before(0))
    assert env.request is not None
    for call in env.request.calls:
        carry_out(world, call)
    return world


def _plan(calls: Sequence[Call]) -> str:
    """Return a plan in words."""
    modules = _modules_of_calls(calls)
    if not modules:
        return "Nothing has to be changed; answer in words."
    return f"Look at {' and '.join(modules)}, change what the request asks for, and leave the rest."


def _selection(env: VehicleWorldEnv, calls: Sequence[Call]) -> str | Message:
    """Return the choice of modules, or decline where there is nothing to do."""
    if env.rules.mode == "sfc":
        writes = writes_between(env.world, goal(env))
        if not writes:
            return DECLINE
        wanted = [write.path.partition(".")[0] for write in writes]
        modules = [name for name in dict.fromkeys(wanted) if name != ENVIRONMENT] or _modules_of_calls(calls)
    else:
        modules = _modules_of_calls(calls)
        if not modules:
            return DECLINE
    modules = [name for name in modules if name in env.visible][:MAX_SELECTED]
    if env.rules.native:
        return _message(env, [ToolCall(native.SELECT, {"modules": modules})]) or DECLINE
    return "\n".join(["<modules>", *modules, "</modules>"])


def _writing(env: VehicleWorldEnv) -> str:
    """Return the writes that lead to the goal."""
    writes: list[Write] = writes_between(env.world, goal(env))
    if not writes:
        return DONE
    count = f"{len(writes)} properties change" if len(writes) > 1 else "One property changes"
    return f"{count}.\n```python\n{format_writes(writes, wrapped=env.rules.state_form == 'wrapped')}\n```"


def _calling(env: VehicleWorldEnv, calls: Sequence[Call], kinds: Sequence[str]) -> str | Message:
    """Return calls: first what has to be read or looked up, then what leads to the goal."""
    rules, progress = env.rules, env.progress
    left = _calls_left(env, calls)
    modules = [name for name in _modules_of_calls(left) if name in env.visible]
    has_time = rules.mode == "fc" and progress.round < rules.reflections
    reads = _reads(env, kinds) if has_time and not progress.round else []
    if not rules.native:
        return _fenced([f"vw.{name}.to_dict()" for name in reads] or [call.code() for call in left]) or _farewell(calls)
    missing = [name for name in modules if name not in native.offered_modules(rules, env.visible, env.asked, progress)]
    preparing = [ToolCall(native.READ, {"modules": reads})] if reads else []
    if missing and has_time:
        preparing.append(ToolCall(native.OPEN, {"modules": missing}))
    found = [native.tool_call(call) for call in left]
    if not preparing and (missing or not all(found)):
        return _fenced([call.code() for call in left])  # what cannot be said by tools can be said in code
    return _message(env, preparing or [call for call in found if call is not None]) or _farewell(calls)


def _reads(env: VehicleWorldEnv, kinds: Sequence[str]) -> list[str]:
    """Return the modules whose state tells what to do about a request of these kinds."""
    reads = [name for name in env.asked if name in env.visible] if not _STATE_KINDS.isdisjoint(kinds) else []
    return [ENVIRONMENT, *reads] if reads or not _SPEAKER_KINDS.isdisjoint(kinds) else []


def _farewell(calls: Sequence[Call]) -> str:
    """Return the words that end a request."""
    return DONE if calls else DECLINE


def _calls_left(env: VehicleWorldEnv, calls: Sequence[Call]) -> Sequence[Call]:
    """Return the gold calls that are still to be made: the shortest end of the plan that leads to the goal from here."""
    if not env.num_calls:
        return calls
    wanted = goal(env)
    if env.world == wanted:
        return ()
    for start in range(len(calls) - 1, -1, -1):
        trial = env.world.copy()
        for call in calls[start:]:
            carry_out(trial, call)
        if trial == wanted:
            return calls[start:]
    return ()


def _modules_of_calls(calls: Sequence[Call]) -> list[str]:
    """Return the modules of calls, in order of appearance."""
    return list(dict.fromkeys(call.module for call in calls))


def _is_sayable(call: Call) -> bool:
    """Whether an agent can make a call; published gold also holds steps of setting up."""
    return call.module in MODULES and call.function not in PRESETS


def _fenced(lines: Sequence[str]) -> str:
    """Return lines of code as a fenced block; nothing for no lines."""
    return "\n".join(["```python", *lines, "```"]) if lines else ""


def _message(env: VehicleWorldEnv, calls: Sequence[ToolCall]) -> Message | None:
    """Return native calls with ids of their own; nothing for no calls."""
    if not calls:
        return None
    prefix = f"call_{env.progress.turn}_{env.progress.round}"
    return ensure_call_ids(Message("assistant", tool_calls=tuple(calls)), prefix)


__all__ = ["DECLINE", "DONE", "expert_action", "goal"]
