"""Torch modules and model recipes that stand alone. The names below are imported when they are first used."""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.models.registry import BuildContext, ModelConfig, ModelKind, get_model_kind, model_kinds
    from palaestra.models.tiny_lm import build_tiny_lm
    from palaestra.models.value_model import ValueModel

_HOMES = {
    "registry": (
        "BuildContext",
        "ModelConfig",
        "ModelKind",
        "get_model_kind",
        "model_kinds",
    ),
    "tiny_lm": ("build_tiny_lm",),
    "value_model": ("ValueModel",),
}

__all__ = [
    "BuildContext",
    "ModelConfig",
    "ModelKind",
    "ValueModel",
    "build_tiny_lm",
    "get_model_kind",
    "model_kinds",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, feature="A model", extra="train")
