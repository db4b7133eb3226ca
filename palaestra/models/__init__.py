"""Torch modules and model recipes that stand alone. The names below are imported when they are first used."""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.models.tiny_lm import build_tiny_lm
    from palaestra.models.value_model import ValueModel

_HOMES = {
    "tiny_lm": ("build_tiny_lm",),
    "value_model": ("ValueModel",),
}

__all__ = [
    "ValueModel",
    "build_tiny_lm",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, feature="A model", extra="train")
