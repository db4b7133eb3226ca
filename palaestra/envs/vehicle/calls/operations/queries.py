"""The operation that tells and changes nothing: rows say what is looked at and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from palaestra.envs.vehicle.calls.operations import Run, operation
from palaestra.envs.vehicle.calls.operations.media import current_of
from palaestra.envs.vehicle.calls.preconditions import precondition_of
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.paths import full_path
from palaestra.envs.vehicle.car.tables import CarTables, Function

if TYPE_CHECKING:
    from palaestra.envs.vehicle.car.car import Car
    from palaestra.envs.vehicle.car.state import CarState, Record

Tell = Callable[["CarState", dict[str, Any]], dict[str, Any]]
TIME = "environment.timestamp"


@operation("query")
def query(function: Function, tables: CarTables) -> Run:
    """Tell something about the state.

    Row: `needs` (see `preconditions`) and any of:
    - `values`: name told -> property;
    - `list` (of records) with `as` (name told), `fields` (see below), `count` (name told of their number), optionally `where`
      (field -> value of the items told), `nonempty` (refuse if none is left);
    - `list` with `find`, {"field", "param"}: the fields of the one item whose field is what the argument says;
    - `current` (a reference, or true: the item at hand, see `media.current_of`) with `as` and one of `fields`, `field` (one
      field is told) or `card`, {"map", "by", "fields"}: fields, joined by commas, of the constant record that the field `by`
      of the item names.
    `fields` is a list of names, or a map field -> name told; `now` names a field told as the car's present time.
    """
    tells: list[Tell] = []
    if "values" in function.arguments:
        tells.append(_values(function))
    if "find" in function.arguments:
        tells.append(_find(function))
    elif "list" in function.arguments:
        tells.append(_list(function))
    if "current" in function.arguments:
        tells.append(_current(function, tables))
    precondition = precondition_of(function, tables)

    def run(car: Car, bound: dict[str, Any]) -> dict[str, Any]:
        precondition(car)
        told: dict[str, Any] = {}
        for tell in tells:
            told.update(tell(car.state, bound))
        return told

    return run


def project(record: Record, fields: Mapping[str, str], time: Any = None, now: str = "") -> dict[str, Any]:
    """Return some fields of a record under the names told; the field `now` with the time given."""
    return {name: time if field == now else record[field] for field, name in fields.items()}


def names_of(fields: Any) -> dict[str, str]:
    """Return field -> name told of a row's `fields`."""
    return dict(fields) if isinstance(fields, dict) else {name: name for name in fields}


def _values(function: Function) -> Tell:
    """Return what tells properties."""
    paths = {name: full_path(function.module, path) for name, path in function["values"].items()}
    return lambda state, bound: {name: state.values[path] for name, path in paths.items()}


def _list(function: Function) -> Tell:
    """Return what tells the items of a list."""
    path = full_path(function.module, function["list"])
    told_as, count, fields = function["as"], function["count"], names_of(function["fields"])
    where, now = function.arguments.get("where", {}), function.arguments.get("now", "")
    nonempty = function.arguments.get("nonempty", False)

    def tell(state: CarState, bound: dict[str, Any]) -> dict[str, Any]:
        items = state.items(path)
        if where:
            items = [item for item in items if all(item[field] == value for field, value in where.items())]
        if nonempty and not items:
            raise Refusal("not_found", f"There is nothing to show in {path}.")
        time = state.values[TIME]
        return {told_as: [project(item, fields, time, now) for item in items], count: len(items)}

    return tell


def _find(function: Function) -> Tell:
    """Return what tells the one item that an argument names."""
    path = full_path(function.module, function["list"])
    field, param = function["find"]["field"], function["find"]["param"]
    fields = names_of(function["fields"])

    def tell(state: CarState, bound: dict[str, Any]) -> dict[str, Any]:
        wanted = bound[param]
        if not wanted:
            raise Refusal("missing_argument", f"{param} is empty; say which one.", param)
        for item in state.items(path):
            if item[field] == wanted:
                return project(item, fields)
        raise Refusal("not_found", f"{wanted!r} is not in {path}.", param)

    return tell


def _current(function: Function, tables: CarTables) -> Tell:
    """Return what tells the item at hand."""
    if function["current"] is True:
        current = current_of(function, tables)
    else:
        ref = full_path(function.module, function["current"])

        def current(state: CarState) -> int | None:
            return state.refs[ref]

    told_as = function["as"]
    show = _shown(function)

    def tell(state: CarState, bound: dict[str, Any]) -> dict[str, Any]:
        number = current(state)
        if number is None:
            raise Refusal("precondition_failed", "There is no current one to tell about.")
        return {told_as: show(state, state.records[number])}

    return tell


def _shown(function: Function) -> Callable[[CarState, Record], Any]:
    """Return what of a record is told."""
    if "field" in function.arguments:
        field = function["field"]
        return lambda state, record: record[field]
    if "card" in function.arguments:
        card = function["card"]
        prefix = full_path(function.module, card["map"])

        def from_card(state: CarState, record: Record) -> str:
            key = record[card["by"]]
            if f"{prefix}.{key}.{card['fields'][0]}" not in state.values:
                raise Refusal("not_found", f"Nothing is known about {key!r}.")
            return ", ".join(str(state.values[f"{prefix}.{key}.{field}"]) for field in card["fields"])

        return from_card
    fields = names_of(function["fields"])
    return lambda state, record: project(record, fields)
