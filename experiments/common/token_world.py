"""Small worlds made of tokens, played in batches: what the learning benchmarks train on.

A game shows an observation (a few tokens, the same number in every row), takes one action token per row, and pays a reward.
`roll_out` plays a batch of rows side by side with any actor; `Episodes.batch` turns the record into the `Batch` that the
learners of `palaestra.algorithms` take. No text, no rollout engine: a training step takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import Batch

PAD = 0


class HiddenMap:
    """A world of keys and actions with a hidden, balanced map between them; its sizes are its subclasses' fields.

    Attributes:
        num_keys: Keys; a multiple of `num_actions`.
        num_actions: Actions.
        map_seed: Seed of the map.
        vocabulary: Texts of the tokens, in the order of their ids; actions come last.
    """

    num_keys: int
    num_actions: int
    map_seed: int
    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the map can be balanced."""
        if self.num_keys % self.num_actions:
            raise ValueError(f"num_keys is {self.num_keys}; expected a multiple of num_actions, {self.num_actions}.")

    def token(self, word: str) -> int:
        """Return the id of a word of the vocabulary."""
        return self.vocabulary.index(word)

    @cached_property
    def action_tokens(self) -> tuple[int, ...]:
        """Ids of the action tokens."""
        first = self.token("action0")
        return tuple(range(first, first + self.num_actions))

    @cached_property
    def right_action(self) -> Tensor:
        """The hidden map: token of the right action by key, int64 [num_keys]."""
        order = torch.randperm(self.num_keys, generator=torch.Generator().manual_seed(self.map_seed))
        return order % self.num_actions + self.action_tokens[0]


class Game(Protocol):
    """Rows of a world, played side by side. Rows that have ended ignore further actions."""

    def observation(self) -> Tensor:
        """What each row shows now: int64 [B, L]."""
        ...

    def act(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Take one token per row, int64 [B]; return the reward [B] and whether the row has ended [B]."""
        ...

    def right_actions(self) -> Tensor:
        """The token an expert would play in each row: int64 [B]."""
        ...

    def digests(self) -> list[str]:
        """What tells the present states of the rows apart, one text per row."""
        ...


Actor = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From the tokens since the last call, [B, L] (the first time without an action before them), to action tokens [B] and their
log-probabilities [B]."""


@dataclass(frozen=True)
class Episodes:
    """A finished batch of rows. B rows, K turns at most, every turn L observation tokens and one action token.

    Attributes:
        ids: int64 [B, K, L + 1], the action in the last place.
        log_prob: float32 [B, K], of the actions.
        reward: float32 [B, K].
        played: bool [B, K], turns that took place; a row's turns come first.
        ended: bool [B], the game ended rather than being cut off.
        digests: By row and turn, what tells the states before the actions apart.
    """

    ids: Tensor
    log_prob: Tensor
    reward: Tensor
    played: Tensor
    ended: Tensor
    digests: tuple[tuple[str, ...], ...]

    @property
    def return_(self) -> Tensor:
        """Sum of the rewards of each row: [B]."""
        return self.reward.sum(dim=1)

    @property
    def num_turns(self) -> int:
        """Turns that took place, over all rows: the environment steps."""
        return int(self.played.sum())

    def rows(self, index: Tensor) -> Episodes:
        """Return these rows."""
        chosen = tuple(self.digests[row] for row in index.tolist()) if self.digests else ()
        parts = (self.ids, self.log_prob, self.reward, self.played, self.ended)
        return Episodes(*(part[index] for part in parts), chosen)

    def joined(self, other: Episodes) -> Episodes:
        """Return these rows and those of another record of as many turns."""
        mine = (self.ids, self.log_prob, self.reward, self.played, self.ended)
        others = (other.ids, other.log_prob, other.reward, other.played, other.ended)
        parts = (torch.cat(pair) for pair in zip(mine, others, strict=True))
        return Episodes(*parts, self.digests + other.digests)

    def batch(self, group_index: Tensor | None = None, *, version: int = 0) -> Batch:
        """Return the record as a learner wants it.

        Args:
            group_index: int64 [B], rows that are compared share a number; every row for itself if None.
            version: Version of the policy that sampled.
        """
        rows, turns, width = self.ids.shape
        played = self.played.unsqueeze(2).expand(-1, -1, width)
        is_action = torch.zeros(rows, turns, width, dtype=torch.bool)
        is_action[:, :, -1] = self.played

        def at_actions(values: Tensor) -> Tensor:
            spread = torch.zeros(rows, turns, width, dtype=values.dtype)
            spread[:, :, -1] = torch.where(self.played, values, 0)
            return spread.flatten(1)

        action_mask = is_action.flatten(1)
        turn = torch.arange(turns).expand(rows, turns)
        return Batch(
            ids=torch.where(played, self.ids, PAD).flatten(1),
            attention_mask=played.flatten(1),
            action_mask=action_mask,
            rollout_log_prob=at_actions(self.log_prob),
            version=torch.where(action_mask, version, -1),
            turn_index=torch.where(action_mask, at_actions(turn), -1),
            token_reward=at_actions(self.reward),
            episode_index=torch.arange(rows),
            return_=self.return_,
            group_index=torch.arange(rows) if group_index is None else group_index,
            num_turns=self.played.sum(dim=1),
            truncated=~self.ended,
            states=self.digests,
        )


@torch.no_grad()
def roll_out(game: Game, actor: Actor, *, max_turns: int, with_digests: bool = False) -> Episodes:
    """Play all rows to the end, or until the cap.

    Args:
        game: Fresh rows.
        actor: Chooses the actions.
        max_turns: Turns a row may take.
        with_digests: Whether the states are recorded too; only step groups need them.
    """
    ids: list[Tensor] = []
    log_probs: list[Tensor] = []
    rewards: list[Tensor] = []
    played: list[Tensor] = []
    digests: list[list[str]] = []
    carried: Tensor | None = None
    alive: Tensor | None = None
    for _ in range(max_turns):
        observation = game.observation()
        alive = torch.ones(len(observation), dtype=torch.bool) if alive is None else alive
        if with_digests:
            digests.append(game.digests())
        new = observation if carried is None else torch.cat([carried, observation], dim=1)
        actions, log_prob = actor(new)
        reward, ended = game.act(actions)
        carried = actions.unsqueeze(1)
        ids.append(torch.cat([observation, carried], dim=1))
        log_probs.append(log_prob)
        rewards.append(reward)
        played.append(alive)
        alive = alive & ~ended
        if not bool(alive.any()):
            break
    assert alive is not None, "max_turns has to be at least 1"
    by_row = tuple(zip(*digests, strict=True)) if digests else ()
    mask = torch.stack(played, dim=1)
    reward = torch.where(mask, torch.stack(rewards, dim=1), 0.0)
    return Episodes(torch.stack(ids, dim=1), torch.stack(log_probs, dim=1), reward, mask, ~alive, by_row)


class PolicyActor:
    """Samples from a policy at temperature 1, keeping the keys and values of what it has read.

    Args:
        policy: Its present weights are used.
        generator: Where the randomness comes from.
    """

    def __init__(self, policy: Policy, generator: torch.Generator) -> None:
        """Start with nothing read."""
        from transformers import DynamicCache

        self.policy = policy
        self.generator = generator
        self._cache = DynamicCache(config=policy.model.config)

    def __call__(self, new: Tensor) -> tuple[Tensor, Tensor]:
        """Read the new tokens and sample the next one of each row."""
        model = self.policy.model
        states = model.base_model(input_ids=new, past_key_values=self._cache, use_cache=True).last_hidden_state
        log_probs = torch.log_softmax(model.get_output_embeddings()(states[:, -1]).float(), dim=-1)
        actions = torch.multinomial(log_probs.exp(), 1, generator=self.generator)
        return actions[:, 0], log_probs.gather(1, actions)[:, 0]


def random_actor(action_tokens: Sequence[int], generator: torch.Generator) -> Actor:
    """Return an actor that plays these tokens with equal chance."""
    tokens = torch.tensor(action_tokens)

    def act(new: Tensor) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(tokens), (len(new),), generator=generator)
        return tokens[chosen], torch.full((len(new),), -float(torch.tensor(len(tokens)).log()))

    return act


def expert_actor(game: Game) -> Actor:
    """Return an actor that always plays what is right in `game`."""

    def act(new: Tensor) -> tuple[Tensor, Tensor]:
        return game.right_actions(), torch.zeros(len(new))

    return act
