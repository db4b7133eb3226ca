"""From trajectories to tensors: the one seam between playing and learning.

`collate` turns finished trajectories into a `Batch` of right-padded rows, one row per token segment, with everything a
learner needs at the index of the *scored* token (logits at position t-1 score token t). `Batch.rows` cuts a part out,
`microbatches` plans the parts under a token budget. Which episodes are left out, and why, is counted in `Batch.excluded`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from palaestra.errors import UsageError
from palaestra.types import Segment, Trajectory


@dataclass(frozen=True)
class Batch:
    """Token segments of many episodes, padded to one length. B rows, T tokens, E episodes.

    Attributes:
        ids: int64 [B, T], padded with 0.
        attention_mask: bool [B, T], True at real tokens.
        action_mask: bool [B, T], True at tokens the policy sampled and that count in the loss.
        rollout_log_prob: float32 [B, T], under the sampling policy; 0 elsewhere.
        version: int64 [B, T], policy version that sampled the token; -1 elsewhere.
        turn_index: int64 [B, T], index of the step the token belongs to; -1 elsewhere.
        token_reward: float32 [B, T], reward of a turn on its last action token.
        episode_index: int64 [B], row of the per-episode tensors.
        return_: float32 [E], sum of the rewards; NaN where the episode failed with an error.
        group_index: int64 [E], episodes that are compared with each other share a number.
        num_turns: int64 [E], steps played.
        truncated: bool [E], the episode was cut off rather than ended.
        states: Digest of the world before each step, by episode; empty where none was recorded.
        excluded: Episodes left out of the loss by reason ("error", "non_finite_reward", "no_action_tokens").
        extra: Further float32 [B, T] tensors that a learner adds with `with_tensors` (old_log_prob, advantage, ...).
    """

    ids: Tensor
    attention_mask: Tensor
    action_mask: Tensor
    rollout_log_prob: Tensor
    version: Tensor
    turn_index: Tensor
    token_reward: Tensor
    episode_index: Tensor
    return_: Tensor
    group_index: Tensor
    num_turns: Tensor
    truncated: Tensor
    states: tuple[tuple[str | None, ...], ...] = ()
    excluded: dict[str, int] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Number of segments."""
        return int(self.ids.shape[0])

    @property
    def num_episodes(self) -> int:
        """Number of episodes, those left out included."""
        return int(self.return_.shape[0])

    @property
    def lengths(self) -> Tensor:
        """Number of real tokens by row, int64 [B]."""
        return self.attention_mask.sum(dim=1)

    @property
    def num_action_tokens(self) -> int:
        """Number of tokens that count in the loss."""
        return int(self.action_mask.sum())

    def with_tensors(self, **tensors: Tensor) -> Batch:
        """Return a batch that also carries these [B, T] tensors."""
        for name, tensor in tensors.items():
            if tensor.shape != self.ids.shape:
                raise ValueError(f"Tensor {name!r} has shape {tuple(tensor.shape)}; expected {tuple(self.ids.shape)}.")
        return dataclasses.replace(self, extra={**self.extra, **tensors})

    def with_action_mask(self, action_mask: Tensor) -> Batch:
        """Return a batch in whose loss only these tokens count."""
        return dataclasses.replace(self, action_mask=action_mask & self.action_mask)

    def rows(self, index: Sequence[int] | Tensor) -> Batch:
        """Return these rows, cut to the longest of them; per-episode tensors stay whole."""
        chosen = torch.as_tensor(index, dtype=torch.long)
        width = int(self.lengths[chosen].max()) if chosen.numel() else 0  # padding of longer rows is not computed

        def cut(tensor: Tensor) -> Tensor:
            return tensor[chosen, :width]

        return dataclasses.replace(
            self,
            ids=cut(self.ids),
            attention_mask=cut(self.attention_mask),
            action_mask=cut(self.action_mask),
            rollout_log_prob=cut(self.rollout_log_prob),
            version=cut(self.version),
            turn_index=cut(self.turn_index),
            token_reward=cut(self.token_reward),
            episode_index=self.episode_index[chosen],
            extra={name: cut(tensor) for name, tensor in self.extra.items()},
        )

    def spread(self, per_episode: Tensor) -> Tensor:
        """Copy one number per episode to its action tokens: [E] -> [B, T], 0 elsewhere."""
        return torch.where(self.action_mask, per_episode[self.episode_index].unsqueeze(1), 0.0)


def collate(trajectories: Sequence[Trajectory]) -> Batch:
    """Build a batch from finished episodes.

    Episodes that ended in an error have no score: they get a NaN return, no row, and are counted in `excluded`. So are
    episodes with a reward that is NaN or infinite, and episodes in which the policy sampled nothing (the latter keep
    their return, because they are honest members of their group).

    Args:
        trajectories: Episodes with token segments; `group_id` says which belong together, an empty one stands alone.

    Raises:
        UsageError: If an episode carries no segments although steps were played: text alone cannot be trained on. Also if
            it holds several seats: training takes the episode of one (`Trajectory.of_seat`).
    """
    groups: dict[str, int] = {}
    excluded = {"error": 0, "non_finite_reward": 0, "no_action_tokens": 0}
    rows: list[tuple[int, Segment, dict[int, float]]] = []
    returns: list[float] = []
    group_index: list[int] = []
    for episode, trajectory in enumerate(trajectories):
        if trajectory.seats:
            seats = ", ".join((trajectory.seat, *trajectory.seats))
            raise UsageError(
                f"Episode {trajectory.episode_id!r} holds the seats {seats}; train on the episode of one of them: "
                f"trajectory.of_seat({trajectory.seat!r})."
            )
        name = trajectory.group_id or f"\0alone/{episode}"  # no group id begins with a null character
        group_index.append(groups.setdefault(name, len(groups)))
        if trajectory.outcome.error is not None or trajectory.outcome.score is None:
            excluded["error"] += 1
            returns.append(math.nan)  # NaN, not 0: an episode without a score is in no baseline
            continue
        if not math.isfinite(trajectory.return_):
            excluded["non_finite_reward"] += 1
            returns.append(math.nan)
            continue
        if trajectory.steps and not trajectory.segments:
            raise UsageError(
                f"Episode {trajectory.episode_id!r} has no token segments; expected the ids and log-probs that the policy "
                f"sampled. Play it with a local policy, or build segments with demonstrations.tokenize for imitation."
            )
        returns.append(trajectory.return_)
        rewards = turn_rewards(trajectory)
        if not rewards:
            excluded["no_action_tokens"] += 1
            continue
        rows += [(episode, segment, rewards) for segment in trajectory.segments if any(segment.action)]
    batch = _pad(rows, returns, group_index, [len(t.steps) for t in trajectories], excluded)
    cut = [bool(t.steps) and t.steps[-1].truncated and not t.steps[-1].terminated for t in trajectories]
    states = tuple(tuple(step.state_hash for step in t.steps) for t in trajectories)
    return dataclasses.replace(batch, truncated=torch.tensor(cut, dtype=torch.bool), states=states)


def turn_rewards(trajectory: Trajectory) -> dict[int, float]:
    """Reward by turn, over the turns in which tokens were sampled.

    The reward of a turn without sampled tokens goes to the sampled turn before it, or to the first one.
    """
    sampled = sorted({span.turn for segment in trajectory.segments for span in segment.turns if span.end > span.start})
    rewards = dict.fromkeys(sampled, 0.0)
    if not sampled:
        return rewards
    owner = sampled[0]
    for turn, step in enumerate(trajectory.steps):
        owner = turn if turn in rewards else owner
        rewards[owner] += step.reward
    return rewards


def microbatches(lengths: Sequence[int], max_tokens: int, *, max_waste: float = 0.1) -> list[list[int]]:
    """Plan micro-batches, longest first, so that rows times the longest row stays within the budget.

    A micro-batch holds rows of like length: it ends where its padding would be more than `max_waste` of it.

    Args:
        lengths: Tokens by row.
        max_tokens: Budget of a micro-batch, padding included; a single longer row gets one of its own.
        max_waste: Largest share of padding in a micro-batch; 1 allows any.

    Returns:
        Row numbers; every row occurs once.
    """
    if max_tokens < 1:
        raise UsageError(f"max_tokens is {max_tokens}; expected at least 1 token per micro-batch.")
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    parts: list[list[int]] = []
    filled = 0  # tokens of the last part that are no padding
    for row in order:
        # the first row of a part is its longest, so it sets the width
        size = lengths[parts[-1][0]] * (len(parts[-1]) + 1) if parts else 0
        if parts and size <= max_tokens and filled + lengths[row] >= (1 - max_waste) * size:
            parts[-1].append(row)
            filled += lengths[row]
        else:
            parts.append([row])
            filled = lengths[row]
    return parts


def padding_waste(parts: Sequence[Sequence[int]]) -> float:
    """Share of padding in what goes through a model.

    Args:
        parts: Tokens of each row, by micro-batch.
    """
    filled = sum(sum(part) for part in parts)
    size = sum(len(part) * max(part) for part in parts if part)
    return 1.0 - filled / size if size else 0.0


def _pad(
    rows: Sequence[tuple[int, Segment, dict[int, float]]],
    returns: Sequence[float],
    group_index: Sequence[int],
    num_turns: Sequence[int],
    excluded: dict[str, int],
) -> Batch:
    """Right-pad the segments and place each turn's reward on its last action token."""
    shape = (len(rows), max((len(segment.ids) for _, segment, _ in rows), default=0))
    ids = torch.zeros(shape, dtype=torch.long)
    attention_mask = torch.zeros(shape, dtype=torch.bool)
    action_mask = torch.zeros(shape, dtype=torch.bool)
    log_prob = torch.zeros(shape)
    version = torch.full(shape, -1, dtype=torch.long)
    turn_index = torch.full(shape, -1, dtype=torch.long)
    token_reward = torch.zeros(shape)
    for row, (_, segment, rewards) in enumerate(rows):
        n = len(segment.ids)
        ids[row, :n] = torch.tensor(segment.ids, dtype=torch.long)
        attention_mask[row, :n] = True
        action_mask[row, :n] = torch.tensor(segment.action, dtype=torch.bool)
        log_prob[row, :n] = torch.tensor(segment.log_prob)
        version[row, :n] = torch.tensor(segment.version, dtype=torch.long)
        for span in segment.turns:
            if span.end > span.start:
                turn_index[row, span.start : span.end] = span.turn
                token_reward[row, span.end - 1] = rewards[span.turn]  # where the turn is complete
    action_mask[:, :1] = False  # nothing comes before the first token, so no logits score it
    return Batch(
        ids=ids,
        attention_mask=attention_mask,
        action_mask=action_mask,
        rollout_log_prob=log_prob,
        version=version,
        turn_index=turn_index,
        token_reward=token_reward,
        episode_index=torch.tensor([episode for episode, _, _ in rows], dtype=torch.long),
        return_=torch.tensor(returns, dtype=torch.float32),
        group_index=torch.tensor(group_index, dtype=torch.long),
        num_turns=torch.tensor(num_turns, dtype=torch.long),
        truncated=torch.zeros(len(num_turns), dtype=torch.bool),
        excluded=excluded,
    )
