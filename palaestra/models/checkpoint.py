"""A model from disk: `[model] path = "FOLDER"`."""

from __future__ import annotations

from pydantic import Field

from palaestra.models.registry import ModelConfig, ModelKind


class CheckpointConfig(ModelConfig):
    """Table `[model]`, kind `checkpoint`: a transformers model with its tokenizer, from disk.

    This is the kind where `path` is given; keys for a tiny model that stand next to it have no effect.
    """

    path: str = Field(min_length=1)
    """Folder of the model, or its name where transformers has it at hand."""


def _folder(config: CheckpointConfig) -> str:
    return config.path


KIND = ModelKind("checkpoint", CheckpointConfig, folder=_folder)

__all__ = ["KIND", "CheckpointConfig"]
