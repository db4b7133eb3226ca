"""Algorithms by name: ours, and those of installed packages (entry-point group `palaestra.algorithms`).

An `Algorithm` is a config class (the recipe's table of that name) and a function that runs one phase of training.
A third party writes one and names it in its package metadata:

    [project.entry-points."palaestra.algorithms"]
    my_algorithm = "my_package.my_module:ALGORITHM"
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from palaestra.errors import ConfigError, MissingExtraError, unknown_name

ENTRY_POINTS = "palaestra.algorithms"

_BUILTIN = {
    "sft": "palaestra.algorithms.sft:ALGORITHM",
    "grpo": "palaestra.algorithms.grpo:ALGORITHM",
    "dr_grpo": "palaestra.algorithms.grpo_family:DR_GRPO",
    "dapo": "palaestra.algorithms.grpo_family:DAPO",
    "gspo": "palaestra.algorithms.grpo_family:GSPO",
    "rloo": "palaestra.algorithms.grpo_family:RLOO",
    "reinforce_pp": "palaestra.algorithms.grpo_family:REINFORCE_PP",
    "rebn": "palaestra.algorithms.grpo_family:REBN",
    "turn_rloo": "palaestra.algorithms.grpo_family:TURN_RLOO",
    "ppo": "palaestra.algorithms.ppo:ALGORITHM",
    "vrpo": "palaestra.algorithms.vrpo:ALGORITHM",
    "gigpo": "palaestra.algorithms.grpo_family:GIGPO",
    "rft": "palaestra.algorithms.rft:ALGORITHM",
    "dpo": "palaestra.algorithms.dpo:ALGORITHM",
}


@dataclass(frozen=True)
class Algorithm:
    """A way to train a policy.

    Attributes:
        name: How recipes call it.
        config: Its settings; a recipe's table `[name]` is checked against it.
        run: Trains `phase.policy` in place, logging and saving through the phase; returns when the phase is over.
        arm: What reports call the policy that comes out, e.g. "cloned".
    """

    name: str
    config: type[BaseModel]
    run: Callable[[Any, Any], None]  # (Phase, config): naming Phase here would close a circle, as recipes look algorithms up
    arm: str = "trained"


def algorithm_names() -> list[str]:
    """Return the names of all algorithms that can be used here, sorted."""
    return sorted({*_BUILTIN, *_plugins()})


def get_algorithm(name: str) -> Algorithm:
    """Return an algorithm by name.

    Raises:
        UnknownNameError: If there is none of this name.
        MissingExtraError: If torch is not installed.
        ConfigError: If a package offers something else under it.
    """
    target = _BUILTIN.get(name)
    if target is None:
        plugins = _plugins()
        if name not in plugins:
            raise unknown_name("algorithm", name, [*_BUILTIN, *plugins])
        target = plugins[name]
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute or "ALGORITHM", None)
    except ModuleNotFoundError as error:
        if name in _BUILTIN and error.name is not None and error.name.partition(".")[0] in ("torch", "transformers"):
            raise MissingExtraError(f"The algorithm {name!r}", "train") from error
        raise
    if not isinstance(found, Algorithm):
        raise ConfigError(f"{target} is a {type(found).__name__}; expected a palaestra.algorithms.run.registry.Algorithm.")
    return found


def _plugins() -> dict[str, str]:
    """Return what installed packages offer, by name."""
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
