"""Learning: batches, advantages, losses, algorithms, recipes.

`train(recipe, store=...)` runs a whole recipe; `get_algorithm(name)` gives one algorithm; everything below that is pure
functions over a `Batch`. The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.algorithms.data.demonstrations import expert_episodes, tokenize
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.math.batch import Batch, collate
    from palaestra.algorithms.run.feed import TaskFeed
    from palaestra.algorithms.run.phase import Phase, ProgressEvent
    from palaestra.algorithms.run.recipe import Recipe, load_recipe, parse_recipe
    from palaestra.algorithms.run.registry import Algorithm, algorithm_names, get_algorithm
    from palaestra.algorithms.run.scaling_inter import horizon
    from palaestra.algorithms.run.training import TrainingResult, train

_HOMES = {
    "data.demonstrations": (
        "expert_episodes",
        "tokenize",
    ),
    "learner.policy": ("Policy",),
    "math.batch": (
        "Batch",
        "collate",
    ),
    "run.feed": ("TaskFeed",),
    "run.phase": (
        "Phase",
        "ProgressEvent",
    ),
    "run.recipe": (
        "Recipe",
        "load_recipe",
        "parse_recipe",
    ),
    "run.registry": (
        "Algorithm",
        "algorithm_names",
        "get_algorithm",
    ),
    "run.scaling_inter": ("horizon",),
    "run.training": (
        "TrainingResult",
        "train",
    ),
}

__all__ = [
    "Algorithm",
    "Batch",
    "Phase",
    "Policy",
    "ProgressEvent",
    "Recipe",
    "TaskFeed",
    "TrainingResult",
    "algorithm_names",
    "collate",
    "expert_episodes",
    "get_algorithm",
    "horizon",
    "load_recipe",
    "parse_recipe",
    "tokenize",
    "train",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, feature="Training", extra="train")
