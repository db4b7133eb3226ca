from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch

from palaestra.algorithms.trl.preferences import PairCounts, TokenPairCollator, preference_dataset, preference_pairs
from palaestra.errors import UsageError
from palaestra.types import Segment, Trajectory, TurnSpan
from tests.algorithms.build import episode, simple
from tests.algorithms.toy_recipe import toy_policy


def turns(*parts: Sequence[int]) -> Segment:
    """A segment of context and turns by turns: prompt, sampled, observation, sampled, ..."""
    ids: list[int] = []
    spans: list[TurnSpan] = []
    action: list[bool] = []
    for index, part in enumerate(parts):
        if index % 2:
            spans.append(TurnSpan(len(ids), len(ids) + len(part), index // 2))
        ids += part
        action += [bool(index % 2)] * len(part)
    blank = (0.0,) * len(ids)
    return Segment(tuple(ids), tuple(action), blank, tuple(0 if a else -1 for a in action), tuple(spans))


def played(name: str, reward: float, *parts: Sequence[int], group: str = "g") -> Trajectory:
    return episode(name, [turns(*parts)], [0.0] * (len(parts) // 2 - 1) + [reward], group=group)


def test_a_pair_begins_at_the_first_turn_that_differs() -> None:
    good = played("good", 1.0, [1, 2], [10, 11], [3], [20, 21], [4], [30])
    bad = played("bad", 0.25, [1, 2], [10, 11], [3], [20, 22, 23], [5, 5], [31])
    (pair,), counts = preference_pairs([bad, good])
    assert pair.prompt_ids == (1, 2, 10, 11, 3)
    assert (pair.chosen_ids, pair.chosen_mask) == ((20, 21, 4, 30), (1, 1, 0, 1))
    assert (pair.rejected_ids, pair.rejected_mask) == ((20, 22, 23, 5, 5, 31), (1, 1, 1, 0, 0, 1))
    assert (pair.chosen, pair.rejected, pair.margin, pair.turn) == ("good", "bad", 0.75, 1)
    assert counts == PairCounts()


def test_plays_that_began_differently_or_never_differed_are_no_pair() -> None:
    good = played("good", 1.0, [1], [10], [2], [20])
    elsewhere = played("elsewhere", 0.0, [9], [10], [2], [20])
    answered_otherwise = played("answered", 0.0, [1], [10], [7], [21])
    same = played("same", 0.0, [1], [10], [2], [20])
    for other in (elsewhere, answered_otherwise, same):
        assert preference_pairs([good, other]) == ([], PairCounts(incomparable=1))


@pytest.mark.parametrize(
    ("pairing", "expected"),
    [
        ("matched", [("a", "d"), ("b", "c")]),
        ("best_worst", [("a", "d")]),
        ("all", [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]),
    ],
)
def test_pairings(pairing: str, expected: list[tuple[str, str]]) -> None:
    group = [played(name, reward, [1], [10 + i]) for i, (name, reward) in enumerate(zip("dbac", (0, 2, 3, 1), strict=True))]
    found, _ = preference_pairs(group, pairing=pairing)  # type: ignore[arg-type]
    assert [(pair.chosen, pair.rejected) for pair in found] == expected


def test_ties_and_near_ties_are_no_preference() -> None:
    group = [played(str(i), reward, [1], [10 + i]) for i, reward in enumerate((1.0, 1.0, 0.9))]
    assert len(preference_pairs(group, pairing="all")[0]) == 2
    assert preference_pairs(group, pairing="all", margin=0.2) == ([], PairCounts(ties=1))
    assert preference_pairs(group[:2]) == ([], PairCounts(ties=1))


def test_pairs_stay_within_their_group() -> None:
    episodes = [played("a", 1.0, [1], [10], group="one"), played("b", 0.0, [1], [11], group="two")]
    assert preference_pairs(episodes) == ([], PairCounts(ties=2))


def test_failures_are_never_the_worse_play_and_are_counted() -> None:
    good, failed = simple("good", 1.0), simple("failed", 0.0, error=True)
    two = dataclasses.replace(good, segments=good.segments * 2)
    assert preference_pairs([good, failed, two]) == ([], PairCounts(errors=1, unusable=1, ties=1))


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(UsageError, match="expected matched, best_worst or all"):
        preference_pairs([], pairing="random")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"margin=-1"):
        preference_pairs([], margin=-1)
    with pytest.raises(UsageError, match="has no token segments"):
        preference_pairs([dataclasses.replace(simple("a", 1.0), segments=())])
    with pytest.raises(UsageError, match="no preference pair"):
        preference_dataset([], toy_policy().tokenizer)


def test_batches_hold_chosen_then_rejected_and_only_sampled_tokens_count() -> None:
    tokenizer = toy_policy().tokenizer
    good = played("good", 1.0, [65, 66], [70], [71], [72])
    bad = played("bad", 0.0, [65, 66], [73, 74])
    rows = preference_dataset(preference_pairs([good, bad])[0], tokenizer)
    assert rows[0]["prompt"] == tokenizer.decode([65, 66])
    assert rows[0]["chosen"] == tokenizer.decode([70, 71, 72])
    batch = TokenPairCollator(pad_token_id=0)([rows[0]])
    assert torch.equal(batch["input_ids"], torch.tensor([[65, 66, 70, 71, 72], [65, 66, 73, 74, 0]]))
    assert torch.equal(batch["attention_mask"], torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]))
    assert torch.equal(batch["completion_mask"], torch.tensor([[0, 0, 1, 0, 1], [0, 0, 1, 1, 0]]))
