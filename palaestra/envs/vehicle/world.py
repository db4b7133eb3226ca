"""The car of VehicleWorld, set up by the steps of a task and acted on by calling functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from palaestra.envs.vehicle.calls.calling import call_function
from palaestra.envs.vehicle.calls.setup import set_up, take_step
from palaestra.envs.vehicle.car.call_result import CallResult
from palaestra.envs.vehicle.car.car import Car


class VehicleWorld(Car):
    """A car of 30 modules with 248 functions.

    Functions are called by `call`; state is written by `writes.apply_writes`. As a value (copy, compare, JSON) it is a `Car`.

    Source: VehicleWorld (arXiv:2509.06736).
    """

    __slots__ = ()

    def set_up(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Carry out the ordered steps that a task starts with (see `calls.setup`)."""
        set_up(self, steps)

    def take_step(self, step: Mapping[str, Any]) -> None:
        """Carry out one step of `set_up`, which may also be taken in the middle of a task."""
        take_step(self, step)

    def call(self, module: str, function: str, /, *args: Any, **kwargs: Any) -> CallResult:
        """Call a function of a module; a wrong call is a result, not an exception."""
        return call_function(self, module, function, args, kwargs)

    call_with = call_function  # with arguments given as a list and a map; a method without a layer of its own
