import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs import TextVectorEnv
from palaestra.envs.core.vector import InfoBatch, batch_infos, make_text_vector_env
from palaestra.errors import EpisodeStateError, UnknownNameError, UsageError
from palaestra.types import Message
from tests.envs.miniature import COUNTER_ID, CounterEnv, register_miniatures

register_miniatures()

MODES = list(AutoresetMode)


def equal(first, second) -> bool:
    """Whether two batches hold the same, arrays and their dtypes included."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.shape == second.shape and equal(first.tolist(), second.tolist())
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(equal(a, b) for a, b in zip(first, second, strict=True))
    return bool(first == second)


@pytest.mark.parametrize("mode", MODES)
def test_plays_like_gymnasiums_sync_vector_env(mode):
    def make():
        return CounterEnv(max_turns=4)

    ours, theirs = TextVectorEnv([make] * 5, autoreset_mode=mode), SyncVectorEnv([make] * 5, autoreset_mode=mode)
    assert ours.metadata == theirs.metadata
    assert equal(ours.reset(seed=3), theirs.reset(seed=3))
    rng = np.random.default_rng(0)
    num_ended = 0
    for _ in range(30):
        actions = tuple(("up", "down", "?", Message("assistant", "up"))[i] for i in rng.integers(4, size=5))
        a, b = ours.step(actions), theirs.step(actions)
        assert equal(a, b)
        over = a[2] | a[3]
        num_ended += int(over.sum())
        if mode is AutoresetMode.DISABLED and over.any():
            assert equal(ours.reset(options={"reset_mask": over}), theirs.reset(options={"reset_mask": over}))
    assert num_ended > 5


def test_make_vec_takes_the_fast_way_by_default():
    vector = gymnasium.make_vec(COUNTER_ID, num_envs=3, max_turns=2, autoreset_mode="SameStep")
    assert isinstance(vector.unwrapped, TextVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert vector.spec.id == COUNTER_ID
    assert vector.get_attr("max_turns") == (2, 2, 2)
    assert gymnasium.make_vec(vector.spec).num_envs == 3
    assert vector.spec.to_json()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_make_vec_works_in_gymnasiums_own_modes(mode):
    kwargs = {"shared_memory": False, "context": "forkserver"} if mode == "async" else {}
    theirs = gymnasium.make_vec(COUNTER_ID, num_envs=2, vectorization_mode=mode, vector_kwargs=kwargs)
    ours = gymnasium.make_vec(COUNTER_ID, num_envs=2)
    try:
        assert equal(ours.reset(seed=1), theirs.reset(seed=1))
        for actions in (("up", "down"), ("?", Message("assistant", "up")), ("up", "up")):
            assert equal(ours.step(actions), theirs.step(actions))
    finally:
        theirs.close()


@pytest.mark.parametrize("env_id", [COUNTER_ID, "toys/Lamp-v0"])
def test_without_the_switch_the_error_says_how_to_switch_shared_memory_off(env_id):
    with pytest.raises(UsageError, match=r"Text has no fixed size.* vector_kwargs=\{\"shared_memory\": False\}"):
        gymnasium.make_vec(env_id, num_envs=2, vectorization_mode="async", vector_kwargs={"context": "forkserver"})


def test_seeds_may_be_given_one_by_one():
    vector = make_text_vector_env(COUNTER_ID, num_envs=3)
    observations, _ = vector.reset(seed=[5, None, 5])
    assert observations[0] == observations[2]
    assert vector.np_random_seed[0] == vector.np_random_seed[2] == 5
    with pytest.raises(UsageError, match="2 seeds for 3"):
        vector.reset(seed=[1, 2])


def test_options_reach_every_environment_and_are_not_changed():
    vector = make_text_vector_env(COUNTER_ID, num_envs=2)
    options = {"task": "test/3", "reset_mask": np.array([False, True])}
    vector.reset(seed=0, options={"task": "test/1"})
    _, infos = vector.reset(seed=0, options=options)
    assert sorted(options) == ["reset_mask", "task"]
    assert infos["task"]["key"].tolist() == [None, "test/3"]
    assert infos["_task"].tolist() == [False, True]


@pytest.mark.parametrize("mask", [np.array([True]), np.array([1, 0]), np.array([False, False]), "all"])
def test_a_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises(UsageError, match="reset_mask"):
        make_text_vector_env(COUNTER_ID, num_envs=2).reset(options={"reset_mask": mask})


@pytest.mark.parametrize("actions", [("up",), ("up", "up", "up"), "up", None, ("up", 3), ("up", None)])
def test_a_batch_that_does_not_fit_moves_nobody(actions):
    vector = make_text_vector_env(COUNTER_ID, num_envs=2)
    vector.reset(seed=0)
    before = vector.call("state_hash")
    with pytest.raises(UsageError, match=r"actions|action"):
        vector.step(actions)
    assert vector.call("state_hash") == before


def test_without_autoreset_an_ended_episode_must_be_reset():
    vector = make_text_vector_env(COUNTER_ID, num_envs=2, max_turns=1, autoreset_mode=AutoresetMode.DISABLED)
    vector.reset(seed=0)
    vector.step(("down", "down"))
    with pytest.raises(EpisodeStateError, match=r"environments \[0, 1\] are over"):
        vector.step(("down", "down"))


def test_wrong_modes_numbers_and_spaces_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'NextStep'"):
        make_text_vector_env(COUNTER_ID, num_envs=1, autoreset_mode="NextSteps")
    with pytest.raises(UsageError, match="at least 1"):
        make_text_vector_env(COUNTER_ID, num_envs=0)
    with pytest.raises(UsageError, match="other spaces"):
        TextVectorEnv([CounterEnv, lambda: gymnasium.make("CartPole-v1")])


def test_calls_attributes_and_rendering_reach_every_environment():
    vector = make_text_vector_env(COUNTER_ID, num_envs=2, render_mode="ansi")
    vector.reset(seed=0, options={"task": "train/0"})
    assert all("[train/0]" in frame for frame in vector.render())
    vector.set_attr("max_turns", [3, 4])
    assert vector.get_attr("max_turns") == (3, 4)
    vector.set_attr("max_turns", 5)
    assert vector.get_attr("max_turns") == (5, 5)
    with pytest.raises(UsageError, match="3 values"):
        vector.set_attr("max_turns", (1, 2, 3))
    assert len(vector.np_random) == 2
    vector.close()
    vector.close()


def test_the_spaces_hold_what_is_played():
    vector = make_text_vector_env(COUNTER_ID, num_envs=3)
    vector.action_space.seed(0)
    observations, _ = vector.reset(seed=0)
    assert observations in vector.observation_space
    actions = vector.action_space.sample()
    assert len(actions) == 3
    assert actions in vector.action_space
    assert vector.step(actions)[0] in vector.observation_space


def test_a_vector_env_pickles_with_its_infos():
    vector = make_text_vector_env(COUNTER_ID, num_envs=2)
    vector.reset(seed=0)
    twin = pickle.loads(pickle.dumps(vector))
    result, again = vector.step(("down", "?")), twin.step(("down", "?"))
    assert equal(result, again)
    unread = vector.step(("down", "down"))[-1]
    assert not pickle.loads(pickle.dumps(unread))._is_filled  # as quick to send as it was to make
    assert equal(pickle.loads(pickle.dumps(unread)), unread)
    unread["mine"] = 1
    assert pickle.loads(pickle.dumps(unread))["mine"] == 1


def test_an_episode_limit_of_gymnasium_is_kept():
    vector = make_text_vector_env(COUNTER_ID, num_envs=1, max_episode_steps=1)
    vector.reset(seed=0)
    assert vector.step(("down",))[3].tolist() == [True]


ROWS = [{"a": 1.5, "b": "x"}, {}, {"a": 2.5, "c": {"d": 1}}]


def test_rows_cost_nothing_and_arrays_come_when_looked_at():
    infos = InfoBatch(ROWS)
    assert infos.rows[0] == {"a": 1.5, "b": "x"}
    assert dict.__len__(infos) == 0
    assert infos["a"].tolist() == [1.5, 0.0, 2.5]
    assert infos["_a"].tolist() == [True, False, True]
    assert infos["b"].tolist() == ["x", None, None]
    assert infos["c"]["d"].tolist() == [0, 0, 1]
    assert dict.__len__(infos) == 6


@pytest.mark.parametrize(
    "look",
    [
        lambda infos: "a" in infos,
        lambda infos: len(infos) == 6,
        bool,
        lambda infos: infos.get("a") is not None,
        lambda infos: set(infos) == {"a", "_a", "b", "_b", "c", "_c"},
        lambda infos: len({**infos}) == 6,
        lambda infos: len(dict(infos)) == 6,
        lambda infos: "a" in infos.copy(),
        lambda infos: len(infos.items()) == len(infos.values()) == len(infos.keys()) == 6,
        lambda infos: "'a'" in repr(infos),
        lambda infos: infos.pop("a").tolist() == [1.5, 0.0, 2.5],
        lambda infos: infos.setdefault("a", 3).shape == (3,),
        lambda infos: len(infos | {"x": 1}) == 7,
        lambda infos: len({"x": 1} | infos) == 7,
        lambda infos: infos != {},
    ],
)
def test_every_way_to_look_at_infos_makes_the_arrays_first(look):
    assert look(InfoBatch(ROWS))


values = st.one_of(st.integers(-9, 9), st.floats(-2, 2), st.booleans(), st.text(max_size=3), st.none())
info = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def _one_kind(rows) -> bool:
    """Whether every key has values of one type, as infos do."""
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for key, value in row.items():
            kinds.setdefault(key, set()).add(type(value))
    return all(len(kind) == 1 for kind in kinds.values())


@given(
    st.lists(st.tuples(info, info), min_size=1, max_size=4).filter(lambda p: all(_one_kind(x) for x in zip(*p, strict=True)))
)
def test_batching_agrees_with_gymnasiums(pairs):
    rows = [{**flat, "final_obs": "end", "nested": nested} for flat, nested in pairs]
    vector = make_text_vector_env(COUNTER_ID, num_envs=len(rows))
    theirs: dict = {}
    for i, row in enumerate(rows):
        theirs = vector._add_info(theirs, row, i)
    assert equal(batch_infos(rows), theirs)


def test_arrays_in_infos_are_stacked():
    batch = batch_infos([{"x": np.arange(2)}, {}, {"x": np.ones(2, dtype=int)}])
    assert batch["x"].tolist() == [[0, 1], [0, 0], [1, 1]]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_split_holds_for_the_episodes_of_an_autoreset_until_the_next_reset(mode):
    vector = TextVectorEnv([lambda: CounterEnv(max_turns=1)] * 3, autoreset_mode=mode)

    def splits(num_steps=4):
        rows = [row for _ in range(num_steps) for row in vector.step(["down"] * 3)[4].rows]
        return {row["task"]["split"] for row in rows if "task" in row}

    vector.reset(seed=0, options={"split": "test"})
    assert splits() == {"test"}
    vector.reset(options={"reset_mask": np.array([True, False, False])})
    assert splits() == {"train", "test"}
    vector.reset()
    assert splits() == {"train"}
