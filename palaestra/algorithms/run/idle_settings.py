"""Settings that do nothing because of another one: told when a recipe is read, by what each config class declares (`needs`).

    [grpo.sampling]
    max_refills = 3             # drop_equal_groups is missing: groups are never dropped, so nothing is ever refilled

Only what somebody wrote is judged: a setting that has its default says nothing. Where the other setting is written as off
(`drop_equal_groups = false`, `pretrain_episodes = 0`), what belongs to it may stay, so that a run without it is one override
away. Runs of earlier versions are stored with what they were given, and are read without this.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from palaestra.algorithms.config import Config, Need
from palaestra.algorithms.run.recipe_configs import Recipe
from palaestra.errors import ConfigError
from palaestra.types import Json

_OFF: tuple[Any, ...] = (False, 0, None, "off")


def refuse_idle_settings(recipe: Recipe, data: Mapping[str, Json]) -> None:
    """Refuse a recipe with a setting that was written and does nothing.

    Args:
        recipe: As it was read.
        data: What it was read from, overrides included.

    Raises:
        ConfigError: With both settings, and what to change.
    """
    for where, table, given in _tables(recipe, data):
        for problem in idle_settings(table, given, where):
            raise ConfigError(problem)


def idle_settings(table: BaseModel, given: object, where: str, default: object = None) -> Iterator[str]:
    """Yield what is wrong with the settings of a table, one sentence each.

    Args:
        table: Checked settings.
        given: The plain data that they were read from.
        where: Dotted key of the table.
        default: The table as it is where nothing is given; by default that of its class.
    """
    if not isinstance(table, Config):
        return
    written = table.with_current_names(given) if isinstance(given, Mapping) else {}
    for path, need in table.needs.items():
        value, actual = _value(table, path), _value(table, need.setting)
        if value == _default(table, default, path) or need.is_met(actual) or _is_written_off(written, need.setting):
            continue
        yield _told(f"{where}.{path}", value, f"{where}.{need.setting}", actual, need)
    for name in type(table).model_fields:
        own = getattr(table, name)
        if isinstance(own, Config):
            yield from idle_settings(own, written.get(name), f"{where}.{name}", _default(table, default, name))


def _tables(recipe: Recipe, data: Mapping[str, Json]) -> Iterator[tuple[str, BaseModel, object]]:
    """Yield the tables of a recipe: dotted key, settings, and the plain data that they were read from."""
    listed = data.get("phase")
    phases = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    for phase in recipe.phases:
        given = next((one for one in phases if one.get("name", one.get("algorithm")) == phase.name), data.get(phase.name))
        where = f"phase.{phase.name}" if phases else phase.name
        yield where, phase.settings, given
        for name, table in phase.extensions.items():
            if table is not None:
                yield f"{where}.{name}", table, given.get(name) if isinstance(given, dict) else None
    for name, table in recipe.extensions.items():
        yield name, table, data.get(name)
    yield "checkpoint", recipe.checkpoint, data.get("checkpoint")
    if not any(map(recipe.evaluates_every, recipe.phase_names)):
        yield "evaluation", recipe.evaluation, data.get("evaluation")
    if recipe.metrics is not None:
        yield "metrics", recipe.metrics, data.get("metrics")


def _value(table: object, path: str) -> Any:
    """Return a setting by its dotted key."""
    for name in path.split("."):
        table = getattr(table, name)
    return table


def _default(table: Config, default: object, path: str) -> Any:
    """Return the value that a setting has where it is not given."""
    name, _, rest = path.partition(".")
    found = getattr(default, name, PydanticUndefined)
    if found is PydanticUndefined:
        found = type(table).model_fields[name].get_default(call_default_factory=True)
    return _value(found, rest) if rest else found


def _is_written_off(written: Mapping[str, Any], path: str) -> bool:
    """Whether plain data say that a setting is off."""
    *groups, name = path.split(".")
    table: object = written
    for group in groups:
        table = table.get(group) if isinstance(table, Mapping) else None
    return isinstance(table, Mapping) and name in table and any(table[name] is off or table[name] == off for off in _OFF)


def _told(place: str, value: Any, other: str, actual: Any, need: Need) -> str:
    """Say which setting does nothing, why, and what to change."""
    state = "left out" if actual is None else json.dumps(actual, default=str)
    if not need.values:
        move = f"Give {other} a value"
    elif need.values == (None,):
        move = f"Take {other} out"
    else:
        move = f"Set {other} = {' or '.join(json.dumps(one) for one in need.values)}"
    shown = json.dumps(value, default=str)
    return f"{place} is {shown}, and does nothing where {other} is {state}. {move}, or take {place} out."


__all__ = ["idle_settings", "refuse_idle_settings"]
