"""What one message does to the car: code that calls functions, writes of state, or native tool calls, all told in one form."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from palaestra.envs.vehicle import native
from palaestra.envs.vehicle.language import run_call, run_code
from palaestra.envs.vehicle.results import Refusal
from palaestra.envs.vehicle.tables import ENVIRONMENT, MODULES
from palaestra.envs.vehicle.task import Call
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.envs.vehicle.writes import Write, apply_writes, parse_writes
from palaestra.types import ToolCall, ToolResult


@dataclass(frozen=True, slots=True)
class Deed:
    """What one message came to.

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


def do_code(world: VehicleWorld, code: str, modules: Collection[str] | None) -> Deed:
    """Carry out code that calls functions.

    Args:
        world: The car; changed in place.
        code: Code without fences.
        modules: Modules that may be used; None for all.
    """
    run = run_code(world, code, modules=modules)
    failed = sum(not executed.result.ok for executed in run.calls)
    return Deed(run.feedback, len(run.calls), failed, worked=len(run.calls) > failed or run.lookups > 0)


def do_writes(world: VehicleWorld, code: str, modules: Collection[str] | None) -> Deed:
    """Write state.

    Args:
        world: The car; changed in place.
        code: Assignments, a map or a list of operations, without fences.
        modules: Modules that may be written, besides the environment; None for all.
    """
    try:
        writes = parse_writes(code)
        _check_modules(writes, modules)
    except Refusal as refusal:
        return Deed(f"Nothing was written. {refusal.code}: {refusal.message}", failed=1, worked=False)
    result = apply_writes(world, writes)
    lines = [f"{len(writes)} written." if result.ok else "Nothing was written." if not world.paper else "Not all was written."]
    lines += [str(error) for error in result.errors]
    lines += [f"Contradiction: {text}" for text in result.contradictions]
    return Deed("\n".join(lines), failed=len(result.errors), writes=len(writes), worked=result.ok or bool(result.changes))


def do_calls(world: VehicleWorld, calls: Sequence[ToolCall], offered: Collection[str], visible: Sequence[str]) -> Deed:
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
        car_call = native.car_call(call)
        if isinstance(car_call, Call) and car_call.module in offered:
            executed = run_call(world, car_call)
            num_calls += 1
            failed += not executed.result.ok
            text = executed.line.partition(" -> ")[2]
            results.append(ToolResult(call.name, text, "ok" if executed.result.ok else "error", call.id))
        else:
            result, fresh = native.look_up(world, call, offered, visible)
            failed += result.status != "ok"
            opened.update(dict.fromkeys(fresh))
            results.append(result)
    feedback = "\n".join(result.content for result in results)
    worked = any(result.status == "ok" for result in results)
    return Deed(feedback, num_calls, failed, worked=worked, results=tuple(results), opened=tuple(opened))


def _check_modules(writes: Sequence[Write], modules: Collection[str] | None) -> None:
    """Refuse writes to modules that this car has not."""
    if modules is None:
        return
    for write in writes:
        module = write.path.partition(".")[0]
        if module in MODULES and module not in modules:
            offered = ", ".join(name for name in (ENVIRONMENT, *MODULES) if name in modules or name == ENVIRONMENT)
            raise Refusal("unknown_path", f"{write.path}: this car has only {offered}.")
