"""The attacks of `experiments/reliability`, in a size that fits into the tests."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest

from experiments.reliability.generators import END, failures, indices
from experiments.reliability.settings import makers, name_of
from palaestra.envs import FixedTasks, Task

MAKERS = makers()

every_maker = pytest.mark.parametrize(("env_id", "options"), MAKERS, ids=[name_of(*setting) for setting in MAKERS])


@pytest.fixture
def env(env_id: str, options: dict[str, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    env = gymnasium.make(env_id, disable_env_checker=True, **options)
    yield env.unwrapped
    env.close()


@every_maker
def test_every_generator_makes_2000_tasks_of_each_split_and_each_begins(env: gymnasium.Env[Any, Any]) -> None:
    for split in env.unwrapped.tasks.splits:  # type: ignore[attr-defined]
        size = env.unwrapped.tasks.size(split)  # type: ignore[attr-defined]
        made, wrong = failures(env, split, 2000)
        assert wrong == []
        assert made == min(2000, 2000 if size is None else size)


def test_indices_walk_a_finite_split_and_reach_far_into_an_endless_one() -> None:
    assert list(indices(5, 100)) == [0, 1, 2, 3, 4]
    assert list(indices(5, 3)) == [0, 1, 2]
    endless = list(indices(None, 100))
    assert endless[:50] == list(range(50))
    assert len(set(endless)) == 100
    assert END // 2 < max(endless) < END


def test_a_task_that_cannot_be_made_is_told() -> None:
    class Broken(FixedTasks):
        def at(self, split: str, index: int) -> Task:
            if index == 1:
                raise ValueError("high <= 0")
            return super().at(split, index)

    class Env:
        tasks = Broken([Task(f"t/{i}", "train") for i in range(3)])

        def reset(self, **kwargs: Any) -> None:
            if kwargs["options"]["task"].key == "t/2":
                raise KeyError("goal")

    assert failures(Env(), "train", 10) == (3, ["train 1: ValueError: high <= 0", "train 2: KeyError: 'goal'"])  # type: ignore[arg-type]
