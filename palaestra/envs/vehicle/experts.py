"""The expert of each mode: the gold plan of the current request, said as the mode wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palaestra.envs.formats.hermes import ensure_call_ids
from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, PRESETS
from palaestra.envs.vehicle.protocol import MAX_SELECTED, Progress, Rules
from palaestra.envs.vehicle.requests.gold import carry_out
from palaestra.envs.vehicle.requests.task import CarRequest
from palaestra.envs.vehicle.tools import OPEN, READ, SELECT, offered_modules, tool_call
from palaestra.envs.vehicle.writes import Write, format_writes, writes_between
from palaestra.types import Message, ToolCall

DONE = "Done."
DECLINE = "Nothing has to be changed."

_STATE_KINDS = frozenset({"inform", "refuse", "already", "unmet", "no_action"})
_SPEAKER_KINDS = frozenset({"speaker", "C8"})


@dataclass(frozen=True, slots=True)
class Situation:
    """What the expert looks at.

    Attributes:
        rules: Rules of the episode.
        car: The car as it stands; only read.
        request: The current request, with its gold plan.
        progress: Where the episode stands.
        visible: Modules that there are.
        asked: Modules that the task lists.
        has_acted: Whether the current request has seen calls on the car.
    """

    rules: Rules
    car: Car
    request: CarRequest
    progress: Progress
    visible: tuple[str, ...]
    asked: tuple[str, ...]
    has_acted: bool

    def goal(self) -> Car:
        """Return the car as the gold plan of the current request leaves it, from where the request found it."""
        car = Car(self.car.profile, self.car.state.before(0))
        for call in self.request.calls:
            carry_out(car, call)
        return car


def expert_action(situation: Situation) -> str | Message:
    """Return the message that serves the current request best in the current state.

    Function calls follow the gold plan: all of it from the start of a request, later the end of it that leads to the goal.
    Writes fix the difference to the goal from any state.
    """
    calls = [call for call in situation.request.calls if _is_sayable(call)]
    match situation.progress.stage:
        case "plan":
            return _plan(calls)
        case "select":
            return _selection(situation, calls)
        case _ if situation.rules.mode == "sfc":
            return _writing(situation)
        case _:
            return _calling(situation, calls)


def _plan(calls: Sequence[Call]) -> str:
    """Return a plan in words."""
    modules = _modules_of_calls(calls)
    if not modules:
        return "Nothing has to be changed; answer in words."
    return f"Look at {' and '.join(modules)}, change what the request asks for, and leave the rest."


def _selection(situation: Situation, calls: Sequence[Call]) -> str | Message:
    """Return the choice of modules, or decline where there is nothing to do."""
    if situation.rules.mode == "sfc":
        writes = writes_between(situation.car, situation.goal())
        if not writes:
            return DECLINE
        wanted = [write.path.partition(".")[0] for write in writes]
        modules = [name for name in dict.fromkeys(wanted) if name != ENVIRONMENT] or _modules_of_calls(calls)
    else:
        modules = _modules_of_calls(calls)
        if not modules:
            return DECLINE
    modules = [name for name in modules if name in situation.visible][:MAX_SELECTED]
    if situation.rules.native:
        return _message(situation, [ToolCall(SELECT, {"modules": modules})]) or DECLINE
    return "\n".join(["<modules>", *modules, "</modules>"])


def _writing(situation: Situation) -> str:
    """Return the writes that lead to the goal."""
    writes: list[Write] = writes_between(situation.car, situation.goal())
    if not writes:
        return DONE
    count = f"{len(writes)} properties change" if len(writes) > 1 else "One property changes"
    return f"{count}.\n```python\n{format_writes(writes, wrapped=situation.rules.state_form == 'wrapped')}\n```"


def _calling(situation: Situation, calls: Sequence[Call]) -> str | Message:
    """Return calls: first what has to be read or looked up, then what leads to the goal."""
    rules, progress = situation.rules, situation.progress
    left = _calls_left(situation, calls)
    modules = [name for name in _modules_of_calls(left) if name in situation.visible]
    has_time = rules.mode == "fc" and progress.round < rules.reflections
    reads = _reads(situation) if has_time and not progress.round else []
    if not rules.native:
        return _fenced([f"vw.{name}.to_dict()" for name in reads] or [call.code() for call in left]) or _farewell(calls)
    missing = [name for name in modules if name not in offered_modules(rules, situation.visible, situation.asked, progress)]
    preparing = [ToolCall(READ, {"modules": reads})] if reads else []
    if missing and has_time:
        preparing.append(ToolCall(OPEN, {"modules": missing}))
    found = [tool_call(call) for call in left]
    if not preparing and (missing or not all(found)):
        return _fenced([call.code() for call in left])  # what cannot be said by tools can be said in code
    return _message(situation, preparing or [call for call in found if call is not None]) or _farewell(calls)


def _reads(situation: Situation) -> list[str]:
    """Return the modules whose state tells what to do about the request."""
    kinds = situation.request.kinds
    reads = [name for name in situation.asked if name in situation.visible] if not _STATE_KINDS.isdisjoint(kinds) else []
    return [ENVIRONMENT, *reads] if reads or not _SPEAKER_KINDS.isdisjoint(kinds) else []


def _farewell(calls: Sequence[Call]) -> str:
    """Return the words that end a request."""
    return DONE if calls else DECLINE


def _calls_left(situation: Situation, calls: Sequence[Call]) -> Sequence[Call]:
    """Return the gold calls that are still to be made: the shortest end of the plan that leads to the goal from here."""
    if not situation.has_acted:
        return calls
    wanted = situation.goal()
    if situation.car == wanted:
        return ()
    for start in range(len(calls) - 1, -1, -1):
        trial = situation.car.copy()
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


def _message(situation: Situation, calls: Sequence[ToolCall]) -> Message | None:
    """Return native calls with ids of their own; nothing for no calls."""
    if not calls:
        return None
    prefix = f"call_{situation.progress.index}_{situation.progress.round}"
    return ensure_call_ids(Message("assistant", tool_calls=tuple(calls)), prefix)


__all__ = ["DECLINE", "DONE", "Situation", "expert_action"]
