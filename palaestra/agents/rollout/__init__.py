"""The rollout engine: many episodes at once, each played to its end or to the boundary where it failed.

The names below are imported when they are first used: plans are plain data, and need nothing of the engine.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.agents.rollout.plans import EpisodePlan

_HOMES = {"engine": ("RolloutEngine",), "plans": ("EpisodePlan",)}

__all__ = ["EpisodePlan", "RolloutEngine"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
