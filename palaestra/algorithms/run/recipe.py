"""Recipes: a training run as a TOML file, checked before anything starts.

`load_recipe(path, ["grpo.lr=3e-4"])` reads the file, applies the overrides and returns a frozen `Recipe`; `parse_recipe`
takes plain data. Unknown keys, wrong types and impossible values are one `ConfigError` each, with the key, the value and the
next move.

A recipe is a list of environments and a list of phases:

    [[env]]                                         [[phase]]
    id = "palaestra/TextCraft-v0"                   algorithm = "sft"
    weight = 2.0                                    episodes = 3000
    arguments = {recipes = "procedural"}
                                                    [[phase]]
    [[env]]                                         algorithm = "grpo"
    id = "palaestra/Desk-v0"                        name = "easy"
                                                    horizon = {rounds = [4]}

Where there is one environment, and every phase is called like its algorithm, the short form says the same:

    phases = ["sft", "grpo"]                        [sft]
                                                    episodes = 3000
    [env]
    id = "palaestra/TextCraft-v0"                   [grpo.horizon]
    recipes = "procedural"                          rounds = [4]

An override is `KEY=VALUE` with a dotted key: values as TOML, bare words as text. In both forms `env.NAME.KEY` and `env.0.KEY`
reach an environment, `phase.NAME.KEY`, `phase.0.KEY` and `NAME.KEY` a phase; `env.KEY` reaches a single environment.
`phases=["sft"]` chooses which phases are run, and in which order.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from palaestra.agents.masking import remember_secrets
from palaestra.algorithms.config import check, nearest
from palaestra.algorithms.run.extension_registry import extension_names, get_extension
from palaestra.algorithms.run.idle_settings import refuse_idle_settings
from palaestra.algorithms.run.known_metrics import refuse_unknown_metric
from palaestra.algorithms.run.overrides import apply_override
from palaestra.algorithms.run.packaged import find_recipe
from palaestra.algorithms.run.recipe_configs import PHASE_KEYS, EnvConfig, PhaseConfig, Recipe, checked_name
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm
from palaestra.envs.core.data_files import parse_toml, read_text
from palaestra.errors import ConfigError
from palaestra.models.registry import ModelConfig, get_model_kind, model_kinds
from palaestra.types import Json

DEFAULT_PHASES = ("sft", "grpo")
MAX_RECIPE_BYTES = 2**20

_PLAIN = (
    "name",
    "description",
    "seed",
    "first_task",
    "threads",
    "allow",
    "model",
    "agent",
    "evaluation",
    "checkpoint",
    "metrics",
)
_TAKEN = ("env", "phase", "phases", "start", "random", "expert", "untrained", *_PLAIN)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file.

    Args:
        path: TOML file, or the name of a recipe that comes with Palaestra.
        overrides: `KEY=VALUE` with dotted keys, e.g. `grpo.lr=3e-4`, `horizon.rounds=[4,8]`, `env.recipes=../recipes`.

    Raises:
        UnknownNameError: If there is no such file, and no recipe of that name.
        ConfigError: If the file is not TOML, or a key or value is wrong.
    """
    file = find_recipe(path)
    try:
        text = read_text(file, max_bytes=MAX_RECIPE_BYTES)
    except ConfigError as error:
        raise ConfigError(f"The recipe could not be read: {error}") from None
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"Recipe {str(file)!r} is not valid TOML: {error}.") from None
    for override in overrides:
        apply_override(data, override, phases=DEFAULT_PHASES)
    data.setdefault("name", file.stem)
    return _written(data)


def as_it_played(recipe: Json) -> Json:
    """Return a stored recipe with what its run did before there was a key for it: cut answers were played."""
    agent = recipe.get("agent") if isinstance(recipe, dict) else None
    return {**recipe, "agent": {"cut": "play", **agent}} if isinstance(recipe, dict) and isinstance(agent, dict) else recipe


def read_recipe(recipe: Recipe | Mapping[str, Json] | str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return a recipe, however it is given: as a file or name (`load_recipe`), as plain data, or as itself.

    Args:
        recipe: The recipe.
        overrides: As in `load_recipe`; a `Recipe` has been checked already and takes none.

    Raises:
        UnknownNameError: If it is the name of no file and of no recipe.
        ConfigError: If a key or value is wrong.
    """
    if isinstance(recipe, str | Path):
        return load_recipe(recipe, overrides)
    if isinstance(recipe, Recipe):
        if overrides:
            raise ConfigError(f"The recipe has been read already; give {list(overrides)} to load_recipe(path, overrides).")
        return recipe
    data = copy.deepcopy(dict(recipe))
    for override in overrides:
        apply_override(data, override, phases=DEFAULT_PHASES)
    return _written(data)


def _written(data: Mapping[str, Json]) -> Recipe:
    """Return a recipe that somebody wrote: refused is also what stored runs of earlier versions may hold."""
    _refuse_training_nobody(data)
    recipe = parse_recipe(data)
    refuse_idle_settings(recipe, data)
    refuse_unknown_metric(recipe)
    return recipe


def parse_recipe(data: Mapping[str, Json]) -> Recipe:
    """Check plain data, in the long or the short form, and return the recipe.

    Raises:
        ConfigError: If a key or value is wrong.
    """
    remember_secrets(data)
    algorithms, extensions = algorithm_names(), extension_names()
    known = ["env", "phase", "phases", *_PLAIN, *extensions, *algorithms]
    for key in data:
        if key not in known:
            raise ConfigError(f"Unknown key {key!r} in the recipe.{nearest(key, known)}")
    tables = {name: _extension(name, data[name], name) for name in extensions if name in data}
    phases = _listed_phases(data, tables) if "phase" in data else _short_phases(data, tables)
    kind, model = _model(data.get("model", {}))
    plain = {key: data[key] for key in _PLAIN if key in data and key != "model"}
    parts = {"envs": _envs(data), "phases": phases, "extensions": tables, "model_kind": kind, "model": model}
    recipe: Recipe = check(Recipe, {**plain, **parts}, "")
    for phase in recipe.phases:
        for name, table in phase.active.items():
            get_extension(name).refuse(table, phase, recipe)
            if phase.start_from is not None and get_extension(name).own_weights(table):
                raise ConfigError(
                    f"phase.{phase.name} trains weights of its own ([{name}]) and has start_from = {phase.start_from!r}; it "
                    f"begins with those weights. Take start_from out."
                )
    return recipe


def _refuse_training_nobody(data: Mapping[str, Json]) -> None:
    """Refuse `train = []` in a table [seats] that somebody wrote; runs of earlier versions are stored with it."""
    listed = data.get("phase")
    phases = dict(enumerate(listed)) if isinstance(listed, list) else {}
    tables = {
        "": data,
        **{f"{key}.": value for key, value in data.items()},
        **{f"phase.{n}.": one for n, one in phases.items()},
    }
    for where, table in tables.items():
        seats = table.get("seats") if isinstance(table, Mapping) and where != "env." else None
        if isinstance(seats, Mapping) and seats.get("train") in ([], ()):
            raise ConfigError(
                f"{where}seats.train is empty; expected at least one seat. Leave it out to train the policy's seat alone."
            )


def _model(table: Json) -> tuple[str, ModelConfig]:
    """Return the kind of model and its settings."""
    if not isinstance(table, dict):
        raise ConfigError(f"model is {table!r}; expected a table, e.g. [model] with hidden_size = 64.")
    kind = table.get("kind", "tiny" if table.get("path") is None else "checkpoint")
    if not isinstance(kind, str):
        raise ConfigError(f"model.kind is {kind!r}; expected one of {', '.join(model_kinds())}.")
    config = get_model_kind(kind).config
    given = {key: value for key, value in table.items() if key != "kind"}
    if "kind" not in table and kind == "checkpoint":
        # a path in place of a tiny model (--set model.path=...): the sizes of that model are no mistake, only of no use
        sizes = get_model_kind("tiny").config.model_fields.keys() - config.model_fields.keys()
        given = {key: value for key, value in given.items() if key not in sizes}
    return kind, check(config, given, "model")


# -- environments -----------------------------------------------------------------------------------------------------


def _envs(data: Mapping[str, Json]) -> tuple[EnvConfig, ...]:
    """Return the environments of a recipe."""
    if "env" not in data:
        raise ConfigError("The key 'env' is missing; the recipe has to give it.")
    tables = data["env"]
    if not isinstance(tables, list):
        return (_short_env(tables),)
    if not tables:
        raise ConfigError("env is an empty list; expected at least one [[env]], e.g. with id = 'palaestra/Desk-v0'.")
    envs = tuple(_listed_env(table, f"env.{index}") for index, table in enumerate(tables))
    names = [env.name for env in envs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{names.count(name)} environments are called {name!r}; give each [[env]] a name of its own.")
    return envs


def _short_env(table: Json) -> EnvConfig:
    """Return the environment of the short form: keys that are no setting of ours are its arguments."""
    if isinstance(table, dict):
        own = {key: value for key, value in table.items() if key in EnvConfig.model_fields}
        arguments = {key: value for key, value in table.items() if key not in own}
        if isinstance(own.get("arguments", {}), dict):
            table = {**own, "arguments": {**own.get("arguments", {}), **arguments}}
    return check(EnvConfig, table, "env")


def _listed_env(table: Json, where: str) -> EnvConfig:
    """Return one environment of a list."""
    for key in table if isinstance(table, dict) else ():
        if key not in EnvConfig.model_fields:
            hint = nearest(key, list(EnvConfig.model_fields))
            raise ConfigError(f"Unknown key '{where}.{key}'.{hint} An argument of the environment is {where}.arguments.{key}.")
    return check(EnvConfig, table, where)


# -- phases -----------------------------------------------------------------------------------------------------------


def _short_phases(data: Mapping[str, Json], tables: Mapping[str, BaseModel]) -> tuple[PhaseConfig, ...]:
    """Return the phases of the short form; a table of a phase that is switched off is checked all the same."""
    names = _chosen(data.get("phases", list(DEFAULT_PHASES)), "the algorithms to run, e.g. phases = ['sft', 'grpo']")
    if len(set(names)) < len(names):
        raise ConfigError(
            f"phases is {names}; expected each algorithm at most once. To run one twice, list the phases as [[phase]] with "
            f"algorithm and name."
        )
    found = {name: _phase(name, name, data.get(name, {}), tables, where=name) for name in names}
    for name in algorithm_names():
        if name in data and name not in found:
            _phase(name, name, data[name], {}, where=name)
    return tuple(found.values())


def _listed_phases(data: Mapping[str, Json], tables: Mapping[str, BaseModel]) -> tuple[PhaseConfig, ...]:
    """Return the phases of the long form: those that `phases` names, or all."""
    listed = data["phase"]
    if not isinstance(listed, list) or not listed or not all(isinstance(table, dict) for table in listed):
        raise ConfigError(f"phase is {listed!r}; expected a list of tables, e.g. [[phase]] with algorithm = 'grpo'.")
    if misplaced := [name for name in algorithm_names() if name in data]:
        raise ConfigError(
            f"[{misplaced[0]}] is a table of the short form, and this recipe lists its phases; put its settings into the "
            f"[[phase]] with algorithm = {misplaced[0]!r}."
        )
    found: dict[str, PhaseConfig] = {}
    for index, table in enumerate(listed):
        phase = _listed_phase(table, f"phase.{index}", tables)
        if phase.name in found:
            raise ConfigError(f"Two phases are called {phase.name!r}; give each [[phase]] a name of its own.")
        found[phase.name] = phase
    arms = {get_algorithm(phase.algorithm).arm for phase in found.values()}
    if clash := sorted(arms & found.keys()):
        raise ConfigError(f"A phase is called {clash[0]!r}, as its policy is called in reports; give it another name.")
    names = _chosen(data.get("phases", list(found)), f"names of its phases, {list(found)}")
    if unknown := [name for name in names if name not in found]:
        raise ConfigError(f"phases names {unknown[0]!r}, and there is no such [[phase]].{nearest(unknown[0], list(found))}")
    if len(set(names)) < len(names):
        raise ConfigError(f"phases is {names}; expected each phase at most once.")
    return tuple(found[name] for name in names)


def _listed_phase(table: Mapping[str, Json], where: str, of_recipe: Mapping[str, BaseModel]) -> PhaseConfig:
    """Return one phase of a list."""
    if "algorithm" not in table:
        raise ConfigError(f"The key '{where}.algorithm' is missing; expected one of {', '.join(algorithm_names())}.")
    algorithm, name = table["algorithm"], table.get("name", table["algorithm"])
    for key, value in (("algorithm", algorithm), ("name", name)):
        if not isinstance(value, str):
            raise ConfigError(f"{where}.{key} is {value!r}; expected a text.")
    if name in (*_TAKEN, *extension_names()) or (name != algorithm and name in algorithm_names()):
        raise ConfigError(f"{where}.name is {name!r}, which means something else in a recipe; choose another name.")
    settings = {key: value for key, value in table.items() if key not in ("algorithm", "name")}
    return _phase(checked_name(name), algorithm, settings, of_recipe, where=f"phase.{name}")


def _phase(name: str, algorithm: str, table: Json, of_recipe: Mapping[str, BaseModel], *, where: str) -> PhaseConfig:
    """Return one phase.

    Args:
        name: Of the phase.
        algorithm: Its name.
        table: Settings of the algorithm and tables of extensions.
        of_recipe: Extension tables of the whole recipe.
        where: Dotted key of the table.
    """
    model = get_algorithm(algorithm).config
    own: dict[str, BaseModel | None] = {}
    active = dict(of_recipe)
    plain: dict[str, Json] = {}
    if isinstance(table, dict):
        plain = {key: table[key] for key in PHASE_KEYS if key in table}
        table = {key: value for key, value in table.items() if key not in plain}
        start_from = plain.get("start_from")
        if start_from is not None and not isinstance(start_from, str):
            raise ConfigError(f"{where}.start_from is {start_from!r}; expected the name of an earlier phase.")
        fields = model.model_fields
        keys = [key for key in extension_names() if key in table and key not in fields]
        own = {key: None if table[key] is False else _extension(key, table[key], f"{where}.{key}") for key in keys}
        table = {key: value for key, value in table.items() if key not in own}
        merged = {**of_recipe, **own}
        active = {key: config for key in extension_names() if (config := merged.get(key)) is not None}
        for key, config in active.items():
            table = get_extension(key).settings(config, fields, table)
    settings = check(model, table, where)
    found = {"name": name, "algorithm": algorithm, "settings": settings, "extensions": own, "active": active}
    return check(PhaseConfig, {**plain, **found}, where)


def _chosen(names: Json, expected: str) -> list[str]:
    """Return the list `phases` if it is one of names."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"phases is {names!r}; expected {expected}.")
    if not names:
        raise ConfigError(f"phases is empty; expected {expected}.")
    return list(names)


def _extension(name: str, table: Json, where: str) -> BaseModel:
    """Return the checked table of an extension."""
    return check(get_extension(name).config_type, table, where)


__all__ = ["Recipe", "as_it_played", "load_recipe", "parse_recipe", "read_recipe"]
