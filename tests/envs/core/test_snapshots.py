import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.core.snapshots import digest, read_snapshot, write_snapshot
from palaestra.envs.core.tasks import Task
from palaestra.errors import EpisodeStateError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=8,
)


@given(JSON, JSON, st.integers(0, 5), st.booleans())
def test_what_is_written_is_read_again(world, value, draws, has_chance):
    task = Task("train/0", "train", "near", {"goal": 2})
    rng = np.random.Generator(np.random.PCG64(7))
    rng.random(draws)
    data = write_snapshot("Env", task, {"_value": value, "plain": 1}, rng if has_chance else None, world)
    saved = read_snapshot(data, "Env", ("_value", "plain"))
    assert (saved.task, saved.fields, saved.world) == (task, {"_value": value, "plain": 1}, world)
    if has_chance:
        assert saved.generator().random() == rng.random()
    else:
        assert saved.generator() is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a snapshot"),
        (b"\xff\xfe", "not a snapshot"),
        (b"[]", "not a snapshot"),
        (b"{}", "not a snapshot"),
        (b'{"version": 2, "env": "Env"}', "of Env version 2; expected Env version 1"),
        (b'{"version": 1, "env": "Desk"}', "of Desk version 1; expected Env version 1"),
        (b'{"version": 1, "env": "Env", "task": {"key": "a", "split": "b"}, "value": 1}', "incomplete .*np_random"),
        (b'{"version": 1, "env": "Env", "task": {"name": "a"}, "value": 1, "np_random": null, "world": 0}', "incomplete"),
        (b'{"version": 1, "env": "Env", "task": null, "np_random": null, "world": 0}', "incomplete .*value"),
    ],
)
def test_bytes_of_anything_else_are_refused(data, reason):
    with pytest.raises(EpisodeStateError, match=reason):
        read_snapshot(data, "Env", ("_value",))


def test_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_digest_is_the_same_on_every_machine():
    assert digest(["a", {"ä": 1}]) == "8cefe11ec7e5e178add57210d4f79ba1"
