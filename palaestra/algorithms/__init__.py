"""Learning: batches, advantages, losses, algorithms, recipes. Names are imported when they are used.

`train(recipe, store=...)` runs a whole recipe; `get_algorithm(name)` gives one algorithm; everything below that is
pure functions over `batch.Batch`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from palaestra.errors import MissingExtraError

if TYPE_CHECKING:
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.math.batch import Batch, collate
    from palaestra.algorithms.run.phase import Phase, ProgressEvent
    from palaestra.algorithms.run.recipe import Recipe, load_recipe, parse_recipe
    from palaestra.algorithms.run.registry import Algorithm, algorithm_names, get_algorithm
    from palaestra.algorithms.run.scaling_inter import horizon
    from palaestra.algorithms.run.training import TrainingResult, train

_HOME = {
    "Algorithm": "run.registry",
    "Batch": "math.batch",
    "Phase": "run.phase",
    "Policy": "learner.policy",
    "ProgressEvent": "run.phase",
    "Recipe": "run.recipe",
    "TrainingResult": "run.training",
    "algorithm_names": "run.registry",
    "collate": "math.batch",
    "get_algorithm": "run.registry",
    "horizon": "run.scaling_inter",
    "load_recipe": "run.recipe",
    "parse_recipe": "run.recipe",
    "train": "run.training",
}

__all__ = [
    "Algorithm",
    "Batch",
    "Phase",
    "Policy",
    "ProgressEvent",
    "Recipe",
    "TrainingResult",
    "algorithm_names",
    "collate",
    "get_algorithm",
    "horizon",
    "load_recipe",
    "parse_recipe",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module; torch and transformers come only with what needs them."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("torch", "transformers", "tokenizers"):
            raise MissingExtraError("Training", "train") from error
        raise
    return getattr(module, name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
