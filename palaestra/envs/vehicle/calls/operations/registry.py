"""The register of operations: which name stands for which, and functions made ready to run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.car.tables import CarTables, Function
from palaestra.errors import ConfigError

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car

Run = Callable[["Car", dict[str, Any]], dict[str, Any] | None]
"""Carries out a call: takes the car and the bound arguments, returns data for the caller; refuses with `Refusal`."""

Operation = Callable[[Function, CarTables], Run]

_FILES = (
    "switches",
    "axes",
    "levels",
    "media",
    "queries",
    "radio",
    "phone",
    "navigation",
    "climate",
    "doors",
    "seats",
    "lights",
    "screens",
    "lids",
)
_OPERATIONS: dict[str, Operation] = {}


def operation(name: str) -> Callable[[Operation], Operation]:
    """Register an operation under the name that rows use for it."""

    def register(make: Operation) -> Operation:
        if name in _OPERATIONS:
            raise ConfigError(f"Operation {name!r} is registered twice.")
        _OPERATIONS[name] = make
        return make

    return register


@cache
def _load() -> None:
    """Import every file of operations, so that they register themselves."""
    for file in _FILES:
        import_module(f"{__package__}.{file}")


@cache
def compile_function(tables: CarTables, module: str, name: str) -> tuple[Function, Run]:
    """Return a function of a car with what carries it out.

    Raises:
        UnknownNameError: If there is no such function.
        ConfigError: If its row is wrong.
    """
    _load()
    function = tables.function(module, name)
    if function.op not in _OPERATIONS:
        known = ", ".join(sorted(_OPERATIONS))
        raise ConfigError(f"{module}.{name} has op {function.op!r}; expected one of {known}.")
    return function, _OPERATIONS[function.op](function, tables)
