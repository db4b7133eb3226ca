"""All planted defects: where each is, and which points of a card may name it."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import gymnasium
from gymnasium.envs.registration import registry


class Defect(NamedTuple):
    """One planted defect.

    Attributes:
        name: Name of the class; the id is planted/NAME-v0.
        module: Module of the class, next to this file.
        points: Beginnings of the names of points that name it rightly; any of them will do.
        about: What is wrong.
    """

    name: str
    module: str
    points: tuple[str, ...]
    about: str

    @property
    def env_id(self) -> str:
        """The id it is registered under."""
        return f"planted/{self.name}-v0"


MODULES = ("rewards", "leaking", "unstable", "splitting", "foreign")
CLEAN = ("Vaults", "Chores", "WordLock", "Sums")
"""Small environments without a defect."""


def defects() -> list[Defect]:
    """Return all defects, in the order of the modules."""
    found = []
    for module in MODULES:
        classes = import_module(f"experiments.audit.planted.{module}")
        for name, (points, about) in classes.DEFECTS.items():
            found.append(Defect(name, module, (points,) if isinstance(points, str) else points, about))
    return found


def register() -> None:
    """Register the ids of all defects and of the small environments without one."""
    for defect in defects():
        if defect.env_id not in registry:
            gymnasium.register(defect.env_id, entry_point=f"experiments.audit.planted.{defect.module}:{defect.name}")
    for name in CLEAN:
        if f"clean/{name}-v0" not in registry:
            gymnasium.register(f"clean/{name}-v0", entry_point=f"experiments.audit.planted.bases:{name}")
