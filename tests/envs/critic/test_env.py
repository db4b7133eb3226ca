"""CriticTool as an environment: replies in either form, retries, limits, items of a file."""

import json

import gymnasium as gym
import pytest

import palaestra  # noqa: F401
from palaestra.envs.critic import Record, write_items
from palaestra.envs.critic.env import CriticEnv
from palaestra.envs.critic.generate import make_record
from palaestra.envs.tools import DataWarning
from palaestra.errors import ConfigError, EpisodeStateError, MissingDataError, UnknownNameError
from palaestra.types import Message, ToolCall
from tests.envs.critic.made_items import FAILED, NEXT, external, internal, said

SELECT = "tool_select_error"


@pytest.fixture
def files(tmp_path):
    write_items(
        tmp_path / "items.jsonl",
        [internal(), external(), external({"name": "list", "args": {}}).model_copy(update={"id": "x"})],
    )
    return tmp_path / "items.jsonl"


def opened(files, **options) -> CriticEnv:
    env = gym.make("palaestra/CriticTool-v0", items=files, disable_env_checker=True, **options).unwrapped
    env.reset(seed=0, options={"task": "i" if options.get("mode", "internal") == "internal" else "e"})
    return env


def test_a_step_is_scored_once(files):
    env = opened(files)
    observation, reward, terminated, truncated, info = env.step(said(error=SELECT))
    assert (reward, terminated, truncated, info["success"], info["stop_reason"]) == (1.0, True, False, True, "success")
    assert info["metrics"] == dict.fromkeys(("detect", "category", "tool", "args", "parse_rate"), 1)
    assert info["scored"]["behaviour"] == "correct"
    assert observation.startswith("Correct: ")
    with pytest.raises(EpisodeStateError):
        env.step(said())


def test_a_reply_that_cannot_be_read_uses_the_turn_up_and_ends_nothing(files):
    env = opened(files)
    before = env.state_hash()
    observation, reward, terminated, truncated, info = env.step("I am not sure.")
    assert (reward, terminated, truncated, info["stop_reason"]) == (0, False, True, "max_rounds")
    assert info["action_error"] == observation != ""
    assert info["metrics"]["parse_rate"] == info["metrics"]["detect"] == 0
    assert env.state_hash() == before
    env = opened(files, max_turns=2)
    _, _, _, truncated, info = env.step("I am not sure.")
    assert not truncated
    assert "scored" not in info  # it would give the label away
    assert "metrics" not in info or not info["metrics"]
    _, reward, terminated, _, info = env.step(said(error=SELECT))
    assert (reward, terminated, info["metrics"]["parse_rate"]) == (1, True, 0)


CALL = ToolCall("order", NEXT["args"])


@pytest.mark.parametrize("form", ["json", "calls"])
@pytest.mark.parametrize(
    "action",
    [
        said(error=SELECT),
        Message("assistant", said(error=SELECT)),
        Message("assistant", '<critique>{"error": "tool_select_error"}</critique>', (CALL,)),
        Message("assistant", 'Oh. <critique>{"error": "tool select error"}</critique> Again:', (CALL,)),
        Message("assistant", "<critique>tool_select_error</critique>", (CALL,)),
        Message("assistant", '{"error": "tool_select_error"}', (CALL,)),
        f'{{"error": "tool_select_error"}}\n<tool_call>{json.dumps({"name": "order", "arguments": NEXT["args"]})}</tool_call>',
        {"role": "assistant", "content": '{"error": "tool_select_error"}', "tool_calls": [CALL.to_openai()]}
        if hasattr(CALL, "to_openai")
        else said(error=SELECT),
    ],
    ids=range(8),
)
def test_replies_in_every_form(files, form, action):
    _, reward, terminated, _, info = opened(files, form=form).step(action)
    assert (reward, terminated, info["success"]) == (1, True, True)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Message("assistant", "", (CALL, CALL)), "2 tool calls; make one call in a message"),
        (Message("assistant", "", (ToolCall("", "x"),)), "cannot be read"),
        ("<tool_call>{</tool_call>", "call"),
        ("{}", "no action that can be read"),
        ('{"name": "order", "args": []}', "no action that can be read"),
    ],
)
def test_actions_that_are_refused(files, action, message):
    observation, _, terminated, _, info = opened(files, form="calls").step(action)
    assert message in observation
    assert info["action_error"]
    assert not terminated


def test_a_failure_is_repeated_until_something_else_is_done(files):
    env = opened(files, mode="skip")
    retry = json.dumps({"args": {}, "name": "list"})
    for _ in range(2):
        observation, reward, terminated, _, info = env.step(retry)
        assert (observation, reward, terminated) == ("Busy.", 0, False)
        assert "scored" not in info
    _, reward, terminated, _, info = env.step(said())
    assert (reward, terminated, info["success"]) == (1, True, True)
    assert info["scored"]["behaviour"] == "retry_then_skip"


def test_the_fourth_retry_is_the_last(files):
    env = opened(files, mode="finish")
    for turn in range(4):
        _, reward, terminated, truncated, info = env.step(json.dumps(FAILED))
        assert terminated == (turn == 3)
    assert not truncated
    assert (reward, info["success"], info["stop_reason"]) == (pytest.approx(0.1), False, "failure")


def test_profiles_read_replies_in_their_own_way(files):
    prose = f"Again: {json.dumps(FAILED)}"
    assert opened(files, mode="skip").step(prose)[2] is False
    assert opened(files, mode="skip", profile="published").step(prose)[2] is True  # as published: prose ends the retries
    _, _, terminated, _, info = opened(files, profile="published").step("I am not sure.")
    assert terminated
    assert info["metrics"]["parse_rate"] == 0


@pytest.mark.parametrize("mode", ["internal", "skip", "finish"])
@pytest.mark.parametrize("form", ["json", "calls"])
@pytest.mark.parametrize("cot", [False, True])
def test_the_expert_on_made_items(mode, form, cot):
    env = CriticEnv(mode=mode, form=form, cot=cot)
    for index in range(10):
        env.reset(seed=0, options={"task": f"test/{index}"})
        for action in env.expert():
            _, reward, terminated, _, info = env.step(action)
            assert not info["action_error"]
        assert (reward, terminated, info["success"]) == (1, True, True)
        assert info["metrics"].get("thought", 1) == 1
        assert set(info["metrics"]) <= {one.name for one in env.metrics}


def test_what_an_agent_is_told():
    env = CriticEnv(cot=True)
    record = next(one for index in range(5) if (one := make_record("internal", "test", index, cot=True)).label)
    observation, info = env.reset(seed=0, options={"task": record.id})
    assert observation.startswith("User: ")
    assert record.messages[-1]["content"] in observation
    assert info["tools"] == []
    assert record.tools[0]["function"]["name"] in info["instructions"]
    assert "tool_select_error" in info["instructions"]
    assert info["task"]["type"] == "step"  # the label is to be found out, and the key does not give it away
    assert len({make_record("internal", "test", 5 * block).label for block in range(20)}) > 2
    env = CriticEnv(form="calls", mode="finish")
    observation, info = env.reset(seed=0, options={"task": "test/1"})
    assert "<tool_call>" in observation
    assert [tool["function"]["name"] for tool in info["tools"]][-1] == "FinishAction"
    assert "To use a tool" not in info["instructions"]


def test_names_that_model_apis_do_not_take_are_replaced_and_come_back(tmp_path):
    text = internal().to_line().replace("order", "Shop.order").replace('\\"list\\"', '\\"Shop_order\\"')
    record = Record.of(json.loads(text.replace('"name": "list"', '"name": "Shop_order"')), "it")
    write_items(tmp_path / "items.jsonl", [record])
    env = CriticEnv(items=tmp_path / "items.jsonl", form="calls")
    _, info = env.reset(seed=0)
    names = [tool["function"]["name"] for tool in info["tools"]]
    assert names == ["Shop_order", "Shop_order_2", "FinishAction"]
    call = Message("assistant", '{"error": "tool_select_error"}', (ToolCall("Shop_order", NEXT["args"]),))
    assert env.step(call)[1] == 1


def test_items_of_a_file(files, tmp_path):
    assert [task.key for task in CriticEnv(items=files, mode="skip").tasks] == ["e", "x"]
    with pytest.raises(ConfigError, match="no item of mode 'internal' with cot=True; all 1 of this mode have cot=False"):
        CriticEnv(items=files, cot=True)
    write_items(tmp_path / "one.json", [internal()])
    with pytest.raises(ConfigError, match="no item of mode 'skip'; its 1 items are all of the other family"):
        CriticEnv(items=tmp_path / "one.json", mode="skip")
    with pytest.raises(MissingDataError, match="There is no file or folder"):
        CriticEnv(items=tmp_path / "none")
    (tmp_path / "bad.jsonl").write_text(f"{internal().to_line()}\n{{}}\n", encoding="utf-8")
    with pytest.warns(DataWarning, match=r"1 items of .* cannot be used and are left out: .*line 2"):
        assert len(CriticEnv(items=tmp_path / "bad.jsonl").tasks) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "all"}, UnknownNameError, "Unknown mode 'all'"),
        ({"mode": ["skip"]}, UnknownNameError, "Unknown mode"),
        ({"profile": "mine"}, UnknownNameError, "Unknown profile"),
        ({"form": "xml"}, UnknownNameError, "Unknown form"),
        ({"cot": "yes"}, ConfigError, "cot is 'yes'"),
        ({"max_turns": "many"}, ConfigError, "max_turns is 'many'"),
        ({"max_turns": 0}, ConfigError, "max_turns is 0"),
        ({"similarity": "words"}, ValueError, "expected 'bow'"),
    ],
)
def test_arguments_that_do_not_exist(options, error, message):
    with pytest.raises(error, match=message):
        CriticEnv(**options)


def test_after_a_right_step_the_expected_one_is_paid(tmp_path):
    write_items(tmp_path / "items.jsonl", [internal(label="")])
    for text, paid in ((said(), 1), (said("list", {}), 0.4), (said(error=SELECT), 0.6), (said("list", {}, error=SELECT), 0)):
        env = CriticEnv(items=tmp_path / "items.jsonl")
        env.reset(seed=0)
        _, reward, _, _, info = env.step(text)
        assert (reward, info["success"]) == (pytest.approx(paid), paid == 1)
        assert info["scored"]["credit"] == info["metrics"]["detect"] == float("error" not in text)
