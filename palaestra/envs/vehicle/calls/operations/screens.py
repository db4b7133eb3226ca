"""Operations of the screens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.tables import CarTables, Function


@operation("mileage")
def mileage(function: Function, tables: CarTables) -> Run:
    """Read the distance driven and its unit."""

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        values = car.state.values
        return {"vehicle_mileage": values["instrumentPanel.vehicle_mileage"], "unit": values["instrumentPanel.distance_unit"]}

    return run
