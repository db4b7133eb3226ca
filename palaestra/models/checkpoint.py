"""A model from disk: `[model] path = "FOLDER"`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from palaestra.errors import ConfigError, MissingDataError, MissingExtraError
from palaestra.models.registry import ModelConfig, ModelKind

_MODEL_TYPE = "model_type"


class CheckpointConfig(ModelConfig):
    """Table `[model]`, kind `checkpoint`: a transformers model with its tokenizer, from disk.

    This is the kind where `path` is given; keys for a tiny model that stand next to it have no effect.
    """

    path: str = Field(min_length=1)
    """Folder of the model, or its name where transformers has it at hand."""
    shape: dict[str, Any] | None = None
    """Keys of the model's `config.json` (`model_type` and sizes): `--dry-run` counts with them where the folder is not on this
    machine, and training refuses a model that differs in one of them."""


def configuration(folder: str, shape: dict[str, Any]) -> tuple[Any, str]:
    """Return a model's configuration (a `PretrainedConfig` of transformers) without its weights, and where it comes from.

    Args:
        folder: Folder of the model, or its name in the cache of transformers.
        shape: What the recipe says of it; `model_type` and sizes.

    Raises:
        MissingDataError: If the folder is not there and the shape does not say what kind of model it is.
        ConfigError: If transformers does not know such a model, or the folder's model is another one.
        MissingExtraError: If transformers is not installed.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise MissingExtraError("Reading the configuration of a model", "train") from error

    try:
        found = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        if _MODEL_TYPE not in shape:
            raise MissingDataError(
                f"There is no configuration of a model in {folder!r}. Give the folder of one that is on this machine, or say "
                f'what it is: [model.shape] with model_type = "qwen2", hidden_size, num_hidden_layers and so on.'
            ) from error
        sizes = {key: value for key, value in shape.items() if key != _MODEL_TYPE}
        try:
            return AutoConfig.for_model(shape[_MODEL_TYPE], **sizes), "shape in the recipe"
        except (ValueError, TypeError, KeyError) as refused:
            reason = str(refused).strip().partition("\n")[0][:300]
            raise ConfigError(f"[model.shape] is not the shape of a model that transformers knows: {reason}") from refused
    check_shape(found, shape)
    return found, folder


def check_shape(config: Any, shape: dict[str, Any]) -> None:
    """Refuse a model whose configuration differs from what a recipe says of it.

    Raises:
        ConfigError: With the first key that differs, both values, and what to do.
    """
    for key, wanted in shape.items():
        found = getattr(config, key, None)
        if found != wanted:
            raise ConfigError(
                f"[model.shape] says {key} = {wanted!r}, and the model has {found!r}. Give the folder of the model that the "
                f"recipe is for, or correct the shape."
            )


def _folder(config: CheckpointConfig) -> str:
    return config.path


KIND = ModelKind("checkpoint", CheckpointConfig, folder=_folder)

__all__ = ["KIND", "CheckpointConfig", "check_shape", "configuration"]
