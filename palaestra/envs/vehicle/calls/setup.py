"""Setting a car up: the ordered steps that a task starts with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from palaestra.envs.vehicle.calls.calling import call_function
from palaestra.envs.vehicle.car.car import Car
from palaestra.errors import UsageError, unknown_name


def set_up(car: Car, steps: Iterable[Mapping[str, Any]]) -> None:
    """Carry out the ordered steps that a task starts with.

    Args:
        car: The car; changed in place.
        steps: Each with `op`: "env_preset" (`preset`), "env_set" (`property`, `value`), "module_preset" (`module`,
            `preset`, optionally `kwargs`), "preset_side_effects_only" (`module`, `preset`: only what the preset does to
            the environment) or "call" (`module`, `function`, optionally `args` and `kwargs`; the car must not refuse it).

    Raises:
        UsageError: For an unknown step, module, preset or property, or a refused call.
    """
    for step in steps:
        take_step(car, step)
    car.state.forget()


def take_step(car: Car, step: Mapping[str, Any]) -> None:
    """Carry out one step of `set_up`, which may also be taken in the middle of a task.

    Raises:
        UsageError: For an unknown step, module, preset or property, or a refused call.
    """
    match step.get("op"):
        case "env_preset":
            car.set_environment(car.environment_preset(step["preset"]))
        case "env_set":
            car.set_environment({step["property"]: step["value"]})
        case "module_preset":
            car.apply_preset(step["module"], step["preset"], step.get("kwargs") or {})
        case "preset_side_effects_only":
            car.apply_preset_effects(car.tables.module(step["module"]), step["preset"])
        case "call":
            result = call_function(car, step["module"], step["function"], step.get("args", ()), step.get("kwargs") or {})
            if not result.ok:
                raise UsageError(f"The car refused the set-up step {step!r}: {result.error}")
        case other:
            ops = ["env_preset", "env_set", "module_preset", "preset_side_effects_only", "call"]
            raise unknown_name("set-up step", str(other), ops)
