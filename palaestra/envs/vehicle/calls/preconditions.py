"""What must hold before a function acts: conditions written in its row under "needs"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import full_path, place_paths
from palaestra.envs.vehicle.car.tables import CarTables, Function
from palaestra.errors import ConfigError

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car

Precondition = Callable[["Car"], None]


def precondition_of(function: Function, tables: CarTables, needs: Iterable[dict[str, Any]] | None = None) -> Precondition:
    """Return the check of the row's "needs", or the needs given; it refuses with precondition_failed.

    Each need is one of `{"path", "is"}`, `{"path", "not"}`, `{"any", "is"}` (at least one place), `{"list"}` (not empty) or
    `{"ref"}` (not null), with an optional `"else"`: what to tell.
    """
    checks = [_check(function, tables, need) for need in (function.arguments.get("needs", ()) if needs is None else needs)]

    def precondition(car: Car) -> None:
        for check in checks:
            check(car)

    return precondition


def _check(function: Function, tables: CarTables, need: dict[str, Any]) -> Precondition:
    """Return what checks one need."""
    module = function.module
    if "any" in need:
        paths, wanted = list(place_paths(tables, module, need["any"]).values()), need["is"]
        reason = need.get("else", f"No {need['any']} is {wanted!r}.")

        def holds(car: Car) -> bool:
            values = car.state.values
            if wanted is True:  # `published` stores switches that are not booleans as they are (Q24); not empty is on
                return any(values[path] for path in paths)
            return any(values[path] == wanted for path in paths)
    elif "list" in need:
        path = full_path(module, need["list"])
        reason = need.get("else", f"{path} is empty.")

        def holds(car: Car) -> bool:
            return bool(car.state.lists[path])
    elif "ref" in need:
        path = full_path(module, need["ref"])
        reason = need.get("else", f"{path} is null.")

        def holds(car: Car) -> bool:
            return car.state.refs[path] is not None
    elif "path" in need and ("is" in need or "not" in need):
        path = next(iter(place_paths(tables, module, need["path"]).values()))
        wanted, positive = (need["is"], True) if "is" in need else (need["not"], False)
        reason = need.get("else", f"{path} must {'' if positive else 'not '}be {wanted!r}.")

        def holds(car: Car) -> bool:
            return (car.state.values[path] == wanted) is positive
    else:
        raise ConfigError(f"{module}.{function.name} has the need {need!r}; expected the keys any, list, ref or path.")

    def check(car: Car) -> None:
        if not holds(car):
            raise Refusal("precondition_failed", reason)

    return check
