"""The tables that describe the car: one JSON file a module under `tables/`, read into typed rows.

A module's file holds its properties (path, type, range, default, presets), its records, and its functions. What a function
does is named by its `op`, an operation of `calls.operations`; all other keys of the row are arguments of that operation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from palaestra.errors import ConfigError, unknown_name
from palaestra.types import Json

SEATS = (
    "driver's seat",
    "passenger seat",
    "second row left",
    "second row right",
    "third row left",
    "third row right",
)
ENVIRONMENT = "environment"
MODULES = (
    "navigation", "conversation", "music", "radio", "video", "readingLight", "door", "window", "seat", "footPedal",
    "airConditioner", "bluetooth", "centerInformationDisplay", "fogLight", "frontTrunk", "fuelPort", "hazardLight",
    "highBeamHeadlight", "HUD", "instrumentPanel", "lowBeamHeadlight", "overheadScreen", "positionLight", "rearviewMirror",
    "steeringWheel", "sunroof", "sunshade", "tailLight", "trunk", "wiper",
)  # fmt: skip
PRESETS = ("default", "init1", "init2")

_SCALAR_TYPES = ("bool", "int", "float", "str", "enum")
_TYPES = (*_SCALAR_TYPES, "list", "record", "texts", "map")


@dataclass(frozen=True, slots=True)
class RecordType:
    """A kind of record: a track, a station, a contact, ...

    Attributes:
        name: Its name.
        fields: Type of each field, e.g. "str" or "str|null".
        identity: Fields that tell two records apart; empty if records of this kind are never shared.
    """

    name: str
    fields: Mapping[str, str]
    identity: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Property:
    """One row of a module's properties; `{seat}` in the path stands for one leaf a seat.

    Attributes:
        module: Module that it belongs to.
        path: Path below the module, e.g. "doors.{seat}.angle".
        type: bool, int, float, str, enum, list (of records), record (a reference), texts (a constant list) or map (of constant
            records).
        of: Record type of lists, references and maps.
        enum: Values of an enum.
        low: Smallest value, or None.
        high: Largest value, or None.
        ranges: Smallest and largest value by unit, where the unit is a property of its own.
        unit: Unit of the value.
        nullable: Whether null is a value.
        constant: A configuration value that no function writes.
        derived: Property that it follows from (see `derived`); empty if it is free.
        scored: Whether the published scoring sees it: True, False or "not null".
        label: Type label in the published form of the state.
        seats: Seats that `{seat}` stands for; empty without `{seat}`.
        values: Value by preset; a list by seat where seats differ.
        doc: What it means, in a line.
    """

    module: str
    path: str
    type: str
    of: str = ""
    enum: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unit: str = ""
    nullable: bool = False
    constant: bool = False
    derived: str = ""
    scored: bool | str = True
    label: str = ""
    seats: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    doc: str = ""

    def paths(self) -> list[str]:
        """Return the full paths, one a seat."""
        full = f"{self.module}.{self.path}"
        return [full.replace("{seat}", seat) for seat in self.seats] if self.seats else [full]

    def at(self, preset: str) -> list[Any]:
        """Return the values of a preset, one a path."""
        value = self.values.get(preset, self.values["default"])
        if not self.seats:
            return [value]
        return list(value) if isinstance(value, list) else [value] * len(self.seats)


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a function.

    Attributes:
        name: Published name; the order in the row is the published order.
        type: bool, int, number, str, list[str] or targets (a list of places, see `targets`).
        required: Whether it must be given.
        default: Value where it is left out.
        enum: Words that it may be.
        low: Smallest value, or None.
        high: Largest value, or None.
        doc: What it means, where the name does not say it.
    """

    name: str
    type: str
    required: bool = False
    default: Any = None
    enum: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """One function of a module.

    Attributes:
        module: Module that it belongs to.
        name: Published name.
        op: Operation that carries it out.
        params: Its parameters in published order.
        arguments: All other keys of the row, for the operation.
        doc: What it does, in a line or two.
    """

    module: str
    name: str
    op: str
    params: tuple[Param, ...]
    arguments: Mapping[str, Any]
    doc: str = ""

    def __getitem__(self, key: str) -> Any:
        """Return an argument of the operation."""
        try:
            return self.arguments[key]
        except KeyError:
            raise ConfigError(f"Function {self.module}.{self.name} has op {self.op!r}, which needs the key {key!r}.") from None


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """One module of the car, or the shared environment.

    Attributes:
        name: Published name.
        domain: Domain in the paper's overview.
        summary: What it is, in a line.
        properties: Its properties.
        functions: Its functions by name.
        records: Records of the presets by record type and name; a field {"from": path} takes the value of that leaf.
        preset_effects: Shared properties that building a preset writes, by preset.
        preset_arguments: Properties written by each argument of a preset, by preset.
        presets: Values by preset, of the environment only; they set only some of its properties.
        settings: All other keys of the file, for operations (e.g. axes).
    """

    name: str
    domain: str
    summary: str
    properties: tuple[Property, ...]
    functions: Mapping[str, Function]
    records: Mapping[str, Mapping[str, Mapping[str, Any]]]
    preset_effects: Mapping[str, Mapping[str, Any]]
    preset_arguments: Mapping[str, Mapping[str, tuple[str, ...]]]
    presets: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class CarTables:
    """All modules of a car.

    Attributes:
        modules: The environment and the modules, by name, in published order.
        record_types: Kinds of records by name.
        properties: Row of each leaf path; of lists and references the row of their own path.
    """

    modules: Mapping[str, Module]
    record_types: Mapping[str, RecordType]
    properties: Mapping[str, Property]

    def module(self, name: str) -> Module:
        """Return a module.

        Raises:
            UnknownNameError: If there is none of this name.
        """
        try:
            return self.modules[name]
        except (KeyError, TypeError):
            raise unknown_name("module", name, self.modules) from None

    def function(self, module: str, name: str) -> Function:
        """Return a function of a module.

        Raises:
            UnknownNameError: If there is none of this name.
        """
        row = self.module(module)
        try:
            return row.functions[name]
        except KeyError:
            raise unknown_name(f"function of {module}", name, row.functions) from None


@cache
def car_tables() -> CarTables:
    """Return the tables of the standard car, read once."""
    folder = files("palaestra.envs.vehicle.car") / "tables"
    kinds = json.loads((folder / "records.json").read_text(encoding="utf-8"))
    record_types = {name: RecordType(name, row["fields"], tuple(row["identity"] or ())) for name, row in kinds.items()}
    modules = {
        name: _module(json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))) for name in (ENVIRONMENT, *MODULES)
    }
    properties = {path: row for module in modules.values() for row in module.properties for path in row.paths()}
    return CarTables(modules, record_types, properties)


def _module(data: dict[str, Any]) -> Module:
    """Return a module from its file."""
    name = data.pop("module")
    functions = [_function(name, row) for row in data.pop("functions", ())]
    return Module(
        name=name,
        domain=data.pop("domain"),
        summary=data.pop("summary"),
        properties=tuple(_property(name, row) for row in data.pop("properties")),
        functions={function.name: function for function in functions},
        records=data.pop("records", {}),
        preset_effects=data.pop("preset_effects", {}),
        preset_arguments={
            preset: {argument: tuple(paths) for argument, paths in rows.items()}
            for preset, rows in data.pop("preset_arguments", {}).items()
        },
        presets=data.pop("presets", {}),
        settings=data,
    )


def _property(module: str, row: dict[str, Json]) -> Property:
    """Return a property from its row."""
    data: dict[str, Any] = dict(row)
    path, kind = data.pop("path"), data.pop("type")
    if kind not in _TYPES:
        raise ConfigError(f"Property {module}.{path} has type {kind!r}; expected one of {', '.join(_TYPES)}.")
    return Property(
        module,
        path,
        kind,
        of=data.pop("of", ""),
        enum=tuple(data.pop("enum", ())),
        low=data.pop("min", None),
        high=data.pop("max", None),
        ranges={unit: (low, high) for unit, (low, high) in data.pop("ranges", {}).items()},
        unit=data.pop("unit", ""),
        nullable=data.pop("nullable", False),
        constant=data.pop("constant", False),
        derived=data.pop("derived", ""),
        scored=data.pop("scored", True),
        label=data.pop("label", ""),
        seats=tuple(data.pop("seats", SEATS)) if "{seat}" in path else (),
        doc=data.pop("doc", ""),
        values=data,
    )


def _function(module: str, row: dict[str, Json]) -> Function:
    """Return a function from its row."""
    data: dict[str, Any] = dict(row)
    return Function(
        module,
        data.pop("name"),
        data.pop("op"),
        tuple(_param(param) for param in data.pop("params")),
        doc=data.pop("doc", ""),
        arguments=data,
    )


def _param(row: dict[str, Any]) -> Param:
    """Return a parameter from its row."""
    return Param(
        row["name"],
        row["type"],
        required=row.get("required", False),
        default=row.get("default"),
        enum=tuple(row.get("enum", ())),
        low=row.get("min"),
        high=row.get("max"),
        doc=row.get("doc", ""),
    )
