"""What the policy did, without what it read: action tokens and turns of each episode, in the order of play.

Recursions over time (returns, GAE) run on these compressed sequences and are scattered back. Observation tokens are not
zeroed but absent, so inserting or lengthening observations changes no result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sequences:
    """Steps (tokens or turns) of the episodes of a batch. E episodes, N steps, padded on the right.

    Attributes:
        episodes: int64 [E], number of each episode in the batch, rising.
        mask: bool [E, N], True at real steps.
        first: int64 [E, N], flat index into [B, T] of the step's first action token; 0 at padding.
        last: int64 [E, N], of its last action token. For tokens the same as `first`.
        tokens: int64 [M], flat indices of all action tokens.
        owner: int64 [M], flat index into [E, N] of the step that each of them belongs to.
        shape: (B, T).
    """

    episodes: Tensor
    mask: Tensor
    first: Tensor
    last: Tensor
    tokens: Tensor
    owner: Tensor
    shape: tuple[int, int]

    def at_first(self, values: Tensor) -> Tensor:
        """Read [B, T] at the first token of each step: [E, N], 0 at padding."""
        return torch.where(self.mask, values.flatten()[self.first], 0.0)

    def total(self, values: Tensor) -> Tensor:
        """Sum [B, T] over the tokens of each step: [E, N]."""
        sums = torch.zeros(self.mask.numel(), dtype=values.dtype)  # [E * N]
        return sums.index_add_(0, self.owner, values.flatten()[self.tokens]).view(self.mask.shape)

    def spread(self, values: Tensor) -> Tensor:
        """Copy one number per step, [E, N], to all its tokens: [B, T], 0 elsewhere."""
        flat = torch.zeros(self.shape[0] * self.shape[1], dtype=values.dtype)
        flat[self.tokens] = values.flatten()[self.owner]  # [M] of [B * T]
        return flat.view(self.shape)

    def starts(self) -> Tensor:
        """Mark the first token of each step: bool [B, T]."""
        flat = torch.zeros(self.shape[0] * self.shape[1], dtype=torch.bool)
        flat[self.first[self.mask]] = True
        return flat.view(self.shape)


def token_sequences(action_mask: Tensor, episode_index: Tensor, turn_index: Tensor) -> Sequences:
    """Return the action tokens of each episode in the order of play, over all its segments.

    Args:
        action_mask: bool [B, T].
        episode_index: int64 [B].
        turn_index: int64 [B, T]; a turn lies in one row, so turns order the rows of an episode.
    """
    tokens, episode, _ = _in_order(action_mask, episode_index, turn_index)
    return _sequences(tokens, episode, torch.arange(len(tokens)), action_mask.shape)


def turn_sequences(action_mask: Tensor, episode_index: Tensor, turn_index: Tensor) -> Sequences:
    """Return the turns of each episode in the order of play; turns without action tokens are absent.

    Args:
        action_mask: bool [B, T].
        episode_index: int64 [B].
        turn_index: int64 [B, T].
    """
    tokens, episode, turn = _in_order(action_mask, episode_index, turn_index)
    new = torch.ones(len(tokens), dtype=torch.bool)  # [M], a token that begins a turn
    new[1:] = (episode[1:] != episode[:-1]) | (turn[1:] != turn[:-1])
    return _sequences(tokens, episode, new.cumsum(0) - 1, action_mask.shape)


def _in_order(action_mask: Tensor, episode_index: Tensor, turn_index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return flat index, episode and turn of the action tokens, sorted by episode, turn and position."""
    rows, columns = torch.nonzero(action_mask, as_tuple=True)  # [M]
    episode, turn = episode_index[rows], turn_index[rows, columns]
    width = action_mask.shape[1]
    num_turns = int(turn.max()) + 2 if len(turn) else 1
    # one number for (episode, turn, column): segments of an episode may stand in any rows of the batch
    order = torch.argsort((episode * num_turns + turn + 1) * width + columns, stable=True)
    return (rows * width + columns)[order], episode[order], turn[order]


def _sequences(tokens: Tensor, episode: Tensor, step: Tensor, shape: torch.Size) -> Sequences:
    """Lay out steps, numbered consecutively over all sorted tokens, as one row per episode."""
    episodes, place = torch.unique(episode, return_inverse=True)
    num_steps = int(step[-1]) + 1 if len(step) else 0
    is_first = torch.ones(len(tokens), dtype=torch.bool)
    is_first[1:] = step[1:] != step[:-1]
    is_last = torch.ones(len(tokens), dtype=torch.bool)
    is_last[:-1] = is_first[1:]
    of_step = place[is_first]  # row of each step
    counts = torch.bincount(of_step, minlength=len(episodes))  # [E], steps
    begins = counts.cumsum(0) - counts
    column = torch.arange(num_steps) - begins[of_step]  # place of each step in its row
    width = int(counts.max()) if len(counts) else 0
    mask = torch.zeros((len(episodes), width), dtype=torch.bool)
    first = torch.zeros((len(episodes), width), dtype=torch.long)
    last = torch.zeros((len(episodes), width), dtype=torch.long)
    mask[of_step, column] = True
    first[of_step, column] = tokens[is_first]
    last[of_step, column] = tokens[is_last]
    owner = (of_step * width + column)[step]  # [M]
    return Sequences(episodes, mask, first, last, tokens, owner, (int(shape[0]), int(shape[1])))
