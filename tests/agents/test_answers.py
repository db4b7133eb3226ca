"""Answers as models really write them, through every backend and format, in whole episodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from palaestra.agents.backends.registry import make_backend
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.core import Backend, Sampling
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
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
            from palaestra.agents.core import Generation

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
