"""Preference pairs out of groups of episodes: two plays of one task, one better than the other.

Both plays are the same up to a turn and differ from there on. The tokens before that turn are the prompt of the pair, the
tokens after it chosen and rejected; in these only what the policy sampled counts, observations are context. Pairs are made
of token segments, so nothing is encoded again; `TokenPairCollator` hands the tokens with their masks to TRL's `DPOTrainer`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from palaestra.algorithms.trl.datasets import import_datasets
from palaestra.errors import UsageError
from palaestra.types import Segment, Trajectory

Pairing = Literal["matched", "best_worst", "all"]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two plays of one task, in tokens.

    Attributes:
        prompt_ids: What both have in common, up to the first turn in which they differ.
        chosen_ids: The rest of the better play.
        chosen_mask: 1 at its tokens that the policy sampled.
        rejected_ids: The rest of the worse play.
        rejected_mask: 1 at its tokens that the policy sampled.
        margin: Return of the better play minus that of the worse one, above 0.
        turn: Index of the first turn in which they differ.
        chosen: Episode id of the better play.
        rejected: Episode id of the worse play.
    """

    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    chosen_mask: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    rejected_mask: tuple[int, ...]
    margin: float
    turn: int
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class PairCounts:
    """What became of the episodes and of the couples looked at.

    Attributes:
        errors: Episodes left out because an error ended them.
        unusable: Episodes left out because they have no sampled token, several token segments, or a reward that is not finite.
        ties: Groups in which no couple was further apart than the margin.
        incomparable: Couples left out because they did not begin alike, or did not differ in what was sampled.
    """

    errors: int = 0
    unusable: int = 0
    ties: int = 0
    incomparable: int = 0


def preference_pairs(
    trajectories: Iterable[Trajectory], *, pairing: Pairing = "matched", margin: float = 0.0
) -> tuple[list[PreferencePair], PairCounts]:
    """Make pairs of the episodes of each group.

    Args:
        trajectories: Episodes with token segments; those of one `group_id` share task and seed. Errors never count as bad.
        pairing: "matched" couples the best with the worst, the second best with the second worst, ...; "best_worst" makes
            one couple per group; "all" takes every couple.
        margin: Couples whose returns differ by at most this are left out; at least 0.

    Returns:
        The pairs, and what was left out.

    Raises:
        UsageError: If the pairing does not exist, the margin is below 0, or an episode has steps and no segments.
    """
    if pairing not in ("matched", "best_worst", "all") or not margin >= 0:
        raise UsageError(f"pairing={pairing!r}, margin={margin}; expected matched, best_worst or all, and at least 0.")
    groups: dict[str, list[tuple[Trajectory, Segment]]] = {}
    errors = unusable = ties = incomparable = 0
    for trajectory in trajectories:
        segment = None if trajectory.outcome.error is not None else _segment(trajectory)
        if trajectory.outcome.error is not None:
            errors += 1
        elif segment is None or not math.isfinite(trajectory.return_):
            unusable += 1
        else:
            groups.setdefault(trajectory.group_id or f"\0{trajectory.episode_id}", []).append((trajectory, segment))
    pairs: list[PreferencePair] = []
    for group in groups.values():
        couples = [c for c in _couples(group, pairing) if c[0][0].return_ - c[1][0].return_ > margin]
        ties += not couples
        for better, worse in couples:
            pair = _pair(better, worse)
            incomparable += pair is None
            if pair is not None:
                pairs.append(pair)
    return pairs, PairCounts(errors, unusable, ties, incomparable)


def preference_dataset(pairs: Sequence[PreferencePair], tokenizer: Any) -> Any:
    """Return pairs as a data set for `DPOTrainer` with `TokenPairCollator`.

    Columns `prompt`, `chosen`, `rejected` are the texts, for people and for trainers that encode texts themselves; the
    columns of `PreferencePair` are the tokens, and `margin`.

    Args:
        pairs: At least one.
        tokenizer: The policy's.

    Raises:
        UsageError: If there is no pair.
    """
    if not pairs:
        raise UsageError("There is no preference pair; expected groups of episodes with different returns.")
    rows = [
        {
            "prompt": tokenizer.decode(list(pair.prompt_ids)),
            "chosen": tokenizer.decode(list(pair.chosen_ids)),
            "rejected": tokenizer.decode(list(pair.rejected_ids)),
            "pair_prompt_ids": list(pair.prompt_ids),
            "pair_chosen_ids": list(pair.chosen_ids),
            "pair_chosen_mask": list(pair.chosen_mask),
            "pair_rejected_ids": list(pair.rejected_ids),
            "pair_rejected_mask": list(pair.rejected_mask),
            "margin": pair.margin,
        }
        for pair in pairs
    ]
    return import_datasets().Dataset.from_list(rows)


@dataclass(frozen=True, slots=True)
class TokenPairCollator:
    """Makes the batches of `DPOTrainer` from the token columns of `preference_dataset`.

    Set `remove_unused_columns=False` in `DPOConfig`, or the trainer drops them.

    Attributes:
        pad_token_id: Padding, on the right.
    """

    pad_token_id: int

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return `input_ids`, `attention_mask`, `completion_mask`, int64 [2B, T]: the chosen, then the rejected."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        ids, masks = [], []
        for side in ("chosen", "rejected"):
            for row in rows:
                prompt = row["pair_prompt_ids"]
                ids.append(torch.tensor([*prompt, *row[f"pair_{side}_ids"]]))
                masks.append(torch.tensor([0] * len(prompt) + list(row[f"pair_{side}_mask"])))
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad_token_id),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "completion_mask": pad_sequence(masks, batch_first=True),
        }


_Play = tuple[Trajectory, Segment]


def _couples(group: Sequence[_Play], pairing: Pairing) -> Iterator[tuple[_Play, _Play]]:
    """Yield (better, worse) in a fixed order; equals keep theirs."""
    ranked = sorted(group, key=lambda play: -play[0].return_)
    if pairing == "all":
        yield from combinations(ranked, 2)
        return
    count = len(ranked) // 2 if pairing == "matched" else min(1, len(ranked) // 2)
    for place in range(count):
        yield ranked[place], ranked[-1 - place]


def _segment(trajectory: Trajectory) -> Segment | None:
    """Return the one segment of an episode if it can be compared with others."""
    if trajectory.steps and not trajectory.segments:
        raise UsageError(
            f"Episode {trajectory.episode_id!r} has no token segments; play it with a local policy, or make some with "
            f"demonstrations.tokenize."
        )
    sampled = [segment for segment in trajectory.segments if any(segment.action)]
    return sampled[0] if len(trajectory.segments) == 1 and sampled else None


def _pair(better: _Play, worse: _Play) -> PreferencePair | None:
    """Cut two plays at the first turn in which they differ; None if there is no such turn after a common beginning."""
    a, b = better[1], worse[1]
    for mine, other in zip(a.turns, b.turns, strict=False):
        if a.ids[: mine.start] != b.ids[: other.start]:
            return None  # something else than the policy made the difference
        if a.ids[mine.start : mine.end] == b.ids[other.start : other.end]:
            continue
        cut = mine.start
        return PreferencePair(
            prompt_ids=a.ids[:cut],
            chosen_ids=a.ids[cut:],
            chosen_mask=tuple(map(int, a.action[cut:])),
            rejected_ids=b.ids[cut:],
            rejected_mask=tuple(map(int, b.action[cut:])),
            margin=better[0].return_ - worse[0].return_,
            turn=mine.turn,
            chosen=better[0].episode_id,
            rejected=worse[0].episode_id,
        )
    return None


__all__ = ["PairCounts", "Pairing", "PreferencePair", "TokenPairCollator", "preference_dataset", "preference_pairs"]
