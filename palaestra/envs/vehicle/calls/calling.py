"""One call of a function of the car: found in the tables, its arguments bound and checked, carried out, its changes kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.vehicle.calls.binding import bind, check, check_amount
from palaestra.envs.vehicle.calls.operations import compile_function
from palaestra.envs.vehicle.car.call_result import CallResult, Refusal
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.state import changes_of
from palaestra.envs.vehicle.car.tables import MODULES
from palaestra.errors import UnknownNameError

NO_EFFECT_NEEDED = Refusal("no_effect_needed", "Nothing had to change: the car is so already.")
_NOTHING: tuple[dict[str, Any], dict[str, Any], dict[int, Any]] = ({}, {}, {})
_READING = ("query", "message_view", "mileage")  # operations that are called for what they return


def call_function(car: Car, module: str, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CallResult:
    """Call a function of a module; a wrong call is a result, not an exception.

    Args:
        car: The car; changed in place.
        module: Name of the module.
        function: Name of its function.
        args: Arguments by place.
        kwargs: Arguments by name.
    """
    try:
        row, run = compile_function(car.tables, module, function)
    except UnknownNameError as unknown:
        code = "unknown_function" if module in MODULES else "unknown_module"
        return CallResult(False, error=Refusal(code, str(unknown)))
    state = car.state
    mark = len(state.log)
    data: dict[str, Any] | None = None
    error: Refusal | None = None
    try:
        bound = bind(row, args, kwargs)
        if not car.as_published:
            check(row, bound)
            if "degree" in bound:
                check_amount(bound, unit_optional=row.arguments.get("amount") == "unit optional")
        data = run(car, bound)
    except Refusal as refusal:
        error = refusal
        if not car.as_published:
            state.undo(mark)
    except (TypeError, ValueError, KeyError, OverflowError) as fault:
        if not car.as_published:  # checked arguments never get here: this would be a fault of the tables or of an operation
            raise
        error = Refusal("invalid_type", f"{type(fault).__name__}: {fault}")
    if len(state.log) == mark:
        if error is None and not car.as_published and row.op not in _READING:
            return CallResult(True, data, NO_EFFECT_NEEDED)
        return CallResult(error is None, data, error)
    log = state.log[mark:]
    values: dict[str, Any] = {}
    lists, refs, records = _NOTHING
    present = state.values
    for store, key, _ in log:
        if store:
            lists, refs, records = state.lists.copy(), state.refs.copy(), state.records.copy()
            values = {key: present[key] for store, key, _ in log if store == 0 and key in present}
            break
        if key in present:
            values[key] = present[key]
    return CallResult(error is None, data, error, lambda: changes_of(log, values, lists, refs, records))
