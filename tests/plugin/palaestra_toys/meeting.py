"""Three friends agree where to meet: a toy with three seats that all act in every tick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from palaestra.envs import GeneratedTasks, Task
from palaestra.envs.core.seated import Action, Exchange, Refused, SeatedEnv
from palaestra.types import Json

PLACES = ("cinema", "harbour", "library", "market", "museum", "park")


def make_task(split: str, index: int) -> Task:
    """Return three different favourites; the first is one of the first three places in train tasks only."""
    rng = np.random.default_rng([index, split == "test"])
    half = PLACES[3:] if split == "test" else PLACES[:3]
    first = half[rng.integers(3)]
    others = [place for place in PLACES if place != first]
    favourites = [first, *(others[i] for i in rng.permutation(5)[:2])]
    return Task(f"{split}/{index}", split, "", {"favourites": dict(zip(MeetingEnv.seats, favourites, strict=True))})


class MeetingEnv(SeatedEnv):
    """Name the same place as your two friends.

    **Seats.** `ann`, `bob`, `cleo`. All three speak at once; nobody hears the others before everybody has spoken.
    **Action.** The name of a place. Anything else is silence.
    **Observation.** Who named what in the last round.
    **Reward.** 1 for everybody when all three name the same place, which ends the game.
    **Scripted players** name their favourite, then the place that most of them named (the first in the alphabet among
    equals); a "dreamer" sometimes names any other place.
    """

    seats = ("ann", "bob", "cleo")
    simultaneous = True
    personas = dict.fromkeys(("ann", "bob", "cleo"), ("plain", "dreamer"))

    def __init__(self, **kwargs: Any) -> None:
        """Begin in an empty town."""
        super().__init__(GeneratedTasks(make_task, {"train": None, "test": None}), **kwargs)
        self.favourites: dict[str, str] = {}
        self.named: dict[str, str | None] = {}

    def instructions(self, seat: str = "") -> str:
        """Return the rules."""
        return f"You are {seat or self.seat}. Name a place to meet: {', '.join(PLACES)}. You win when all three name the same."

    def private(self, seat: str) -> Json:
        """Return the favourite of a seat."""
        return {"favourite": self.favourites[seat]}

    def expert(self, seat: str = "") -> Iterator[Action]:
        """Yield what a plain player says."""
        while True:
            yield self._common(seat or self.seat)

    def _open(self, task: Task) -> Exchange:
        self.favourites, self.named = dict(task.data["favourites"]), {}
        return Exchange({seat: f"You like the {place}." for seat, place in self.favourites.items()}, self.seats)

    def _read(self, seat: str, action: Action) -> str:
        word = (action if isinstance(action, str) else action.content).strip(" .\n").lower()
        if word not in PLACES:
            raise Refused(f"Nobody knows where that is. Name one of {', '.join(PLACES)}.")
        return word

    def _play(self, moves: Mapping[str, Any]) -> Exchange:
        self.named = dict(moves)
        heard = ", ".join(f"{seat}: {place or '(silence)'}" for seat, place in moves.items())
        told = dict.fromkeys(self.seats, heard)
        if len(set(moves.values())) == 1 and None not in moves.values():
            return Exchange(told, rewards=dict.fromkeys(self.seats, 1.0), won=self.seats)
        return Exchange(told, self.seats)

    def _scripted(self, seat: str, observation: str) -> Action:
        chance = self.chance(seat)
        if self.players[seat] == "dreamer" and chance.random() < 0.3:
            return PLACES[chance.integers(len(PLACES))]
        return self._common(seat)

    def _common(self, seat: str) -> str:
        """Return the place that most friends named, or a seat's favourite."""
        votes = Counter(place for place in self.named.values() if place)
        return min(votes, key=lambda place: (-votes[place], place)) if votes else self.favourites[seat]

    @staticmethod
    def _sample(seat: str, rng: np.random.Generator) -> Action:
        return PLACES[rng.integers(len(PLACES))]

    def _save_world(self) -> Json:
        return [self.favourites, self.named]

    def _load_world(self, task: Task, state: Json) -> None:
        self.favourites, self.named = state
