"""Answers as models really write them, through every backend and format, in whole episodes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.registry import make_backend
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.core import Backend, Generation, Sampling
from palaestra.agents.evaluation.summary import summarize
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.store.records import EpisodeSummary
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.types import Message, Trajectory
from tests.agents.answering_server import AnsweringServer, call, chat

DESK, CRAFT, CAR = "palaestra/Desk-v0", "palaestra/TextCraft-v0", "palaestra/VehicleWorld-v0"
CLIENTS = ("openai", "aiohttp", "scripted")
FIND = '<tool_call>\n{"name": "search_notes", "arguments": {"query": "Glass lunch"}}\n</tool_call>'
DRAFT = (
    'I might write <tool_call>\n{"name": "delete_note", "arguments": {"note_id": "N1"}}\n</tool_call> but first I look.\n'
    "</think>\n\n"
)
INSIDE = [
    ("tools", DESK, DRAFT + FIND),
    ("tools", DESK, "<think>\n" + DRAFT + FIND),
    ("tools", DESK, "<THINK>a</THINK><thinking>" + DRAFT.replace("think", "thinking") + FIND + "<think>b</think>"),
    ("hermes", DESK, "<reasoning>" + DRAFT.replace("think", "reasoning") + FIND),
    ("json", DESK, DRAFT + '{"function_name": "search_notes", "arguments": {"query": "Glass lunch"}}'),
    ("code", DESK, DRAFT + "```python\nsearch_notes(query='Glass lunch')\n```"),
    ("code", DESK, "<think>```python\ndelete_note(note_id='N1')\n```</think>```python\nsearch_notes('Glass lunch')\n```"),
    ("react", DESK, DRAFT + 'Action: {"function_name": "search_notes", "arguments": {"query": "Glass lunch"}}'),
]
PLAIN = [
    ("text", "<think>\nhm\n</think>\n\nget 1 oak log"),
    ("text", "get 3 spruce log?\n</think>\n\nget 1 oak log"),
    ("react", "<think>\nMaybe Action: inventory?\n</think>\nThought: x\nAction: get 1 oak log"),
    ("code", "<think>\n```python\ninventory()\n```\n</think>\n\n```python\nget(item='oak log', count=1)\n```"),
    (
        "json",
        '<think>{"name": "inventory"}</think>{"name": "get", "arguments": {"item": "oak log", "count": 1}}',
    ),
]


def play(backend: Backend, env_id: str, format: str = "auto", turns: int = 1, **plan: Any) -> Trajectory:
    """Play one episode."""

    async def go() -> Trajectory:
        agent = LLMAgent(backend, format=format, sampling=Sampling())
        try:
            plans = [EpisodePlan("e1", env_id, plan.pop("env_kwargs", {}), seed=0, max_turns=turns, **plan)]
            (played,) = [trajectory async for trajectory in RolloutEngine(1).run(plans, agent)]
            return played
        finally:
            await agent.aclose()

    return asyncio.run(go())


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with AnsweringServer() as running:
        yield running


@pytest.fixture(params=CLIENTS)
def answering(request: pytest.FixtureRequest, server: AnsweringServer) -> Callable[[str], Backend]:
    """Return what makes a backend of one kind that always writes the same."""

    def make(text: str, finish: str = "stop") -> Backend:
        if request.param == "scripted":
            return ScriptedBackend(lambda asked: Generation(Message("assistant", text), finish))
        server.answer = lambda body: chat(text, finish)
        return make_backend(server.url, client=request.param, max_retries=0)

    return make


@pytest.mark.parametrize(("format", "env_id", "text"), INSIDE)
def test_a_call_that_was_only_thought_of_is_not_run(answering, format, env_id, text):
    played = play(answering(text), env_id, format, turns=2)
    assert played.outcome.error is None
    for step in played.steps:
        assert [one.name for one in step.action.tool_calls] == ["search_notes"]
        assert "delete_note" in step.action.reasoning or format == "code"
        assert "delete_note" not in step.action.content
    assert "Glass lunch" in played.final_observation


@pytest.mark.parametrize(("format", "text"), PLAIN)
def test_thinking_before_an_action_changes_nothing(answering, format, text):
    played = play(answering(text), CRAFT, format)
    assert played.final_observation == "Got 1 oak log"
    assert played.steps[0].action.reasoning


@pytest.mark.parametrize("client", ["openai", "aiohttp"])
@pytest.mark.parametrize(("format", "env_id", "text"), INSIDE + [(form, CRAFT, text) for form, text in PLAIN])
def test_reasoning_is_never_sent_back(server, client, format, env_id, text):
    server.answer = lambda body: chat(text)
    play(make_backend(server.url, client=client, max_retries=0), env_id, format, turns=2)
    sent = [message for message in server.received[1]["messages"] if message["role"] == "assistant"]
    assert sent
    for message in sent:
        assert "think" not in (message["content"] or "").lower()
        assert "delete_note" not in str(message)


@pytest.mark.parametrize("client", ["openai", "aiohttp"])
def test_parts_of_a_content_that_are_thinking_are_reasoning(server, client):
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": FIND}]}
    server.answer = lambda body: chat([thinking, {"type": "text", "text": "get 1 oak log"}])
    played = play(make_backend(server.url, client=client, max_retries=0), CRAFT, "text")
    assert (played.steps[0].action.reasoning, played.steps[0].action.content) == (FIND, "get 1 oak log")


def test_reasoning_reported_apart_and_reasoning_in_the_content_are_both_kept(server):
    server.answer = lambda body: chat(
        "<think>b</think>", finish="tool_calls", reasoning_content="a", tool_calls=[call("list_notes", "{}")]
    )
    (step,) = play(make_backend(server.url, max_retries=0), DESK).steps
    assert (step.action.reasoning, step.action.content) == ("a\n\nb", "")


CUTS = ["length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_length"]
BLOCKS = ["content_filter", "SAFETY", "content-filter", "refusal"]
FAULTS = ["error", "abort", "cancelled", "insufficient_system_resource"]


@pytest.mark.parametrize("finish", CUTS)
@pytest.mark.parametrize(
    ("format", "env_id", "text"),
    [
        ("auto", DESK, "Let me first look for the note that"),
        ("auto", DESK, FIND),
        ("hermes", DESK, FIND),
        ("code", DESK, "```python\nsearch_notes(query='Glass lunch')\n```"),
        ("json", DESK, '{"function_name": "final_answer", "arguments": {"answer": "It is in the"}}'),
        ("react", DESK, "Thought: it is done\nAction: It is in the"),
        ("text", CRAFT, "get 1 oak log"),
        ("text", CAR, "I will now switch the"),
        ("text", CAR, "```python\nvw.tailLight.switch(switch=False)\n```"),
        ("text", "palaestra/TwentyQuestions-v1", "Is it a"),
    ],
)
def test_a_cut_answer_is_no_answer_and_runs_nothing(answering, finish, format, env_id, text):
    if finish != "length" and format != "auto":
        return
    played = play(answering(text, finish), env_id, format, turns=3)
    assert played.outcome.error is None
    assert len(played.steps) == 3
    assert played.outcome.stop_reason == "max_rounds"
    for step in played.steps:
        assert step.finish_reason == step.action.finish_reason == "length"
        assert not step.action.content
        assert not step.action.tool_calls
        assert "cut off" in step.info["action_error"]
    assert "cut off" in played.final_observation
    summary = EpisodeSummary.of(played)
    assert summary.answer_faults == {"length": 3}
    assert summarize([played, played]).answers == "6 turns cut, 0 filtered, 0 empty"
    assert Trajectory.from_json(json.loads(json.dumps(played.to_json()))) == played


@pytest.mark.parametrize("client", ["openai", "aiohttp"])
def test_a_native_call_of_a_cut_answer_is_not_run_and_leaves_no_call_to_answer(server, client):
    native = call("add_note", '{"title": "x", "text": "abc"}')
    server.answer = lambda body: chat(None, "length", tool_calls=[native])
    played = play(make_backend(server.url, client=client, max_retries=0), DESK, turns=2)
    assert '"id"' not in played.final_observation
    assert "abc" in played.steps[0].action.raw
    assert [message["role"] for message in server.received[1]["messages"]][-2:] == ["assistant", "user"]
    assert not any(message.get("tool_calls") for message in server.received[1]["messages"])


@pytest.mark.parametrize("finish", [*BLOCKS, *FAULTS])
@pytest.mark.parametrize("text", ["", "It is done.", FIND])
def test_blocked_and_broken_answers_are_errors_of_the_model_and_never_play(answering, finish, text):
    played = play(answering(text, finish), DESK, turns=2)
    assert played.outcome.error is not None
    assert played.outcome.error.boundary == "model"
    assert not played.steps
    assert played.outcome.error.type == ("ContentFilterError" if finish in BLOCKS else "ModelError")
    wanted = "0 turns cut, 1 filtered, 0 empty" if finish in BLOCKS else "0 turns cut, 0 filtered, 0 empty"
    assert summarize([played]).answers == wanted


INSIDE_OK = [
    ({**chat(None, "error"), "error": {"code": 502, "message": "upstream"}}, True),
    ({**chat("It is done."), "error": {"code": 502, "message": "upstream"}}, True),
    ({"error": {"code": 429, "message": "slow down"}}, True),
    ({"error": {"code": "503", "message": "busy"}}, True),
    ({"error": {"message": "something"}, "choices": []}, True),
    ({"error": {"code": 401, "message": "no key"}}, False),
    ({"error": {"code": 400, "message": "bad"}}, False),
    (chat(None, "error"), True),
    (chat("It is", "abort"), True),
    (chat(None, "content_filter"), False),
]
for code, is_retried in ((502, True), (403, False), ("server_error", True)):
    whole = chat("It is done.")
    INSIDE_OK.append(({**whole, "choices": [{**whole["choices"][0], "error": {"code": code}}]}, is_retried))


@pytest.mark.parametrize("client", ["openai", "aiohttp"])
@pytest.mark.parametrize(("answer", "is_retried"), INSIDE_OK)
def test_errors_inside_a_good_status_are_errors_and_retried_where_that_helps(server, client, answer, is_retried):
    server.answer = lambda body: answer if len(server.received) == 1 else chat("It is done.")
    backend = make_backend(server.url, client=client, max_retries=1)
    played = play(backend, DESK)
    assert (played.outcome.error is None) == is_retried, played.outcome
    assert len(server.received) == 1 + is_retried


@pytest.mark.parametrize("client", ["openai", "aiohttp"])
def test_a_prompt_that_a_filter_refuses_is_counted_as_filtered(server, client):
    error = {"message": "The response was filtered due to the prompt.", "code": "content_filter", "status": 400}
    server.answer = lambda body: (400, {"error": error})
    played = play(make_backend(server.url, client=client, max_retries=2), DESK)
    assert played.outcome.error.type == "ContentFilterError"
    assert len(server.received) == 1


@pytest.mark.parametrize("text", ["", "  \n", "<think>hm</think>", "<think>hm"])
@pytest.mark.parametrize("format", ["tools", "hermes", "text"])
def test_empty_answers_are_counted_and_end_nothing(answering, format, text):
    played = play(answering(text), DESK, format, turns=2)
    assert len(played.steps) == 2
    assert [step.finish_reason for step in played.steps] == ["empty", "empty"]
    assert summarize([played]).answers == "0 turns cut, 0 filtered, 2 empty"
    car = play(answering(text), CAR, turns=2)
    assert not any(step.terminated or step.reward for step in car.steps)


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["stop", "tool_calls", "eos", "", "end_turn", "length"]))
def test_only_what_did_not_end_as_it_should_is_stored(content, reasoning, finish):
    agent = LLMAgent(ScriptedBackend(lambda asked: Generation(Message("assistant", content, reasoning=reasoning), finish)))
    agent.reset({"tools": (), "format": "text"})
    played = agent.act("go", {})
    stored = Message.from_json(json.loads(json.dumps(played.to_json())))
    assert stored == played
    if finish == "length":
        assert (stored.finish_reason, bool(stored.error), stored.raw) == ("length", True, split_reasoning(content)[1])
    else:
        assert ("finish_reason" in played.to_json()) == (not split_reasoning(content)[1].strip())


def test_cut_turns_of_foreign_environments_are_told_too():
    agent = LLMAgent(ScriptedBackend(lambda asked: Generation(Message("assistant", "wo"), "length")), format="text")
    (played,) = asyncio.run(_all(RolloutEngine(1).run([EpisodePlan("e", "tests/Parts-v0", {"n": 2}, seed=0)], agent)))
    assert [step.action.content for step in played.steps] == ["", ""]
    assert played.final_observation.startswith("Your answer was cut off")


class Parts(gymnasium.Env):
    """Pays 1/n a step and ends after n; knows nothing of this package."""

    observation_space = gymnasium.spaces.Text(100)
    action_space = gymnasium.spaces.Text(100)

    def __init__(self, n: int = 10, dtype: str = "float64") -> None:
        self.n, self.dtype = n, np.dtype(dtype).type

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.k = 0
        return "go", {}

    def step(self, action):
        self.k += 1
        return "ok", self.dtype(1 / self.n), self.k == self.n, False, {}


gymnasium.register("tests/Parts-v0", Parts)


async def _all(episodes):
    return [episode async for episode in episodes]


@settings(max_examples=30)
@given(st.integers(1, 300), st.sampled_from(["float64", "float32"]))
def test_rewards_that_add_up_to_one_are_a_success(n, dtype):
    agent = LLMAgent(ScriptedBackend(lambda asked: "x"), format="text")
    plan = EpisodePlan("e", "tests/Parts-v0", {"n": n, "dtype": dtype}, seed=0)
    (played,) = asyncio.run(_all(RolloutEngine(1).run([plan], agent)))
    assert played.outcome.success is True
    short = EpisodePlan("e", "tests/Parts-v0", {"n": n + 1, "dtype": dtype}, seed=0, max_turns=n)
    (cut,) = asyncio.run(_all(RolloutEngine(1).run([short], agent)))
    assert cut.outcome.success is False
