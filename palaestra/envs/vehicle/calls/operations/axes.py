"""Operation "axis": moves a quantity up or down by a step, or sets it, in one of its units.

A function's row names an axis of its module (`axis`) and a `direction` (up, down, set). The axis is of one `kind`:

* `number`: one stored number. `property`; `units`: unit -> stored amount of one unit.
* `unit`: one number in a unit that is a property of its own. `property`, `unit_property`; `units`: unit -> [lowest, highest];
  an amount in another unit makes that unit the stored one, or is converted into the stored one (`converts`: directions for
  which).
* `triple`: one amount held in several units. `group`: a `scale` group of the module (see `derived`); `current`: property that
  names the unit in use, which an amount in another unit changes (`switches`: directions for which).

Every axis has `steps` and `presets` (words: in stored amounts, in the unit of `word_unit`, by unit, or as percent of the
highest value where `share` is true), `default_step` (a word or an amount) and `rules` (`AmountRules` by "move" and "set").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.amounts import Amount, AmountRules
from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.preconditions import precondition_of
from palaestra.envs.vehicle.calls.targets import Targets
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.derived import scale_of, sync
from palaestra.envs.vehicle.car.paths import full_path, place_paths
from palaestra.errors import ConfigError

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState
    from palaestra.envs.vehicle.car.tables import CarTables, Function

SIGNS = {"up": 1, "down": -1, "set": 0}
_DIGITS = 9  # of a number that changes its unit, so that 2.5 gears of 5 are 50 % and not 50.00000000000001 %


class NumberAxis:
    """One stored number.

    Axis: `limits`; `whole` (units of which only the whole part counts, "all" for all). `published` only: `amount_limits` (an
    amount is first brought between these), `other_step` and `other_preset` (stored amount for an unknown word), `room_above`
    (true: a step down by word is no longer than the room above the number, quirk Q26).
    """

    def __init__(self, axis: Mapping[str, Any], module: str, tables: CarTables) -> None:
        """Read the axis."""
        self._tables = tables
        self._paths = place_paths(tables, module, axis["property"])
        self._units: Mapping[str, float] = axis["units"]
        self._low, self._high = axis["limits"]
        self._steps, self._presets = axis["steps"], axis.get("presets") or {}
        self._default = _default_step(axis, self._steps)
        self._whole = axis.get("whole", ())
        self._amount_limits = axis.get("amount_limits")
        self._others = {0: axis.get("other_preset"), 1: axis.get("other_step"), -1: axis.get("other_step")}
        self._room_above = axis.get("room_above", False)

    def move(self, car: Car, place: str, amount: Amount, sign: int) -> dict[str, Any]:
        """Move or set the number of one place; return its values before and after."""
        state, path = car.state, self._paths[place]
        old: Any = state.values[path]
        number = self._amount(amount, sign, car.as_published)
        if not sign:
            if not car.as_published and not self._low <= number <= self._high:
                raise _out_of_range(amount, self._low, self._high)
            new = number
        else:
            if self._room_above and car.as_published and sign < 0 and amount.value is None:
                number = min(number, self._high - old)
            new = old + sign * number
        new = max(self._low, min(self._high, new))
        if state.set(path, new):
            sync(state, path, tables=self._tables, as_published=car.as_published)
        return {"previous": old, "current": state.values[path]}

    def _amount(self, amount: Amount, sign: int, as_published: bool) -> Any:
        """Return the amount said as a stored number."""
        if amount.value is not None:
            number = _known(self._units, amount.unit, "unit") * _plain(amount.value)
            if self._whole == "all" or amount.unit in self._whole:
                number = int(number)
            if self._amount_limits and (as_published or sign):
                number = max(self._amount_limits[0], min(self._amount_limits[1], number))
            return number
        if amount.degree is None:
            return self._default
        words = self._steps if sign else self._presets
        other = self._others[sign]
        if as_published and other is not None and amount.degree not in words:
            return other
        return _known(words, amount.degree, "degree")


class UnitAxis:
    """One number in a unit that is a property of its own.

    Axis: `word_unit` (unit of the presets, which becomes the stored one), `rounds` (units that are rounded to whole numbers
    when converted to); where the unit changes, the number is converted (`fixed`) or kept (`published`, quirk Q8). `published`
    only: `published_steps` (further words that are steps), `unit_converts` (true: a call that fails for the type of its value
    has written the unit, and the number in it, by then).
    """

    def __init__(self, axis: Mapping[str, Any], module: str, tables: CarTables) -> None:
        """Read the axis."""
        self._tables = tables
        self._paths = place_paths(tables, module, axis["property"])
        self.unit_paths = place_paths(tables, module, axis["unit_property"])
        self.ranges: Mapping[str, list[float]] = axis["units"]
        self._word_unit = axis.get("word_unit")
        self._steps = _by_unit(axis, axis["steps"], self.ranges)
        self._published_steps = _by_unit(axis, {**axis["steps"], **axis.get("published_steps", {})}, self.ranges)
        self._presets = axis["presets"] if self._word_unit else _by_unit(axis, axis["presets"], self.ranges)
        self._defaults = {unit: _default_step(axis, steps) for unit, steps in self._steps.items()}
        if axis.get("share") and not isinstance(axis["default_step"], str):
            self._defaults = {unit: axis["default_step"] * high / 100 for unit, (_, high) in self.ranges.items()}
        self._converts = [SIGNS[direction] for direction in axis.get("converts", ())]
        self._rounds = axis.get("rounds", ())
        self._unit_converts = axis.get("unit_converts", False)

    def convert(self, number: Any, unit: str, wanted: str, *, exact: bool = False) -> Any:
        """Return a number of `unit` in the unit wanted: the same share of the range; `exact` leaves all its digits."""
        if unit == wanted:
            return number
        (low, high), (new_low, new_high) = self.ranges[unit], self.ranges[wanted]
        new = new_low + (number - low) / (high - low) * (new_high - new_low)
        return round(new) if wanted in self._rounds else new if exact else round(new, _DIGITS)

    def degree(self, state: CarState, place: str) -> tuple[str, float]:
        """Return the path of the number of one place, and the highest number in its current unit."""
        return self._paths[place], self.ranges[str(state.values[self.unit_paths[place]])][1]

    def move(self, car: Car, place: str, amount: Amount, sign: int) -> dict[str, Any]:
        """Move or set the number of one place; return its values before and after, and the unit."""
        state, path, unit_path = car.state, self._paths[place], self.unit_paths[place]
        values = state.values
        old: Any = values[path]
        unit = str(values[unit_path])
        if amount.value is not None:
            wanted = amount.unit
            low, high = _known(self.ranges, wanted, "unit")
            # the published unit has changed by the time a value of the wrong type is met (Q9)
            if car.as_published and not isinstance(amount.value, int | float) and self._unit_converts:
                state.set(path, self.convert(old, unit, wanted, exact=True))
                state.set(unit_path, wanted)
            if sign in self._converts:
                start = self.convert(old, unit, wanted, exact=car.as_published)
                new = self.convert(self._moved(car, start, amount, sign, low, high), wanted, unit, exact=car.as_published)
            else:
                if wanted != unit:
                    state.set(unit_path, wanted)
                start = old if car.as_published or wanted == unit else self.convert(old, unit, wanted)
                new = self._moved(car, start, amount, sign, low, high)
        elif sign:
            steps = self._published_steps if car.as_published else self._steps
            step = self._defaults[unit] if amount.degree is None else _known(steps[unit], amount.degree, "degree")
            new = _clamped(old + sign * step, *self.ranges[unit])
        elif self._word_unit:
            new = _known(self._presets, amount.degree, "degree")
            state.set(unit_path, self._word_unit)
        else:
            new = _known(self._presets[unit], amount.degree, "degree")
        if state.set(path, new):
            sync(state, path, tables=self._tables, as_published=car.as_published)
        return {"previous": old, "current": values[path], "unit": values[unit_path]}

    def _moved(self, car: Car, start: Any, amount: Amount, sign: int, low: float, high: float) -> Any:
        """Return where a value leads, in its unit."""
        value = _plain(amount.value)
        if not sign and not car.as_published and not low <= value <= high:
            raise _out_of_range(amount, low, high)
        if sign:
            value = start + sign * value
            value = value if car.as_published else round(value, _DIGITS)
        return _clamped(value, low, high)


class TripleAxis:
    """One amount held in several units, which move together.

    Axis: `word_unit` (unit of steps and presets given as plain numbers; without it they are given by unit, and a preset writes
    every unit), `whole` (units of which only the whole part counts), `refuses_at_end` (up at the highest, down at the lowest
    value of the leading unit is refused). `published` only: `text` (direction -> units that take a number given as text ->
    "whole" or "number", what it is read as), `whole_to_set` (units of which set takes the whole part), `whole_sum` (true: of
    whole units the sum is cut, not what is added), `keeps_unit_of` (true: the unit of a value of the wrong type stays behind),
    `outside` ("ignore": a move that ends outside the range on the far side is not stored), `outside_set` ("error": a value
    outside the range is refused, before it is cut to its whole part).
    """

    def __init__(self, axis: Mapping[str, Any], module: str, tables: CarTables) -> None:
        """Read the axis."""
        self._tables = tables
        self.scale = scale_of(tables, module, axis["group"])
        self.lead = self.scale.leaves[self.scale.lead]
        self._current = full_path(module, axis["current"]) if "current" in axis else ""
        self._switches = [SIGNS[direction] for direction in axis.get("switches", ())]
        self._word_unit = axis.get("word_unit")
        ranges = self.scale.ranges
        self._steps = {unit: axis["steps"] for unit in ranges} if self._word_unit else axis["steps"]
        self._presets: Mapping[str, Any] = axis["presets"]
        self._defaults = {unit: _default_step(axis, steps) for unit, steps in self._steps.items()}
        self._whole = axis.get("whole", ())
        self._refuses_at_end = axis.get("refuses_at_end", False)
        self._text = {SIGNS[direction]: units for direction, units in axis.get("text", {}).items()}
        self._whole_to_set = axis.get("whole_to_set", ())
        self._whole_sum = axis.get("whole_sum", False)
        self._keeps_unit_of = axis.get("keeps_unit_of", False)
        self._ignores_outside = axis.get("outside") == "ignore"
        self._outside_error = axis.get("outside_set") == "error"

    def move(self, car: Car, place: str, amount: Amount, sign: int) -> dict[str, Any]:
        """Move or set the amount; return it before and after, in the unit that was moved."""
        state = car.state
        values = state.values
        if self._refuses_at_end and sign and values[self.lead] == self.scale.ranges[self.scale.lead][sign > 0]:
            raise Refusal("precondition_failed", f"{self.lead} is {values[self.lead]!r} and cannot go further.")
        if not sign and amount.value is None:
            return self._preset(car, amount)
        unit = amount.unit if amount.unit is not None else self._unit(values)
        low, high = _known(self.scale.ranges, unit, "unit")
        path = self.scale.leaves[unit]
        old: Any = values[path]
        if amount.value is not None:
            number = self._value(car, amount, unit, sign)
            if self._current and sign in self._switches:
                state.set(self._current, unit)
        else:
            steps = self._steps[unit]
            number = self._defaults[unit] if amount.degree is None else _known(steps, amount.degree, "degree")
        new = old + sign * number if sign else number
        if car.as_published and self._whole_sum and unit in self._whole:
            new = int(new)
        said = amount.value if car.as_published and self._outside_error and not sign else new
        if not low <= new <= high or not low <= said <= high:
            if not sign and (self._outside_error or not car.as_published):
                raise _out_of_range(amount, low, high)
            if car.as_published and self._ignores_outside and (new < low if sign > 0 else new > high):
                return {"previous": old, "current": old, "unit": unit}
            new = _clamped(new, low, high)
        self._fill(car, unit, new)
        return {"previous": old, "current": values[path], "unit": unit}

    def _unit(self, values: Mapping[str, Any]) -> str:
        """Return the unit of words, or the one in use."""
        return self._word_unit or str(values[self._current])

    def _value(self, car: Car, amount: Amount, unit: str, sign: int) -> Any:
        """Return a value said, as a number of its unit."""
        value = amount.value
        if isinstance(value, str) and car.as_published and unit in self._text.get(sign, ()):
            value = int(value) if self._text[sign][unit] == "whole" else float(value)
        if isinstance(value, str) and self._keeps_unit_of:
            car.state.set(self._current, unit)
        value = _plain(value)
        if car.as_published and (self._whole_sum or (not sign and unit in self._whole_to_set)):
            return int(value) if not sign and unit in (*self._whole, *self._whole_to_set) else value
        return int(value) if unit in self._whole else value

    def _preset(self, car: Car, amount: Amount) -> dict[str, Any]:
        """Set the amount that a word stands for."""
        state = car.state
        unit = self._unit(state.values)
        old = state.values[self.scale.leaves[unit]]
        if self._word_unit:
            self._fill(car, unit, _known(self._presets, amount.degree, "degree"))
        else:
            for held, path in self.scale.leaves.items():
                state.set(path, _known(self._presets[held], amount.degree, "degree"))
            self._follow(car)
        return {"previous": old, "current": state.values[self.scale.leaves[unit]], "unit": unit}

    def _fill(self, car: Car, unit: str, number: Any) -> None:
        """Write the amount in every unit, and what follows from it."""
        state = car.state
        mark = len(state.log)
        self.scale.fill(state, unit, number, as_published=car.as_published)
        if len(state.log) > mark:
            self._follow(car)

    def _follow(self, car: Car) -> None:
        """Bring into step what follows from the amount, whose units are all written."""
        sync(car.state, self.lead, tables=self._tables, as_published=car.as_published, keep=self.scale.paths)


Axis = NumberAxis | UnitAxis | TripleAxis
_KINDS: Mapping[str, type[NumberAxis] | type[UnitAxis] | type[TripleAxis]] = {
    "number": NumberAxis,
    "unit": UnitAxis,
    "triple": TripleAxis,
}


def axis_of(function: Function, tables: CarTables) -> Axis:
    """Return the axis that a function moves.

    Raises:
        ConfigError: If its module has no such axis, or one of unknown kind.
    """
    row = axis_row(function, tables)
    if row.get("kind") not in _KINDS:
        raise ConfigError(
            f"Axis {function['axis']!r} of {function.module} is of kind {row.get('kind')!r}; expected {', '.join(_KINDS)}."
        )
    return _KINDS[row["kind"]](row, function.module, tables)


def axis_row(function: Function, tables: CarTables) -> Mapping[str, Any]:
    """Return the row of the axis that a function moves.

    Raises:
        ConfigError: If its module has no such axis.
    """
    rows = tables.modules[function.module].settings.get("axes", {})
    if function["axis"] not in rows:
        raise ConfigError(
            f"{function.module}.{function.name} moves the axis {function['axis']!r}; there are {', '.join(rows)}."
        )
    row: Mapping[str, Any] = rows[function["axis"]]
    return row


def rules_of(function: Function, tables: CarTables) -> AmountRules:
    """Return the published rules for the amount of a function: `rules` of its axis, by "move" and "set"."""
    rules = axis_row(function, tables).get("rules", {})
    return AmountRules(**rules.get("set" if function["direction"] == "set" else "move", {}))


def read_amount(rules: AmountRules, bound: Mapping[str, Any], sign: int) -> Amount:
    """Return the amount that bound arguments say; set needs one.

    Raises:
        Refusal: missing_argument or conflicting_arguments.
    """
    amount = rules.read(bound)
    if not sign and amount.value is None and amount.degree is None and not amount.void:
        raise Refusal("missing_argument", "Say how much: a value with its unit, or a degree.", "value")
    return amount


@operation("axis")
def axis(function: Function, tables: CarTables) -> Run:
    """Move a quantity up or down, or set it.

    Row: `axis`, `direction`, `needs` (see `preconditions`), `targets` (see `Targets`). Axis: `before` (property -> value
    written first; in `published` also if the call then fails), `each` (a flag by place: only places where it is true are
    moved; none is refused).
    """
    moved, row = axis_of(function, tables), axis_row(function, tables)
    sign = SIGNS[function["direction"]]
    rules, precondition = rules_of(function, tables), precondition_of(function, tables)
    targets = Targets.of(function, tables.modules[function.module].settings)
    before = {full_path(function.module, path): value for path, value in row.get("before", {}).items()}
    each = place_paths(tables, function.module, row["each"]) if "each" in row else {}

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        state = car.state
        precondition(car)
        for path, value in before.items():
            state.set(path, value)
        places = [place for place, path in each.items() if state.values[path]]
        if each and not places:
            raise Refusal("precondition_failed", f"None of {', '.join(each.values())} is on; switch one on first.")
        if targets is not None:
            places = targets.resolve(car, bound[targets.param])
        amount = read_amount(rules, bound, sign)
        if amount.void:
            return {}
        if not places:
            return moved.move(car, "", amount, sign)
        return {place: moved.move(car, place, amount, sign) for place in places}

    return run


def _default_step(axis: Mapping[str, Any], steps: Mapping[str, float]) -> float:
    """Return the step without an argument: a word of the steps, or a number."""
    default = axis["default_step"]
    step: float = steps[default] if isinstance(default, str) else default
    return step


def _by_unit(axis: Mapping[str, Any], words: Mapping[str, Any], ranges: Mapping[str, list[float]]) -> Mapping[str, Any]:
    """Return words by unit: given so, the same in every unit, or as percent of the highest value."""
    if axis.get("share"):
        return {unit: {word: high * part / 100 for word, part in words.items()} for unit, (_, high) in ranges.items()}
    return words if words.keys() == ranges.keys() else dict.fromkeys(ranges, words)


def _known(table: Mapping[str, Any], word: Any, param: str) -> Any:
    """Return what a word stands for."""
    if not isinstance(word, str) or word not in table:
        raise Refusal("invalid_value", f"{param} is {word!r}; expected one of {', '.join(table)}.", param)
    return table[word]


def _plain(value: Any) -> Any:
    """Return a value that is a number; refuse one that is none."""
    if not isinstance(value, int | float):
        raise Refusal("invalid_type", f"value is {value!r}; expected a number.", "value")
    return value


def _clamped(number: Any, low: float, high: float) -> Any:
    """Return the nearest number within the limits."""
    return low if number < low else high if number > high else number


def _out_of_range(amount: Amount, low: float, high: float) -> Refusal:
    """Return the refusal of a value outside the limits."""
    said = f"{amount.value!r} {amount.unit}" if amount.unit else f"{amount.value!r}"
    return Refusal("out_of_range", f"{said} leads outside the limits {low:g} to {high:g}.", "value")
