"""Settings as strict, frozen data: the base of everything a recipe holds, and one readable error for a wrong value.

A table may hold groups (`[grpo.clip]`). A group that is given in part keeps the defaults of the table it stands in:
`[gspo.clip] low = 0.02` leaves GSPO's own `high` alone. Names that settings had before are read too (`Config.older_names`),
so that older recipes and stored runs stay valid; what is written has the new names.
"""

from __future__ import annotations

import difflib
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from palaestra.agents.ranges import shortened
from palaestra.agents.rollout.plans import MAX_SEED
from palaestra.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

MOST_COUNTED = 10**9
"""Bound of settings that are only counted: steps, epochs, waits."""
MOST_HELD = 10**7
"""Bound of settings that say how many episodes, rows or tokens are held in memory at once, and of their products."""
MOST_CONNECTIONS = 10**5
"""Bound of connections that are open at once."""


class Need(NamedTuple):
    """What a setting needs of another one to do anything.

    Attributes:
        setting: Dotted key of the other one, in the same table.
        values: Values of it under which the setting means something; empty for any but false and none at all.
        zero_is_off: Without `values`: whether 0 is none at all.
    """

    setting: str
    values: tuple[str | bool | None, ...] = ()
    zero_is_off: bool = True

    def is_met(self, value: object) -> bool:
        """Whether the other setting has such a value."""
        if self.values:
            return value in self.values
        return bool(value) if self.zero_is_off else value is not None and value is not False


class Config(BaseModel):
    """A table of a recipe: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    held: ClassVar[tuple[str, ...]] = ()
    """Settings whose product is how many episodes are held in memory at once: at most `MOST_HELD`."""

    needs: ClassVar[Mapping[str, Need]] = {}
    """Settings that do something only under values of another one, by dotted key: a recipe in which one is written to no
    effect is refused (`run/idle_settings.py`)."""

    older_names: ClassVar[Mapping[str, str]] = {}
    """Older names of settings and their places now, e.g. `{"kl_coefficient": "kl.coefficient"}`. Where the old name is that of
    the group, a plain value is short for the setting: `correction = "token"` for `[grpo.correction] level = "token"`."""

    @classmethod
    def with_current_names(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a table with the names that settings have now.

        Raises:
            ConfigError: If a setting is given under both of its names.
        """
        found = dict(data)
        # short forms first: they make a table of a value, which the other names are then put into
        for old, place in sorted(cls.older_names.items(), key=lambda item: item[0] != item[1].partition(".")[0]):
            group, _, name = place.partition(".")
            if old not in found or (old == group and isinstance(found[old], Mapping | BaseModel)):
                continue
            value = found.pop(old)
            table = _plain(found.get(group, {}))
            if not isinstance(table, dict):
                continue  # whatever stands there is no table, and will be refused as such
            if name in table:
                raise ConfigError(f"{old} is an older name of {place}, and both are given; take {old} out.")
            found[group] = {**table, name: value}
        return found

    @classmethod
    def renamed(cls, table: dict[str, Any], path: Sequence[str]) -> list[str]:
        """Return the path of a setting by its current names, and give the table these names, in place.

        So a value can be set under any name, whichever names the table was written with.

        Args:
            table: Plain data of this table.
            path: Keys from the table to the setting.
        """
        found = cls.with_current_names(table)
        table.clear()
        table.update(found)
        place = cls.older_names.get(path[0]) if len(path) == 1 else None
        return list(path) if place is None else place.split(".")

    @classmethod
    def class_for(cls, data: object) -> type[Config]:
        """Return the class that data of this table are checked against: this one, unless the data name another."""
        del data
        return cls

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a table that is given in part, with this one's values for the rest."""
        found: dict[str, Any] = self.model_dump()
        for name, value in self.with_current_names(given).items():
            own = getattr(self, name, None)
            found[name] = own.completed(value) if isinstance(own, Config) and isinstance(value, Mapping) else value
        return found

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: object) -> object:
        """Take older names, and groups that are given in part."""
        if not isinstance(data, Mapping):
            return data
        found = cls.with_current_names(data)
        for name, field in cls.model_fields.items():
            own, value = field.default, found.get(name)
            if _holds_truth_value(value) and _takes_numbers_only(field.annotation):
                raise ConfigError(
                    f"{name} is {json.dumps(value)}; expected {'a number' if isinstance(value, bool) else 'numbers'}."
                )
            if isinstance(own, Config) and isinstance(value, Mapping):
                found[name] = own.completed(value)
        return found

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        """Refuse integers that state no bound and are beyond any use, and those in range that are too many together."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            most = MAX_SEED if name.endswith("seed") else MOST_COUNTED
            if type(value) is int and value > most and not _is_bounded(field):
                raise ConfigError(f"{name} is {value}; expected at most {most:,}.")
        values = {name: getattr(self, name) for name in self.held}
        if math.prod(values.values()) > MOST_HELD:
            given = " and ".join(f"{name} = {value:,}" for name, value in values.items())
            raise ConfigError(f"{given} are too many episodes at once; expected a product of at most {MOST_HELD:,}.")
        return self


def _is_bounded(field: FieldInfo) -> bool:
    """Whether a field states a largest value."""
    return any(getattr(one, "le", None) is not None or getattr(one, "lt", None) is not None for one in field.metadata)


def _takes_numbers_only(annotation: object) -> bool:
    """Whether a field is a number, or holds numbers (or None): pydantic would read true as 1."""
    found, rest = set[object](), [annotation]
    while rest:
        parts = typing.get_args(one := rest.pop())
        rest += parts
        found |= set() if parts else {one}
    return bool({int, float} & found) and bool not in found


def _holds_truth_value(value: object) -> bool:
    """Whether a value is true or false, or a list or table with one."""
    if isinstance(value, Mapping):
        return any(isinstance(item, bool) for item in value.values())
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(isinstance(item, bool) for item in value))


def check(model: type[Model], data: object, where: str) -> Model:
    """Validate data against a model; the first problem becomes one readable error.

    Args:
        model: What is expected.
        data: What was given.
        where: Dotted key of the data in the recipe; empty at the top.

    Raises:
        ConfigError: With key, value and next move.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problem = error.errors()[0]
        cause = problem.get("ctx", {}).get("error")
        path = [str(part) for part in problem["loc"]]
        key = ".".join([where, *path] if where else path) or "the recipe"
        if isinstance(cause, ConfigError):
            raise ConfigError(f"{key}: {cause}") from None
        if problem["type"] == "extra_forbidden":
            raise ConfigError(f"Unknown key {key!r}.{nearest(path[-1], _fields(model, path[:-1], data))}") from None
        if problem["type"] == "missing":
            raise ConfigError(f"The key {key!r} is missing; the recipe has to give it.") from None
        message = problem["msg"][0].lower() + problem["msg"][1:]
        raise ConfigError(
            f"{key} is {shortened(problem['input'])}: {message}. Fix it in the recipe or with --set {key}=VALUE."
        ) from None


def nearest(key: str, known: Sequence[str]) -> str:
    """Say which key was probably meant."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known here: {', '.join(sorted(known))}." if known else ""


def _fields(model: type[BaseModel], path: Sequence[str], data: object) -> list[str]:
    """Return the keys that are known at a place below a model."""
    for part in path:
        field = model.model_fields.get(part)
        annotation = None if field is None else field.annotation
        options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
        models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not models:
            return []
        data = data.get(part) if isinstance(data, Mapping) else None
        own = None if field is None else field.default
        # the default may be of a narrower class than the annotation, and the data may name another one
        model = type(own) if isinstance(own, BaseModel) else models[0]
        if issubclass(model, Config):
            model = model.class_for(data)
    return list(model.model_fields)


def _plain(table: object) -> object:
    """Return a table as a dict that may be added to; a value that is not one as it is."""
    if isinstance(table, BaseModel):
        return table.model_dump()
    return dict(table) if isinstance(table, Mapping) else table
