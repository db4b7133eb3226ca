"""The car as a value: a state under the car's tables, put into presets, copied, compared, told as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Self

from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.car.derived import sync
from palaestra.envs.vehicle.car.former_names import current_name
from palaestra.envs.vehicle.car.paths import place_paths
from palaestra.envs.vehicle.car.state import CarState
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, Module, car_tables
from palaestra.errors import ConfigError, UsageError, unknown_name
from palaestra.types import Json

Profile = Literal["published", "fixed"]
PROFILES: tuple[Profile, ...] = ("published", "fixed")
WORLD_VERSION = 1


def profile_named(name: str) -> Profile:
    """Return the profile of a name, also of a former one.

    Raises:
        UnknownNameError: For an unknown name.
    """
    for profile in PROFILES:
        if profile == current_name(name):
            return profile
    raise unknown_name("profile", str(name), PROFILES)


class Car:
    """A car: 30 modules and what they share.

    Args:
        profile: "fixed" (consistent; a failed call changes nothing) or "published" (as published, bug for bug).
        state: State to start from, taken over as it is; None for the default car.

    Attributes:
        profile: As given.
        as_published: Whether the profile is "published".
        tables: The car's description.
        state: The current state; a value that may be copied and compared.
    """

    __slots__ = ("as_published", "profile", "state", "tables")

    def __init__(self, profile: Profile = "fixed", state: CarState | None = None) -> None:
        """Build the default car, or one in the state given."""
        self.profile: Profile = profile if profile in PROFILES else profile_named(profile)  # seldom another: cars are copied
        self.as_published = self.profile == "published"
        self.tables = car_tables()
        self.state = _default_state(self.profile).copy() if state is None else state

    # -- presets and shared properties ----------------------------------------------------------------------------

    def apply_preset(self, module: str, preset: str, arguments: Mapping[str, Any] | None = None) -> None:
        """Put a module into one of its presets, with what that does to the environment.

        Args:
            module: Name of the module.
            preset: "default", "init1" or "init2".
            arguments: Of presets that take some (`preset_arguments` in the module's table).

        Raises:
            UsageError: For unknown names.
        """
        row = self.tables.module(module)
        _write_preset(self.state, row, preset, self.as_published)
        self.apply_preset_effects(row, preset)
        known = row.preset_arguments.get(preset, {})
        for name, value in (arguments or {}).items():
            if name not in known:
                raise unknown_name(f"argument of preset {module}.{preset}", name, known)
            for pattern in known[name]:
                for path in place_paths(self.tables, module, pattern).values():
                    self.state.set(path, value)
        for shared in self.tables.modules[ENVIRONMENT].properties:  # what mirrors a shared property shows the shared one
            sync(self.state, f"{ENVIRONMENT}.{shared.path}", tables=self.tables, as_published=self.as_published)

    def apply_preset_effects(self, module: Module, preset: str) -> None:
        """Write what building a preset does to the environment."""
        self.set_environment(module.preset_effects.get(preset, {}))

    def environment_preset(self, preset: str) -> Mapping[str, Any]:
        """Return the shared properties that a preset of the environment sets."""
        presets = self.tables.modules[ENVIRONMENT].presets
        if preset not in presets and preset != "default":
            raise unknown_name("environment preset", preset, presets)
        if preset == "default":
            return {row.path: row.values["default"] for row in self.tables.modules[ENVIRONMENT].properties}
        return presets[preset]

    def set_environment(self, values: Mapping[str, Any]) -> None:
        """Write shared properties."""
        for name, value in values.items():
            path = f"{ENVIRONMENT}.{name}"
            if path not in self.tables.properties:
                raise unknown_name("shared property", name, [p.path for p in self.tables.modules[ENVIRONMENT].properties])
            self.state.set(path, self.normal(path, value))
            sync(self.state, path, tables=self.tables, as_published=self.as_published)

    def normal(self, path: str, value: Any) -> Any:
        """Return the spelling that this profile keeps of a value (quirk Q4: two spellings of the time formats)."""
        if not self.as_published and path.endswith("time_display_format") and value in ("24-hour-format", "12-hour-format"):
            return value.replace("-format", " format")
        return value

    # -- as a value -----------------------------------------------------------------------------------------------

    def copy(self) -> Self:
        """Return an independent car in the same state."""
        return type(self)(self.profile, self.state.copy())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Car):
            return NotImplemented
        return self.profile == other.profile and self.state == other.state

    def __hash__(self) -> int:
        return hash((self.profile, self.state))

    def to_json(self) -> Json:
        """Return the whole car as plain JSON data; equal cars, equal data."""
        return {"version": WORLD_VERSION, "profile": self.profile, **self.state.canonical()}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Return the world that `to_json` described.

        Raises:
            UsageError: If the data describe no world.
        """
        try:
            if data["version"] != WORLD_VERSION:
                raise UsageError(f"This world has version {data['version']!r}; expected {WORLD_VERSION}.")
            car = cls(data["profile"], CarState.from_canonical(data))
            whole, state = _default_state(car.profile), car.state
            if not _lasting_leaves() <= state.values.keys() or (whole.lists.keys(), whole.refs.keys()) != (
                state.lists.keys(),
                state.refs.keys(),
            ):
                raise ValueError("leaves are missing or unknown")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(f"These data describe no world ({error!r}); pass what to_json() returned.") from None
        car.state.take_order(_default_state(car.profile))
        return car

    def difference(self, other: Car) -> list[Change]:
        """Return the leaves in which `other` differs from this car."""
        before, after = self.state.flat(), other.state.flat()
        changes = [Change("del", path, value, None) for path, value in before.items() if path not in after]
        for path, value in after.items():
            if path not in before:
                changes.append(Change("add", path, None, value))
            elif before[path] != value:
                changes.append(Change("set", path, before[path], value))
        return changes


@cache
def _default_state(profile: Profile) -> CarState:
    """Return the state of the default car."""
    state = CarState()
    for module in car_tables().modules.values():
        _write_preset(state, module, "default", profile == "published")
    state.forget()
    return state


@cache
def _lasting_leaves() -> frozenset[str]:
    """Return the paths of the scalars that every car has; entries of maps and texts come and go."""
    kinds = ("list", "record", "texts", "map")
    rows = (row for module in car_tables().modules.values() for row in module.properties if row.type not in kinds)
    return frozenset(path for row in rows for path in row.paths())


def _write_preset(state: CarState, module: Module, preset: str, as_published: bool) -> None:
    """Write all properties of a module as a preset has them; a field {"from": path} takes the current value of that leaf."""
    names = {preset for row in module.properties for preset in row.values}
    if preset not in ("default", "init1", "init2") and preset not in names:
        raise unknown_name(f"preset of {module.name}", preset, sorted({"default", "init1", "init2"} | names))
    numbers: dict[tuple[str, str], int] = {}

    def record(kind: str, value: Any) -> int:
        if not isinstance(value, str):
            return state.new_record(value)
        if (kind, value) not in numbers:
            try:
                fields = module.records[kind][value]
            except KeyError:
                raise ConfigError(f"Table {module.name} names the {kind} {value!r}, which is not among its records.") from None
            numbers[kind, value] = state.new_record(
                {key: state.values[item["from"]] if isinstance(item, dict) else item for key, item in fields.items()}
            )
        return numbers[kind, value]

    for row in module.properties:
        for path, value in zip(row.paths(), row.at(preset), strict=True):
            if row.type == "list":
                state.set_list(path, [record(row.of, item) for item in value])
            elif row.type == "record":
                state.set_ref(path, None if value is None else record(row.of, value))
                state.refs.setdefault(path, None)
            elif row.type == "texts":
                for index, text in enumerate(value):
                    state.set(f"{path}[{index}]", text)
            elif row.type == "map":
                for old in [key for key in state.values if key.startswith(f"{path}.")]:
                    state.drop(old)
                for key, fields in value.items():
                    for name, item in fields.items():
                        state.set(f"{path}.{key}.{name}", item)
            else:
                if not as_published and row.path == "time_display_format" and isinstance(value, str):
                    value = value.replace("-hour-format", "-hour format")
                state.set(path, value)
            if row.type == "list":
                state.lists.setdefault(path, ())
