"""The rollout engine: many episodes at once, each played to its end or to the boundary where it failed."""

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan

__all__ = ["EpisodePlan", "RolloutEngine"]
