"""Learning: batches, advantages, losses, algorithms, recipes.

`train(recipe, store=...)` runs a whole recipe; `get_algorithm(name)` gives one algorithm; everything below that is pure
functions over a `Batch`. The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.algorithms.config import Config
    from palaestra.algorithms.data.demonstrations import expert_episodes, tokenize
    from palaestra.algorithms.learner.learner import BatchLearner, Learner, OnPolicyConfig, batch_metrics
    from palaestra.algorithms.learner.optimiser import Optimiser, OptimiserConfig
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.learner.policy_update import PolicyConfig, PolicyGradientLearner
    from palaestra.algorithms.math.advantages import grpo_advantages, rloo_advantages
    from palaestra.algorithms.math.batch import Batch, collate
    from palaestra.algorithms.math.estimators import AdvantageConfig, estimator
    from palaestra.algorithms.math.losses import kl_estimate, policy_loss, token_weights
    from palaestra.algorithms.math.returns import discounted_returns, generalised_advantages
    from palaestra.algorithms.run.feed import TaskFeed
    from palaestra.algorithms.run.phase import Phase, ProgressEvent
    from palaestra.algorithms.run.recipe import Recipe, load_recipe, parse_recipe
    from palaestra.algorithms.run.registry import Algorithm, algorithm_names, get_algorithm, make_learner
    from palaestra.algorithms.run.scaling_inter import horizon
    from palaestra.algorithms.run.training import TrainingResult, train

_HOMES = {
    "config": ("Config",),
    "data.demonstrations": (
        "expert_episodes",
        "tokenize",
    ),
    "learner.learner": (
        "BatchLearner",
        "Learner",
        "OnPolicyConfig",
        "batch_metrics",
    ),
    "learner.optimiser": (
        "Optimiser",
        "OptimiserConfig",
    ),
    "learner.policy": ("Policy",),
    "learner.policy_update": (
        "PolicyConfig",
        "PolicyGradientLearner",
    ),
    "math.advantages": (
        "grpo_advantages",
        "rloo_advantages",
    ),
    "math.batch": (
        "Batch",
        "collate",
    ),
    "math.estimators": (
        "AdvantageConfig",
        "estimator",
    ),
    "math.losses": (
        "kl_estimate",
        "policy_loss",
        "token_weights",
    ),
    "math.returns": (
        "discounted_returns",
        "generalised_advantages",
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
        "make_learner",
    ),
    "run.scaling_inter": ("horizon",),
    "run.training": (
        "TrainingResult",
        "train",
    ),
}

__all__ = [
    "AdvantageConfig",
    "Algorithm",
    "Batch",
    "BatchLearner",
    "Config",
    "Learner",
    "OnPolicyConfig",
    "Optimiser",
    "OptimiserConfig",
    "Phase",
    "Policy",
    "PolicyConfig",
    "PolicyGradientLearner",
    "ProgressEvent",
    "Recipe",
    "TaskFeed",
    "TrainingResult",
    "algorithm_names",
    "batch_metrics",
    "collate",
    "discounted_returns",
    "estimator",
    "expert_episodes",
    "generalised_advantages",
    "get_algorithm",
    "grpo_advantages",
    "horizon",
    "kl_estimate",
    "load_recipe",
    "make_learner",
    "parse_recipe",
    "policy_loss",
    "rloo_advantages",
    "token_weights",
    "tokenize",
    "train",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, feature="Training", extra="train")
