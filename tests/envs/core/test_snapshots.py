import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.core.snapshots import digest, read_snapshot, seal, write_snapshot
from palaestra.envs.core.tasks import Task
from palaestra.errors import EpisodeStateError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=8,
)
GOOD = {"version": 2, "env": "Env", "task": {"key": "a", "split": "b"}, "value": 1, "np_random": None, "world": 0}


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
        (b"[" * 100_000, "not a snapshot"),
        (b'{"version": 1, "env": "Env"}', "of Env version 1; expected Env version 2"),
        (seal({"version": 2, "env": "Desk"}), "of Desk version 2; expected Env version 2"),
        (seal({"version": 2, "env": "Env", "task": {"key": "a", "split": "b"}, "value": 1}), "incomplete .*np_random"),
        (seal({"version": 2, "env": "Env", "task": {"name": "a"}, "value": 1, "np_random": None, "world": 0}), "incomplete"),
        (seal({"version": 2, "env": "Env", "task": None, "np_random": None, "world": 0}), "incomplete .*value"),
        (seal({**GOOD, "np_random": {"bit_generator": "PCG64"}}), "incomplete"),
        (seal({**GOOD, "np_random": [1]}), "incomplete"),
        (b'{"version": 2, "env": "Env"}', "damaged or was changed"),
        (None, "is a NoneType; pass the bytes"),
        ("text", "is a str; pass the bytes"),
        ({"version": 2}, "is a dict; pass the bytes"),
        (7, "is a int; pass the bytes"),
    ],
)
def test_anything_else_is_refused(data, reason):
    with pytest.raises(EpisodeStateError, match=reason):
        read_snapshot(data, "Env", ("_value",))


@given(JSON, JSON, st.data())
def test_a_changed_byte_is_noticed(world, value, data):
    snapshot = write_snapshot("Env", Task("train/0", "train"), {"_value": value}, None, world)
    changed = bytearray(snapshot)
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "double"]))
    at = data.draw(st.integers(0, len(snapshot) - 1))
    if kind == "flip":
        changed[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del changed[at : at + data.draw(st.integers(1, 40))]
    elif kind == "insert":
        changed[at:at] = data.draw(st.binary(min_size=1, max_size=4))
    else:
        changed[at:at] = changed[at:]
    if bytes(changed) != snapshot:
        with pytest.raises(EpisodeStateError):
            read_snapshot(bytes(changed), "Env", ("_value",))
    assert read_snapshot(memoryview(snapshot), "Env", ("_value",)).world == world


def test_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_digest_is_the_same_on_every_machine():
    assert digest(["a", {"ä": 1}]) == "8cefe11ec7e5e178add57210d4f79ba1"
