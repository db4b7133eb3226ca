import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.core.snapshots import digest, read_snapshot, seal, write_snapshot
from palaestra.envs.core.tasks import Task
from palaestra.errors import EpisodeStateError

RANDOM = np.random.PCG64(7).state
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=8,
)
GOOD = {
    "version": 3,
    "env": "Env",
    "settings": {},
    "task": {"key": "a", "split": "b"},
    "value": 1,
    "np_random": None,
    "world": 0,
}


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
        (b'{"version": 1, "env": "Env"}', "of Env version 1; expected Env version 3"),
        (seal({**GOOD, "version": 2}), "of Env version 2; expected Env version 3. Take a new one"),
        (seal({**GOOD, "env": "Desk"}), "of Desk version 3; expected Env version 3"),
        (seal({key: value for key, value in GOOD.items() if key != "np_random"}), "incomplete .*np_random"),
        (seal({key: value for key, value in GOOD.items() if key != "settings"}), "incomplete .*settings"),
        (seal({key: value for key, value in GOOD.items() if key != "value"}), "incomplete .*value"),
        (seal({**GOOD, "task": {"name": "a"}}), "incomplete"),
        (seal({**GOOD, "task": {"key": 1, "split": "b"}}), "incomplete .*the task is not one"),
        (seal({**GOOD, "task": {"key": "a", "split": "b", "data": []}}), "incomplete .*the task is not one"),
        (seal({**GOOD, "np_random": {"bit_generator": "PCG64"}}), "incomplete"),
        (seal({**GOOD, "np_random": [1]}), "incomplete"),
        (seal({**GOOD, "np_random": {**RANDOM, "uinteger": float("inf")}}), "incomplete .*OverflowError"),
        (seal({**GOOD, "settings": 7}), "incomplete"),
        (seal({**GOOD, "settings": {"hard": True}}), "was taken with hard=True; this environment has no hard"),
        (seal({**GOOD, "world": 1234.5}).replace(b"1234.5", b"1e9999"), "not a snapshot .*too large for a number"),
        (seal({**GOOD, "world": "DEEP"}).replace(b'"DEEP"', b"[" * 300 + b"]" * 300), "not a snapshot .*too deeply"),
        (b'{"version": 3, "env": "Env"}', "damaged or was changed"),
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


@pytest.mark.parametrize("value", [True, "1", None, 1.5, [1], {"a": 1}, 2**200, -float("inf")])
def test_fields_have_their_declared_types(value):
    snapshot = seal({**GOOD, "value": value})
    with pytest.raises(EpisodeStateError, match=r"incomplete .*value is"):
        read_snapshot(snapshot, "Env", ("_value",), types={"_value": int})
    assert read_snapshot(seal(GOOD), "Env", ("_value",), types={"_value": int}).fields == {"_value": 1}


@given(st.dictionaries(st.sampled_from("abcd"), JSON), st.dictionaries(st.sampled_from("abcd"), JSON))
def test_settings_have_to_be_equal_and_the_error_names_those_that_are_not(theirs, own):
    snapshot = write_snapshot("Env", Task("train/0", "train"), {"_value": 1}, None, 0, theirs)
    assert read_snapshot(snapshot, "Env", ("_value",), theirs).world == 0
    differing = [name for name in "abcd" if (name in theirs, theirs.get(name)) != (name in own, own.get(name))]
    if not differing:
        assert read_snapshot(snapshot, "Env", ("_value",), own).world == 0
        return
    with pytest.raises(EpisodeStateError, match="Make it with the same arguments") as error:
        read_snapshot(snapshot, "Env", ("_value",), own)
    told = str(error.value).partition("was taken with ")[2]
    for name in differing:
        assert f"{name}=" in told or f"no {name}" in told


def test_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_digest_is_the_same_on_every_machine():
    assert digest(["a", {"ä": 1}]) == "8cefe11ec7e5e178add57210d4f79ba1"
