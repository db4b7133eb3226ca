"""Paths in rows: `{seat}` stands for each seat, `{place}` for each place of the module (its key "places")."""

from __future__ import annotations

from palaestra.envs.vehicle.car.tables import CarTables, Property
from palaestra.errors import ConfigError


def full_path(module: str, path: str) -> str:
    """Return the full path of a property named in a module's table; paths of the environment are written in full."""
    return path if path.startswith("environment.") else f"{module}.{path}"


def place_paths(tables: CarTables, module: str, pattern: str) -> dict[str, str]:
    """Return the full path by place; without a place in the pattern the only key is the empty text.

    Raises:
        ConfigError: If the pattern names no property.
    """
    full = full_path(module, pattern)
    if "{seat}" in pattern:
        row = next((row for row in tables.modules[module].properties if row.path == pattern), None)
        if row is None:
            raise ConfigError(f"Table {module} names the property {pattern!r}, which it does not have.")
        return dict(zip(row.seats, row.paths(), strict=True))
    if "{place}" in pattern:
        places = tables.modules[module].settings["places"]
        found = {place: full.replace("{place}", key) for place, key in places.items()}
    else:
        found = {"": full}
    for path in found.values():
        if path not in tables.properties:
            raise ConfigError(f"Table {module} names the property {path!r}, which the car does not have.")
    return found


def property_at(tables: CarTables, module: str, pattern: str) -> Property:
    """Return the row of a property named in a module's table."""
    return tables.properties[next(iter(place_paths(tables, module, pattern).values()))]
