"""Recipes: a training run as a TOML file, checked before anything starts.

`load_recipe(path, ["env.recipes=PATH", "grpo.lr=3e-4"])` reads the file, applies the overrides (dotted keys, values as
TOML, bare words as text) and returns a frozen `Recipe`. Unknown keys, wrong types and impossible values are one
`ConfigError` each with the key, the value and the next move.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from palaestra.algorithms.config import check, nearest
from palaestra.algorithms.run.extension_registry import extension_names, get_extension
from palaestra.algorithms.run.recipe_configs import EnvConfig, PhaseConfig, Recipe
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm
from palaestra.errors import ConfigError
from palaestra.types import Json

DEFAULT_PHASES = ("sft", "grpo")

_PLAIN = ("name", "description", "seed", "threads", "model", "agent", "evaluation", "checkpoint", "metrics")


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file.

    Args:
        path: TOML file.
        overrides: `KEY=VALUE` with dotted keys, e.g. `grpo.lr=3e-4`, `horizon.rounds=[4,8]`, `env.recipes=../recipes`.

    Raises:
        ConfigError: If the file is missing or no TOML, or a key or value is wrong.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no recipe {str(file)!r}; recipes/ holds ready-made ones.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Recipe {str(file)!r} could not be read: {error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"Recipe {str(file)!r} is no valid TOML: {error}.") from None
    for override in overrides:
        _apply(data, override)
    data.setdefault("name", file.stem)
    return parse_recipe(data)


def parse_recipe(data: Mapping[str, Json]) -> Recipe:
    """Check plain data and return the recipe.

    Raises:
        ConfigError: If a key or value is wrong.
    """
    algorithms, extensions = algorithm_names(), extension_names()
    for key in data:
        known = ["env", "phases", *_PLAIN, *extensions, *algorithms]
        if key not in known:
            raise ConfigError(f"Unknown key {key!r} in the recipe.{nearest(key, known)}")
    tables = {name: _extension(name, data[name], name) for name in extensions if name in data}
    phases = _phases(data.get("phases", list(DEFAULT_PHASES)), data, tables)
    plain = {key: data[key] for key in _PLAIN if key in data}
    found = {**plain, "envs": (_env(data),), "phases": phases, "extensions": tables}
    recipe: Recipe = check(Recipe, found, "")
    for phase in recipe.phases:
        for name, table in phase.active.items():
            get_extension(name).refuse(table, phase, recipe)
    return recipe


def _env(data: Mapping[str, Json]) -> EnvConfig:
    """Return the environment of a recipe."""
    if "env" not in data:
        raise ConfigError("The key 'env' is missing; the recipe has to give it.")
    table = data["env"]
    if isinstance(table, dict):
        arguments = {key: value for key, value in table.items() if key not in EnvConfig.model_fields}
        table = {key: value for key, value in table.items() if key not in arguments} | {"arguments": arguments}
    return check(EnvConfig, table, "env")


def _phases(names: Json, data: Mapping[str, Json], tables: Mapping[str, BaseModel]) -> tuple[PhaseConfig, ...]:
    """Return the phases that are named, and check the tables of those that are not all the same."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"phases is {names!r}; expected the algorithms to run, e.g. phases = ['sft', 'grpo'].")
    if not names:
        raise ConfigError("phases is empty; expected the algorithms to run, e.g. phases = ['sft', 'grpo'].")
    if len(set(names)) < len(names):
        raise ConfigError(f"phases is {list(names)}; expected each algorithm at most once.")
    found = {name: _phase(name, name, data.get(name, {}), tables) for name in names}
    for name in algorithm_names():
        if name in data and name not in found:
            _phase(name, name, data[name], {})  # a phase that is switched off is checked all the same
    return tuple(found.values())


def _phase(name: str, algorithm: str, table: Json, of_recipe: Mapping[str, BaseModel]) -> PhaseConfig:
    """Return one phase.

    Args:
        name: Of the phase.
        algorithm: Its name.
        table: Settings of the algorithm and tables of extensions.
        of_recipe: Extension tables of the whole recipe.
    """
    model = get_algorithm(algorithm).config
    own: dict[str, BaseModel | None] = {}
    active = dict(of_recipe)
    if isinstance(table, dict):
        fields = model.model_fields
        keys = [key for key in extension_names() if key in table and key not in fields]
        own = {key: None if table[key] is False else _extension(key, table[key], f"{name}.{key}") for key in keys}
        table = {key: value for key, value in table.items() if key not in own}
        merged = {**of_recipe, **own}
        active = {key: found for key in extension_names() if (found := merged.get(key)) is not None}
        for key, config in active.items():
            table = get_extension(key).settings(config, fields, table)
    settings = check(model, table, name)
    return PhaseConfig(name=name, algorithm=algorithm, settings=settings, extensions=own, active=active)


def _extension(name: str, table: Json, where: str) -> BaseModel:
    """Return the checked table of an extension."""
    return check(get_extension(name).config_type, table, where)


def _apply(data: dict[str, Any], override: str) -> None:
    """Set one dotted key."""
    key, separator, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise ConfigError(f"--set {override!r} is no assignment; expected KEY=VALUE, e.g. grpo.lr=3e-4.")
    table = data
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is a value, not a table.")
    table[parts[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    """Read a TOML value; what is none is a text, so that paths and names need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


__all__ = ["Recipe", "load_recipe", "parse_recipe"]
