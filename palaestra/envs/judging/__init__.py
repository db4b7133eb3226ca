"""Language models that are asked for one JSON object by a setting: checked, repaired, given up, with a record of it all."""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.envs.judging.asking import Asker, Attempt, Audit, Complete, Dropped, Problem, prompt, read_as

_HOMES = {"asking": ("Asker", "Attempt", "Audit", "Complete", "Dropped", "Problem", "prompt", "read_as")}

__all__ = ["Asker", "Attempt", "Audit", "Complete", "Dropped", "Problem", "prompt", "read_as"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
