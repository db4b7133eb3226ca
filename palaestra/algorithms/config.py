"""Settings as strict, frozen data: the base of everything a recipe holds, and one readable error for a wrong value."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from palaestra.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


class Config(BaseModel):
    """A table of a recipe: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
            raise ConfigError(f"Unknown key {key!r}.{nearest(path[-1], _fields(model, path[:-1]))}") from None
        if problem["type"] == "missing":
            raise ConfigError(f"The key {key!r} is missing; the recipe has to give it.") from None
        message = problem["msg"][0].lower() + problem["msg"][1:]
        raise ConfigError(
            f"{key} is {problem['input']!r}: {message}. Mend it in the recipe or with --set {key}=VALUE."
        ) from None


def nearest(key: str, known: Sequence[str]) -> str:
    """Say which key was probably meant."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known here: {', '.join(sorted(known))}." if known else ""


def _fields(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys that are known at a place below a model."""
    for part in path:
        field = model.model_fields.get(part)
        annotation = None if field is None else field.annotation
        options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
        models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)
