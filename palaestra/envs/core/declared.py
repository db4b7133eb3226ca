"""What the class of a registered environment declares about itself, found without making an environment."""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import Any, NamedTuple

from gymnasium.envs.registration import load_env_creator, registry

from palaestra.results.metrics import Metric, metrics_of


class Declared(NamedTuple):
    """What an environment declares about itself.

    Attributes:
        metrics: What its episodes measure.
        results: "module:function" of its own tables; empty if it has none.
        blocks: Whether a step waits for something outside of Python.
        thread_bound: Whether it has to stay in the thread in which it was first used.
    """

    metrics: tuple[Metric, ...] = ()
    results: str = ""
    blocks: bool = False
    thread_bound: bool = False


def declared(env_id: str) -> Declared:
    """Return the declarations of the class (or function) that an id is registered with.

    Args:
        env_id: Registered id; `module:namespace/Name-v0` imports the module first where the id is not registered yet.

    Returns:
        Nothing declared if the id is not registered here, or its module cannot be imported: stored runs of environments
        that are not installed can be read all the same.
    """
    module, _, name = env_id.rpartition(":")
    if module and name not in registry:
        with contextlib.suppress(Exception, SystemExit):  # whatever it fails with, the run can be read without it
            import_module(module)
    spec = registry.get(name)
    entry_point: Any = None if spec is None else spec.entry_point
    if isinstance(entry_point, str):
        try:
            entry_point = load_env_creator(entry_point)
            entry_point = getattr(entry_point, "__wrapped__", entry_point)  # the class, whether or not it can be made here
        except (ImportError, AttributeError):
            return Declared()
    results = getattr(entry_point, "results", "")
    return Declared(
        metrics_of(getattr(entry_point, "metrics", ())),
        results if isinstance(results, str) else "",
        getattr(entry_point, "blocks", False) is True,
        getattr(entry_point, "thread_bound", False) is True,
    )


__all__ = ["Declared", "declared"]
