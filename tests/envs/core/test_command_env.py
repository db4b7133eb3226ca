import pickle

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs import CommandEnv, FixedTasks, Task, Turn, check_environment
from palaestra.envs.core.command_env import NO_TOOLS
from palaestra.envs.formats import ACTION_FORMATS, ActionFormatError, parse_message
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.envs.tools import sample_call
from palaestra.errors import ConfigError, EnvironmentFault, UnknownNameError, UsageError
from palaestra.types import Message, ToolCall, plain
from tests.envs.corridor import CORRIDOR_ID, CorridorEnv, register_corridor

FORMATS = tuple(form.name for form in CommandEnv.formats)
every_format = pytest.mark.parametrize("name", FORMATS)
RIGHT = ToolCall("go", {"way": "right"})
TAKE = ToolCall("take", {})


def begun(task: str = "train/0", **kwargs) -> CorridorEnv:
    env = CorridorEnv(**kwargs)
    env.reset(seed=0, options={"task": task})
    return env


def message(*calls: ToolCall) -> Message:
    return Message("assistant", "", calls)


class WordEnv(CommandEnv):
    """A world without tools: it repeats what is said."""

    def __init__(self, **options):
        super().__init__(FixedTasks([Task("only", "train")]), **options)

    def _begin(self, task):
        return "Say a word."

    def _command(self, text):
        return Turn(f"You said {text!r}.")

    def _save(self):
        return None

    def _load(self, task, state):
        return None


@every_format
def test_the_contract_is_kept_in_every_format(name):
    register_corridor()
    report = check_environment(CORRIDOR_ID, kwargs={"action_format": name})
    del gymnasium.registry[CORRIDOR_ID]
    assert report.ok, str(report)


@every_format
@given(seed=st.integers(0, 2**32 - 1))
def test_an_episode_is_the_same_whatever_form_its_commands_come_in(name, seed):
    env, plain_env, native = begun(action_format=name), begun(), begun()
    rng = np.random.default_rng(seed)
    for _ in range(8):
        call = TAKE if rng.random() < 0.3 else sample_call(env.tools(), rng)
        turn = plain_env.step(plain_env.written(call))
        for other in (env.step(env.written(call, "So I think.")), native.step(message(call))):
            assert other[:4] == turn[:4]
            assert {**other[4], "tool_results": ()} == turn[4]
            assert [result.content for result in other[4]["tool_results"]] in ([], [turn[0]])
        assert env.state_hash() == native.state_hash()
        if turn[2]:
            break


@every_format
def test_the_canonical_form_of_calls_is_taken_in_every_format(name):
    for text in (
        '<tool_call>\n{"name": "go", "arguments": {"way": "right"}}\n</tool_call>',
        'Thought: right\n<tool_call>\n{"name": "go", "arguments": {"way": "right"}}\n</tool_call>',
    ):
        for action in (text, Message("assistant", text)):
            env = begun(action_format=name)
            observation, *_, info = env.step(action)
            assert observation == "Room 1."
            assert [result.status for result in info["tool_results"]] == ["ok"]


@every_format
def test_a_text_that_cannot_be_read_is_answered_with_what_the_form_asks_for(name):
    env = begun(action_format=name)
    try:
        ACTION_FORMATS[name].parse("nonsense", env.tools())
        problem = "'nonsense' does nothing here."
    except ActionFormatError as error:
        problem = str(error)
    before = env.state_hash()
    observation, *_, info = env.step("nonsense")
    assert observation == info["action_error"] == problem
    assert env.state_hash() == before


@every_format
@given(seed=st.integers(0, 2**32 - 1))
def test_sampled_actions_are_of_the_form_and_well_formed(name, seed):
    env = begun(action_format=name)
    env.action_space.seed(seed)
    for _ in range(10):
        action = env.action_space.sample()
        assert env.action_space.contains(action)
        if "<tool_call>" in action:
            calls = parse_message(action).tool_calls
            assert [env._commands.call(call).status for call in calls] == ["ok"] * len(calls)
        else:
            read = env.format.parse(action, env.tools())
            assert read.tool_calls or read.content.split()[0] in ("go", "take", "open")


def test_samples_pickle_and_are_sometimes_calls_and_mostly_texts():
    env = begun()
    sampler = pickle.loads(pickle.dumps(env.action_space.sampler))
    rng, twin = np.random.default_rng(5), np.random.default_rng(5)
    drawn = [sampler(rng) for _ in range(300)]
    assert drawn == [env.action_space.sampler(twin) for _ in range(300)]
    assert 10 < sum("<tool_call>" in action for action in drawn) < 60
    assert {action.split()[0] for action in drawn} == {"go", "take", "open", "<tool_call>"}


def test_calls_of_one_message_are_played_in_order_and_add_up():
    env = begun("train/1")  # the key is in room 2, the door in room 3
    calls = (RIGHT, TAKE, RIGHT, TAKE, ToolCall("fly", {}), RIGHT, ToolCall("open", {}), RIGHT)
    observation, reward, terminated, truncated, info = env.step(message(*calls))
    results = info["tool_results"]
    assert [result.status for result in results] == ["ok", "error", "ok", "ok", "unknown_tool", "ok", "ok", "error"]
    assert results[-1].content == "Not done: the goal was reached by an earlier call of this message."
    assert observation == "\n".join(result.content for result in results)
    assert (reward, terminated, truncated, info["success"], info["stop_reason"]) == (1.0, True, False, True, "success")
    assert info["reward_parts"] == {"task": 0.0, "key": 0.5, "door": 0.5}
    assert sum(info["reward_parts"].values()) == reward
    assert (info["score"], info["metrics"], info["room"], info["action_error"]) == (3.0, {"steps_taken": 3}, 3, "")


def test_rewards_of_one_name_add_up_and_the_last_native_score_counts():
    class Paying(CorridorEnv):
        def _command(self, text):
            if text == "take":
                return Turn("Thanks.", 0.25)
            return Turn("Paid.", 0.5, score=7.0, reward_parts={"task": 0.25, "tip": 0.25})

    env = Paying()
    env.reset(seed=0)
    _, reward, *_, info = env.step(message(TAKE, RIGHT, TAKE))
    assert (reward, info["score"]) == (1.0, 7.0)
    assert info["reward_parts"] == {"task": 0.75, "tip": 0.25}


def test_calls_after_a_lost_end_are_not_said_to_have_reached_the_goal():
    class Trap(CorridorEnv):
        def _command(self, text):
            return Turn("A trap.", terminated=True, stop_reason="failure")

    env = Trap()
    env.reset(seed=0)
    *_, info = env.step(message(RIGHT, RIGHT))
    assert info["tool_results"][1].content == "Not done: the episode was ended by an earlier call of this message."
    assert (info["success"], info["stop_reason"]) == (False, "failure")


def test_calls_that_all_fail_are_an_action_error_and_change_nothing():
    env = begun()
    before = env.state_hash()
    observation, *_, info = env.step(message(ToolCall("fly", {}), ToolCall("go", {"way": "up"}), ToolCall("open", {})))
    assert [result.status for result in info["tool_results"]] == ["unknown_tool", "invalid_arguments", "error"]
    assert info["action_error"] == observation
    assert info["reward_parts"] == {"task": 0.0}
    assert env.state_hash() == before


def test_ids_of_calls_come_back_with_their_results():
    env = begun()
    calls = (ToolCall("take", {}, "a"), ToolCall("go", {"way": "right"}, "b"), ToolCall("fly", {}, "c"))
    *_, info = env.step(message(*calls))
    assert [(result.name, result.call_id) for result in info["tool_results"]] == [("take", "a"), ("go", "b"), ("fly", "c")]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("text", "go left 2"),
        ("react", "Thought:\nBack.\n\nAction:\ngo left 2"),
        ("json", '{"thought": "Back.", "function_name": "go", "arguments": {"way": "left", "rooms": 2}}'),
        ("code", "```python\n# Back.\ngo(way='left', rooms=2)\n```"),
    ],
)
def test_an_expert_writes_a_call_in_the_form_in_use(name, written):
    env = CorridorEnv(action_format=name)
    assert env.written(ToolCall("go", {"way": "left", "rooms": 2}), "Back.") == written


def test_what_a_form_cannot_express_is_the_authors_error():
    with pytest.raises(UsageError, match=r"'json' writes calls only.*'take'"):
        CorridorEnv(action_format="json").written("take")
    with pytest.raises(EnvironmentFault, match=r"not one of this environment's commands.*no tool"):
        CorridorEnv().written(ToolCall("fly", {}))


def test_an_environment_takes_the_formats_that_it_names():
    class Published(CorridorEnv):
        formats = (PlainFormat(), ReActFormat(calls=False, marker="only", sanitise=True))

    env = Published(action_format="react")
    env.reset(seed=0)
    assert env.step("Thought: on\nAction: **go right 2!**")[0] == "Room 2."
    assert env.step("Action: take\nAction: take")[4]["action_error"].startswith("Error: Only one 'Action'")
    with pytest.raises(UnknownNameError, match=r"Unknown action format 'jason'.*react, text"):
        Published(action_format="jason")


def test_a_world_without_tools_takes_texts_and_refuses_calls():
    env = WordEnv()
    env.reset(seed=0)
    assert env.tools() == []
    assert env.step(" hello ")[0] == "You said 'hello'."
    observation, *_, info = env.step(message(ToolCall("say", {"word": "hello"})))
    assert observation == info["action_error"] == NO_TOOLS
    assert WordEnv(action_format="react").written("hello", "Hm.") == "Thought:\nHm.\n\nAction:\nhello"
    with pytest.raises(ConfigError, match="action_format is 'json', which needs tools, and WordEnv has none"):
        WordEnv(action_format="json")


def test_a_sampler_of_the_environments_own_is_used():
    env = WordEnv(sampler=lambda rng: "word")
    assert env.action_space.sample() == "word"


def test_tools_are_those_of_the_class_of_commands():
    env = begun()
    assert plain(env.tools())[0]["function"]["parameters"]["required"] == ["way"]
    assert [tool["function"]["name"] for tool in env.reset(seed=0)[1]["tools"]] == ["go", "take", "open"]


@every_format
@given(seed=st.integers(0, 2**32 - 1), ways=st.lists(st.sampled_from(["left", "right"]), max_size=2))
def test_an_episode_may_draw_arguments_of_its_own(name, seed, ways):
    env = begun(action_format=name)
    env._draw_from(way=ways)
    sampler = pickle.loads(pickle.dumps(env.action_space.sampler))
    rng = np.random.default_rng(seed)
    drawn = " ".join(sampler(rng) for _ in range(30))
    assert {way for way in ("left", "right") if way in drawn} <= set(ways or ("left", "right"))
    mine = WordEnv(sampler=len)
    mine._draw_from(way=ways)
    assert mine.action_space.sampler is len
