"""What the class of a registered environment declares about its results, found without making an environment."""

from __future__ import annotations

from typing import Any, NamedTuple

from gymnasium.envs.registration import load_env_creator, registry

from palaestra.results.metrics import Metric, metrics_of


class Declared(NamedTuple):
    """What an environment declares about its results.

    Attributes:
        metrics: What its episodes measure.
        results: "module:function" of its own tables; empty if it has none.
    """

    metrics: tuple[Metric, ...] = ()
    results: str = ""


def declared(env_id: str) -> Declared:
    """Return what the class (or function) declares that an id is registered with.

    Args:
        env_id: Registered id.

    Returns:
        Nothing declared if the id is not registered here, or its module cannot be imported: stored runs of environments
        that are not installed can be read all the same.
    """
    spec = registry.get(env_id.rpartition(":")[2])  # "module:namespace/Name-v0" is registered without its module
    entry_point: Any = None if spec is None else spec.entry_point
    if isinstance(entry_point, str):
        try:
            entry_point = load_env_creator(entry_point)
        except (ImportError, AttributeError):
            return Declared()
    results = getattr(entry_point, "results", "")
    return Declared(metrics_of(getattr(entry_point, "metrics", ())), results if isinstance(results, str) else "")


__all__ = ["Declared", "declared"]
