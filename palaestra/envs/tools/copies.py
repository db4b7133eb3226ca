"""`Copies`: JSON data that is given away, so that nobody can change what others read."""

from __future__ import annotations

import pickle
from typing import Generic, TypeVar

T = TypeVar("T")


class Copies(Generic[T]):
    """A value of which everyone gets a copy of their own, several times as fast as by `copy.deepcopy`.

    Args:
        value: JSON data; what happens to it afterwards does not show in the copies.
    """

    def __init__(self, value: T) -> None:
        """Keep the value in a form that nobody can change."""
        self._data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def one(self) -> T:
        """Return a copy."""
        copied: T = pickle.loads(self._data)  # only ever what `__init__` wrote
        return copied


__all__ = ["Copies"]
