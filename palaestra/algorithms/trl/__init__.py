"""TRL, used for what it is good at: its trainers on our environments, trajectories and policies. Public interface only.

`environment_class` makes an `environment_factory`, `EnvironmentRollouts` a token-exact `rollout_func`; `task_rows`,
`to_dataset` and the others make Hugging Face data sets; `train_dpo` runs `DPOTrainer` on preference pairs. TRL itself is
imported when a trainer is built. Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from palaestra.errors import MissingExtraError

if TYPE_CHECKING:
    from palaestra.algorithms.trl.datasets import from_dataset, task_rows, to_dataset, token_dataset
    from palaestra.algorithms.trl.preferences import PreferencePair, TokenPairCollator, preference_dataset, preference_pairs
    from palaestra.algorithms.trl.rollouts import EnvironmentRollouts
    from palaestra.algorithms.trl.tool_environment import EnvironmentEpisode, environment_class, shown_tools
    from palaestra.algorithms.trl.trainers import DPOSettings, response_template, train_dpo

_HOME = {
    "DPOSettings": "trainers",
    "EnvironmentEpisode": "tool_environment",
    "EnvironmentRollouts": "rollouts",
    "PreferencePair": "preferences",
    "TokenPairCollator": "preferences",
    "environment_class": "tool_environment",
    "from_dataset": "datasets",
    "preference_dataset": "preferences",
    "preference_pairs": "preferences",
    "response_template": "trainers",
    "shown_tools": "tool_environment",
    "task_rows": "datasets",
    "to_dataset": "datasets",
    "token_dataset": "datasets",
    "train_dpo": "trainers",
}

__all__ = [
    "DPOSettings",
    "EnvironmentEpisode",
    "EnvironmentRollouts",
    "PreferencePair",
    "TokenPairCollator",
    "environment_class",
    "from_dataset",
    "preference_dataset",
    "preference_pairs",
    "response_template",
    "shown_tools",
    "task_rows",
    "to_dataset",
    "token_dataset",
    "train_dpo",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("torch", "transformers", "datasets", "trl"):
            raise MissingExtraError("Training with TRL", "trl") from error
        raise
    return getattr(module, name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
