"""Optional parameters of look-up tools, from `options.toml`; `palaestra.envs.toolforge.tables` gives them their effects."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from palaestra.envs.toolforge.stages.catalogue import NUMBERS, SCALARS, Relation, catalogue
from palaestra.envs.toolforge.stages.draw import Draw
from palaestra.types import Json

COLUMNS = ("entered", "source", "state", "office", "confidence")
"""What a record may hold in addition to its value."""

_SHARES = {"string": 57, "boolean": 25, "number": 5.2, "integer": 4.1, "array": 2.5, "object": 3.9}
"""How often an option has each type, so that with keys and attributes the types come out as in the published tools:
67 % string, 18 % boolean, 4 % object, 4 % number, 3 % array, 3 % integer."""


@dataclass(frozen=True)
class Option:
    """An optional parameter.

    Attributes:
        name: Its name.
        type: Its JSON type.
        default: Its default; None for a unit, whose default is that of the relation.
        description: What it does.
        values: The texts that are possible; empty for any.
        needs: Columns of records and kinds of values that it works on.
        bounds: Least and largest number, as JSON Schema says it.
    """

    name: str
    type: str
    default: Json
    description: str
    values: tuple[str, ...]
    needs: tuple[str, ...]
    bounds: Mapping[str, int]

    def columns(self) -> list[str]:
        """Return the columns that it works on."""
        return [name for name in COLUMNS if name in self.needs]

    def schema(self, relation: Relation, types: int) -> dict[str, Json]:
        """Return its JSON schema.

        Args:
            relation: The first relation of the tool; its unit is the default of a unit.
            types: Level of `types`: closed texts are an enum from level 1 on.
        """
        values: list[Json] = list(catalogue().units_with(relation.unit)) if self.name == "unit" else list(self.values)
        default = relation.unit if self.name == "unit" else self.default
        schema: dict[str, Json] = {"type": self.type, "description": self.description, **self.bounds}
        if self.type == "array":
            schema["items"] = {"type": "string", "enum": values}
        elif self.type == "object":
            ends: dict[str, Json] = {"from": {"type": "string"}, "until": {"type": "string"}}
            schema |= {"properties": ends, "required": [], "additionalProperties": False}
        elif values and types:
            schema["enum"] = values
        elif values:
            schema["description"] = f"{self.description} One of: {', '.join(map(str, values))}."
        return {**schema, "default": default}


@cache
def all_options() -> Mapping[str, Option]:
    """Return the options by name, in the order of the file."""
    data = tomllib.loads((Path(__file__).parent / "options.toml").read_text(encoding="utf-8"))
    return {
        name: Option(
            name,
            entry["type"],
            entry.get("default"),
            entry["description"],
            tuple(entry.get("values", ())),
            tuple(entry.get("needs", ())),
            {bound: entry[bound] for bound in ("minimum", "maximum") if bound in entry},
        )
        for name, entry in data.items()
    }


def draw_options(draw: Draw, relations: Sequence[Relation], count: int, types: int) -> tuple[str, ...]:
    """Return the names of some options that have an effect on every relation of a tool, or on every kind of its values.

    Args:
        draw: Chance.
        relations: Relations of the tool.
        count: How many.
        types: Level of `types`: arrays from 2, objects from 3 on.
    """
    left = [option for option in all_options().values() if _fits(option, relations, types)]
    found: list[str] = []
    while len(found) < count and left:
        kinds = list(dict.fromkeys(option.type for option in left))
        kind = draw.weighted([(kind, _SHARES[kind]) for kind in kinds])
        option = draw.one([option for option in left if option.type == kind])
        left.remove(option)
        found.append(option.name)
    return tuple(found)


def _fits(option: Option, relations: Sequence[Relation], types: int) -> bool:
    """Whether an option has an effect on a tool."""
    if (option.type == "array" and types < 2) or (option.type == "object" and types < 3):
        return False
    targets = {relation.target for relation in relations}
    if "unit" in option.needs:
        return len(relations) == 1 and len(catalogue().units_with(relations[0].unit)) > 1 and bool(targets & {*NUMBERS})
    if "number" in option.needs:
        return bool(targets & {*NUMBERS})
    if "text" in option.needs:
        return "code" in targets or bool(targets - {*SCALARS})
    return True


__all__ = ["COLUMNS", "Option", "all_options", "draw_options"]
