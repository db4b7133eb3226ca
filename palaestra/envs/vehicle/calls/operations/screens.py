"""Operations of the screens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.tables import CarTables, Function
    from palaestra.envs.vehicle.world import VehicleWorld


@operation("mileage")
def mileage(function: Function, tables: CarTables) -> Run:
    """Read the distance driven and its unit."""

    def run(world: VehicleWorld, bound: dict[str, Any]) -> dict[str, Any]:
        values = world.state.values
        return {"vehicle_mileage": values["instrumentPanel.vehicle_mileage"], "unit": values["instrumentPanel.distance_unit"]}

    return run
