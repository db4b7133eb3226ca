"""What words for amounts come to: "a lot", "a bit", "the maximum", a step, a gear. For agents that write state themselves.

Functions know these numbers; who writes state has to be told. Everything is read from the tables' axes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from palaestra.envs.vehicle.calls.operations.media import VOLUME_STEPS
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, CarTables

_HEAD = '## Amounts\nlarge is "a lot", little "a bit", tiny "a tiny bit"; a step is meant where nothing is said.'


def amounts_text(tables: CarTables, modules: Collection[str]) -> str:
    """Return the meanings of words for amounts for the properties of some modules, a line each; empty if they have none.

    Args:
        tables: Description of the car.
        modules: Modules to tell about; the environment stands for the volume.
    """
    lines = [line for name in modules for line in _lines(tables, name)]
    return "\n".join([_HEAD, *lines]) if lines else ""


def _lines(tables: CarTables, name: str) -> Iterator[str]:
    """Yield the lines of a module."""
    if name == ENVIRONMENT:
        yield _volume(tables)
        return
    module = tables.module(name)
    for axis_name, axis in module.settings.get("axes", {}).items():
        subject = _subject(axis_name, axis).replace("{place}", "|".join(module.settings.get("places", {}).values()))
        yield f"{name}.{subject}: {'; '.join(_parts(axis))}"
    for function in module.functions.values():
        if function.op == "zoom":
            yield f"{name}.{function['sets']}: {_steps(function['steps'], function['step'])}"


def _subject(axis_name: str, axis: Mapping[str, Any]) -> str:
    """Return what an axis moves: a property, or a quantity that is kept in several units."""
    if "property" in axis:
        return str(axis["property"]).replace("{seat}", "<seat>")
    unit = f" in {axis['word_unit']}" if "word_unit" in axis else ""
    return f"{axis_name.partition('.')[2]}{unit}"


def _parts(axis: Mapping[str, Any]) -> Iterator[str]:
    """Yield the steps, words, units and conditions of an axis."""
    units = axis.get("units", {})
    own_steps = {unit: row["steps"] for unit, row in units.items() if isinstance(row, dict) and "steps" in row}
    steps = axis.get("steps") or own_steps
    step = axis.get("step", axis.get("default_step"))
    if step is None:
        yield _steps(steps, None)
        yield "a step " + ", ".join(f"{row['step']:g} {unit}" for unit, row in units.items())
    elif _is_by_unit(steps):
        yield "; ".join(f"in {unit} {_steps(row, step)}" for unit, row in steps.items())
    else:
        yield _steps(steps, step)
    presets = axis["presets"]
    if _is_by_unit(presets):
        yield "; ".join(f"in {unit} {_words(row)}" for unit, row in presets.items())
    elif presets:
        share = " percent of the largest" if _is_share(axis) else ""
        yield _words(presets) + share
    if axis.get("stored") == "percent of height":
        yield "these words are said of the height, which is 100 minus it"
    sizes = {unit: size for unit, row in units.items() if (size := _size(row)) not in (None, 1)}
    if sizes:
        yield ", ".join(f"1 {unit} is {size:g}" for unit, size in sizes.items())
    for unit, row in units.items():
        if _size(row) is not None and isinstance(row, dict) and not _is_proportional(row):
            (low, least), (high, most) = row["set"]
            yield f"set to {unit} {low:g} to {high:g} it is {least:g} to {most:g}"
    for path, value in axis.get("before", {}).items():
        yield f"with it {path} becomes {str(value).lower()}"


def _steps(steps: Mapping[str, float], step: Any) -> str:
    """Return steps in words; `step` is the default one, a number or a word."""
    text = _words(steps)
    return text if step is None else f"{text}, a step {steps[step] if isinstance(step, str) else step:g}"


def _words(values: Mapping[str, float]) -> str:
    """Return words with their numbers."""
    return ", ".join(f"{word} {value:g}" for word, value in values.items())


def _size(row: Any) -> float | None:
    """Return how much one of a unit is in the unit that is kept, None where a range tells it."""
    if isinstance(row, int | float):
        return row
    return row["step"] if isinstance(row, dict) and "set" in row else None


def _is_proportional(row: Mapping[str, Any]) -> bool:
    """Whether setting to n of a unit comes to n times the size of one."""
    return all(abs(amount * row["step"] - value) < 1e-9 for amount, value in row["set"])


def _is_by_unit(rows: Mapping[str, Any]) -> bool:
    """Whether there are numbers for each unit."""
    return any(isinstance(row, dict) for row in rows.values())


def _is_share(axis: Mapping[str, Any]) -> bool:
    """Whether words mean a share of the range, whatever its unit."""
    has_unit = "unit_property" in axis or any(isinstance(row, dict) and "top" in row for row in axis.get("units", {}).values())
    return has_unit and "word_unit" not in axis


def _volume(tables: CarTables) -> str:
    """Return the line of the one volume of all devices."""
    words: dict[str, list[str]] = {}
    for module in tables.modules.values():
        if "volume" in module.settings:
            words.setdefault(_words(module.settings["volume"]["presets"]), []).append(module.name)
    return f"{ENVIRONMENT}.volume: {_steps(VOLUME_STEPS, 'little')}; " + "; ".join(
        f"{text} ({', '.join(names)})" for text, names in words.items()
    )


__all__ = ["amounts_text"]
