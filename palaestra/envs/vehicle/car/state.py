"""The state of a car as a value: cheap to copy, to compare, to hash, to undo.

Scalars lie flat in one dictionary by path. Records (tracks, stations, videos, contacts, ...) lie next to them by number; lists
and references hold the numbers, so that one record seen in several lists stays one record. A record is never changed in place:
a new one takes its number. Every write goes to a log, from which changes are told and refused calls are undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from palaestra.envs.core.typed import fits
from palaestra.envs.vehicle.car.call_result import Change, Scalar

Record = Mapping[str, Scalar]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
_VALUES, _LISTS, _REFS, _RECORDS = 0, 1, 2, 3


class CarState:
    """All leaves of one car.

    Attributes:
        values: Scalar leaves by full path.
        lists: Numbers of the records in each list, by path.
        refs: Number of the record that a reference points to, or None, by path.
        records: Records by number; to be replaced, never changed.
        log: Writes since the last `forget`: (store, key, value before).
    """

    __slots__ = ("lists", "log", "next_number", "records", "refs", "values")

    def __init__(self) -> None:
        """Start empty."""
        self.values: dict[str, Scalar] = {}
        self.lists: dict[str, tuple[int, ...]] = {}
        self.refs: dict[str, int | None] = {}
        self.records: dict[int, Record] = {}
        self.next_number = 0
        self.log: list[tuple[int, Any, Any]] = []

    def copy(self) -> CarState:
        """Return an independent state with an empty log."""
        twin = CarState.__new__(CarState)
        twin.values = self.values.copy()
        twin.lists = self.lists.copy()
        twin.refs = self.refs.copy()
        twin.records = self.records.copy()
        twin.next_number = self.next_number
        twin.log = []
        return twin

    # -- writing --------------------------------------------------------------------------------------------------

    def set(self, path: str, value: Scalar) -> bool:
        """Write a scalar leaf; return whether it differs from before. Whole numbers are kept as int, so that 50.0 is 50."""
        if type(value) is float and value.is_integer():
            value = int(value)
        values = self.values
        old = values.get(path, MISSING)
        if old == value and type(old) is type(value):
            return False
        self.log.append((_VALUES, path, old))
        values[path] = value
        return bool(old != value)

    def drop(self, path: str) -> None:
        """Remove a scalar leaf, if it is there."""
        if path in self.values:
            self.log.append((_VALUES, path, self.values.pop(path)))

    def set_list(self, path: str, numbers: Iterable[int]) -> None:
        """Write which records a list holds."""
        new = tuple(numbers)
        old = self.lists.get(path, ())
        if old != new:
            self.log.append((_LISTS, path, old))
            self.lists[path] = new

    def set_ref(self, path: str, number: int | None) -> None:
        """Write which record a reference points to."""
        old = self.refs.get(path)
        if old != number:
            self.log.append((_REFS, path, old))
            self.refs[path] = number

    def new_record(self, fields: Record) -> int:
        """Keep a new record and return its number."""
        number = self.next_number
        self.next_number = number + 1
        self.log.append((_RECORDS, number, MISSING))
        self.records[number] = dict(fields)
        return number

    def change_record(self, number: int, **fields: Scalar) -> None:
        """Change fields of a record, in every list that holds it."""
        old = self.records[number]
        if any(old.get(name, MISSING) != value or type(old.get(name)) is not type(value) for name, value in fields.items()):
            self.log.append((_RECORDS, number, old))
            self.records[number] = {**old, **fields}

    # -- reading --------------------------------------------------------------------------------------------------

    def items(self, path: str) -> list[Record]:
        """Return the records of a list."""
        records = self.records
        return [records[number] for number in self.lists[path]]

    def item(self, path: str) -> Record | None:
        """Return the record that a reference points to, or None."""
        number = self.refs[path]
        return None if number is None else self.records[number]

    def flat(self) -> dict[str, Scalar]:
        """Return every leaf by path, records included (`x[0].title`, `x.#len`; a null reference is a leaf of its own)."""
        leaves = dict(self.values)
        for path, numbers in self.lists.items():
            _flatten_list(leaves, path, numbers, self.records)
        for path, number in self.refs.items():
            _flatten_ref(leaves, path, number, self.records)
        return leaves

    # -- the log --------------------------------------------------------------------------------------------------

    def mark(self) -> int:
        """Return the current end of the log, for `undo` and `changes_since`."""
        return len(self.log)

    def forget(self) -> None:
        """Empty the log: nothing before now can be undone or told any more."""
        self.log.clear()

    def undo(self, mark: int) -> None:
        """Take back every write since `mark`."""
        stores: tuple[dict[Any, Any], ...] = (self.values, self.lists, self.refs, self.records)
        log = self.log
        while len(log) > mark:
            store, key, old = log.pop()
            if old is MISSING:
                del stores[store][key]
            else:
                stores[store][key] = old

    def before(self, mark: int) -> CarState:
        """Return the state as it was at `mark`."""
        past = self.copy()
        past.log = self.log[mark:]
        past.undo(0)
        return past

    def changes_since(self, mark: int) -> list[Change]:
        """Return the leaves that differ from what they were at `mark`."""
        return changes_of(self.log[mark:], self.values, self.lists, self.refs, self.records)

    # -- equality -------------------------------------------------------------------------------------------------

    def canonical(self) -> dict[str, Any]:
        """Return the state with records numbered by first appearance: equal states, equal data.

        `from_canonical` is the way back.
        """
        order: dict[int, int] = {}
        lists = {path: [order.setdefault(n, len(order)) for n in self.lists[path]] for path in sorted(self.lists)}
        refs = {
            path: None if (n := self.refs[path]) is None else order.setdefault(n, len(order)) for path in sorted(self.refs)
        }
        return {"values": dict(self.values), "lists": lists, "refs": refs, "records": [dict(self.records[n]) for n in order]}

    @classmethod
    def from_canonical(cls, data: Mapping[str, Any]) -> CarState:
        """Return the state that `canonical` described.

        Raises:
            KeyError, TypeError, ValueError: If it is not the state of a car.
        """
        numbers = range(len(data["records"]))
        held = [*(number for listed in data["lists"].values() for number in listed), *data["refs"].values()]
        if not all(number is None or (type(number) is int and number in numbers) for number in held):
            raise ValueError("a list or a reference holds what is not the number of a record")
        if not fits(data["values"], dict[str, Scalar]) or not fits(data["records"], list[dict[str, Scalar]]):
            raise TypeError("a value is not a scalar")
        state = cls()
        state.values = dict(data["values"])
        state.lists = {path: tuple(numbers) for path, numbers in data["lists"].items()}
        state.refs = dict(data["refs"])
        state.records = {number: dict(fields) for number, fields in enumerate(data["records"])}
        state.next_number = len(state.records)
        return state

    def take_order(self, other: CarState) -> None:
        """Hold lists and references in another state's order, which is the order in which their changes are told."""
        self.lists = {path: self.lists[path] for path in (*other.lists, *self.lists) if path in self.lists}
        self.refs = {path: self.refs[path] for path in (*other.refs, *self.refs) if path in self.refs}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CarState):
            return NotImplemented
        if self.values != other.values:
            return False
        if self.lists == other.lists and self.refs == other.refs and self.records == other.records:
            return True
        return self.canonical() == other.canonical()

    def __hash__(self) -> int:
        return hash(frozenset(self.flat().items()))


def changes_of(
    log: Iterable[tuple[int, Any, Any]],
    values: Mapping[str, Scalar],
    lists: Mapping[str, tuple[int, ...]],
    refs: Mapping[str, int | None],
    records: Mapping[int, Record],
) -> list[Change]:
    """Return the leaves that differ between the state before the writes of `log` and the state given."""
    firsts: tuple[dict[Any, Any], ...] = ({}, {}, {}, {})
    for store, key, old in log:
        firsts[store].setdefault(key, old)
    changes: list[Change] = []
    for path, old in firsts[_VALUES].items():
        _add_change(changes, path, old, values.get(path, MISSING))
    if firsts[_LISTS] or firsts[_REFS] or firsts[_RECORDS]:
        _add_record_changes(changes, firsts, lists, refs, records)
    return changes


def _add_change(changes: list[Change], path: str, old: Any, new: Any) -> None:
    """Add the change of one leaf, if it is one."""
    if old is MISSING:
        if new is not MISSING:
            changes.append(Change("add", path, None, new))
    elif new is MISSING:
        changes.append(Change("del", path, old, None))
    elif old != new:
        changes.append(Change("set", path, old, new))


def _add_record_changes(
    changes: list[Change],
    firsts: tuple[dict[Any, Any], ...],
    lists: Mapping[str, tuple[int, ...]],
    refs: Mapping[str, int | None],
    records: Mapping[int, Record],
) -> None:
    """Add what changed in lists and references, by comparing their leaves before and after."""
    old_lists, old_refs, old_records = firsts[_LISTS], firsts[_REFS], firsts[_RECORDS]
    past_records = {**records, **{n: r for n, r in old_records.items() if r is not MISSING}} if old_records else records
    touched = {number for number, record in old_records.items() if record is not MISSING}
    before: dict[str, Scalar] = {}
    after: dict[str, Scalar] = {}
    for path, numbers in lists.items():
        past = old_lists.get(path, numbers)
        if past is not numbers or (touched and not touched.isdisjoint(numbers)):
            _flatten_list(before, path, past, past_records)
            _flatten_list(after, path, numbers, records)
    for path, number in refs.items():
        past_number = old_refs.get(path, number)
        if past_number != number or number in touched:
            _flatten_ref(before, path, past_number, past_records)
            _flatten_ref(after, path, number, records)
    for path, old in before.items():
        _add_change(changes, path, old, after.get(path, MISSING))
    for path, new in after.items():
        if path not in before:
            changes.append(Change("add", path, None, new))


def _flatten_list(leaves: dict[str, Scalar], path: str, numbers: Iterable[int], records: Mapping[int, Record]) -> None:
    """Add the leaves of a list of records."""
    count = 0
    for number in numbers:
        for name, value in records[number].items():
            leaves[f"{path}[{count}].{name}"] = value
        count += 1
    leaves[f"{path}.#len"] = count


def _flatten_ref(leaves: dict[str, Scalar], path: str, number: int | None, records: Mapping[int, Record]) -> None:
    """Add the leaves of a reference."""
    if number is None:
        leaves[path] = None
    else:
        for name, value in records[number].items():
            leaves[f"{path}.{name}"] = value
