"""What the modules of a car are and what the properties of its state mean, in words made from the tables."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from palaestra.envs.vehicle.car import derived
from palaestra.envs.vehicle.car.tables import SEATS, CarTables, Module, Property, car_tables


def module_list(tables: CarTables) -> dict[str, str]:
    """Return a description of each module, in a line, by name; the shared environment comes first."""
    return {name: module.summary or plain_name(name) for name, module in tables.modules.items()}


def schema_text(tables: CarTables, modules: Collection[str] | None = None, *, follows: bool = True) -> str:
    """Return descriptions of modules' properties: type, range, words, unit, what follows from what, what is constant.

    Args:
        tables: Description of the car.
        modules: Modules to show, in this order; None for all.
        follows: Whether derived values follow what is written, as in the `fixed` profile.

    Raises:
        UnknownNameError: For a module that does not exist.
    """
    names = list(tables.modules) if modules is None else [tables.module(name).name for name in modules]
    kinds: dict[str, None] = {}
    rule = "follow by themselves; write what they follow from" if follows else "do not follow by themselves; write them, too"
    parts = [f"<seat> stands for each of: {', '.join(SEATS)}. Derived values {rule}."]
    for name in names:
        module = tables.modules[name]
        lines = [f"## {name}: {module.summary or plain_name(name)}"]
        for row in module.properties:
            if not row.constant:
                kinds.update({row.of: None} if row.of else {})
                lines.append(f"{row.path.replace('{seat}', '<seat>')}: {type_words(row)}; {describe(row)}")
        if constants := _constant_names(module):
            lines.append(f"constant: {', '.join(constants)}")
        parts.append("\n".join(lines))
    if kinds:
        lines = ["## Records"]
        for kind in kinds:
            record = tables.record_types[kind]
            fields = ", ".join(f"{field}: {words.replace('|', ' or ')}" for field, words in record.fields.items())
            identity = f" (told apart by {' and '.join(record.identity)})" if record.identity else ""
            lines.append(f"{kind}{identity}: {fields}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


@cache
def type_words(row: Property) -> str:
    """Return the type of a property: "int", "bool or null", "list of MusicTrack", words of an enum."""
    if row.type == "list":
        words = f"list of {row.of}"
    elif row.type == "record":
        words = row.of
    elif row.type == "texts":
        words = "list of str"
    elif row.type == "map":
        words = f"map of {row.of}"
    elif row.enum:
        words = "one of " + " | ".join(row.enum)
    else:
        words = row.type
    return f"{words} or null" if row.nullable else words


@cache
def describe(row: Property) -> str:
    """Return the meaning of a property, with its range, unit and what it follows from."""
    parts = [row.doc.rstrip(".") if row.doc else plain_name(row.path.split(".")[-1])]
    if row.low is not None or row.high is not None:
        parts.append(range_words(row.low, row.high))
    if row.ranges:
        parts.append(", ".join(f"{low:g} to {high:g} in {unit}" for unit, (low, high) in row.ranges.items()))
    if row.unit:
        parts.append(f"in {row.unit}")
    if derived.follows(car_tables(), row.paths()[0]):
        parts.append("derived")
    if row.constant:
        parts.append("constant")
    return "; ".join(parts)


def range_words(low: float | None, high: float | None) -> str:
    """Return a range in words."""
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def plain_name(name: str) -> str:
    """Return a name as words."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).replace("_", " ")
    return " ".join(words.split())


def _constant_names(module: Module) -> list[str]:
    """Return the constants of a module; those of one group as `group.*` where the whole group is constant."""
    groups: dict[str, bool] = {}
    for row in module.properties:
        top = row.path.partition(".")[0]
        groups[top] = groups.get(top, True) and row.constant
    names: dict[str, None] = {}
    for row in module.properties:
        top, _, below = row.path.partition(".")
        if row.constant:
            names[f"{top}.*" if groups[top] and below else row.path.replace("{seat}", "<seat>")] = None
    return list(names)
