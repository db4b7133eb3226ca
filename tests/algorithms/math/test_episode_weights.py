"""Weights of episodes: which of them are of one task."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.math.episode_weights import task_index
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
