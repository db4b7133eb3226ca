from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.math.batch import collate, microbatches, padding_waste, turn_rewards
from palaestra.errors import UsageError
from palaestra.types import Trajectory
from tests.algorithms.build import episode, segment, simple


def test_reward_of_a_turn_lands_on_its_last_action_token_and_never_on_an_observation() -> None:
    # mask 1 1 0 0 1 1 0: the last token is an observation, the reward must not go there
    one = segment([0, 1, 1, 0, 0, 1, 1, 0], [(1, 3, 0), (5, 7, 1)])
    batch = collate([episode("a", [one], [0.25, 1.0])])
    assert batch.token_reward.tolist() == [[0, 0, 0.25, 0, 0, 0, 1.0, 0]]
    assert batch.turn_index.tolist() == [[-1, 0, 0, -1, -1, 1, 1, -1]]
    assert not (batch.token_reward != 0)[~batch.action_mask].any()


def test_the_reward_of_an_empty_turn_goes_to_the_turn_before_or_to_the_first() -> None:
    one = segment([0, 0, 1, 0, 1], [(1, 1, 0), (2, 3, 1), (4, 4, 2), (4, 5, 3)])
    assert turn_rewards(episode("a", [one], [0.5, 0.0, 0.25, 1.0])) == {1: 0.75, 3: 1.0}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.data())
def test_every_tensor_of_chosen_rows_is_that_of_the_rows(lengths: list[int], data: st.DataObject) -> None:
    episodes = []
    for number, length in enumerate(lengths):
        one = segment([0] + [1] * length, [(1, 1 + length, 0)], first_id=10 * number)
        versions = tuple(range(number, number + length + 1))
        one = dataclasses.replace(one, version=versions, log_prob=tuple(-0.1 * version for version in versions))
        episodes.append(episode(f"e{number}", [one], [float(number)]))
    batch = collate(episodes)
    batch = batch.with_tensors(advantage=torch.rand(batch.ids.shape))
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=4))
    part, width = batch.rows(chosen), max(lengths[row] for row in chosen) + 1
    for field in dataclasses.fields(batch):
        whole, cut = getattr(batch, field.name), getattr(part, field.name)
        if isinstance(whole, torch.Tensor) and whole.dim() == 2:
            assert cut.tolist() == whole[chosen, :width].tolist(), field.name
        elif field.name == "episode_index":
            assert cut.tolist() == chosen
        elif field.name == "extra":
            assert cut["advantage"].tolist() == whole["advantage"][chosen, :width].tolist()
        else:
            assert cut is whole
    assert part.num_rows == len(chosen)
    assert part.num_action_tokens == sum(lengths[row] for row in chosen)
    assert part.version.tolist() == [
        [*range(row, row + lengths[row] + 1), *[-1] * (width - lengths[row] - 1)] for row in chosen
    ]
    assert batch.rows([]).ids.shape == (0, 0)


def test_segments_of_an_episode_share_its_return_and_group() -> None:
    parts = [segment([0, 1, 1], [(1, 3, 0)]), segment([0, 0, 0, 1], [(3, 4, 1)], first_id=50)]
    batch = collate([episode("a", parts, [0.0, 1.0]), simple("b", 0.0)])
    assert batch.episode_index.tolist() == [0, 0, 1]
    assert batch.return_.tolist() == [1.0, 0.0]
    assert batch.group_index.tolist() == [0, 0]
    assert batch.token_reward.sum(dim=1).tolist() == [0.0, 1.0, 0.0]


def test_failed_episodes_are_counted_and_never_a_zero() -> None:
    batch = collate([simple("a", 1.0), simple("b", 0.0, error=True), simple("c", math.nan), simple("d", math.inf)])
    assert batch.excluded == {"error": 1, "non_finite_reward": 2, "no_action_tokens": 0}
    assert batch.episode_index.tolist() == [0]
    assert batch.return_.isnan().tolist() == [False, True, True, True]


def test_an_episode_without_sampled_tokens_keeps_its_return_but_has_no_row() -> None:
    batch = collate([simple("a", 1.0), episode("b", [segment([0, 0], [(2, 2, 0)])], [0.5])])
    assert batch.return_.tolist() == [1.0, 0.5]
    assert batch.episode_index.tolist() == [0]
    assert batch.excluded["no_action_tokens"] == 1


def test_text_without_token_ids_is_refused() -> None:
    bare = dataclasses.replace(simple("a", 1.0), segments=())
    with pytest.raises(UsageError, match="'a' has no token segments; expected the ids and log-probs"):
        collate([bare])


def test_episodes_without_a_group_stand_alone() -> None:
    batch = collate([simple("a", 1.0, group=""), simple("b", 0.0, group=""), simple("c", 0.0, group="x")])
    assert batch.group_index.tolist() == [0, 1, 2]


def test_rows_are_cut_to_their_longest_and_keep_extra_tensors() -> None:
    batch = collate([simple("a", 1.0, tokens=3), simple("b", 0.0, tokens=7), simple("c", 0.0, tokens=1)])
    batch = batch.with_tensors(advantage=batch.spread(torch.tensor([1.0, 2.0, 3.0])))
    part = batch.rows([2, 0])
    assert part.ids.shape == (2, 5)
    assert part.extra["advantage"].tolist() == [[0, 0, 3, 0, 0], [0, 0, 1, 1, 1]]
    assert part.return_.shape == (3,)
    with pytest.raises(ValueError, match="'advantage' has shape"):
        batch.with_tensors(advantage=torch.zeros(1))


def test_the_first_token_of_a_row_cannot_be_scored() -> None:
    batch = collate([episode("a", [segment([1, 1], [(0, 2, 0)])], [1.0])])
    assert batch.action_mask.tolist() == [[False, True]]


def test_an_empty_list_makes_an_empty_batch() -> None:
    batch = collate([])
    assert (batch.num_rows, batch.num_episodes, batch.num_action_tokens) == (0, 0, 0)


@given(lengths=st.lists(st.integers(1, 200), max_size=40), budget=st.integers(1, 800))
def test_microbatches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    parts = microbatches(lengths, budget)
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[row] for row in part) <= budget


@given(lengths=st.lists(st.integers(1, 200), min_size=1, max_size=40), waste=st.sampled_from([0.0, 0.05, 0.1, 0.5]))
def test_microbatches_hold_rows_of_like_length(lengths: list[int], waste: float) -> None:
    parts = [[lengths[row] for row in part] for part in microbatches(lengths, 10**6, max_waste=waste)]
    assert all(padding_waste([part]) <= waste + 1e-9 for part in parts)
    assert padding_waste(parts) <= waste + 1e-9
    assert all(min(part) >= max(after) for part, after in itertools.pairwise(parts))


def test_waste_is_the_share_of_padding() -> None:
    assert padding_waste([[4, 4], [1]]) == 0.0
    assert padding_waste([[4, 2], [1]]) == pytest.approx(2 / 9)
    assert padding_waste([]) == 0.0
    assert microbatches([100, 91, 90, 89, 50], 10**6) == [[0, 1, 2, 3], [4]]
    assert microbatches([100, 91, 90, 89, 50], 10**6, max_waste=1.0) == [[0, 1, 2, 3, 4]]


def test_a_budget_below_one_token_is_refused() -> None:
    with pytest.raises(UsageError, match="max_tokens is 0; expected at least 1"):
        microbatches([1], 0)


def test_batches_survive_json() -> None:
    trajectories = [simple("a", 1.0), episode("b", [segment([0, 1, 0, 1], [(1, 2, 0), (3, 4, 1)])], [0.0, 1.0])]
    again = [Trajectory.from_json(t.to_json()) for t in trajectories]
    for field in ("ids", "action_mask", "rollout_log_prob", "version", "turn_index", "token_reward"):
        assert torch.equal(getattr(collate(trajectories), field), getattr(collate(again), field))


@pytest.mark.parametrize(
    ("terminated", "truncated", "cut"), [(True, False, False), (False, True, True), (True, True, False), (False, False, False)]
)
def test_an_episode_is_cut_off_if_it_was_stopped_and_had_not_ended(terminated: bool, truncated: bool, cut: bool) -> None:
    plain = simple("a", 1.0)
    last = dataclasses.replace(plain.steps[-1], terminated=terminated, truncated=truncated)
    assert collate([dataclasses.replace(plain, steps=(*plain.steps[:-1], last))]).truncated.tolist() == [cut]
