"""Weights of episodes: which of them are of one task."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.math.episode_weights import Baseline, regression_weights, task_index
from palaestra.types import Trajectory

Played = tuple[str, str, int | None, str]


def episode(number: int, played: Played) -> Trajectory:
    key, group, seed, seat = played
    return Trajectory(
        episode_id=f"e{number}", env_id="x", task={"key": key, "split": "", "type": ""}, group_id=group, seed=seed, seat=seat
    )


KEYS, GROUPS = st.sampled_from(["", "k", "g"]), st.sampled_from(["", "g", "1"])


@given(played=st.lists(st.tuples(KEYS, GROUPS, st.none() | st.integers(0, 1), st.just("")), max_size=10))
def test_episodes_are_of_one_task_by_key_then_group_then_seed_and_never_for_want_of_all(played: list[Played]) -> None:
    index = task_index([episode(number, one) for number, one in enumerate(played)]).tolist()
    for i, (key, group, seed, _) in enumerate(played):
        for j, (other_key, other_group, other_seed, _) in enumerate(played):
            if key or other_key:
                same = key == other_key
            elif group or other_group:
                same = group == other_group
            else:
                same = i == j or (seed is not None and seed == other_seed)
            assert (index[i] == index[j]) is same


def test_seeds_tell_tasks_apart_that_have_neither_key_nor_group() -> None:
    played = [("", "", 0, ""), ("", "", 1, ""), ("", "", 0, ""), ("", "", None, ""), ("", "", None, "")]
    assert task_index([episode(number, one) for number, one in enumerate(played)]).tolist() == [0, 1, 0, 2, 3]


def test_each_seat_has_tasks_of_its_own() -> None:
    assert task_index([episode(0, ("k", "", 0, "a")), episode(1, ("k", "", 0, "b"))]).tolist() == [0, 1]


RETURNS = st.lists(st.tuples(st.integers(0, 2), st.none() | st.floats(-1.0, 1.0)), min_size=1, max_size=8)


@given(played=RETURNS, temperature=st.floats(0.2, 2.0), cap=st.floats(1.0, 8.0), baseline=st.sampled_from(["task", "batch"]))
def test_a_weight_is_the_exponential_of_what_a_return_lies_above_its_baseline(
    played: list[tuple[int, float | None]], temperature: float, cap: float, baseline: Baseline
) -> None:
    returns = torch.tensor([math.nan if value is None else value for _, value in played])
    tasks = torch.tensor([task for task, _ in played])
    found = regression_weights(returns, tasks, temperature=temperature, baseline=baseline, cap=cap).tolist()
    for (task, value), weight in zip(played, found, strict=True):
        if value is None:
            assert weight == 0.0
            continue
        compared = [other for one, other in played if other is not None and (baseline == "batch" or one == task)]
        expected = math.exp((value - sum(compared) / len(compared)) / temperature)
        assert weight == pytest.approx(min(expected, cap), rel=1e-4)
