"""Which weights are whose, in a run that trains several sets of them in turn: each seat its own, or all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

KEY = "weights"
"""Where `ExtensionContext.shared` holds the run's `Weights`."""


class Weights:
    """The newest weights of each name, as model folders.

    Args:
        shared: Those of everybody who has none of their own.
    """

    def __init__(self, shared: Path) -> None:
        """Begin with one set for all."""
        self.shared = shared
        self.own: dict[str, Path] = {}

    def of(self, name: str) -> Path:
        """Return the weights of a name, or the shared ones."""
        return self.own.get(name, self.shared)

    def trained(self, names: Sequence[str], path: Path) -> None:
        """Note what a phase gave: to these names, or, without any, to all."""
        if names:
            self.own |= dict.fromkeys(names, path)
        else:
            self.shared, self.own = path, {}


__all__ = ["KEY", "Weights"]
