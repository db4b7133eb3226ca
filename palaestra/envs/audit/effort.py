"""How much an audit plays, by what a step of the environment costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from palaestra.envs.registration import Cost, conditions, find_spec


class Effort(NamedTuple):
    """Numbers of tasks that an audit plays.

    Attributes:
        tasks: Of each agent of the panel, unless said otherwise (`-n`).
        quick: Of the short audit whose figures a card keeps for comparison.
        lessons: Whose plans agents of the panel learn from, however few they play: what is free does not follow from `tasks`.
        repeated: That are played again with other seeds, elsewhere and from snapshots.
        spoiled: That the vandal plays: it looks for something to break, which takes many steps and snapshots.
        swaps: Pairs of independent actions that are swapped.
        held_out: Of the test split that are compared with others, at most.
        others: Of each other split that these are compared with, at most.
    """

    tasks: int
    quick: int
    lessons: int
    repeated: int
    spoiled: int
    swaps: int
    held_out: int
    others: int


EFFORTS: Mapping[Cost, Effort] = {
    "cheap": Effort(tasks=100, quick=8, lessons=50, repeated=12, spoiled=30, swaps=40, held_out=200, others=1000),
    "engine": Effort(tasks=20, quick=3, lessons=20, repeated=4, spoiled=4, swaps=8, held_out=40, others=80),
    "browser": Effort(tasks=8, quick=2, lessons=8, repeated=2, spoiled=2, swaps=4, held_out=10, others=20),
}
"""Where a step takes milliseconds or a second instead of microseconds, less is played: of an engine about 800 episodes."""


def effort_of(env_id: str) -> Effort:
    """Return how much an audit of an environment plays.

    Raises:
        UnknownNameError: For an unknown id.
    """
    return EFFORTS[conditions(find_spec(env_id).id).cost]


__all__ = ["EFFORTS", "Effort", "effort_of"]
