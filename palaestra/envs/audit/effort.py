"""How much an audit plays, by what a step of the environment and a solution of it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Level = Literal["cheap", "engine", "browser", "slow"]
"""What an audit costs: as the registration says (`palaestra.envs.registration.Cost`), or more where more is measured."""


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
        cuts: Places of an episode at which it is restored from a snapshot.
        actions: After which an episode of an agent that is to get nothing is cut, and counts as not solved. The expert, and
            those that nearly play its plan, are not cut before the environment's own limit.
    """

    tasks: int
    quick: int
    lessons: int
    repeated: int
    spoiled: int
    swaps: int
    held_out: int
    others: int
    cuts: int
    actions: int

    @property
    def solutions(self) -> int:
        """Estimated number of solutions of the expert that are played, in whole or in part, or asked for."""
        once = self.tasks + self.lessons + self.held_out + self.others
        near, leaks = 4 * self.tasks, 5 * min(self.tasks, 24)
        return once + near + leaks + (25 + 20 * self.cuts) * self.repeated + 20 * self.spoiled + 3 * self.swaps

    @property
    def fresh(self) -> int:
        """Estimated number of solutions that are played in a task, or an environment, for the first time."""
        return self.tasks + self.lessons + self.held_out + self.others + 8 * self.repeated

    @property
    def drawn_episodes(self) -> int:
        """Estimated number of episodes of the panel."""
        return 11 * self.tasks


EFFORTS: Mapping[Level, Effort] = {
    "cheap": Effort(
        tasks=100,
        quick=8,
        lessons=50,
        repeated=12,
        spoiled=30,
        swaps=40,
        held_out=200,
        others=1000,
        cuts=4,
        actions=1000,
    ),
    "engine": Effort(
        tasks=20, quick=3, lessons=20, repeated=4, spoiled=4, swaps=8, held_out=40, others=80, cuts=3, actions=200
    ),
    "browser": Effort(tasks=8, quick=2, lessons=8, repeated=2, spoiled=2, swaps=4, held_out=10, others=20, cuts=2, actions=50),
    "slow": Effort(tasks=4, quick=1, lessons=4, repeated=1, spoiled=1, swaps=2, held_out=6, others=12, cuts=1, actions=30),
}
"""Where a step takes milliseconds or a second instead of microseconds, less is played; least where solutions take seconds."""


__all__ = ["EFFORTS", "Effort", "Level"]
