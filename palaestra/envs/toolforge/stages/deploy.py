"""Stage 5: tools get an implementation. Each relation becomes a table: what is asked for, near names, and other records.

All values of a table differ, so a wrong step leads to a wrong end or to none. A golden answer stands in its own record only.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1, localised deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from palaestra.envs.toolforge.stages.catalogue import LANGUAGES, NUMBERS, Relation, catalogue
from palaestra.envs.toolforge.stages.decompose import Plan, Thing
from palaestra.envs.toolforge.stages.document import Document, schema_of
from palaestra.envs.toolforge.stages.draw import Draw
from palaestra.envs.toolforge.stages.names import Names
from palaestra.envs.toolforge.stages.options import COLUMNS, all_options
from palaestra.envs.toolforge.stages.presets import Preset
from palaestra.envs.toolforge.tables import MAX_HINTS, plain_key
from palaestra.types import Json

NEAR = 2
"""Near names of each key that a golden call looks up."""

_FIRST_DAY, _LAST_DAY = date(2001, 1, 1).toordinal(), date(2023, 12, 31).toordinal()
_TEXTS = {name: all_options()[name].values[1:] for name in ("source", "state", "office")}
_SHOWN = ("entered", "source", "state", "office")


def deploy(draw: Draw, plan: Plan, documents: Sequence[Document], names: Names, preset: Preset) -> dict[str, dict[str, Json]]:
    """Return the specification of each tool by name, for the table interpreter.

    Args:
        draw: Chance.
        plan: The question, with its answers.
        documents: The tools.
        names: Where further names and values come from.
        preset: Number of records, plain or not.

    Raises:
        Reject: If names run out.
    """
    world = _World(draw, plan, names, preset)
    return {document.name: _specification(draw, document, world, preset) for document in documents}


def _specification(draw: Draw, document: Document, world: _World, preset: Preset) -> dict[str, Json]:
    """Return the specification of a tool."""
    function = schema_of(document)["function"]
    assert isinstance(function, dict)
    parameters = function["parameters"]
    assert isinstance(parameters, dict)
    properties = parameters["properties"]
    assert isinstance(properties, dict)
    options: dict[str, Json] = {
        name: inner["default"] for name, inner in properties.items() if isinstance(inner, dict) and "default" in inner
    }
    spec: dict[str, Json] = {"does": document.does, "parameters": list(properties), "options": options}
    if document.does != "look_up":
        return {**spec, "field": "days" if document.does == "count_days" else "result"}
    columns, shows = _columns(draw, document, preset)
    labels = dict(zip(LANGUAGES, catalogue().labels[document.keys[0].type], strict=True))
    spec |= {
        "field": document.relations[0].name,
        "keys": [[key.parameter, key.form] for key in document.keys],
        "attribute": "attribute" if document.has_attribute else None,
        "columns": list(columns),
        "shows": list(shows),
        "hints": 0 if preset.is_plain else MAX_HINTS,
        "deprecated": document.replaced_by,
    }
    if "language" in document.options:
        spec["labels"] = {name: word for name, word in labels.items()}
    return {**spec, "tables": {relation.name: _table(draw, relation, columns, world) for relation in document.relations}}


def _columns(draw: Draw, document: Document, preset: Preset) -> tuple[list[str], list[str]]:
    """Return the columns of the records of a tool, and those that every result shows."""
    if preset.is_plain:
        return [], []
    options = [all_options()[name] for name in document.options]
    optional = {name.removeprefix("with_") for name in document.options} | ({*_SHOWN} if "show" in document.options else set())
    shows = [name for name in _SHOWN if name not in optional and draw.chance(0.25)]
    if "date_format" in document.options and "entered" not in shows:
        shows.insert(0, "entered")
    needed = {*shows, *(column for option in options for column in option.columns())}
    return [name for name in COLUMNS if name in needed], shows


def _table(draw: Draw, relation: Relation, columns: Sequence[str], world: _World) -> dict[str, Json]:
    """Return the table of a relation with the columns of one tool."""
    rows: dict[str, Json] = {}
    for keys, value in world.records(relation):
        details = [_detail(draw, column) for column in columns]
        rows["|".join(map(plain_key, keys))] = [", ".join(keys), value, *details]
        if relation.is_binary:
            rows["|".join(map(plain_key, reversed(keys)))] = [", ".join(reversed(keys)), value, *details]
    kind = relation.target if relation.is_scalar else "entity"
    table: dict[str, Json] = {"kind": kind, "rows": {key: rows[key] for key in sorted(rows)}}
    units = catalogue().units_with(relation.unit)
    if relation.target in NUMBERS and units:
        table |= {"unit": relation.unit, "units": dict(units)}
    return table


def _detail(draw: Draw, column: str) -> Json:
    """Return the content of a column of a record."""
    if column == "entered":
        return date.fromordinal(draw.between(_FIRST_DAY, _LAST_DAY)).isoformat()
    if column == "confidence":
        return draw.between(55, 99) / 100
    return draw.one(_TEXTS[column])


class _World:
    """The things of an instance and what is known of them."""

    def __init__(self, draw: Draw, plan: Plan, names: Names, preset: Preset) -> None:
        self.draw = draw
        self.names = names
        self.rows = preset.rows
        self.things: dict[str, list[str]] = {}
        self.golden: dict[str, list[tuple[tuple[str, ...], Json]]] = {}
        self.answers = {str(answer) for answer in plan.answers.values()}
        self.known: dict[str, list[tuple[tuple[str, ...], Json]]] = {}
        for part in plan.parts:
            if part.relation is None:
                continue
            for arg in part.args:
                if isinstance(arg, Thing):
                    self.things.setdefault(arg.type, []).append(arg.name)
            if not part.relation.is_scalar:
                self.things.setdefault(part.relation.target, []).append(str(plan.answers[part.id]))
            keys = tuple(str(plan.value(arg)) for arg in part.args)
            self.golden.setdefault(part.relation.name, []).append((keys, plan.answers[part.id]))

    def records(self, relation: Relation) -> list[tuple[tuple[str, ...], Json]]:
        """Return the records of a relation: keys and value; made once."""
        if relation.name not in self.known:
            golden = self.golden.get(relation.name, [])
            keys = self._other_keys(relation, [key for key, _ in golden])
            self.known[relation.name] = [*golden, *zip(keys, self._other_values(relation, len(keys)), strict=True)]
        return self.known[relation.name]

    def _other_keys(self, relation: Relation, golden: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Return keys that no golden call looks up: near ones first."""
        keys: list[tuple[str, ...]] = []
        for key in golden:
            for number in range(NEAR):
                place = number % len(key)
                near = self.names.near(key[place])
                self.things[relation.sources[place]].append(near)
                keys.append((*key[:place], near, *key[place + 1 :]))
        taken = {name for key in (*golden, *keys) for name in key}
        pools = [
            self.draw.shuffled([one for one in self.things.get(type_, []) if one not in taken]) for type_ in relation.sources
        ]
        while len(keys) < max(self.rows, NEAR * len(golden)):
            found: list[str] = []
            for type_, pool in zip(relation.sources, pools, strict=True):
                found.append(pool.pop() if pool else self._new(type_))
            if len({*found}) == len(found) and not any({*found} == {*key} for key in keys):
                keys.append(tuple(found))
        return keys

    def _other_values(self, relation: Relation, count: int) -> list[Json]:
        """Return so many different values of a relation, none of them a golden answer."""
        if relation.is_scalar:
            return [self.names.scalar(relation) for _ in range(count)]
        pool = [one for one in self.things.get(relation.target, []) if one not in self.answers]
        found: list[Json] = list(self.draw.shuffled(pool)[:count])
        while len(found) < count:
            found.append(self._new(relation.target))
        return found

    def _new(self, type_: str) -> str:
        """Return a new thing of a type."""
        name = self.names.entity(type_)
        self.things.setdefault(type_, []).append(name)
        return name


__all__ = ["NEAR", "deploy"]
