"""What the published scoring sees of a state: some leaves of the modules that a task names, and of the environment.

The published state wraps every value as `{value, type, description}`, and its scoring keeps leaves with a plain type label or
none. So leaves labelled as an enum or as optional are invisible, a null is not a leaf, and both label texts of every wrapped
dictionary count as leaves that never change. Here these labels are leaves named `.#type` and `.#description`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from palaestra.envs.vehicle.car.call_result import Change, Scalar
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.state import CarState
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, CarTables, car_tables


class _Missing:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Missing()
"""Stands for a leaf that is not there."""

# Label texts inside a module, besides the two of the module itself and those of records that may be null.
_INNER_LABELS: Mapping[str, int] = {
    "airConditioner": 14, "centerInformationDisplay": 2, "door": 2, "fogLight": 8, "footPedal": 2, "frontTrunk": 4,
    "highBeamHeadlight": 2, "music": 2, "rearviewMirror": 4, "steeringWheel": 4, "sunroof": 4, "sunshade": 4, "trunk": 14,
    "window": 2, "wiper": 8,
}  # fmt: skip
_HIDDEN_FIELDS = frozenset({("MusicTrack", "last_played")})  # labelled as optional
_LABELS = ("#type", "#description")
# These flags are shared between the snapshots that the published code compares: they are leaves, and never change.
_FROZEN = ".outlet_modes."

_NEVER, _ALWAYS, _FILLED, _STILL = range(4)


class Scope:
    """The modules that the published scoring looks at in one task.

    Args:
        modules: Modules that the task lists; the environment is always looked at, unknown names are ignored.
        tables: Description of the car.
    """

    __slots__ = ("_fixed", "_lists", "_nullable", "_refs", "modules", "tables")

    def __init__(self, modules: Iterable[str], tables: CarTables | None = None) -> None:
        """Find out which leaves are there in any state."""
        self.tables = car_tables() if tables is None else tables
        self.modules = frozenset({ENVIRONMENT, *modules}) & self.tables.modules.keys()
        parts = [_module_parts(self.tables, name) for name in self.modules]
        self._fixed = sum(part.fixed for part in parts)
        self._nullable = [path for part in parts for path in part.nullable]
        self._lists = [row for part in parts for row in part.lists]
        self._refs = [row for part in parts for row in part.refs]

    def leaves(self, state: CarState) -> dict[str, Scalar]:
        """Return every leaf that the scoring sees, by path."""
        found: dict[str, Scalar] = {}
        for path, value in state.flat().items():
            if self.sees(path) and value is not None:
                found[path] = _still(path, value)
        for name in self.modules:
            for number in range(2 + _INNER_LABELS.get(name, 0)):
                found[f"{name}.#label[{number}]"] = "label"
        for path, _ in self._refs:
            if state.refs.get(path) is not None:
                found.update((f"{path}.{label}", "label") for label in _LABELS)
        return found

    def count(self, state: CarState) -> int:
        """Return the number of `leaves`, without making them."""
        values, records = state.values, state.records
        count = self._fixed
        for path in self._nullable:
            count += values.get(path) is not None
        for path, hidden in self._lists:
            for number in state.lists.get(path, ()):
                count += _visible_fields(records[number], hidden)
        for path, hidden in self._refs:
            held = state.refs.get(path)
            if held is not None:
                count += _visible_fields(records[held], hidden) + len(_LABELS)
        return count

    def lacking(self, state: CarState, other: CarState) -> list[str]:
        """Return the leaves that the scoring sees in one state and that another does not have."""
        missing = [path for path in self._nullable if state.values.get(path) is not None and other.values.get(path) is None]
        for path, hidden in self._lists:
            numbers, others = state.lists.get(path, ()), other.lists.get(path, ())
            for i, number in enumerate(numbers):
                mine, theirs = state.records[number], other.records[others[i]] if i < len(others) else {}
                if mine is not theirs:
                    missing += [f"{path}[{i}].{name}" for name in _lost_fields(mine, theirs, hidden)]
        for path, hidden in self._refs:
            held, held_there = state.refs.get(path), other.refs.get(path)
            if held is not None:
                theirs = {} if held_there is None else other.records[held_there]
                missing += [f"{path}.{name}" for name in _lost_fields(state.records[held], theirs, hidden)]
                if held_there is None:
                    missing += [f"{path}.{label}" for label in _LABELS]
        return missing

    def sees(self, path: str) -> bool:
        """Whether the scoring sees a leaf of this name, where it is there and not null."""
        return path.partition(".")[0] in self.modules and _code(self.tables, path) != _NEVER

    def changes(self, changes: Iterable[Change]) -> dict[str, tuple[Any, Any]]:
        """Return the changes that the scoring sees: path -> (before, after), `ABSENT` for what is not there."""
        seen: dict[str, tuple[Any, Any]] = {}
        for op, path, old, new in changes:
            if path.partition(".")[0] not in self.modules:
                continue
            if _code(self.tables, path) in (_ALWAYS, _FILLED):
                pair = (
                    ABSENT if op == "add" or old is None else old,
                    ABSENT if op == "del" or new is None else new,
                )
                if pair[0] is not ABSENT or pair[1] is not ABSENT:
                    seen[path] = pair
            elif any(path == ref for ref, _ in self._refs):  # the reference itself is a leaf only while it is null
                pair = (ABSENT, "label") if op == "del" else ("label", ABSENT)
                seen.update((f"{path}.{label}", pair) for label in _LABELS)
        return seen

    def holds(self, state: CarState, path: str) -> bool:
        """Whether a leaf that the scoring sees is there in a state."""
        if not self.sees(path):
            return False
        if path in state.values:
            return state.values[path] is not None
        head, bracket, rest = path.rpartition("[")
        if bracket:
            number, _, name = rest.partition("].")
            numbers = state.lists.get(head, ())
            return int(number) < len(numbers) and state.records[numbers[int(number)]].get(name) is not None
        head, _, name = path.rpartition(".")
        held = state.refs.get(head)
        return held is not None and (name in _LABELS or state.records[held].get(name) is not None)


def visible(state: CarState | Car, modules: Iterable[str]) -> dict[str, Scalar]:
    """Return the leaves that the published scoring sees in a state, by path, for `score_request`.

    Args:
        state: A state, or a car in one.
        modules: Modules that the task lists; the environment is added.
    """
    if isinstance(state, Car):
        return Scope(modules, state.tables).leaves(state.state)
    return Scope(modules).leaves(state)


class _Parts:
    """Leaves of one module, by how they are counted."""

    __slots__ = ("fixed", "lists", "nullable", "refs")

    def __init__(self) -> None:
        self.fixed = len(_LABELS)
        self.nullable: list[str] = []
        self.lists: list[tuple[str, frozenset[str]]] = []
        self.refs: list[tuple[str, frozenset[str]]] = []


@cache
def _module_parts(tables: CarTables, module: str) -> _Parts:
    """Return how the leaves of a module are counted."""
    parts = _Parts()
    parts.fixed += _INNER_LABELS.get(module, 0)
    for row in tables.modules[module].properties:
        hidden = frozenset(name for kind, name in _HIDDEN_FIELDS if kind == row.of)
        for path in row.paths():
            if row.type == "list":
                parts.lists.append((path, hidden))
            elif row.type == "record":
                parts.refs.append((path, hidden))
            elif row.type == "map":
                entries = {(key, name) for preset in row.values.values() for key, fields in preset.items() for name in fields}
                parts.nullable += [f"{path}.{key}.{name}" for key, name in sorted(entries)]
            elif row.type == "texts":
                parts.fixed += len(row.values["default"])
            elif _code(tables, path) in (_ALWAYS, _STILL):
                parts.fixed += 1
            elif _code(tables, path) == _FILLED:
                parts.nullable.append(path)
    return parts


@lru_cache(maxsize=65536)
def _code(tables: CarTables, path: str) -> int:
    """Return how the scoring sees a leaf."""
    row = tables.properties.get(path)
    if row is not None and row.type not in ("list", "record", "map", "texts"):
        if _FROZEN in path:
            return _STILL
        if row.scored is True:
            return _FILLED if row.nullable else _ALWAYS
        return _FILLED if row.scored == "not null" else _NEVER
    if row is not None or path.endswith(".#len"):
        return _NEVER
    kind = next((tables.properties[head].of for head in _holders(path) if head in tables.properties), None)
    if kind is None or (kind, path.rpartition(".")[2]) in _HIDDEN_FIELDS:
        return _NEVER
    return _FILLED


def _holders(path: str) -> Iterator[str]:
    """Yield the paths above a leaf, the nearest first."""
    head = path
    while head:
        head = head[: max(head.rfind("."), head.rfind("["), 0)]
        yield head


def _visible_fields(record: Mapping[str, Scalar], hidden: frozenset[str]) -> int:
    """Return how many fields of a record the scoring sees."""
    return sum(value is not None and name not in hidden for name, value in record.items())


def _lost_fields(record: Mapping[str, Scalar], other: Mapping[str, Scalar], hidden: frozenset[str]) -> list[str]:
    """Return the fields that the scoring sees in one record and that another does not have."""
    return [name for name, value in record.items() if value is not None and name not in hidden and other.get(name) is None]


def _still(path: str, value: Scalar) -> Scalar:
    """Return the value that the scoring sees: of a leaf that never changes for it, always the same."""
    return "still" if _FROZEN in path else value
