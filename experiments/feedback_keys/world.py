"""FeedbackKeys: a hidden map from keys to actions that a policy has to find out from feedback or from a score.

Every turn shows `TURN feedback key id ASK` and takes one action token; the feedback tells whether the previous action was
right (START in the first turn). Keys and ids are drawn anew in every episode, the ids mean nothing, and the map is the same in
all episodes; each action is right for as many keys as any other. The score is the share of right actions, paid at the end,
or turn by turn in the dense variant. Who knows the accuracy of the policy by turn knows the exact value of every state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from experiments.common.token_world import Episodes, HiddenMap, PolicyActor, expert_actor, random_actor, roll_out
from palaestra.algorithms.learner.policy import Policy

# places of an observation
TURN_PLACE, FEEDBACK_PLACE, KEY_PLACE, ID_PLACE, ASK_PLACE = range(5)
TURN_LENGTH = 6
"""Tokens of a turn, the action included."""


class Tasks(NamedTuple):
    """What the rows of a batch will be shown: keys and ids, int64 [B, K] each."""

    keys: Tensor
    ids: Tensor

    def repeated(self, group_size: int) -> Tasks:
        """Return every row `group_size` times in a row: a group."""
        return Tasks(self.keys.repeat_interleave(group_size, dim=0), self.ids.repeat_interleave(group_size, dim=0))


@dataclass(frozen=True)
class FeedbackKeys(HiddenMap):
    """The world: its size and its map.

    Attributes:
        num_turns: K, turns of an episode.
        num_keys: Keys; a multiple of `num_actions`.
        num_actions: Actions.
        num_ids: Ids, which mean nothing.
        dense: Pay 1/K after every right action, rather than the score at the end.
        map_seed: Seed of the hidden map.
    """

    num_turns: int = 4
    num_keys: int = 6
    num_actions: int = 3
    num_ids: int = 24
    dense: bool = False
    map_seed: int = 0

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Texts of the tokens, in the order of their ids; the padding comes first."""
        words = ["PAD", "TURN", "ASK", "START", "OK", "BAD"]
        words += [f"key{i}" for i in range(self.num_keys)]
        words += [f"id{i}" for i in range(self.num_ids)]
        return (*words, *(f"action{i}" for i in range(self.num_actions)))

    @property
    def num_tokens(self) -> int:
        """Tokens of an episode."""
        return self.num_turns * TURN_LENGTH

    def draw(self, num_tasks: int, generator: torch.Generator) -> Tasks:
        """Draw tasks."""
        shape = (num_tasks, self.num_turns)
        keys = torch.randint(self.num_keys, shape, generator=generator)
        return Tasks(keys, torch.randint(self.num_ids, shape, generator=generator))

    def value(self, right: Tensor, turn: Tensor, accuracy: Tensor) -> Tensor:
        """Exact value of states under a policy of known accuracy: (right so far + sum of the accuracies to come) / K.

        Args:
            right: Right actions so far, any shape.
            turn: Turn that comes next, from 0, same shape.
            accuracy: [K], chance of the right action in each turn.

        Returns:
            Expected score (outcome) of the whole episode, same shape; with dense rewards take `right / K` away from it.
        """
        to_come = torch.cat([accuracy.float().flip(0).cumsum(0).flip(0), torch.zeros(1)])
        return (right.float() + to_come[turn]) / self.num_turns


class FeedbackKeysGame:
    """Rows of the world (see `token_world.Game`).

    Args:
        world: Size and map.
        tasks: What is shown.
    """

    def __init__(self, world: FeedbackKeys, tasks: Tasks) -> None:
        """Begin all rows."""
        self.world = world
        self.tasks = tasks
        self.turn = 0
        self.right = torch.zeros(tasks.keys.shape, dtype=torch.bool)
        self._ok, self._bad = world.token("OK"), world.token("BAD")
        self._first_key, self._first_id = world.token("key0"), world.token("id0")
        self._frame = torch.tensor([world.token("TURN"), world.token("START"), 0, 0, world.token("ASK")])

    def observation(self) -> Tensor:
        """`TURN feedback key id ASK`."""
        shown = self._frame.repeat(len(self.right), 1)
        if self.turn:
            shown[:, FEEDBACK_PLACE] = torch.where(self.right[:, self.turn - 1], self._ok, self._bad)
        shown[:, KEY_PLACE] = self._first_key + self.tasks.keys[:, self.turn]
        shown[:, ID_PLACE] = self._first_id + self.tasks.ids[:, self.turn]
        return shown

    def act(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Judge the actions; any token but the right one is wrong."""
        self.right[:, self.turn] = actions == self.right_actions()
        self.turn += 1
        ended = torch.full((len(actions),), self.turn == self.world.num_turns)
        if self.world.dense:
            return self.right[:, self.turn - 1].float() / self.world.num_turns, ended
        return self.right.float().mean(dim=1) * ended, ended

    def right_actions(self) -> Tensor:
        """What the map says."""
        return self.world.right_action[self.tasks.keys[:, self.turn]]

    def digests(self) -> list[str]:
        """Turn, key, id and the number of right actions: all that decides what can still happen."""
        count = self.right.sum(dim=1).tolist()
        keys, ids = self.tasks.keys[:, self.turn].tolist(), self.tasks.ids[:, self.turn].tolist()
        return [f"{self.turn}/{key}/{id_}/{n}" for key, id_, n in zip(keys, ids, count, strict=True)]


def play(
    world: FeedbackKeys, policy: Policy, tasks: Tasks, generator: torch.Generator, *, with_digests: bool = False
) -> Episodes:
    """Let a policy play tasks, one episode per row."""
    actor = PolicyActor(policy, generator)
    return roll_out(FeedbackKeysGame(world, tasks), actor, max_turns=world.num_turns, with_digests=with_digests)


def random_play(world: FeedbackKeys, num_episodes: int, generator: torch.Generator) -> Episodes:
    """Play with random actions: what the base model is trained on, and what it plays like."""
    tasks = world.draw(num_episodes, generator)
    return roll_out(FeedbackKeysGame(world, tasks), random_actor(world.action_tokens, generator), max_turns=world.num_turns)


def expert_play(world: FeedbackKeys, num_episodes: int, generator: torch.Generator) -> Episodes:
    """Play without a mistake."""
    game = FeedbackKeysGame(world, world.draw(num_episodes, generator))
    return roll_out(game, expert_actor(game), max_turns=world.num_turns)


def right_by_turn(world: FeedbackKeys, episodes: Episodes) -> Tensor:
    """Whether each action was right, read from the record whatever the rewards are: bool [B, K]."""
    keys = episodes.ids[:, :, KEY_PLACE] - world.token("key0")
    return episodes.ids[:, :, -1] == world.right_action[keys]


def success(world: FeedbackKeys, policy: Policy, *, num_episodes: int = 1024, seed: int = 0) -> float:
    """Mean score of a policy on fresh tasks, sampled at temperature 1, clean whatever it was trained on."""
    generator = torch.Generator().manual_seed(seed)
    episodes = play(world, policy, world.draw(num_episodes, generator), generator)
    return float(right_by_turn(world, episodes).float().mean())


@torch.no_grad()
def feedback_probability(world: FeedbackKeys, policy: Policy, *, num_episodes: int = 256, seed: int = 0) -> float:
    """Mean probability that a language model gives to the feedback that random actions really get."""
    batch = random_play(world, num_episodes, torch.Generator().manual_seed(seed)).batch()
    place = torch.arange(batch.ids.shape[1])
    asked = (place % TURN_LENGTH == FEEDBACK_PLACE) & (place >= TURN_LENGTH)
    scored = policy.token_log_probs(batch.ids, batch.attention_mask, asked.expand_as(batch.ids))
    return float(scored.log_prob[:, asked].exp().mean())
