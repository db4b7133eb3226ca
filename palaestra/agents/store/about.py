"""What a stored run is about, in words for lists: read from its configuration, whatever that holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from palaestra.agents.store.records import RunSummary


def what_of(config: Mapping[str, Any]) -> str:
    """Say in a few words what a run did."""
    kind = config.get("kind")
    envs = ", ".join(env_ids_of(config))
    if kind == "evaluate":
        return " on ".join(filter(None, (str(config.get("agent") or ""), envs)))
    if kind == "rescore":
        return f"{config.get('rescored', '')} scored by {config.get('scorer', '')}"
    name = str(config.get("name") or kind or "")
    return f"{name} on {envs}" if envs else name


def far(run: RunSummary) -> str:
    """Return the status of a run; of one that is not finished with how far it came."""
    return run.status if run.status == "finished" or run.planned is None else f"{run.status}, {run.planned}"


def env_ids_of(config: Mapping[str, Any]) -> list[str]:
    """Return the ids of the environments of a run: of an evaluation, or of a recipe."""
    recipe = config.get("recipe")
    tables = [*_tables(config.get("envs")), *_tables(config.get("env"))]
    if isinstance(recipe, Mapping):
        tables += _tables(recipe.get("env"))
    named = [table.get("env_id") or table.get("id") for table in tables]
    return list(dict.fromkeys(str(name) for name in (config.get("env_id"), *named) if name))


def model_of(config: Mapping[str, Any]) -> str:
    """Return who plays in a run: the agent of an evaluation, the model of a recipe; empty if the run does not say."""
    if agent := config.get("agent"):
        return str(agent)
    recipe = config.get("recipe")
    model = recipe.get("model") if isinstance(recipe, Mapping) else None
    return str(model.get("path") or model.get("kind") or "") if isinstance(model, Mapping) else ""


def _tables(value: object) -> Iterable[Mapping[str, Any]]:
    """Return the tables that a value is or holds."""
    if isinstance(value, Mapping):
        return (value,)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else ()


__all__ = ["env_ids_of", "far", "model_of", "what_of"]
