"""Kinds of models by name: what `[model] kind` of a recipe may say; packages add theirs (entry points `palaestra.models`).

A kind is a config class (the recipe's table `[model]` is checked against it) and one of two ways to come by a model: it builds
one, from texts of the environments and a seed, or it names a folder to load. Either way the model is a causal language model
of `transformers` with its tokenizer, so that it is saved and loaded like any other.

    [project.entry-points."palaestra.models"]
    my_kind = "my_package.my_module:KIND"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from palaestra.errors import ConfigError
from palaestra.lazy import entry_points_of, import_named

ENTRY_POINTS = "palaestra.models"

_BUILTIN = {
    "tiny": "palaestra.models.tiny_lm:KIND",
    "checkpoint": "palaestra.models.checkpoint:KIND",
}

MOST = 10**9
"""Largest integer of a table of a model."""


class ModelConfig(BaseModel):
    """`[model]`: the model that training begins with.

    `kind` says where it comes from, and each kind has keys of its own. Without `kind`, a `path` means "checkpoint", and no
    path means "tiny".
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the weights."""

    @field_validator("*")
    @classmethod
    def _no_endless_numbers(cls, value: object, info: ValidationInfo) -> object:
        """Refuse integers beyond any use, where a kind states no bound of its own."""
        most = 2**63 - 1 if str(info.field_name).endswith("seed") else MOST
        if type(value) is int and value > most:
            raise ValueError(f"input should be less than or equal to {most}")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false for numbers: they would be read as 1 and 0."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        takes = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and {int, float} & takes and bool not in takes:
            raise ValueError("expected a number, and this is true or false")
        return value


@dataclass(frozen=True)
class BuildContext:
    """What a model may be built from.

    Attributes:
        seed: Of the initial weights.
        texts: Returns the texts of so many expert episodes on train tasks, as the policy will read and write them.
    """

    seed: int
    texts: Callable[[int], Sequence[str]]


@dataclass(frozen=True)
class ModelKind:
    """A way to come by a model.

    Attributes:
        name: How recipes call it.
        config: Its keys of the table `[model]`.
        build: Builds a model and its tokenizer: `build(config, context)`. The global random state stays as it was.
        folder: Names a folder (or what transformers has at hand) to load instead: `folder(config)`.

    Raises:
        ConfigError: If it has both ways, or neither.
    """

    name: str
    config: type[ModelConfig]
    build: Callable[[Any, BuildContext], tuple[Any, Any]] | None = None
    folder: Callable[[Any], str] | None = None

    def __post_init__(self) -> None:
        """Refuse a kind that leaves open where the model comes from."""
        if (self.build is None) == (self.folder is None):
            raise ConfigError(f"The model kind {self.name!r} needs one of build and folder.")


def model_kinds() -> list[str]:
    """Return the names of all kinds of models that can be used here, sorted."""
    return sorted({*_BUILTIN, *_plugins()})


def get_model_kind(name: str) -> ModelKind:
    """Return a kind of model by name.

    Raises:
        UnknownNameError: If there is none of this name.
        MissingExtraError: If torch is not installed and the kind needs it.
        ConfigError: If a package offers something else under it.
    """
    return import_named(  # type: ignore[no-any-return]
        "model kind",
        name,
        _BUILTIN,
        _plugins(),
        fits=lambda found: isinstance(found, ModelKind),
        expected="a palaestra.models.ModelKind",
        attribute="KIND",
    )


def _plugins() -> dict[str, str]:
    """Return the kinds that installed packages offer, by name."""
    return entry_points_of(ENTRY_POINTS)


__all__ = ["ENTRY_POINTS", "BuildContext", "ModelConfig", "ModelKind", "get_model_kind", "model_kinds"]
