"""Writes of state carried out on a car.

In the `fixed` profile every path is resolved and every value checked (type, words, range, also by unit); constants stay.
One bad write and nothing of the message is done. What follows from a leaf (`derived`) is brought into step at once, so
that of leaves which follow each other the one written last counts; what was written and did not stay is reported.
Intentions are not guessed: writing that music plays does not claim the sound channel.

A map written to a group, to an element of a list or to a reference writes what it names and leaves the rest. Records are
known by their identity (`records.json`): a map with the identity of a known record means that record, and other fields
that it gives are written to it, wherever it is listed; without a known identity it becomes a new record. null empties a
reference.

In the `published` profile whatever is written is written: no checks, nothing follows, a field of a record changes only where
it was written. Only what a state cannot hold at all is refused, write by write.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from palaestra.envs.vehicle.calls.expressions import Limits, plain
from palaestra.envs.vehicle.car import derived
from palaestra.envs.vehicle.car.call_result import Change, Refusal, Scalar
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.layout import Node, car_layout
from palaestra.envs.vehicle.car.places import Place, find_place, join_path, place_at, split_path
from palaestra.envs.vehicle.car.state import CarState, Record
from palaestra.envs.vehicle.car.tables import CarTables
from palaestra.envs.vehicle.car.views import plain_state
from palaestra.envs.vehicle.writes.checks import (
    check_field,
    check_value,
    complete_record,
    in_words,
    measured_by,
    short,
    unit_path,
)
from palaestra.envs.vehicle.writes.syntax import Write
from palaestra.types import Json

_LIMITS = Limits()
_MAX_LIST = 1_000
_MAX_ERRORS = 20
_WRAPPER = {"value", "type", "description"}


@dataclass(slots=True)
class WriteResult:
    """What writes of state came to.

    Attributes:
        ok: Whether everything was written.
        changes: Leaves that differ from before, derived ones included.
        errors: What was refused; `param` is the path, and the message names it too.
        contradictions: What was written and did not stay, or does not go together; one line each.
    """

    ok: bool
    changes: list[Change] = field(default_factory=list)
    errors: list[Refusal] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Json]:
        """Return the result as plain data."""
        return {
            "ok": self.ok,
            "changed": [change.to_json() for change in self.changes],
            "errors": [{"code": error.code, "message": error.message, "param": error.param} for error in self.errors],
            "contradictions": list(self.contradictions),
        }


def apply_writes(car: Car, writes: Sequence[Write]) -> WriteResult:
    """Carry out the writes of one message.

    Args:
        car: The car; changed in place. In the `fixed` profile it is unchanged if anything is refused.
        writes: The writes in order.
    """
    state = car.state
    mark = state.mark()
    if car.as_published:
        writer: _Writer = _PaperWriter(car)
    else:
        writer = _FixedWriter(car)
    errors: list[Refusal] = []
    for write in writes:
        try:
            writer.write(Write(write.op, write.path, plain(write.value, _LIMITS, f"The value for {write.path}")))
        except Refusal as refusal:
            errors.append(Refusal(refusal.code, refusal.message, write.path))
            if len(errors) == _MAX_ERRORS:
                break
    errors += writer.finish()
    if errors and not car.as_published:
        state.undo(mark)
        return WriteResult(False, errors=errors)
    return WriteResult(not errors, state.changes_since(mark), errors, writer.contradictions(mark))


class _Writer(ABC):
    """Carries out writes; the profiles differ in `leaf`, `set_field` and in which record a map means."""

    def __init__(self, car: Car) -> None:
        self.car = car
        self.state = car.state
        self.tables = car.tables

    def write(self, write: Write) -> None:
        """Carry out one write."""
        place = place_at(self.tables, write.path)
        if write.op == "add":
            self.add(place, write.value)
        elif write.op == "remove":
            self.remove(place, write.value)
        else:
            self.set(place, write.value, stated=True)

    def finish(self) -> list[Refusal]:
        """Check what can be told only after all writes."""
        return []

    def contradictions(self, mark: int) -> list[str]:
        """Return the writes since `mark` and does not hold."""
        return []

    # -- the three operations -------------------------------------------------------------------------------------

    def set(self, place: Place, value: Any, *, stated: bool) -> None:
        """Write a value; `stated` is false for parts of a larger value, which may repeat what is there."""
        path = place.path
        match place.kind:
            case "leaf":
                self.leaf(place.node, _unwrapped(value), stated=stated)
            case "branch":
                self.branch(place.node, _unwrapped(value, place.node))
            case "list":
                values = _unwrapped(value)
                if not isinstance(values, list):
                    raise Refusal("invalid_type", f"{path} is {short(value)}; expected a list of {place.records.name}.")
                self.resize(place, [self.record(place, item, None) for item in values])
            case "element":
                numbers = list(self.state.lists[place.node.path])
                index = _index(place, len(numbers))
                numbers[index] = self.record(place, value, numbers[index])
                self.resize(place, numbers)
            case "field":
                numbers = list(self.state.lists[place.node.path])
                index = _index(place, len(numbers))
                numbers[index] = self.set_field(place, numbers[index], _unwrapped(value))
                self.resize(place, numbers)
            case "record":
                self.point(place, self.referred(place, value))
            case "record_field":
                number = self.state.refs[place.node.path]
                if number is None:
                    raise Refusal("not_found", f"{path}: {place.node.path} is null; write a whole {place.records.name} to it.")
                self.point(place, self.set_field(place, number, _unwrapped(value)))
            case _:
                self.constant(place, _unwrapped(value), stated=stated)

    def add(self, place: Place, value: Any) -> None:
        """Append to a list, or insert before an element."""
        if place.kind not in ("list", "element"):
            raise Refusal("invalid_type", f"{place.path} is no list; only lists of records can be added to.")
        numbers = list(self.state.lists[place.node.path])
        index = len(numbers)
        if place.kind == "element":
            index = place.index + len(numbers) if place.index < 0 else place.index
            if not 0 <= index <= len(numbers):
                raise Refusal("not_found", f"{place.path}: the list has {len(numbers)} elements.")
        numbers.insert(index, self.record(place, value, None))
        self.resize(place, numbers)

    def remove(self, place: Place, value: Any) -> None:
        """Take out an element; empty a reference or a nullable leaf."""
        match place.kind:
            case "element":
                numbers = list(self.state.lists[place.node.path])
                del numbers[_index(place, len(numbers))]
                self.resize(place, numbers)
            case "list" if isinstance(value, dict) and value:
                numbers = list(self.state.lists[place.node.path])
                wanted = {name: _unwrapped(item) for name, item in value.items()}
                found = [n for n in numbers if wanted.items() <= self.state.records[n].items()]
                if not found:
                    raise Refusal("not_found", f"{place.path} has no element {short(wanted)}.")
                numbers.remove(found[0])
                self.resize(place, numbers)
            case "record" | "leaf" if place.row.nullable:
                self.set(place, None, stated=True)
            case _:
                hint = "name an element, e.g. [0]" if place.kind == "list" else "write the value that it becomes"
                raise Refusal("invalid_type", f"{place.path} cannot be removed; {hint}.")

    def resize(self, place: Place, numbers: list[int]) -> None:
        """Write which records a list holds."""
        if len(numbers) > _MAX_LIST:
            raise Refusal("limit", f"{place.node.path} would have {len(numbers)} elements; at most {_MAX_LIST} are allowed.")
        self.state.set_list(place.node.path, numbers)

    def point(self, place: Place, number: int | None) -> None:
        """Write which record a reference points to."""
        self.state.set_ref(place.node.path, number)

    def branch(self, node: Node, value: Any) -> None:
        """Write a map to a group: each of its entries."""
        if not isinstance(value, dict):
            raise Refusal(
                "invalid_type", f"{node.path} is {short(value)}; expected a map, it holds {in_words(node.children)}."
            )
        above = split_path(node.path)
        for name, part in value.items():
            self.set(find_place(self.tables, [*above, name]), part, stated=False)

    def constant(self, place: Place, value: Any, *, stated: bool) -> None:
        """Refuse to change a constant list or map; repeating it in a larger value is not a change."""
        if not stated and place.path == place.node.path and _present(self.car, place.node.path) == _unwrapped_deep(value):
            return
        raise Refusal("constant", f"{place.path} is a constant; nothing can write it.")

    def referred(self, place: Place, value: Any) -> int | None:
        """Return the record that a reference is to point to."""
        value = _unwrapped(value)
        if value is None:
            if not place.row.nullable:
                raise Refusal("invalid_type", f"{place.path} cannot be null.")
            return None
        return self.record(place, value, self.state.refs[place.path])

    # -- what the profiles do in their own way ------------------------------------------------------------------------

    @abstractmethod
    def leaf(self, node: Node, value: Any, *, stated: bool) -> None:
        """Write a scalar."""

    @abstractmethod
    def record(self, place: Place, value: Any, present: int | None) -> int:
        """Return the number of the record that a map means; `present` is the one that it takes the place of."""

    @abstractmethod
    def set_field(self, place: Place, number: int, value: Any) -> int:
        """Write a field of a record; return the number of the record that stands there afterwards."""


class _FixedWriter(_Writer):
    """Checks everything and keeps what follows in step."""

    def __init__(self, car: Car) -> None:
        super().__init__(car)
        self.told: dict[str, Scalar] = {}
        self.known: dict[str, dict[int, None]] = {}
        self.units: dict[str, None] = {}

    def leaf(self, node: Node, value: Any, *, stated: bool) -> None:
        path, row = node.path, node.prop
        old = self.state.values[path]
        if not stated and old == value and isinstance(old, bool) is isinstance(value, bool):
            return
        if row.constant:
            raise Refusal("constant", f"{path} is a constant ({short(old)}); nothing can write it.")
        check_value(path, row, value)
        value = self.car.normal(path, value)
        if self.state.set(path, value):
            derived.sync(self.state, path, tables=self.tables)
        self.told.pop(path, None)
        self.told[path] = value
        measured = measured_by(self.tables).get(path)
        if measured is not None:
            self.units[measured] = None

    def record(self, place: Place, value: Any, present: int | None) -> int:
        kind = place.records
        fields = _bare(_unwrapped(value)) if isinstance(value, dict) else None
        if fields is None:
            raise Refusal(
                "invalid_type", f"{place.path} is {short(value)}; expected a {kind.name} with {in_words(kind.fields)}."
            )
        for name, item in fields.items():
            if name not in kind.fields:
                raise Refusal(
                    "unknown_path", f"{place.path}: a {kind.name} has no {short(name)}; it has {in_words(kind.fields)}."
                )
            check_field(f"{place.path}.{name}", kind.fields[name], item)
        if not kind.identity:
            if present is not None:
                self.state.change_record(present, **fields)
                return present
            return self.state.new_record(complete_record(place.path, kind, fields))
        missing = [name for name in kind.identity if name not in fields]
        if missing:
            raise Refusal(
                "missing_argument", f"{place.path}: a {kind.name} is known by {in_words(kind.identity)}; give {missing[0]}."
            )
        number = self.find(place, fields, present)
        if number is None:
            number = self.state.new_record(complete_record(place.path, kind, fields))
            self.candidates(place)[number] = None
        else:
            self.state.change_record(number, **fields)
        return number

    def find(self, place: Place, fields: Mapping[str, Scalar], present: int | None) -> int | None:
        """Return the known record with the identity given; of several the one whose fields agree most."""
        records, identity = self.state.records, place.records.identity
        found = [n for n in self.candidates(place) if all(records[n][name] == fields[name] for name in identity)]
        if not found:
            return None
        return max(found, key=lambda n: (sum(records[n][name] == item for name, item in fields.items()), n == present, -n))

    def resize(self, place: Place, numbers: list[int]) -> None:
        self.candidates(place)  # before a record may leave its last list: the message may still mean it
        super().resize(place, numbers)

    def point(self, place: Place, number: int | None) -> None:
        self.candidates(place)
        super().point(place, number)

    def candidates(self, place: Place) -> dict[int, None]:
        """Return the records of this kind that the message may mean: all that were listed before it, and new ones."""
        kind = place.row.of
        if kind not in self.known:
            self.known[kind] = dict.fromkeys(reachable(self.state, self.tables, kind))
        return self.known[kind]

    def set_field(self, place: Place, number: int, value: Any) -> int:
        kind, name = place.records, place.field
        check_field(place.path, kind.fields[name], value)
        if name in kind.identity and self.state.records[number][name] != value:
            whole = place.path.removesuffix(f".{name}")
            raise Refusal(
                "constant", f"{place.path} tells this {kind.name} from others; to put another one there write {whole}."
            )
        self.state.change_record(number, **{name: value})
        return number

    def finish(self) -> list[Refusal]:
        """Check amounts against the range of the unit that they ended up in."""
        errors = []
        values = self.state.values
        for path in self.units:
            row, unit, number = self.tables.properties[path], values[unit_path(self.tables, path)], values[path]
            low, high = row.ranges[str(unit)]
            if isinstance(number, int | float) and not low <= number <= high:
                reason = f"{path} is {number:g} in {unit}; expected {low:g} to {high:g}."
                errors.append(Refusal("out_of_range", reason, path))
        return errors

    def contradictions(self, mark: int) -> list[str]:
        values = self.state.values
        lines = [
            f"{path} was written as {value!r} but is now {values[path]!r}, because of what was written after it."
            for path, value in self.told.items()
            if values[path] != value
        ]
        found = derived.contradictions(self.state, self.tables)
        before = derived.contradictions(self.state.before(mark), self.tables) if found else []
        return lines + [line for line in found if line not in before]


class _PaperWriter(_Writer):
    """Writes what is written, where it is written."""

    def __init__(self, car: Car) -> None:
        super().__init__(car)
        self.fresh: dict[int, str] = {}

    def write(self, write: Write) -> None:
        try:
            place_at(self.tables, write.path)
        except Refusal:
            if write.op != "set":
                raise
            self.unknown(split_path(write.path), write.value)
        else:
            super().write(write)

    def unknown(self, steps: Sequence[str | int], value: Any) -> None:
        """Write a leaf that the car does not have, unless it would stand below one that it has."""
        node = car_layout(self.tables)
        for step in steps:
            if node.kind != "branch":
                raise Refusal("unknown_path", f"{join_path(steps)}: there is nothing below {node.path}.")
            child = node.children.get(str(step))
            if child is None:
                break
            node = child
        for path, leaf in _leaves(join_path([step for step in steps if step != "value"]), value):
            self.state.set(path, leaf)

    def branch(self, node: Node, value: Any) -> None:
        for name, part in value.items() if isinstance(value, dict) else ():
            if name in node.children:
                super().branch(node, {name: part})
            else:
                self.unknown([*split_path(node.path), name], part)
        if not isinstance(value, dict):
            super().branch(node, value)

    def leaf(self, node: Node, value: Any, *, stated: bool) -> None:
        if isinstance(value, dict | list):
            raise Refusal("invalid_type", f"{node.path} holds a single value; {short(value)} is none.")
        self.state.set(node.path, value)

    def record(self, place: Place, value: Any, present: int | None) -> int:
        fields = _bare(_unwrapped(value)) if isinstance(value, dict) else None
        if fields is None or any(isinstance(item, dict | list) for item in fields.values()):
            raise Refusal("invalid_type", f"{place.path} is {short(value)}; expected a {place.records.name}.")
        return self.new(place, fields)

    def set_field(self, place: Place, number: int, value: Any) -> int:
        if isinstance(value, dict | list):
            raise Refusal("invalid_type", f"{place.path} holds a single value; {short(value)} is none.")
        return self.new(place, {**self.state.records[number], place.field: value})

    def new(self, place: Place, fields: Record) -> int:
        """Keep a record that was written."""
        number = self.state.new_record(fields)
        if place.records.identity:
            self.fresh[number] = place.row.of
        return number

    def finish(self) -> list[Refusal]:
        """Make records that were written and are equal to others one: that is what they were before they were shown."""
        state, one = self.state, dict[int, int]()
        for kind in sorted(set(self.fresh.values())):
            numbers: dict[Any, int] = {}
            listed = dict.fromkeys(reachable(state, self.tables, kind))
            for number in sorted(listed, key=lambda number: number in self.fresh):
                key = tuple((name, type(item), item) for name, item in state.records[number].items())
                first = numbers.setdefault(key, number)
                if number in self.fresh:
                    one[number] = first
            for node in _record_places(self.tables, kind):
                if node.kind == "list":
                    state.set_list(node.path, [one.get(number, number) for number in state.lists[node.path]])
                elif (present := state.refs[node.path]) is not None:
                    state.set_ref(node.path, one.get(present, present))
        return []


def _index(place: Place, count: int) -> int:
    """Return the index of an element, counted from the start."""
    index = place.index + count if place.index < 0 else place.index
    if not 0 <= index < count:
        raise Refusal("not_found", f"{place.path}: the list has {count} elements.")
    return index


# -- values -------------------------------------------------------------------------------------------------------------


def _unwrapped(value: Any, node: Node | None = None) -> Any:
    """Return what stands in a `{"value", "type", "description"}` wrapper, or the value itself."""
    while isinstance(value, dict) and "value" in value and value.keys() <= _WRAPPER:
        if node is not None and "value" in node.children and len(value) == 1:
            break
        value = value["value"]
    return value


def _bare(record: Any) -> dict[str, Any] | None:
    """Return a record with unwrapped fields, or None if it is none."""
    if not isinstance(record, dict):
        return None
    return {name: _unwrapped(value) for name, value in record.items()}


def _unwrapped_deep(value: Any) -> Any:
    """Return a value without any wrapper in it."""
    value = _unwrapped(value)
    if isinstance(value, dict):
        return {name: _unwrapped_deep(item) for name, item in value.items()}
    return [_unwrapped_deep(item) for item in value] if isinstance(value, list) else value


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Scalar]]:
    """Yield the scalars in a value by path."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(f"{path}.{name}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(f"{path}[{index}]", item)
    else:
        yield path, value


def _present(car: Car, path: str) -> Any:
    """Return the plain value at a path of names."""
    steps = path.split(".")
    found: Any = plain_state(car, [steps[0]])
    for step in steps:
        found = found[step]
    return found


def reachable(state: CarState, tables: CarTables, kind: str) -> Iterator[int]:
    """Yield the records of a kind that are listed or referred to."""
    for node in _record_places(tables, kind):
        if node.kind == "list":
            yield from state.lists[node.path]
        elif (number := state.refs[node.path]) is not None:
            yield number


@lru_cache(maxsize=64)
def _record_places(tables: CarTables, kind: str) -> tuple[Node, ...]:
    """Return the lists and references that hold records of a kind."""
    return tuple(node for node in car_layout(tables).leaves() if node.kind in ("list", "record") and node.prop.of == kind)
