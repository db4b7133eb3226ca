from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.export.conversations import Conversation, action_text, chat_record, item_id
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.envs.formats.hermes import parse_message
from palaestra.errors import UsageError
from palaestra.types import EpisodeError, Message, Outcome, Step, ToolCall, Trajectory
from tests.agents.countdown import Steady, plans
from tests.fixtures import need_rows

CALL = ToolCall("find", {"name": "Ann"}, "call_1")
TOOLS = ({"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}},)


@pytest.fixture(scope="module")
def played() -> Trajectory:
    return RolloutEngine().collect(plans(3), Steady())[2]


@pytest.fixture
def with_tools() -> Trajectory:
    result = {"call_id": "call_1", "name": "find", "status": "ok", "content": '{"phone": 1}'}
    return Trajectory(
        "e",
        "palaestra/Desk-v0",
        {"key": "test/4", "split": "test", "type": "contacts"},
        instructions="Use the tools.",
        tools=TOOLS,
        steps=(
            Step("Who is Ann?", Message("assistant", "", (CALL,), reasoning="look"), 0.0, info={"tool_results": [result]}),
            Step('{"phone": 1}', Message("assistant", "1"), 1.0, terminated=True),
        ),
        final_observation="Thanks.",
        outcome=Outcome(1.0, True, "success"),
    )


def test_an_agenttraj_record_has_the_published_form(played: Trajectory) -> None:
    record = Conversation.of(played).to_agenttraj()
    assert list(record) == ["item_id", "conversations", "env_id", "split", "task_key", "reward", "success"]
    assert (record["reward"], record["success"]) == (pytest.approx(1.0), True)
    assert [record[name] for name in ("env_id", "split", "task_key")] == ["countdown/Countdown-v0", "train", "train/2"]
    bare = replace(Conversation.of(replace(played, env_id="", task={})), reward=None, success=None)
    assert list(bare.to_agenttraj()) == ["item_id", "conversations"]
    assert record["item_id"] == "countdown_train/2"
    assert [turn["from"] for turn in record["conversations"]] == ["human", "gpt"] * 4 + ["human"]
    assert [turn["loss"] for turn in record["conversations"]] == [None, False] + [None, True] * 3 + [None]
    assert record["conversations"][2] == {"from": "human", "loss": None, "value": "3 left"}


def test_an_experience_record_has_metrics_where_there_are_any(played: Trajectory) -> None:
    assert "metrics" not in Conversation.of(played).to_experience()
    measured = played.with_outcome(replace(played.outcome, metrics={"wer": 0.25}))
    record = json.loads(json.dumps(Conversation.of(measured).to_experience()))
    assert record["metrics"] == {"wer": 0.25}
    assert Conversation.from_record(record).to_trajectory().outcome.metrics == {"wer": 0.25}
    assert Conversation.from_record({**record, "metrics": {"wer": None, "note": "x"}}).metrics == {}
    assert Conversation.from_record({**record, "metrics": "none"}).metrics == {}


def test_an_experience_record_adds_reward_and_success(played: Trajectory) -> None:
    record = Conversation.of(played).to_experience()
    assert (record["reward"], record["success"]) == (pytest.approx(1.0), 1)
    broken = played.with_outcome(Outcome(error=EpisodeError("tool", "ToolError", "down")))
    record = Conversation.of(broken).to_experience()
    assert (record["reward"], record["success"]) == (None, None)


def test_sharegpt_puts_the_instructions_into_its_system_message(with_tools: Trajectory) -> None:
    record = Conversation.of(with_tools).to_sharegpt()
    assert [turn["from"] for turn in record["conversations"]] == ["system", "human", "gpt", "human", "gpt"]
    assert record["final_observation"] == "Thanks."
    assert record["conversations"][0]["value"] == "Use the tools."
    assert parse_message(record["conversations"][2]["value"]) == with_tools.steps[0].action
    assert json.loads(record["tools"]) == list(TOOLS)


def test_chat_records_carry_native_tool_calls(with_tools: Trajectory) -> None:
    record = chat_record(with_tools)
    assert [message["role"] for message in record["messages"]] == ["system", "user", "assistant", "tool", "assistant", "user"]
    call = record["messages"][2]["tool_calls"][0]
    assert call == {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"name": "Ann"}'}}
    assert record["messages"][2]["reasoning_content"] == "look"
    assert record["messages"][3] == {"role": "tool", "tool_call_id": "call_1", "name": "find", "content": '{"phone": 1}'}
    read = Conversation.from_record(record)
    assert read.messages == tuple(with_tools.messages())
    assert read.tools == TOOLS


def test_calls_without_ids_stay_in_the_text(with_tools: Trajectory) -> None:
    step = replace(with_tools.steps[0], action=Message("assistant", "", (replace(CALL, id=""),)))
    record = chat_record(replace(with_tools, steps=(step,)))
    assert "tool_calls" not in record["messages"][2]
    assert "<tool_call>" in record["messages"][2]["content"]


def test_what_the_model_wrote_goes_before_what_was_read_from_it() -> None:
    assert action_text(Message("assistant", "go north", raw="Thought:\nhm\n\nAction:\ngo north")).startswith("Thought:")
    assert action_text(Message("user", "go north")) == "go north"


@pytest.mark.parametrize("form", ["to_agenttraj", "to_experience", "to_sharegpt"])
def test_an_episode_survives_the_round_trip(played: Trajectory, form: str) -> None:
    record = json.loads(json.dumps(getattr(Conversation.of(played), form)()))
    back = Conversation.from_record(record).to_trajectory(played.env_id)
    assert back.instructions == played.instructions
    assert [(step.observation, step.action) for step in back.steps] == [(s.observation, s.action) for s in played.steps]
    assert back.final_observation == played.final_observation
    if form == "to_experience":
        assert back.return_ == pytest.approx(played.return_)
        assert back.outcome.success
        assert back.steps[-1].terminated


@settings(max_examples=50, deadline=None)
@given(
    texts=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=5),
    instructions=st.text(max_size=10),
    end=st.text(max_size=5),
)
def test_any_dialogue_survives_agenttraj(texts: list[tuple[str, str]], instructions: str, end: str) -> None:
    episode = Trajectory(
        "e",
        "x/Y-v0",
        {"key": "k"},
        instructions=instructions,
        steps=tuple(Step(observation, Message("assistant", action)) for observation, action in texts),
        final_observation=end,
    )
    back = Conversation.from_record(json.loads(json.dumps(Conversation.of(episode).to_agenttraj()))).to_trajectory()
    assert [(step.observation, step.action.content) for step in back.steps] == texts
    assert (back.instructions, back.final_observation) == (instructions, end)


def test_records_of_roles_and_contents_are_read_with_their_reasoning() -> None:
    record = {
        "item_id": "webshop_3",
        "conversations": [
            {"role": "system", "content": "Shop."},
            {"role": "user", "content": "Buy tea."},
            {"role": "assistant", "content": "search[tea]", "reasoning_content": "tea first"},
            {"role": "user", "content": "Results"},
            {"role": "assistant", "content": None, "loss": False},
        ],
    }
    read = Conversation.from_record(record)
    assert read.loss == (None, None, True, None, False)
    assert read.messages[2] == Message("assistant", "search[tea]", reasoning="tea first")
    episode = read.to_trajectory("shop/Shop-v0")
    assert (episode.instructions, episode.env_id, episode.num_turns) == ("Shop.", "shop/Shop-v0", 2)
    assert episode.task["key"] == "webshop_3"


def test_items_without_a_conversation_are_read() -> None:
    for record in ({"item_id": "maze_0", "conversations": None}, {"item_id": "maze_0"}):
        assert Conversation.from_record(record) == Conversation("maze_0", (), ())


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "x"}, "expected item_id, conversations or messages"),
        ({"item_id": "a", "conversations": "x"}, "conversations of item 'a' is a str; expected a list"),
        ({"item_id": "a", "conversations": ["x"]}, r"conversations\[0\] is 'x'; expected an object"),
        (
            {"item_id": "a", "conversations": [{"from": "narrator", "value": ""}]},
            r"conversations\[0\].from is 'narrator'",
        ),
        (
            {"item_id": "a", "conversations": [{"from": "human", "value": 3}]},
            r"conversations\[0\].value is 3; expected",
        ),
    ],
)
def test_records_of_no_known_form_are_told(record: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Conversation.from_record(record)


def test_two_assistant_turns_in_a_row_are_no_episode() -> None:
    twice = Conversation("a", (Message("user", "x"), Message("assistant", "y"), Message("assistant", "z")), (None, True, True))
    with pytest.raises(UsageError, match="two assistant messages in a row"):
        twice.to_trajectory()


@pytest.mark.parametrize(
    ("env_id", "key", "expected"),
    [
        ("palaestra/TextCraft-v0", "workshop:kite", "textcraft_workshop:kite"),
        ("palaestra/TextCraft-v0", "textcraft_12", "textcraft_12"),
        ("", "maze_3", "maze_3"),
        ("plain", "k", "plain_k"),
    ],
)
def test_item_ids_name_environment_and_task(env_id: str, key: str, expected: str) -> None:
    assert item_id(Trajectory("e", env_id, {"key": key})) == expected


@pytest.mark.parity
def test_published_experience_is_read_and_written_back_unchanged() -> None:
    for row in need_rows("agentgym/webshop/function_calling_trajectories.jsonl"):
        read = Conversation.from_record(row)
        written = read.to_experience()
        assert written["conversations"] == row["conversations"]
        assert (written["item_id"], written["reward"], written["success"]) == (row["item_id"], row["reward"], row["success"])
        episode = read.to_trajectory()
        assert episode.instructions == row["conversations"][0]["value"]
        assert episode.num_turns == sum(turn["loss"] is True for turn in row["conversations"])
