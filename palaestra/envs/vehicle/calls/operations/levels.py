"""Numbers that are moved: how an axis of a module's table reads amounts, and the levels of a seat's comfort functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.amounts import AmountRules
from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.targets import Targets
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import place_paths
from palaestra.envs.vehicle.car.tables import CarTables, Function
from palaestra.errors import ConfigError

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState

DIGITS = 6  # a number converted between units keeps this many decimals in the `fixed` profile
_TOP_PERCENT, _PERCENT_A_LEVEL = 100, 25


def axis_of(function: Function, tables: CarTables) -> Mapping[str, Any]:
    """Return the axis that a function moves, from its module's table.

    Raises:
        ConfigError: If the table has no such axis.
    """
    axes = tables.modules[function.module].settings.get("axes", {})
    try:
        axis: Mapping[str, Any] = axes[function["axis"]]
    except KeyError:
        raise ConfigError(
            f"{function.module}.{function.name} moves the axis {function['axis']!r}; the table has {', '.join(axes)}."
        ) from None
    return axis


def targets_of(function: Function, tables: CarTables) -> Targets:
    """Return how a function reads its places.

    Raises:
        ConfigError: If it names none.
    """
    targets = Targets.of(function, tables.modules[function.module].settings)
    if targets is None:
        raise ConfigError(f"{function.module}.{function.name} has op {function.op!r}, which needs a parameter for places.")
    return targets


def rules_of(axis: Mapping[str, Any]) -> AmountRules:
    """Return the published rules for value, unit and degree of an axis."""
    return AmountRules(axis.get("alone", "error"), axis.get("both", "error"))


def unknown_word(name: str, value: Any, known: Mapping[str, Any]) -> Refusal:
    """Return the refusal of a word that is not among the known ones."""
    return Refusal("invalid_value", f"{name} is {value!r}; expected one of {', '.join(known)}.", name)


def out_of_range(value: Any, unit: Any, low: float, high: float, stored: str) -> Refusal:
    """Return the refusal of a value that leads outside the limits."""
    return Refusal("out_of_range", f"{value!r} {unit} is outside the limits {low:g} to {high:g} {stored}.", "value")


class Unit:
    """A unit in which an amount may be said.

    Args:
        row: `step` (stored amount that one unit moves), `set` (two points [value, stored] of the straight line for set),
            `whole` (only the whole part of the value counts). `published` only: `published_step` and `published_set` (how the
            published car multiplies, which decides the last digit: by a factor, or [divisor, factor]), `set_takes` ("number":
            set refuses a number given as text, which a step takes).
    """

    __slots__ = (
        "_base", "_origin", "_over", "_published_set", "_published_step", "_same", "_set_takes", "_span", "_step", "_whole",
    )  # fmt: skip

    def __init__(self, row: Mapping[str, Any]) -> None:
        """Read the row."""
        self._step: float = row["step"]
        (self._origin, self._base), (end, top) = row["set"]
        self._span, self._over = top - self._base, end - self._origin
        self._same = self._origin == self._base and self._span == self._over
        self._whole = bool(row.get("whole"))
        self._published_step, self._published_set = row.get("published_step"), row.get("published_set")
        self._set_takes = row.get("set_takes", "")

    def change(self, value: Any, as_published: bool) -> Any:
        """Return the stored amount that a value in this unit moves."""
        if self._whole:
            value = int(value)
        if as_published and self._published_step is not None:
            return _times(value, self._published_step)
        return value if self._step == 1 else value * self._step

    def place(self, value: Any, as_published: bool) -> Any:
        """Return the stored number of a value in this unit; not limited.

        Raises:
            Refusal: invalid_type.
        """
        if self._set_takes == "number" and not isinstance(value, int | float):
            raise Refusal("invalid_type", f"value is {value!r}; expected a number.", "value")
        if self._whole:
            value = int(value)
        if as_published and self._published_set is not None:
            return self._base + _times(value - self._origin, self._published_set)
        return value if self._same else self._base + (value - self._origin) * self._span / self._over


class Scale:
    """One stored number: its limits, and the units, steps and presets in which it is moved.

    Args:
        axis: Row of the axis: `limits`, `steps` and `step` (the default), `presets`, `units` (see `Unit`), `alone` and `both`
            (see `AmountRules`), `whole` (only the whole part is stored), `nothing` (what set stores without an argument;
            "void": nothing happens in `published`), `stored` (unit of the limits, for messages). `published` only:
            `published_steps` and `published_presets` (words read otherwise), `other_unit` ("error", "void" or "nothing": as if
            no amount were given), `other_step` and `other_preset` ("error", "void" or a number; for unknown words), `keeps` (a
            step that ends beyond the far limit is not stored at all).
    """

    __slots__ = (
        "_axis", "_other_unit", "_presets", "_published_presets", "_published_steps", "_rules", "_steps", "_units", "_whole",
        "high", "keeps", "low",
    )  # fmt: skip

    def __init__(self, axis: Mapping[str, Any]) -> None:
        """Read the axis."""
        self._axis = axis
        self.low, self.high = axis["limits"]
        self._units = {name: Unit(row) for name, row in axis["units"].items()}
        self._steps: Mapping[str, Any] = axis["steps"]
        self._presets: Mapping[str, Any] = axis["presets"]
        self._published_steps = {**self._steps, **axis.get("published_steps", {})}
        self._published_presets = {**self._presets, **axis.get("published_presets", {})}
        self._other_unit = axis.get("other_unit", "error")
        self._rules = rules_of(axis)
        self._whole = bool(axis.get("whole"))
        self.keeps = bool(axis.get("keeps"))

    def step(self, bound: Mapping[str, Any], as_published: bool) -> Any:
        """Return how far up or down moves, in stored units; None if nothing happens."""
        amount = self._rules.read(bound)
        if amount.value is not None:
            unit = self._units.get(amount.unit)
            if unit is not None:
                change = unit.change(amount.value, as_published)
                return int(change) if self._whole else change
            if self._unknown_unit(amount.unit):
                return None
        elif amount.degree is not None:
            return self._word(amount.degree, self._published_steps if as_published else self._steps, "other_step")
        return self._axis["step"]

    def target(self, bound: Mapping[str, Any], as_published: bool) -> Any:
        """Return the number that set stores; None if nothing happens.

        Raises:
            Refusal: out_of_range in the `fixed` profile, missing_argument, invalid_value.
        """
        amount = self._rules.read(bound)
        if amount.value is not None:
            unit = self._units.get(amount.unit)
            if unit is not None:
                return self._placed(unit, amount.value, amount.unit, as_published)
            if self._unknown_unit(amount.unit):
                return None
        elif amount.degree is not None:
            return self._word(amount.degree, self._published_presets if as_published else self._presets, "other_preset")
        nothing = self._axis.get("nothing", "error")
        if nothing == "error" or (nothing == "void" and not as_published):
            raise Refusal("missing_argument", "Say how much: value and unit, or a degree.", "value")
        return None if nothing == "void" else nothing

    def raised(self, old: Any, by: Any, as_published: bool) -> Any:
        """Return the number after up; None if it is not stored."""
        new = min(self.high, old + by)
        if new >= self.low:
            return new
        return None if as_published and self.keeps else self.low

    def lowered(self, old: Any, by: Any, as_published: bool) -> Any:
        """Return the number after down; None if it is not stored."""
        new = max(self.low, old - by)
        if new <= self.high:
            return new
        return None if as_published and self.keeps else self.high

    def _placed(self, unit: Unit, value: Any, name: Any, as_published: bool) -> Any:
        """Return what set stores for a value in a unit."""
        new = unit.place(value, as_published)
        if self._whole:
            new = int(new)
        low, high = self.low, self.high
        if not as_published and not low <= new <= high:
            raise out_of_range(value, name, low, high, self._axis.get("stored", ""))
        return max(low, min(high, new))

    def _unknown_unit(self, unit: Any) -> bool:
        """Return whether an unknown unit makes nothing happen (`published`); else it counts as no amount, or is refused."""
        if self._other_unit == "error":
            raise unknown_word("unit", unit, self._units)
        return bool(self._other_unit == "void")

    def _word(self, degree: Any, words: Mapping[str, Any], other: str) -> Any:
        """Return the number that a degree word stands for."""
        if degree in words:
            return words[degree]
        number = self._axis.get(other, "error")
        if number == "error":
            raise unknown_word("degree", degree, words)
        return None if number == "void" else number


class _SeatLevel:
    """The level of one seat function (heater, massager, ventilation) with its switch and what it records.

    Args:
        axis: Row of the axis: `property` (the level), `switch`, `limits`, `steps`, `step`, `presets`; for `published`
            `published_steps` (further words, quirk Q22) and `other_preset` (for unknown words); optionally `value` and `unit`
            (properties that record the last number said; only by set, unless `records` is "always"), `celsius` (property that
            degrees celsius move instead of the level) and `off_at_set` (whether set switches off at the lowest level).
        function: The function; its row has `direction`.
        tables: The car's tables.
    """

    __slots__ = (
        "_axis", "_celsius", "_high", "_level", "_low", "_presets", "_records", "_rules", "_steps", "_switch", "_unit",
        "_value",
    )  # fmt: skip

    def __init__(self, axis: Mapping[str, Any], function: Function, tables: CarTables) -> None:
        """Find the paths."""
        module = function.module

        def paths(key: str) -> dict[str, str]:
            return place_paths(tables, module, axis[key]) if key in axis else {}

        self._axis = axis
        self._level, self._switch = paths("property"), paths("switch")
        self._value, self._unit, self._celsius = paths("value"), paths("unit"), paths("celsius")
        self._low, self._high = axis["limits"]
        self._steps, self._presets = {**axis["steps"], **axis["published_steps"]}, axis["presets"]
        self._records = axis.get("records") == "always" or function["direction"] == "set"
        self._rules = rules_of(axis)

    def up(self, car: Car, bound: Mapping[str, Any], places: list[str]) -> None:
        """Switch on and raise the level."""
        amount, state, as_published = self._rules.read(bound), car.state, car.as_published
        value, unit, high = amount.value, amount.unit, self._high
        for place in places:
            state.set(self._switch[place], True)
            level: Any = state.values[self._level[place]]
            if value is None:
                by = self._steps.get(amount.degree) if amount.degree is not None else self._axis["step"]
                if by is not None:
                    self._store(state, place, min(high, level + by), as_published)
            elif unit == "gear":
                self._store(state, place, min(high, level + int(value)), as_published)
                self._record(state, place, value, unit)
            elif unit == "percentage":
                percent = min(_TOP_PERCENT, (level - 1) * _PERCENT_A_LEVEL + value)
                self._store(state, place, min(high, _level_at(percent)), as_published)
                self._record(state, place, value, unit)
            elif unit == "celsius" and self._celsius:
                state.set(self._celsius[place], state.values[self._celsius[place]] + value)

    def down(self, car: Car, bound: Mapping[str, Any], places: list[str]) -> None:
        """Lower the level of what is on; large or numeric steps that end at the lowest level switch off."""
        amount, state, as_published = self._rules.read(bound), car.state, car.as_published
        value, unit, degree, low = amount.value, amount.unit, amount.degree, self._low
        for place in places:
            if not state.values[self._switch[place]]:
                continue
            level: Any = state.values[self._level[place]]
            off = False
            if value is None:
                by = self._steps.get(degree) if degree is not None else self._axis["step"]
                if by is not None:
                    new = max(low, level - by)
                    self._store(state, place, new, as_published)
                    off = new == low and degree in (None, "large")
            elif unit == "gear":
                new = max(low, level - int(value))
                self._store(state, place, new, as_published)
                off = new == low and value >= 1
                self._record(state, place, value, unit)
            elif unit == "percentage":
                percent = max(0, (level - 1) * _PERCENT_A_LEVEL - value)
                self._store(state, place, _level_at(percent), as_published)
                off = percent == 0
                self._record(state, place, value, unit)
            elif unit == "celsius" and self._celsius:
                state.set(self._celsius[place], max(0, state.values[self._celsius[place]] - value))
            if off:
                state.set(self._switch[place], False)

    def set(self, car: Car, bound: Mapping[str, Any], places: list[str]) -> None:
        """Switch on and set the level."""
        amount, state, as_published = self._rules.read(bound), car.state, car.as_published
        value, unit, low, high = amount.value, amount.unit, self._low, self._high
        if not as_published:
            self._check_set(amount.is_nothing, value, unit)
        for place in places:
            state.set(self._switch[place], True)
            off = False
            if value is None:
                if amount.degree is not None:
                    state.set(self._level[place], self._presets.get(amount.degree, self._axis["other_preset"]))
                    off = amount.degree == "min"
            elif unit == "gear":
                new = max(low, min(high, int(value)))
                state.set(self._level[place], new)
                self._record(state, place, value, unit)
                off = new == low
            elif unit == "percentage":
                state.set(self._level[place], max(low, min(high, _level_at(value))))
                self._record(state, place, value, unit)
                off = value == 0
            elif unit == "celsius" and self._celsius:
                state.set(self._celsius[place], value)
            if off and self._axis.get("off_at_set"):
                state.set(self._switch[place], False)

    def told(self, car: Car, places: list[str]) -> dict[str, Any]:
        """Return the current value of the function, by place."""
        values = car.state.values
        return {place: {"is_on": values[self._switch[place]], "level": values[self._level[place]]} for place in places}

    def _check_set(self, nothing: bool, value: Any, unit: Any) -> None:
        """Refuse what set cannot do, as the `fixed` profile does."""
        if nothing:
            raise Refusal("missing_argument", "Say how much: value and unit, or a degree.", "value")
        if unit == "gear" and not self._low <= int(value) <= self._high:
            raise out_of_range(value, unit, self._low, self._high, "gear")
        if unit == "percentage" and not 0 <= value <= _TOP_PERCENT:
            raise out_of_range(value, unit, 0, _TOP_PERCENT, "percent")
        if unit == "celsius" and value < 0:
            raise Refusal("out_of_range", f"{value!r} celsius is below 0.", "value")

    def _store(self, state: CarState, place: str, level: Any, as_published: bool) -> None:
        """Store a level; one outside the limits is left away in `published` and limited in `fixed`."""
        if self._low <= level <= self._high:
            state.set(self._level[place], level)
        elif not as_published:
            state.set(self._level[place], max(self._low, min(self._high, level)))

    def _record(self, state: CarState, place: str, value: Any, unit: Any) -> None:
        """Record the number that was said, where this function does."""
        if self._records and self._value:
            state.set(self._value[place], value)
            state.set(self._unit[place], unit)


def _times(value: Any, factor: Any) -> Any:
    """Multiply by a factor, or divide and then multiply."""
    if isinstance(factor, list):
        return value / factor[0] * factor[1]
    return value * factor


def _level_at(percent: Any) -> int:
    """Return the level, from 1 on, that a percentage stands for."""
    return int(percent / _PERCENT_A_LEVEL) + 1


@operation("seat_level")
def seat_level(function: Function, tables: CarTables) -> Run:
    """Move or set the level of a seat function, with its switch.

    Row: `axis` (see `_SeatLevel`), `direction` ("up", "down" or "set").
    """
    level = _SeatLevel(axis_of(function, tables), function, tables)
    targets = targets_of(function, tables)
    act = {"up": level.up, "down": level.down, "set": level.set}[function["direction"]]

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        places = targets.resolve(car, bound[targets.param])
        act(car, bound, places)
        return {"seats": level.told(car, places)}

    return run
