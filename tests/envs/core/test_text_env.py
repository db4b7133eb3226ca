import json
import pickle

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs import FixedTasks, Task, Turn
from palaestra.envs.core.snapshots import seal
from palaestra.errors import ConfigError, EpisodeStateError, UnknownNameError, UsageError
from palaestra.types import Message
from tests.envs.miniature import CounterEnv, MeasuredEnv, make_task


def started(**kwargs) -> CounterEnv:
    env = CounterEnv(**kwargs)
    env.reset(seed=0, options={"task": "train/0"})
    return env


def test_reset_returns_task_instructions_and_tools():
    observation, info = CounterEnv().reset(seed=0, options={"task": "test/1"})
    assert observation.endswith("goal 5")
    assert info == {
        "task": {"key": "test/1", "split": "test", "type": "far"},
        "instructions": 'Say "up" or "down" until the number is the goal.',
        "tools": [],
    }


def test_the_info_of_a_quiet_step_has_every_field():
    env = started()
    *_, info = env.step("down")
    assert info == {
        "score": 0.0,
        "success": False,
        "stop_reason": "",
        "reward_parts": {"task": 0.0},
        "tool_results": (),
        "action_error": "",
    }


def test_metrics_stand_in_the_info_where_a_turn_gives_them():
    env = MeasuredEnv()
    env.reset(seed=0, options={"task": "train/0"})
    first = env.step("down")[-1]["metrics"]
    env.step("what?")
    while "directness" not in (last := env.step("up")[-1]["metrics"]):
        assert last.keys() == first.keys() == {"distance", "lowest"}
    assert last["distance"] == 0
    assert 0 < last["directness"] < 1


def test_steps_do_not_share_their_info():
    env = started()
    first = env.step("down")[-1]
    first["reward_parts"]["task"] = 9.0
    first["mine"] = 1
    assert env.step("down")[-1]["reward_parts"] == {"task": 0.0}
    assert "mine" not in env.step("down")[-1]


def test_the_solving_step_ends_the_episode_with_success():
    env = started()
    while True:
        observation, reward, terminated, truncated, info = env.step("up")
        if terminated:
            break
        assert reward == 0
        assert not truncated
    assert observation.startswith("number 2")
    assert (reward, truncated, info["success"], info["score"], info["stop_reason"]) == (1.0, False, True, 1.0, "success")


def test_the_last_turn_truncates_with_max_rounds():
    env = started(max_turns=2)
    assert env.step("down")[2:4] == (False, False)
    *_, terminated, truncated, info = env.step("down")
    assert (terminated, truncated, info["stop_reason"]) == (False, True, "max_rounds")


def test_success_in_the_last_turn_is_no_truncation():
    env = started(max_turns=20)
    turns = len(list(_expert_actions(env)))
    env = started(max_turns=turns)
    for _ in range(turns):
        *_, terminated, truncated, info = env.step("up")
    assert (terminated, truncated, info["stop_reason"]) == (True, False, "success")


def _expert_actions(env):
    for action in env.expert():
        env.step(action)
        yield action


def test_a_refused_action_costs_a_turn_and_changes_nothing():
    env = started(max_turns=1)
    before = env.state_hash()
    observation, reward, _, truncated, info = env.step("sideways")
    assert info["action_error"] == observation
    assert "sideways" in observation
    assert (reward, truncated, env.state_hash()) == (0.0, True, before)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("x" * 100_001, "at most 100000"),
        ("a \ud800 b", "lone surrogates"),
        (Message("assistant", "\udcff"), "lone surrogates"),
        (Message("assistant", error="two actions in one message"), "two actions"),
    ],
)
def test_unreadable_actions_are_refused_with_the_reason(action, reason):
    env = started()
    before = env.state_hash()
    observation, *_, info = env.step(action)
    assert reason in observation
    assert info["action_error"] == observation
    assert env.state_hash() == before


@pytest.mark.parametrize("action", [None, 3, b"up", ["up"], {"role": "assistant"}, Message("user", "up")])
def test_what_is_no_action_raises(action):
    env = started()
    with pytest.raises(UsageError, match="expected"):
        env.step(action)


def test_a_subclass_of_str_is_an_action():
    class Quote(str):
        __slots__ = ()

    assert started().step(Quote("up"))[-1]["action_error"] == ""


def test_calls_out_of_order_say_so():
    env = CounterEnv(max_turns=1)
    with pytest.raises(EpisodeStateError, match="before reset"):
        env.step("up")
    with pytest.raises(EpisodeStateError, match="before reset"):
        env.snapshot()
    with pytest.raises(EpisodeStateError, match="before reset"):
        env.state_hash()
    env.reset(seed=0)
    env.step("up")
    with pytest.raises(EpisodeStateError, match="is over"):
        env.step("up")


@pytest.mark.parametrize("max_turns", [0, -1, 1.5, "3", True])
def test_a_wrong_turn_limit_is_refused(max_turns):
    with pytest.raises(ConfigError, match="max_turns"):
        CounterEnv(max_turns=max_turns)


def test_wrong_split_and_render_mode_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        CounterEnv(split="trian")
    with pytest.raises(UnknownNameError, match="render mode"):
        CounterEnv(render_mode="human")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tusk": "train/0"}, "Did you mean 'task'"),
        ({"task": "train/99"}, "Unknown task"),
        ({"task": 3}, "3 does not name a task"),
        ({"task": ["train/0"]}, "expected a task key"),
        ({"split": "valid"}, "Unknown split"),
        ({"split": 3}, "expected one of"),
        ({"task": "train/0", "split": "test"}, "belongs to split 'train'"),
    ],
)
def test_wrong_options_are_refused_and_change_nothing(options, message):
    env = started()
    before = env.snapshot()
    with pytest.raises(UsageError, match=message):
        env.reset(options=options)
    assert env.snapshot() == before


def test_a_task_can_be_given_as_key_record_or_public_form():
    env = CounterEnv()
    task = make_task("test", 3)
    for given_task in (task, task.key, task.public()):
        env.reset(options={"task": given_task})
        assert env.task == task


@given(st.lists(st.sampled_from(["up", "down", "?"]), max_size=12), st.integers(0, 12))
def test_a_restored_snapshot_has_the_same_future(actions, cut):
    env = CounterEnv(max_turns=50)
    env.reset(seed=3, options={"task": "train/4"})
    for action in actions[:cut]:
        env.step(action)
    snapshot = env.snapshot()
    other = CounterEnv(max_turns=50)
    other.restore(snapshot)
    for action in actions[cut:]:
        assert other.step(action) == env.step(action)
    assert other.snapshot() == env.snapshot()
    assert other.reset() == env.reset()


def test_a_snapshot_is_json_without_pickle():
    assert json.loads(started().snapshot())["task"]["key"] == "train/0"


@pytest.mark.parametrize(
    "foreign", [b"", b"x", b"[]", b"{}", b'{"version":99,"env":"CounterEnv"}', b'{"version":1,"env":"Desk"}']
)
def test_foreign_snapshots_are_refused(foreign):
    env = started()
    before = env.snapshot()
    with pytest.raises(EpisodeStateError, match="snapshot"):
        env.restore(foreign)
    assert env.snapshot() == before


class Patient(CounterEnv):
    """Counts refusals, its own and those that `_act` never sees, outside the world."""

    snapshot_fields = (*CounterEnv.snapshot_fields, "_refusals")

    def _begin(self, task):
        self._refusals = []
        return super()._begin(task)

    def _act(self, action):
        turn = super()._act(action)
        if turn.action_error:
            self._refusals.append(str(action))
        return turn

    def _refuse(self, problem):
        self._refusals.append("unreadable")
        turn = super()._refuse(problem)
        turn.terminated = len(self._refusals) > 2
        return turn


def test_state_outside_the_world_is_kept_by_snapshots_and_not_hashed():
    env = Patient()
    env.reset(seed=0)
    before = env.state_hash(), env.snapshot()
    env.step("sideways")
    env.step("x" * 100_001)
    assert env.state_hash() == before[0]
    assert env.snapshot() != before[1]
    twin = Patient()
    twin.restore(env.snapshot())
    assert twin._refusals == ["sideways", "unreadable"]
    assert twin.snapshot() == env.snapshot()
    twin.restore(before[1])
    assert twin._refusals == []


def test_a_subclass_sees_and_changes_the_refusal_of_unusable_actions():
    env = Patient()
    env.reset(seed=0)
    ends = [env.step(Message("assistant", error="cut off"))[2] for _ in range(3)]
    assert ends == [False, False, True]


def test_the_snapshot_of_another_version_of_a_subclass_is_refused_before_anything_changes():
    env, plain_env = Patient(), CounterEnv()
    plain_env.reset(seed=0)
    incomplete = seal({**json.loads(plain_env.snapshot()), "env": "Patient"})
    env.reset(seed=1)
    before = env.snapshot()
    with pytest.raises(EpisodeStateError, match=r"incomplete.*refusals"):
        env.restore(incomplete)
    assert env.snapshot() == before


def test_a_world_that_refuses_its_task_leaves_no_episode():
    class Picky(CounterEnv):
        def _begin(self, task):
            if task.key == "train/1":
                raise UsageError("not this one")
            return super()._begin(task)

    env = Picky()
    env.reset(options={"task": "train/0"})
    with pytest.raises(UsageError, match="not this one"):
        env.reset(options={"task": "train/1"})
    with pytest.raises(EpisodeStateError, match="is over"):
        env.step("up")


def test_an_env_pickles_and_goes_on_alike():
    env = started()
    env.step("down")
    twin = pickle.loads(pickle.dumps(env))
    assert twin.step("down") == env.step("down")


def test_ansi_render_shows_action_and_observation():
    env = CounterEnv(render_mode="ansi")
    assert env.render() == "(not started)"
    env.reset(seed=0, options={"task": "train/0"})
    assert "[train/0] turn 0" in env.render()
    env.step("sideways")
    assert "> sideways" in env.render()
    assert CounterEnv().render() is None


def test_a_score_of_its_own_scale_replaces_the_sum_of_rewards():
    class Scored(CounterEnv):
        def _act(self, action):
            return Turn("ok", 0.25, score=40.0, reward_parts={"a": 0.5, "b": -0.25})

    env = Scored()
    env.reset(seed=0)
    *_, info = env.step("x")
    assert info["score"] == 40.0
    assert info["reward_parts"] == {"a": 0.5, "b": -0.25}


def test_an_env_without_tasks_in_its_split_says_so_on_reset():
    class Empty(CounterEnv):
        def __init__(self):
            super().__init__()
            self.tasks = FixedTasks([Task("a", "test")], ("train", "test"))

    with pytest.raises(UsageError, match="holds no tasks"):
        Empty().reset()


def test_the_base_class_is_a_gymnasium_env():
    assert issubclass(CounterEnv, gymnasium.Env)
    assert CounterEnv.metadata["render_fps"] == 1
