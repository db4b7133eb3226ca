from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.car.state import CarState


def small_state() -> CarState:
    state = CarState()
    state.set("a.x", 1)
    state.set("a.on", False)
    first, second = state.new_record({"id": "1", "liked": False}), state.new_record({"id": "2", "liked": False})
    state.set_list("a.all", [first, second])
    state.set_list("a.best", [second])
    state.refs["a.now"] = None
    state.forget()
    return state


WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from(["a.x", "a.on", "a.new"]), st.one_of(st.booleans(), st.integers(0, 3))),
        st.tuples(st.just("list"), st.sampled_from(["a.all", "a.best"]), st.lists(st.sampled_from([0, 1]), max_size=3)),
        st.tuples(st.just("ref"), st.just("a.now"), st.sampled_from([None, 0, 1])),
        st.tuples(st.just("record"), st.sampled_from([0, 1]), st.booleans()),
        st.tuples(st.just("drop"), st.sampled_from(["a.x", "a.new"]), st.none()),
    ),
    max_size=8,
)


def write(state: CarState, writes: list) -> None:
    for kind, key, value in writes:
        if kind == "set":
            state.set(key, value)
        elif kind == "list":
            state.set_list(key, value)
        elif kind == "ref":
            state.set_ref(key, value)
        elif kind == "record":
            state.change_record(key, liked=value)
        else:
            state.drop(key)


@given(WRITES)
@settings(max_examples=100, deadline=None)
def test_undo_brings_back_the_state_and_changes_tell_the_difference_of_the_leaves(writes: list) -> None:
    state = small_state()
    before = state.copy()
    write(state, writes)
    flat_before, flat_after = before.flat(), state.flat()
    told = {change.path: (change.op, change.old, change.new) for change in state.changes_since(0)}
    expected = {}
    for path in flat_before.keys() | flat_after.keys():
        if path not in flat_after:
            expected[path] = ("del", flat_before[path], None)
        elif path not in flat_before:
            expected[path] = ("add", None, flat_after[path])
        elif flat_before[path] != flat_after[path]:
            expected[path] = ("set", flat_before[path], flat_after[path])
    assert told == expected
    assert state.before(0) == before
    state.undo(0)
    assert state == before
    assert state.flat() == flat_before


@given(WRITES)
@settings(max_examples=50, deadline=None)
def test_copies_are_independent_and_the_canonical_form_brings_the_state_back(writes: list) -> None:
    state = small_state()
    twin = state.copy()
    write(twin, writes)
    assert state == small_state()
    back = CarState.from_canonical(twin.canonical())
    assert back == twin
    assert hash(back) == hash(twin)
    assert back.canonical() == twin.canonical()


def test_a_record_seen_in_two_lists_is_one_record() -> None:
    state = small_state()
    state.change_record(1, liked=True)
    assert [(c.path, c.new) for c in state.changes_since(0)] == [("a.all[1].liked", True), ("a.best[0].liked", True)]


def test_two_equal_records_that_are_not_one_record_make_another_state() -> None:
    shared, apart = CarState(), CarState()
    one = shared.new_record({"id": "1"})
    shared.set_list("a", [one])
    shared.set_list("b", [one])
    apart.set_list("a", [apart.new_record({"id": "1"})])
    apart.set_list("b", [apart.new_record({"id": "1"})])
    assert shared.flat() == apart.flat()
    assert shared != apart


def test_whole_numbers_are_one_number() -> None:
    state = small_state()
    assert not state.set("a.x", 1.0)
    assert type(state.values["a.x"]) is int
