"""The state of a car as an agent sees it: plain nested data, its JSON text, the published wrapped form, and back.

Keys come in the order of the tables. What the properties mean is told in `descriptions`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from math import isfinite
from operator import itemgetter
from typing import Any

from palaestra.envs.vehicle.car.call_result import Scalar
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.descriptions import describe, type_words
from palaestra.envs.vehicle.car.layout import Node, car_layout, map_keys, num_texts
from palaestra.envs.vehicle.car.state import CarState, Record
from palaestra.envs.vehicle.car.tables import CarTables, RecordType
from palaestra.errors import UsageError, unknown_name
from palaestra.types import Json

__all__ = ["plain_state", "restore_plain", "state_text", "wrapped_state"]


def plain_state(car: Car, modules: Collection[str] | None = None, constants: bool = True) -> dict[str, Json]:
    """Return the state as nested plain data: module -> property -> value.

    Args:
        car: The car.
        modules: Modules to show, "environment" among them if it is wanted; None for all.
        constants: Whether to show configuration values that nothing can change.

    Raises:
        UnknownNameError: For a module that does not exist.
    """
    state = car.state
    root = car_layout(car.tables)
    shown = {name: _plain(root.children[name], state, constants) for name in _chosen(car.tables, modules)}
    if car.as_published:
        for path in state.values.keys() - _known_paths(car.tables):
            _insert(shown, path, state.values[path])
    return shown


def state_text(car: Car, modules: Collection[str] | None = None, *, constants: bool = True, wrapped: bool = False) -> str:
    """Return the state as compact JSON text; the same data as `plain_state` or `wrapped_state`.

    Args:
        car: The car.
        modules: Modules to show; None for all.
        constants: Whether to show configuration values (plain form only).
        wrapped: Whether to use the published wrapped form, about five times as long.
    """
    if wrapped:
        return _dump(wrapped_state(car, modules))
    chosen = _chosen(car.tables, modules)
    if car.as_published and not car.state.values.keys() <= _known_paths(car.tables):
        return _dump(plain_state(car, chosen, constants))
    return _template(car.tables, chosen, constants)(car.state)


def wrapped_state(car: Car, modules: Collection[str] | None = None) -> dict[str, Json]:
    """Return the state in the published form: every value as `{"value", "type", "description"}`.

    Args:
        car: The car.
        modules: Modules to show; None for all.
    """
    root = car_layout(car.tables)
    return {
        name: {
            "value": _wrapped_children(root.children[name], car),
            "type": "module",
            "description": car.tables.modules[name].summary or name,
        }
        for name in _chosen(car.tables, modules)
    }


def restore_plain(car: Car, data: Mapping[str, Any]) -> None:
    """Put a car into the state that `plain_state` showed; modules and constants not shown stay as they are.

    Records with the same identity and the same fields become one record, as they were before they were shown.

    Args:
        car: The car; changed in place.
        data: What `plain_state` returned, or what became of it on its way through JSON.

    Raises:
        UsageError: If the data do not fit the car; the car is unchanged then.
    """
    root = car_layout(car.tables)
    state = car.state
    mark = state.mark()
    try:
        for name, value in data.items():
            if name not in root.children:
                raise unknown_name("module", name, root.children)
            _restore(root.children[name], value, state, car.tables, {})
    except UsageError:
        state.undo(mark)
        raise


# -- plain data ---------------------------------------------------------------------------------------------------------


def _chosen(tables: CarTables, modules: Collection[str] | None) -> tuple[str, ...]:
    """Return the modules to show, in the car's order."""
    if modules is None:
        return tuple(tables.modules)
    for name in modules:
        tables.module(name)
    return tuple(name for name in tables.modules if name in modules)


def _plain(node: Node, state: CarState, constants: bool) -> Any:
    """Return one place and what is below it."""
    match node.kind:
        case "leaf":
            return state.values[node.path]
        case "branch":
            return {
                name: _plain(child, state, constants)
                for name, child in node.children.items()
                if constants or not child.constant
            }
        case "list":
            return [dict(record) for record in state.items(node.path)]
        case "record":
            record = state.item(node.path)
            return None if record is None else dict(record)
        case "texts":
            return [state.values[path] for path in _text_paths(node) if path in state.values]
        case _:
            return {key: fields for key in map_keys(node.prop) if (fields := _map_record(node, key, state))}


def _text_paths(node: Node) -> list[str]:
    """Return the paths of a constant list of texts."""
    return [f"{node.path}[{index}]" for index in range(num_texts(node.prop))]


def _map_paths(node: Node) -> list[str]:
    """Return the paths of every constant record that the tables give to a map."""
    records = {key: fields for value in node.prop.values.values() for key, fields in value.items()}
    return [f"{node.path}.{key}.{name}" for key, fields in records.items() for name in fields]


def _map_record(node: Node, key: str, state: CarState) -> dict[str, Scalar]:
    """Return a constant record, empty if this car does not have it."""
    prefix = f"{node.path}.{key}."
    fields = next(value[key] for value in node.prop.values.values() if key in value)
    return {name: state.values[prefix + name] for name in fields if prefix + name in state.values}


@lru_cache(maxsize=8)
def _known_paths(tables: CarTables) -> frozenset[str]:
    """Return every scalar path that a car can have by its tables."""
    paths: list[str] = []
    for node in car_layout(tables).leaves():
        if node.kind == "leaf":
            paths.append(node.path)
        elif node.kind == "texts":
            paths.extend(_text_paths(node))
        elif node.kind == "map":
            paths.extend(_map_paths(node))
    return frozenset(paths)


def _insert(shown: dict[str, Any], path: str, value: Scalar) -> None:
    """Show a leaf that no table knows (the published profile lets an agent write such)."""
    *above, name = path.split(".")
    place: Any = shown
    for part in above:
        place = place.setdefault(part, {}) if isinstance(place, dict) else None
    if isinstance(place, dict) and above and above[0] in shown:
        place.setdefault(name, value)


# -- text ---------------------------------------------------------------------------------------------------------------


class _Encoded(dict[tuple[type, Any], str]):
    """JSON texts of scalars; the type is part of the key because 1, 1.0 and True are equal."""

    def __missing__(self, key: tuple[type, Any]) -> str:
        if len(self) > 50_000:
            self.clear()
        kind, value = key
        if kind is str:
            text = encode_basestring(value)
        elif kind is float and isfinite(value):
            text = repr(value) if value else "0.0"
        else:
            text = json.dumps(value, ensure_ascii=False)
        self[key] = text
        return text


_ENCODED = _Encoded()
Text = Callable[[CarState], str]


@lru_cache(maxsize=512)
def _template(tables: CarTables, modules: tuple[str, ...], constants: bool) -> Text:
    """Return what writes the JSON text of some modules: fixed text with gaps that are filled from the state."""
    pieces: list[str] = []
    leaves: list[str] = []
    others: list[tuple[int, Callable[[CarState], str]]] = []

    def write(text: str) -> None:
        pieces.append(text.replace("%", "%%"))

    def write_all(children: Iterable[tuple[str, Node]]) -> None:
        first = True
        write("{")
        for name, child in children:
            if constants or not child.constant:
                write(f"{'' if first else ','}{json.dumps(name, ensure_ascii=False)}:")
                first = False
                place(child)
        write("}")

    def place(node: Node) -> None:
        if node.kind == "branch":
            write_all(node.children.items())
            return
        pieces.append("%s")
        if node.kind == "leaf":
            leaves.append(node.path)
        else:
            others.append((len(leaves) + len(others), _other_text(node)))

    root = car_layout(tables)
    write_all((name, root.children[name]) for name in modules)
    pattern = "".join(pieces)
    # itemgetter of one path gives the bare value; two more make it always a tuple, cut off below
    get = itemgetter(*leaves, *leaves[:1], *leaves[:1]) if leaves else None
    count = len(leaves)

    def text(state: CarState) -> str:
        held = get(state.values)[:count] if get else ()
        values = list(map(_ENCODED.__getitem__, zip(map(type, held), held, strict=True)))
        for index, other in others:
            values.insert(index, other(state))
        return pattern % tuple(values)

    return text


def _other_text(node: Node) -> Text:
    """Return what writes the JSON text of a list, a reference or a constant collection."""
    path = node.path
    if node.kind == "list":
        return lambda state: f"[{','.join([_record_text(state.records[number]) for number in state.lists[path]])}]"
    if node.kind == "record":

        def reference(state: CarState) -> str:
            number = state.refs[path]
            return "null" if number is None else _record_text(state.records[number])

        return reference
    paths = _text_paths(node) if node.kind == "texts" else _map_paths(node)
    seen: dict[Any, str] = {}

    def constants(state: CarState) -> str:
        held = [state.values.get(path) for path in paths]
        key = (*held, *map(type, held))
        if key not in seen:
            if len(seen) > 100:
                seen.clear()
            seen[key] = _dump(_plain(node, state, True))
        return seen[key]

    return constants


_RECORD_TEXTS: dict[int, tuple[Record, str]] = {}
"""Texts of records by address; a record is never changed in place, and is held here so that its address stays its own."""


def _record_text(record: Record) -> str:
    """Return a record as JSON text."""
    found = _RECORD_TEXTS.get(id(record))
    if found is not None:
        return found[1]
    if len(_RECORD_TEXTS) > 5_000:
        _RECORD_TEXTS.clear()
    encoded = _ENCODED
    try:
        text = f"{{{','.join([f'{encoded[str, name]}:{encoded[value.__class__, value]}' for name, value in record.items()])}}}"
    except TypeError:  # a value that is no scalar
        text = _dump(record)
    _RECORD_TEXTS[id(record)] = (record, text)
    return text


def _dump(value: Json) -> str:
    """Return data as compact JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# -- the published form -------------------------------------------------------------------------------------------------


def _wrapped_children(node: Node, car: Car) -> dict[str, Json]:
    """Return what is below a branch, each wrapped."""
    return {name: _wrapped(child, car) for name, child in node.children.items()}


def _wrapped(node: Node, car: Car) -> Json:
    """Return one place as value, type and description."""
    if node.kind == "branch":
        return {"value": _wrapped_children(node, car), "type": "group", "description": f"Part of {node.path.split('.')[0]}"}
    row = node.prop
    value = _plain(node, car.state, True)
    if node.kind in ("list", "map", "record") and value is not None:
        kind = car.tables.record_types[row.of]
        if node.kind == "list":
            value = [_wrapped_record(record, kind) for record in value]
        elif node.kind == "record":
            value = _wrapped_record(value, kind)
        else:
            value = {key: _wrapped_record(record, kind) for key, record in value.items()}
    return {"value": value, "type": type_words(row), "description": describe(row)}


def _wrapped_record(record: Mapping[str, Scalar], kind: RecordType) -> Json:
    """Return the fields of a record, each wrapped."""
    return {
        name: {
            "value": value,
            "type": kind.fields.get(name, "str"),
            "description": f"{name.replace('_', ' ')} of this {kind.name}",
        }
        for name, value in record.items()
    }


# -- back ---------------------------------------------------------------------------------------------------------------


def _restore(node: Node, value: Any, state: CarState, tables: CarTables, numbers: dict[Any, int]) -> None:
    """Write one place and what is below it from plain data."""
    match node.kind:
        case "branch":
            if not isinstance(value, Mapping):
                raise _misfit(node, value, "a map")
            for name, part in value.items():
                if name not in node.children:
                    raise unknown_name(f"property of {node.path}", name, node.children)
                _restore(node.children[name], part, state, tables, numbers)
        case "leaf":
            if not isinstance(value, str | int | float | None):
                raise _misfit(node, value, "a scalar")
            state.set(node.path, value)
        case "list":
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise _misfit(node, value, "a list")
            state.set_list(node.path, [_number(node, item, state, tables, numbers) for item in value])
        case "record":
            state.set_ref(node.path, None if value is None else _number(node, value, state, tables, numbers))
        case "texts":
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise _misfit(node, value, "a list")
            _restore_flat(state, node, {f"{node.path}[{index}]": text for index, text in enumerate(value)})
        case _:
            if not isinstance(value, Mapping) or not all(isinstance(record, Mapping) for record in value.values()):
                raise _misfit(node, value, "a map of records")
            fields = {f"{node.path}.{key}.{name}": item for key, record in value.items() for name, item in record.items()}
            _restore_flat(state, node, fields)


def _number(node: Node, value: Any, state: CarState, tables: CarTables, numbers: dict[Any, int]) -> int:
    """Return the record of these fields: the one that an equal record of the same module became, or a new one."""
    kind = tables.record_types[node.prop.of]
    if not isinstance(value, Mapping) or value.keys() != kind.fields.keys():
        raise _misfit(node, value, f"a {kind.name} with the fields {', '.join(kind.fields)}")
    if not kind.identity:
        return state.new_record(dict(value))
    key = (kind.name, tuple((name, type(item), item) for name, item in value.items()))
    if key not in numbers:
        numbers[key] = state.new_record(dict(value))
    return numbers[key]


def _restore_flat(state: CarState, node: Node, leaves: Mapping[str, Any]) -> None:
    """Write a constant collection, dropping what it held before."""
    before = [path for path in state.values if path.startswith((f"{node.path}.", f"{node.path}[")) and path not in leaves]
    for path in before:
        state.drop(path)
    for path, value in leaves.items():
        state.set(path, value)


def _misfit(node: Node, value: Any, expected: str) -> UsageError:
    """Return the error for data that do not fit."""
    return UsageError(f"{node.path} is {str(value)[:60]!r}; expected {expected}, as plain_state() shows it.")
