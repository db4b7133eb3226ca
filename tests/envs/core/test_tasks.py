import numpy as np
import pytest

from palaestra.envs import FixedTasks, GeneratedTasks, Task
from palaestra.errors import UnknownNameError, UsageError
from tests.envs.miniature import make_task

FIXED = FixedTasks([Task("a", "train"), Task("b", "test"), Task("c", "train", data={"x": 1})])
GENERATED = GeneratedTasks(make_task, {"train": None, "test": 3})


def test_fixed_tasks_keep_their_order_within_a_split():
    assert [task.key for task in FIXED.split("train")] == ["a", "c"]
    assert [task.key for task in FIXED] == ["a", "c", "b"]
    assert (len(FIXED), FIXED.size("test"), FIXED.splits) == (3, 1, ("train", "test"))


def test_positions_and_negative_positions():
    train = FIXED.split("train")
    assert (train[1].key, train[-1].key, len(train)) == ("c", "c", 2)
    with pytest.raises(IndexError, match="no number 2"):
        train[2]
    with pytest.raises(IndexError, match="no number"):
        train[-3]


def test_tasks_are_found_by_key():
    assert FIXED.find("c").data == {"x": 1}
    assert GENERATED.find("test/2") == GENERATED.at("test", 2)
    assert GENERATED.find("train/123456789").data["goal"] == 2 + 2 * 123456789


@pytest.mark.parametrize("key", ["d", "", "test/3", "test/-1", "test/01", "test/", "/0", "valid/0", "test/٣", None, 3])
def test_unknown_keys_are_an_error_and_not_contained(key):
    for tasks in (FIXED, GENERATED):
        with pytest.raises(UnknownNameError, match="Unknown task"):
            tasks.find(key)
        assert key not in tasks


def test_membership_takes_keys_and_tasks():
    assert "a" in FIXED
    assert Task("a", "train") in FIXED
    assert "train/7" in GENERATED


def test_unbounded_splits_have_no_length_but_a_beginning():
    train = GENERATED.split("train")
    assert train.is_unbounded
    assert [task.key for task in train.first(2)] == ["train/0", "train/1"]
    with pytest.raises(TypeError, match="no end"):
        len(train)
    with pytest.raises(TypeError, match="no end"):
        len(GENERATED)
    assert len(GENERATED.split("test").first(10)) == 3


def test_double_keys_and_unknown_splits_are_refused():
    with pytest.raises(UsageError, match="occurs twice"):
        FixedTasks([Task("a", "train"), Task("a", "test")])
    with pytest.raises(UnknownNameError, match="split"):
        FIXED.split("valid")


def test_drawing_needs_a_task():
    rng = np.random.default_rng(0)
    assert {FIXED.sample(rng, "train").key for _ in range(30)} == {"a", "c"}
    assert GENERATED.sample(rng, "train").split == "train"
    with pytest.raises(UsageError, match="holds no tasks"):
        FixedTasks([], ("train",)).sample(rng, "train")


def test_an_empty_set_is_false():
    assert not FixedTasks([], ("train",))
    assert FIXED
    assert GENERATED


def test_public_form_hides_the_data():
    assert FIXED.find("c").public() == {"key": "c", "split": "train", "type": ""}
