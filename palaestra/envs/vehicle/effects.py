"""The effect of one message on the car: code that calls functions, writes of state, or native tool calls, told in one form."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.language import run_call, run_code
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES
from palaestra.envs.vehicle.tools import call_of, look_up
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.envs.vehicle.writes import Write, apply_writes, parse_writes
from palaestra.spaces import is_unicode
from palaestra.types import ToolCall, ToolResult

_SHOWN_CHANGES = 24


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one message.

    Attributes:
        feedback: What the agent is told.
        calls: Calls on the car, reading aside.
        failed: Those of them (or writes) that were refused.
        writes: Properties written.
        worked: Whether anything in the message was carried out; reading counts.
        results: One per native tool call.
        opened: Modules whose functions are offered as tools from now on.
    """

    feedback: str
    calls: int = 0
    failed: int = 0
    writes: int = 0
    worked: bool = True
    results: tuple[ToolResult, ...] = ()
    opened: tuple[str, ...] = ()


def do_code(world: VehicleWorld, code: str, modules: Collection[str] | None) -> Effect:
    """Carry out code that calls functions.

    Args:
        world: The car; changed in place.
        code: Code without fences.
        modules: Modules that may be used; None for all.
    """
    run = run_code(world, code, modules=modules)
    failed = sum(not executed.result.ok for executed in run.calls)
    return Effect(run.feedback, len(run.calls), failed, worked=len(run.calls) > failed or run.lookups > 0)


def do_writes(world: VehicleWorld, code: str, modules: Collection[str] | None) -> Effect:
    """Write state.

    Args:
        world: The car; changed in place.
        code: Assignments, a map or a list of operations, without fences.
        modules: Modules that may be written, besides the environment; None for all.
    """
    try:
        writes = parse_writes(code)
        _check_paths(writes, modules)
    except Refusal as refusal:
        return Effect(_sayable(f"Nothing was written. {refusal.code}: {refusal.message}"), failed=1, worked=False)
    result = apply_writes(world, writes)
    done = len(writes) - len(result.errors)
    head = f"{done} of {len(writes)} written." if result.ok or world.as_published else "Nothing was written."
    shown = {change.path: change.new for change in result.changes[:_SHOWN_CHANGES]}
    lines = [f"{head} Changed: {json.dumps(shown, ensure_ascii=False, separators=(',', ':'))}" if shown else head]
    lines += [f"{error.code}: {error.message}" for error in result.errors]
    lines += [f"Contradiction: {text}" for text in result.contradictions]
    return Effect(
        _sayable("\n".join(lines)),
        failed=len(result.errors),
        writes=done if result.ok or world.as_published else 0,
        worked=result.ok or bool(result.changes),
    )


def do_calls(world: VehicleWorld, calls: Sequence[ToolCall], offered: Collection[str], visible: Sequence[str]) -> Effect:
    """Carry out native tool calls, each on its own.

    Args:
        world: The car; changed in place.
        calls: The calls.
        offered: Modules whose functions are offered.
        visible: Modules that there are.
    """
    results: list[ToolResult] = []
    opened: dict[str, None] = {}
    num_calls = failed = 0
    for call in calls:
        car_call = call_of(call)
        if isinstance(car_call, Call) and car_call.module in offered:
            executed = run_call(world, car_call)
            num_calls += 1
            failed += not executed.result.ok
            text = executed.line.partition(" -> ")[2]
            results.append(ToolResult(call.name, text, "ok" if executed.result.ok else "error", call.id))
        else:
            result, fresh = look_up(world, call, offered, visible)
            failed += result.status != "ok"
            opened.update(dict.fromkeys(fresh))
            results.append(replace(result, content=_sayable(result.content)))
    feedback = "\n".join(result.content for result in results)
    worked = any(result.status == "ok" for result in results)
    return Effect(feedback, num_calls, failed, worked=worked, results=tuple(results), opened=tuple(opened))


def _check_paths(writes: Sequence[Write], modules: Collection[str] | None) -> None:
    """Refuse paths that are no text, and modules that this car has not."""
    for write in writes:
        module = write.path.partition(".")[0]
        if not is_unicode(write.path):
            raise Refusal("unknown_path", f"{write.path} holds half a surrogate pair, which is no text.")
        if modules is not None and module in MODULES and module not in modules:
            there = ", ".join([ENVIRONMENT, *(name for name in MODULES if name in modules)])
            raise Refusal("unknown_path", f"{write.path}: this car has only {there}.")


def _sayable(text: str) -> str:
    """Return a text that can be written as UTF-8: halves of surrogate pairs become question marks."""
    return text if is_unicode(text) else text.encode("utf-8", "replace").decode("utf-8")
