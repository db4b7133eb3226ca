"""Tasks of SciWorld: known without a simulator, and the same as its own."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.agentgym.sciworld.env import SciWorldEnv
from palaestra.envs.agentgym.sciworld.tasks import KINDS, LAYOUTS, SPLITS, PublishedIds, SciWorldTasks, split_of, unsolved
from palaestra.errors import UnknownNameError, UsageError


def test_splits_do_not_meet_and_leave_out_what_is_known_to_be_unsolved() -> None:
    tasks = SciWorldTasks()
    keys = [task.key for task in tasks]
    left_out = sum(map(len, unsolved().values()))
    assert len(keys) == len(set(keys)) == len(tasks) == sum(kind.variations for kind in KINDS) - left_out
    for name, numbers in unsolved().items():
        for number in numbers:
            assert f"{name}/{number}" not in keys
            assert tasks.find(f"{name}/{number}").data == {"task": name, "variation": number}


def test_the_first_tasks_of_each_split_are_one_of_each_kind() -> None:
    for split in SPLITS:
        assert {task.type for task in SciWorldTasks().split(split).first(len(KINDS))} == {kind.name for kind in KINDS}


@given(st.sampled_from(SPLITS), st.integers(0, 10**6))
def test_a_task_is_found_by_its_key_and_belongs_to_its_split(split: str, number: int) -> None:
    tasks = SciWorldTasks()
    task = tasks.at(split, number % tasks.size(split))
    assert tasks.find(task.key) == task
    assert task.split == split


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(-5, 5000))
def test_an_id_of_a_layout_counts_through_its_variations(layout: str, number: int) -> None:
    games = [f"{kind.name}/{v}" for kind in LAYOUTS[layout] for v in range(kind.variations)]
    ids = PublishedIds()
    assert ids.get(f"{layout}#{number}") == (games[number] if 0 <= number < len(games) else None)
    assert len(games) == {"published_ids": 4339}.get(layout, 4639)


def test_ids_that_no_layout_has_are_refused() -> None:
    tasks = SciWorldTasks()
    assert tasks.resolve("upstream#120").key == "use-thermometer/0"
    assert len(list(tasks.aliases)) == len(tasks.aliases)
    for name in ("upstream#4639", "published_ids#4339", "upstream#01", "agenteval#3"):
        with pytest.raises(UsageError, match=r"mapping|published id|task"):
            tasks.resolve(name)
    for name in ("boil/30", "boil/-1", "boil/015", "1-1/3", "boil", "", "/", "boil/", "boil/\u0663"):
        with pytest.raises(UnknownNameError):
            tasks.resolve(name)
    with pytest.raises(UsageError, match="mapping"):
        tasks.resolve("17")


def test_tasks_can_be_chosen_by_kind_key_and_published_id() -> None:
    tasks = SciWorldTasks(["1-1", "find-animal/150", "upstream#0", "boil"])
    assert {task.type for task in tasks} == {"boil", "find-animal"}
    assert len(tasks) == 31 - len(unsolved().get("boil", ()))
    with pytest.raises(UnknownNameError, match="boil"):
        SciWorldTasks(["boyl"])
    with pytest.raises(UsageError, match="name of a kind"):
        SciWorldTasks([17])  # type: ignore[list-item]


def test_numbers_of_variations_and_splits_are_the_simulators(make: Callable[..., SciWorldEnv]) -> None:
    env = make()
    env.reset(options={"task": "boil/0"})
    assert env._ask(lambda engine: engine.task_names()) == {kind.name: kind.variations for kind in KINDS}
    for kind in (KINDS[0], KINDS[4], KINDS[23], KINDS[24], KINDS[26]):
        env.reset(options={"task": f"{kind.name}/0"})
        for split in SPLITS:
            found = env._ask(lambda engine, split=split: engine.variations(split.title()))
            assert found == [v for v in range(kind.variations) if split_of(kind, v) == split]


@pytest.mark.parametrize("key", ["boil/\u0663", "boil/\uff11", "boil/-1", "boil/01", "boil/1.0", "boil/"])
def test_numbers_of_variations_are_written_in_ascii_digits(key):
    with pytest.raises(UnknownNameError, match="Keys read") as caught:
        SciWorldTasks().find(key)
    assert f"mean {key!r}" not in str(caught.value)
