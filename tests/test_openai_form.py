from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palaestra  # noqa: F401  registers the environments
from palaestra.envs.wrappers.record_trajectory import RecordTrajectory
from palaestra.errors import UsageError
from palaestra.media import tone
from palaestra.media.store import current_media
from palaestra.types import Message, ToolCall

DESK = "palaestra/Desk-v0"
text = st.text(max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
names = st.text(st.sampled_from("abc_-1"), min_size=1, max_size=12)
signature = st.sampled_from([{}, {"chat": {"extra_content": {"google": {"thought_signature": "c2ln"}}}}])
calls = st.lists(st.tuples(names, st.dictionaries(text, values, max_size=3), signature), max_size=3).map(
    lambda found: tuple(ToolCall(name, args, f"call_{n}", own) for n, (name, args, own) in enumerate(found))
)
assistant = st.builds(Message, st.just("assistant"), text, calls, reasoning=text, provider=signature)
tool = st.builds(Message, st.just("tool"), text, tool_call_id=names, name=names)
spoken = st.builds(Message, st.sampled_from(["system", "user"]), text)


@settings(max_examples=150, deadline=None)
@given(assistant | tool | spoken)
def test_a_message_is_the_same_after_both_ways(message: Message) -> None:
    sent = json.loads(json.dumps(message.to_openai()))
    assert Message.from_openai(sent) == message


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "function_call", "refusal"]), values))
def test_what_is_no_message_is_one_error(data: dict[str, Any]) -> None:
    try:
        message = Message.from_openai(data)
    except UsageError:
        return
    assert Message.from_json(json.loads(json.dumps(message.to_json()))) == message


def test_media_travel_as_parts() -> None:
    tag = current_media().put(tone(300, 0.05)).tag
    message = Message.of_text("user", f"Hear {tag} <b>")
    parts = message.to_openai()["content"]
    assert [part["type"] for part in parts] == ["text", "input_audio", "text"]
    assert Message.from_openai(message.to_openai()) == message


def sdk_message(**fields: Any) -> Any:
    types = pytest.importorskip("openai.types.chat")
    return types.ChatCompletionMessage.model_validate({"role": "assistant", "content": None, **fields})


def test_messages_of_the_sdk_are_played_like_ours() -> None:
    """One task of Desk, played three ways: as messages, as SDK objects, as dicts."""
    played = []
    for form in (lambda m: m, lambda m: sdk_message(**m.to_openai()), lambda m: m.to_openai()):
        env = gym.make(DESK)
        env.reset(seed=3)
        turns = []
        for action in list(env.unwrapped.expert()):  # type: ignore[attr-defined]
            message = action if isinstance(action, Message) else Message("assistant", action)
            if message.tool_calls:
                ids = tuple(replace(call, id=f"c{n}") for n, call in enumerate(message.tool_calls))
                message = replace(message, tool_calls=ids)
            turns.append(env.step(form(message)))
        assert turns[-1][4]["success"] is True
        played.append([(turn[0], turn[1], turn[2], turn[4]["tool_results"]) for turn in turns])
        env.close()
    assert played[0] == played[1] == played[2]


def test_recordings_and_vectors_take_them_too() -> None:
    env = RecordTrajectory(gym.make(DESK))
    env.reset(seed=3)
    action = sdk_message(tool_calls=[{"id": "c1", "type": "function", "function": {"name": "list_events", "arguments": "{}"}}])
    env.step(action)
    many = gym.make_vec(DESK, num_envs=2)
    many.reset(seed=0)
    observations = many.step([action, {"role": "assistant", "content": "Done."}])[0]
    assert all(isinstance(observation, str) for observation in observations)
    many.close()
    env.close()


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (3, "The action is a int"),
        ({"role": "user", "content": "x"}, "expected 'assistant'"),
        ({"role": "wizard", "content": "x"}, "The role of a message is 'wizard'"),
        ({"role": "assistant"}, "expected content or tool_calls"),
        ({"content": 3}, "expected a text, a list of parts"),
        ({"tool_calls": "x"}, "expected a list"),
        ({"tool_calls": [1]}, "expected a mapping with id"),
    ],
)
def test_other_actions_are_the_callers_mistake(action: Any, message: str) -> None:
    env = gym.make(DESK)
    env.reset(seed=0)
    with pytest.raises(UsageError, match=message):
        env.unwrapped.step(action)
    env.close()


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


HUGE = [
    nested(90_000),
    [nested(600)],
    10**5000,
    {"a": 10**5000},
    [10**5000],
    -(10**4999),
    {1: 2},
    b"x",
    {1, 2},
    object(),
    1.5,
    True,
]


@pytest.mark.parametrize("value", HUGE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "form",
    [
        lambda v: {"role": v, "content": "x"},
        lambda v: {"content": v},
        lambda v: {"content": [v]},
        lambda v: {"content": [{"type": v}]},
        lambda v: {"content": [{"type": "image_url", "image_url": v}]},
        lambda v: {"tool_calls": v},
        lambda v: {"tool_calls": [v]},
        lambda v: {"tool_calls": [{"id": v, "function": {"name": "buy", "arguments": "{}"}}]},
        lambda v: {"tool_calls": [{"function": v}]},
        lambda v: {"tool_calls": [{"function": {"name": v, "arguments": "{}"}}]},
        lambda v: {"tool_calls": [{"function": {"name": "buy", "arguments": v}}]},
        lambda v: {"tool_calls": [{"function": {"name": "buy", "arguments": {"a": v}}}]},
        lambda v: {"content": "x", "own": v, "refusal": v, "name": v, "reasoning": v, "tool_call_id": v},
        lambda v: {"a": v},
    ],
)
def test_values_that_cannot_be_written_are_a_message_or_one_error(form: Any, value: Any) -> None:
    env = gym.make(DESK, disable_env_checker=True)
    env.reset(seed=0)
    try:
        message = Message.from_openai(form(value))
    except UsageError:
        with pytest.raises(UsageError, match=r"^.{10,600}$"):
            env.step(form(value))
        return
    observation, _, _, _, info = env.step(form(value))
    json.dumps(message.to_json(), allow_nan=False).encode()
    assert env.observation_space.contains(observation)
    assert info["action_error"] or not message.tool_calls or message.tool_calls[0].arguments == {}
    env.unwrapped.snapshot()  # type: ignore[attr-defined]


@pytest.mark.parametrize("odd", [None, 5, ("a",), b"x"])
@pytest.mark.parametrize("field", ["name", "id"])
def test_a_call_whose_name_or_id_is_no_text_is_answered_with_advice(field: str, odd: Any) -> None:
    call = ToolCall(**{"name": "calendar_list", "arguments": {}, "id": "1", field: odd})
    env = gym.make(DESK, disable_env_checker=True)
    env.reset(seed=0)
    observation, _, _, _, info = env.step(Message("assistant", "", (call,)))
    assert "name or the id of a tool call is not a text" in info["action_error"]
    assert env.observation_space.contains(observation)
    assert not env.action_space.contains(Message("assistant", "", (call,)))


@pytest.mark.parametrize("odd", [None, 5, ["a"], True, 1.5])
def test_a_call_whose_arguments_are_no_object_is_answered_with_advice(odd: Any) -> None:
    env = gym.make(DESK, disable_env_checker=True)
    env.reset(seed=0)
    observation, _, _, _, info = env.step(Message("assistant", "", (ToolCall("calendar_list", odd, "1"),)))
    assert "Send an object with the arguments by name" in info["action_error"]
    assert env.observation_space.contains(observation)
    assert [result.status for result in info["tool_results"]] == ["invalid_arguments"]


def test_an_empty_answer_of_the_sdk_is_an_empty_message() -> None:
    assert Message.from_openai(sdk_message()) == Message("assistant")


def test_a_call_without_a_name_is_answered_with_advice() -> None:
    env = gym.make(DESK)
    env.reset(seed=0)
    action = {"tool_calls": [{"id": "a", "type": "function", "function": {"name": None, "arguments": "{}"}}]}
    observation, reward, terminated, *_ = env.step(action)
    assert (reward, terminated) == (0.0, False)
    assert observation
    env.close()
