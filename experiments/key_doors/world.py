"""KeyDoors: a corridor of locked rooms, for questions about the horizon.

A corridor has n rooms, n drawn from 2 to 12. Every turn shows `feedback key` of the present room and takes one action
token: the right one opens the door to the next room, any other costs the turn. Which action a key needs is hidden, and the
same in all corridors. The reward is 1 when the last door opens, and nothing if the turns run out before. How many rooms are
left is not shown.

With several zones the keys are divided among equal stretches of the longest corridor, so that the keys of the deep rooms
are met only by who gets there; with one zone all keys occur everywhere, and short corridors teach all there is to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from experiments.common.token_world import PAD, Episodes, HiddenMap, PolicyActor, random_actor, roll_out
from palaestra.algorithms.learner.policy import Policy

FEEDBACK_PLACE, KEY_PLACE = range(2)
TURN_LENGTH = 3
"""Tokens of a turn, the action included."""


class Corridors(NamedTuple):
    """What the rows of a batch walk through: number of rooms, int64 [B], and the key of each room, int64 [B, max_rooms]."""

    rooms: Tensor
    keys: Tensor

    def repeated(self, group_size: int) -> Corridors:
        """Return every corridor `group_size` times in a row: a group."""
        return Corridors(self.rooms.repeat_interleave(group_size), self.keys.repeat_interleave(group_size, dim=0))


@dataclass(frozen=True)
class KeyDoors(HiddenMap):
    """The world: its size and its map.

    Attributes:
        min_rooms: Rooms of the shortest corridor.
        max_rooms: Rooms of the longest.
        num_keys: Keys; a multiple of `num_actions`.
        num_actions: Actions.
        num_zones: Stretches with keys of their own; divides `max_rooms` and `num_keys`.
        map_seed: Seed of the hidden map.
    """

    min_rooms: int = 2
    max_rooms: int = 12
    num_keys: int = 12
    num_actions: int = 6
    num_zones: int = 1
    map_seed: int = 0

    def __post_init__(self) -> None:
        """Check that the map can be balanced and the zones are equal."""
        super().__post_init__()
        if self.max_rooms % self.num_zones or self.num_keys % self.num_zones:
            raise ValueError(
                f"num_zones is {self.num_zones}; expected a divisor of max_rooms, {self.max_rooms}, and of num_keys, "
                f"{self.num_keys}."
            )

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Texts of the tokens, in the order of their ids; the padding comes first."""
        keys = (f"key{i}" for i in range(self.num_keys))
        return ("PAD", "START", "OK", "BAD", *keys, *(f"action{i}" for i in range(self.num_actions)))

    def draw(self, num_corridors: int, generator: torch.Generator) -> Corridors:
        """Draw corridors of every length alike."""
        rooms = torch.randint(self.min_rooms, self.max_rooms + 1, (num_corridors,), generator=generator)
        return self.with_rooms(rooms, generator)

    def with_rooms(self, rooms: Tensor, generator: torch.Generator) -> Corridors:
        """Draw the keys of corridors of given lengths."""
        per_zone = self.num_keys // self.num_zones
        zone = torch.arange(self.max_rooms) // (self.max_rooms // self.num_zones)
        keys = torch.randint(per_zone, (len(rooms), self.max_rooms), generator=generator)
        return Corridors(rooms, zone * per_zone + keys)


class KeyDoorsGame:
    """Rows of the world (see `token_world.Game`).

    Args:
        world: Size and map.
        corridors: What is walked through.
    """

    def __init__(self, world: KeyDoors, corridors: Corridors) -> None:
        """Begin all rows."""
        self.world = world
        self.corridors = corridors
        self.opened = torch.zeros_like(corridors.rooms)
        self._feedback = torch.full_like(corridors.rooms, world.token("START"))
        self._ok, self._bad, self._first_key = (world.token(word) for word in ("OK", "BAD", "key0"))

    @property
    def ended(self) -> Tensor:
        """Rows that have reached the exit: bool [B]."""
        return self.opened == self.corridors.rooms

    def observation(self) -> Tensor:
        """`feedback key`; padding in rows that have ended."""
        shown = torch.stack([self._feedback, self._first_key + self._keys()], dim=1)
        return torch.where(self.ended.unsqueeze(1), PAD, shown)

    def act(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Open the door, or not; any token but the right one is wrong."""
        playing = ~self.ended
        is_right = playing & (actions == self.right_actions())
        self.opened = self.opened + is_right
        self._feedback = torch.where(is_right, self._ok, self._bad)
        return (playing & self.ended).float(), self.ended

    def right_actions(self) -> Tensor:
        """What the map says."""
        return self.world.right_action[self._keys()]

    def digests(self) -> list[str]:
        """Number of opened doors: within a corridor, all that decides what can still happen but the turns left."""
        return [str(count) for count in self.opened.tolist()]

    def _keys(self) -> Tensor:
        """Key of the present room, of the last one in rows that have ended."""
        place = self.opened.clamp(max=self.corridors.keys.shape[1] - 1)
        return self.corridors.keys.gather(1, place.unsqueeze(1))[:, 0]


def walk(world: KeyDoors, policy: Policy, corridors: Corridors, generator: torch.Generator, *, cap: int) -> Episodes:
    """Let a policy walk through corridors, at most `cap` turns each."""
    return roll_out(KeyDoorsGame(world, corridors), PolicyActor(policy, generator), max_turns=cap)


def random_walk(world: KeyDoors, num_episodes: int, generator: torch.Generator, *, cap: int) -> Episodes:
    """Walk with random actions: what the base model is trained on, and what it plays like."""
    game = KeyDoorsGame(world, world.draw(num_episodes, generator))
    return roll_out(game, random_actor(world.action_tokens, generator), max_turns=cap)


def success_by_length(
    world: KeyDoors, policy: Policy, *, cap: int, per_length: int, seed: int, lengths: Sequence[int] | None = None
) -> dict[int, float]:
    """Share of fresh corridors of each length whose exit a policy reaches within the cap, sampled at temperature 1."""
    chosen = list(range(world.min_rooms, world.max_rooms + 1) if lengths is None else lengths)
    generator = torch.Generator().manual_seed(seed)
    corridors = world.with_rooms(torch.tensor(chosen).repeat_interleave(per_length), generator)
    reached = walk(world, policy, corridors, generator, cap=cap).return_.view(len(chosen), per_length).mean(dim=1)
    return dict(zip(chosen, reached.tolist(), strict=True))


@torch.no_grad()
def feedback_probability(world: KeyDoors, policy: Policy, *, cap: int, num_episodes: int = 64, seed: int = 0) -> float:
    """Mean probability that a language model gives to the feedback that random actions really get."""
    batch = random_walk(world, num_episodes, torch.Generator().manual_seed(seed), cap=cap).batch()
    place = torch.arange(batch.ids.shape[1])
    asked = batch.attention_mask & (place % TURN_LENGTH == FEEDBACK_PLACE) & (place >= TURN_LENGTH)
    scored = policy.token_log_probs(batch.ids, batch.attention_mask, asked)
    return float(scored.log_prob[asked].exp().mean())
