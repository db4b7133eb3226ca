"""What a request is to change: its gold calls, carried out on a car."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.calling import call_function
from palaestra.envs.vehicle.calls.setup import take_step
from palaestra.envs.vehicle.car.call_result import CallResult, Change, Refusal
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, PRESETS, car_tables
from palaestra.errors import UsageError

LOOK = "to_dict"
"""Name of the call that looks at the state of a module; it is no function of the car, but published gold has it."""
_SETTER = "set_"
_DEGREE = "degree"


@dataclass(frozen=True, slots=True)
class GoldEffect:
    """What a request is to change.

    Attributes:
        changes: Leaves that differ after the gold calls, over the whole car.
        results: What each gold call came to.
        degree_paths: Leaves that a gold call moved by a degree word.
    """

    changes: list[Change]
    results: list[CallResult]
    degree_paths: frozenset[str]


def gold_effect(car: Car, calls: Sequence[Call]) -> GoldEffect:
    """Carry out the gold calls of a request on a car, and return what they changed.

    Args:
        car: World in the state before the request; it is changed.
        calls: Gold calls in order; refused ones change nothing and the rest goes on.
    """
    state = car.state
    start = state.mark()
    results: list[CallResult] = []
    by_degree: list[str] = []
    for call in calls:
        mark = state.mark()
        results.append(carry_out(car, call))
        if uses_degree(call):
            by_degree += [change.path for change in state.changes_since(mark)]
    return GoldEffect(state.changes_since(start), results, frozenset(by_degree))


def carry_out(car: Car, call: Call) -> CallResult:
    """Carry out one gold call.

    Besides functions of the car, published gold looks at a module (`door.to_dict()`), and it has two kinds of steps that no
    agent can take: it puts a module into a preset (`readingLight.init2()`) or sets a shared property
    (`environment.set_language("English")`).
    """
    if call.function == LOOK:
        return CallResult(True)
    if call.module == ENVIRONMENT and call.function.startswith(_SETTER):
        return _stage(
            car, {"op": "env_set", "property": call.function.removeprefix(_SETTER), "value": next(iter(call.args), None)}
        )
    if call.function in PRESETS:
        return _stage(car, {"op": "module_preset", "module": call.module, "preset": call.function, "kwargs": call.kwargs})
    return call_function(car, call.module, call.function, call.args, call.kwargs)


def uses_degree(call: Call) -> bool:
    """Whether a call says an amount by a degree word ("little", "max", ...) instead of a number."""
    place = _degree_place(call.module, call.function)
    if place is None:
        return False
    return call.kwargs.get(_DEGREE, call.args[place] if place < len(call.args) else None) is not None


@cache
def _degree_place(module: str, function: str) -> int | None:
    """Return where in a function's parameters the degree stands; None if it takes none."""
    row = car_tables().modules[module].functions.get(function) if module in MODULES else None
    names = [] if row is None else [param.name for param in row.params]
    return names.index(_DEGREE) if _DEGREE in names else None


def _stage(car: Car, step: dict[str, object]) -> CallResult:
    """Carry out a set-up step in the middle of a task."""
    try:
        take_step(car, step)
    except UsageError as error:
        return CallResult(False, error=Refusal("invalid_value", str(error)))
    return CallResult(True)
