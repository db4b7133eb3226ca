"""Training episodes are held against what a recipe evaluates on: by split, by key, by environment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.export.origins import Origin
from palaestra.algorithms.data.provenance import TrainedEnv, is_same_env, provenance_of
from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.errors import UsageError

TASKS = FixedTasks(
    [*(Task(f"{split}/{i}", split) for split in ("train", "test", "extra") for i in range(3))],
    aliases={"upstream#1": "test/1", "upstream#2": "train/1"},
)
ENVS = [TrainedEnv("a/One-v0", "test", lambda: TASKS), TrainedEnv("a/Two-v1", "held_out")]
ORIGINS = st.builds(
    Origin,
    st.sampled_from(["", "a/One-v0", "mod:a/One-v0", "a/One", "a/One-v1", "a/Two-v1", "b/One-v0"]),
    st.sampled_from(["", "train", "test", "held_out", "extra", "TEST", "validation"]),
    st.sampled_from(["", "train/0", "test/0", "test/9", "upstream#1", "upstream#2", "anything", "nothing#3"]),
)


def kind(origin: Origin) -> str:
    """Say what an origin is, case by case."""
    if not origin.env_id:
        return "unknown"
    if origin.env_id in ("a/One-v1", "b/One-v0"):
        return "other"
    if origin.env_id == "a/Two-v1":
        return "test" if origin.split == "held_out" else "train" if origin.split else "unknown"
    if origin.split == "test" or origin.task_key in ("test/0", "upstream#1"):
        return "test"
    return "train" if origin.split in ("train", "extra") or origin.task_key in ("train/0", "upstream#2") else "unknown"


@given(st.lists(ORIGINS, max_size=12))
def test_every_episode_is_counted_as_what_it_is(origins: list[Origin]) -> None:
    found = provenance_of(origins, ENVS, "run:x")
    kinds = [kind(origin) for origin in origins]
    assert found.num_episodes == len(origins)
    assert (found.num_test, found.num_other, found.num_unknown) == tuple(kinds.count(k) for k in ("test", "other", "unknown"))
    assert bool(found.notice) == any(one != "train" for one in kinds)
    assert ("unknown" in found.notice) == ("unknown" in kinds)
    for allowed in ((), ("test_tasks",), ("other_envs",), ("test_tasks", "other_envs")):
        refused = {"test": "test_tasks", "other": "other_envs"}
        if any(refused.get(one, "test_tasks") not in allowed for one in kinds if one in refused):
            with pytest.raises(UsageError) as error:
                found.check(allowed)
            assert "run:x" in str(error.value)
            assert "allow = [" in str(error.value)
        else:
            found.check(allowed)


def test_a_refusal_names_the_tasks_and_the_way_out() -> None:
    origins = [Origin("a/One-v0", "test", f"test/{i}") for i in range(3)] + [Origin("c/Else-v0", "train", "k")]
    with pytest.raises(UsageError) as error:
        provenance_of(origins, ENVS, "run:ev").check([])
    text = str(error.value)
    assert "3 of 4 episodes are test tasks of a/One-v0 and a/Two-v1 (test/0, test/1, test/2)" in text
    assert "1 of 4 episodes were played in c/Else-v0" in text
    assert "--split train" in text
    assert 'allow = ["test_tasks", "other_envs"]' in text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a/One-v0", "a/One-v0", True),
        ("mod.x:a/One-v0", "a/One-v0", True),
        ("a/One", "a/One-v3", True),
        ("a/One-v0", "a/One-v1", False),
        ("a/One-v0", "b/One-v0", False),
        ("One-v0", "a/One-v0", False),
    ],
)
def test_ids_are_compared_without_their_module(one: str, other: str, same: bool) -> None:
    assert is_same_env(one, other) is is_same_env(other, one) is same


def test_a_task_set_that_raises_what_it_likes_knows_no_key() -> None:
    class Odd(FixedTasks):
        def find(self, key: str) -> Task:
            raise KeyError(key)

    env = TrainedEnv("a/One-v0", "test", lambda: Odd([Task("k", "test")]))
    assert provenance_of([Origin("a/One-v0", "", "k")], [env], "x").num_unknown == 1
