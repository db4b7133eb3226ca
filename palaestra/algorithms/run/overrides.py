"""`--set KEY=VALUE`: one value of a recipe's plain data, by a dotted key that reaches tables, lists of tables and names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palaestra.algorithms.config import Config, nearest
from palaestra.algorithms.run.recipe_configs import default_env_name
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm
from palaestra.envs.core.data_files import parse_toml
from palaestra.errors import ConfigError

Table = dict[str, Any]


def apply_override(data: Table, override: str, *, phases: Sequence[str]) -> None:
    """Set one value in place.

    Args:
        data: A recipe as it is read from TOML.
        override: `KEY=VALUE`; a value that is not TOML is a text, so that paths and names need no quotes.
        phases: Phases of the short form where the recipe names none.

    Raises:
        ConfigError: If it is not an assignment, or its key leads nowhere.
    """
    key, separator, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise ConfigError(f"--set {override!r} is not an assignment; expected KEY=VALUE, e.g. grpo.lr=3e-4.")
    table, rest = _begin(data, parts, override, phases)
    if not rest:
        raise ConfigError(f"--set {override!r} names a whole table; expected a key of it, e.g. {key.strip()}.KEY=VALUE.")
    if table is data and len(rest) > 1 and rest[0] in algorithm_names():
        table, rest = data.setdefault(rest[0], {}), rest[1:]
    if not isinstance(table, dict):
        raise ConfigError(f"--set {override!r}: {parts[0]!r} is {table!r}, not a table.")
    if (config := _phase_config(data, table)) is not None:
        rest = config.renamed(table, rest)
    for part in rest[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override!r}: {part!r} is a value, not a table.")
    table[rest[-1]] = _value(text.strip())


def _phase_config(data: Table, table: Table) -> type[Config] | None:
    """Return the config class of the phase whose table this is; None for other tables."""
    names = [item.get("algorithm") for item in _listed(data) if item is table]
    names += [name for name in algorithm_names() if data.get(name) is table]
    if not names or names[0] not in algorithm_names():
        return None
    config = get_algorithm(names[0]).config
    return config if issubclass(config, Config) else None


def _begin(data: Table, parts: list[str], override: str, phases: Sequence[str]) -> tuple[Table, list[str]]:
    """Return the table where a dotted key begins, and what is left of the key there."""
    first, *rest = parts
    if first == "env" and rest:
        return _env(data, parts, override)
    if first == "phase" and rest:
        if "phase" in data:
            return _item(data["phase"], rest[0], _phase_names(data), "phase", override), rest[1:]
        given = data.get("phases", phases)
        names = [name for name in given if isinstance(name, str)] if isinstance(given, list | tuple) else []
        named = names[int(rest[0])] if _is_number(rest[0]) and int(rest[0]) < len(names) else rest[0]
        own = {name: data.get(name, {}) for name in names}
        data[named] = _item(list(own.values()), rest[0], names, "phase", override)
        return data[named], rest[1:]
    if rest and first in (names := _phase_names(data)):
        return _item(data["phase"], first, names, "phase", override), rest
    return data, parts


def _env(data: Table, parts: list[str], override: str) -> tuple[Table, list[str]]:
    """Return the table of the environment that a dotted key means."""
    envs, part = data.get("env"), parts[1]
    if isinstance(envs, list):
        return _item(envs, part, [_env_name(env) for env in envs], "environment", override), parts[2:]
    if isinstance(envs, dict) and len(parts) > 2 and part not in envs and part in ("0", _env_name(envs)):
        return envs, parts[2:]
    return data, parts


def _item(tables: Any, part: str, names: Sequence[str], what: str, override: str) -> Table:
    """Return the table that a name or a number means."""
    index = int(part) if _is_number(part) else names.index(part) if part in names else -1
    if not isinstance(tables, list) or not 0 <= index < len(tables) or not isinstance(tables[index], dict):
        raise ConfigError(
            f"--set {override!r}: there is no {what} {part!r} in the recipe.{nearest(part, names)} Names are "
            f"{', '.join(names)}; numbers are counted from 0."
        )
    found: Table = tables[index]
    return found


def _env_name(env: Any) -> str:
    """Return what an environment of plain data is called."""
    if not isinstance(env, dict):
        return ""
    return str(env.get("name") or default_env_name(str(env.get("id", ""))))


def _phase_names(data: Table) -> list[str]:
    """Return the names of the phases that plain data lists; none in the short form."""
    return [str(table.get("name") or table.get("algorithm", "")) for table in _listed(data)]


def _listed(data: Table) -> list[Table]:
    """Return the tables of the phases that plain data lists; none in the short form."""
    listed = data.get("phase")
    return [table for table in listed if isinstance(table, dict)] if isinstance(listed, list) else []


def _is_number(part: str) -> bool:
    """Whether a part of a key counts tables: ASCII digits, which `int` reads."""
    return part.isascii() and part.isdigit()


def _value(text: str) -> Any:
    """Read a TOML value; anything else, lines after it included, is a text."""
    try:
        table = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return table["value"] if set(table) == {"value"} else text


__all__ = ["apply_override"]
