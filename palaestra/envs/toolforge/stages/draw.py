"""Chance that is the same everywhere: a stream of numbers for each stage of each instance.

The key of a stream is hashed with SHA-256, and only `random.Random.random` is used, whose sequence Python promises to keep.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A stream of chance.

    Args:
        key: Texts and numbers that name the stream; equal keys give equal streams.
    """

    def __init__(self, *key: object) -> None:
        """Seed the stream."""
        text = json.dumps(key, ensure_ascii=True, separators=(",", ":"))
        self._next = random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")).random

    def below(self, number: int) -> int:
        """Return a whole number from 0 to `number - 1`."""
        return int(self._next() * number)

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self._next() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """Return True in a share of the cases."""
        return self._next() < share

    def one(self, items: Sequence[T]) -> T:
        """Return one of the items, each as likely."""
        return items[int(self._next() * len(items))]

    def weighted(self, items: Sequence[tuple[T, float]]) -> T:
        """Return one of the items, by weight."""
        return at_point(items, self._next())

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in another order."""
        found = list(items)
        for place in range(len(found) - 1, 0, -1):
            other = int(self._next() * (place + 1))
            found[place], found[other] = found[other], found[place]
        return found


def at_point(items: Sequence[tuple[T, float]], point: float) -> T:
    """Return the item at a point of a line on which every item is as long as its weight.

    Args:
        items: Pairs of item and weight.
        point: From 0 to 1, 1 excluded.
    """
    left = point * sum(weight for _, weight in items)
    for item, weight in items:
        left -= weight
        if left < 0:
            return item
    return items[-1][0]


__all__ = ["Draw", "at_point"]
