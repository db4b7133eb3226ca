"""Reasoning goes back where a server asks for it, nowhere else, and a server that says which is believed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.reasoning_back import BLANK, Form, ReasoningBack
from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.core import Generation, Request
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout import EpisodePlan, RolloutEngine
from palaestra.errors import ContextWindowError, ModelError
from palaestra.types import Message, ToolCall, Trajectory
from tests.agents.backends.fault_server import chat_completion
from tests.agents.backends.provider_answers import CHATS, backend_at
from tests.agents.backends.provider_server import DESK, DESK_SEED, Asked, Reply, desk_turns, provider_server
from tests.agents.backends.test_wire import TOOLS

# in their own words
ASKING = [
    (
        400,
        "Missing `reasoning_content` field in the assistant message at message index 2. For more information, please refer "
        "to https://api-docs.deepseek.com/guides/thinking_mode#tool-calls",
    ),
    (400, "The `reasoning_content` in the thinking mode must be passed back to the API."),
    (400, "thinking is enabled but reasoning_content is missing in assistant tool call message at index 32"),
    (500, "400 thinking is enabled but reasoning_content is missing in assistant tool call message at index 50"),
]
FORBIDDEN = {"type": "extra_forbidden", "loc": ["body", "messages", 5, "assistant", "reasoning_content"]}
REFUSING = [
    (
        400,
        "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning_content' "
        "is unsupported)]",
    ),
    (422, json.dumps({"detail": [{**FORBIDDEN, "msg": "Extra inputs are not permitted"}]})),
    (400, "Invalid request: unknown field reasoning_content"),
]


def refusal(status: int, text: str) -> Reply:
    return Reply({"error": {"message": text, "type": "invalid_request_error", "code": "invalid_request_error"}}, status)


class Thinker:
    """Plays Desk and thinks in every turn; whether it takes a dialogue, `check` says."""

    def __init__(self, check: Callable[[list[dict[str, Any]]], Reply | None]) -> None:
        self.check = check
        self.turns = desk_turns()
        self.seen: list[list[dict[str, Any]]] = []

    def __call__(self, asked: Asked) -> Any:
        messages = asked.body["messages"]
        self.seen.append(messages)
        if (refused := self.check(messages)) is not None:
            return refused
        number = [m["role"] for m in messages].count("assistant")
        turn = self.turns[number]
        if isinstance(turn, str):
            return chat_completion(turn, reasoning_content=f"Turn {number}.")
        calls = [
            {
                "id": f"c{number}{n}",
                "type": "function",
                "function": {"name": c.name, "arguments": json.dumps(dict(c.arguments))},
            }
            for n, c in enumerate(turn)
        ]
        return chat_completion(None, finish_reason="tool_calls", tool_calls=calls, reasoning_content=f"Turn {number}.")


def play(server: Any, kind: str, **options: Any) -> Trajectory:
    async def go() -> Trajectory:
        agent = LLMAgent(backend_at(server, kind, **options))
        [played] = [t async for t in RolloutEngine(1).run([EpisodePlan("e", DESK, {}, seed=DESK_SEED)], agent)]
        await agent.aclose()
        return played

    return asyncio.run(go())


def said(messages: list[dict[str, Any]]) -> list[Any]:
    return [m.get("reasoning_content") for m in messages if m["role"] == "assistant"]


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize(("status", "text"), ASKING)
def test_a_server_that_asks_for_reasoning_gets_it_from_then_on(kind: str, status: int, text: str) -> None:
    thinker = Thinker(lambda messages: refusal(status, text) if None in said(messages) else None)
    with provider_server(thinker) as server:
        episode = play(server, kind)
    assert episode.outcome.success is True, episode.outcome
    assert [said(m) for m in thinker.seen] == [[], [None], ["Turn 0."], ["Turn 0.", "Turn 1."]], (
        "asked once more, then remembered"
    )


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize(("status", "text"), REFUSING)
def test_a_server_that_refuses_reasoning_is_asked_without_it_from_then_on(
    kind: str, status: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palaestra.agents.backends import reasoning_back

    monkeypatch.setattr(reasoning_back, "_known_form", lambda *known: Form.FILLED)
    thinker = Thinker(lambda messages: refusal(status, text) if any(said(messages)) else None)
    with provider_server(thinker) as server:
        episode = play(server, kind)
    assert episode.outcome.success is True, episode.outcome
    assert [said(m) for m in thinker.seen] == [[], ["Turn 0."], [None], [None, None]]


@pytest.mark.parametrize("kind", CHATS)
def test_a_server_that_says_nothing_of_it_gets_none(kind: str) -> None:
    thinker = Thinker(lambda messages: None)
    with provider_server(thinker) as server:
        assert play(server, kind).outcome.success is True
    assert [said(m) for m in thinker.seen] == [[], [None], [None, None]]


@pytest.mark.parametrize("kind", CHATS)
def test_the_option_sends_it_always_or_never(kind: str) -> None:
    for setting, first in ((True, "Turn 0."), (False, None)):
        thinker = Thinker(lambda messages: None)
        with provider_server(thinker) as server:
            assert play(server, kind, send_reasoning=setting).outcome.success is True
        assert said(thinker.seen[1]) == [first]
    status, text = ASKING[1]
    with provider_server(Thinker(lambda messages: refusal(status, text) if None in said(messages) else None)) as server:
        error = play(server, kind, send_reasoning=False).outcome.error
        assert len(server.asked) == 2
    assert error is not None
    assert "must be passed back" in error.message
    assert "possibly too long" not in error.message


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("litellm:deepseek/deepseek-reasoner", "Turn 0."),
        ("litellm:moonshot/kimi-k2-thinking", "Turn 0."),
        ("litellm:dashscope/qwen3-max", "Turn 0."),
        ("litellm:zai/glm-4.7", "Turn 0."),
        ("litellm:hosted_vllm/Qwen/Qwen3-8B", "Turn 0."),
        ("litellm:openai/gpt-test", None),
    ],
)
def test_known_models_get_it_through_litellm_from_the_first_call_on(model: str, sent: str | None) -> None:
    thinker = Thinker(lambda messages: None)

    async def go(url: str) -> Trajectory:
        agent = LLMAgent(make_bare_backend(model, base_url=url, api_key="k" * 9))
        [played] = [t async for t in RolloutEngine(1).run([EpisodePlan("e", DESK, {}, seed=DESK_SEED)], agent)]
        await agent.aclose()
        return played

    with provider_server(thinker) as server:
        assert asyncio.run(go(server.url)).outcome.success is True
    assert said(thinker.seen[1]) == [sent]
    assert len(thinker.seen) == 3


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("names", [("reasoning",), ("reasoning_content",), ("reasoning_content", "reasoning")])
def test_it_goes_back_under_the_name_under_which_it_came(kind: str, names: tuple[str, ...]) -> None:
    class Renamed(Thinker):
        def __call__(self, asked: Asked) -> Any:
            answer = super().__call__(asked)
            message = answer["choices"][0]["message"]
            message |= dict.fromkeys(names, message.pop("reasoning_content"))
            return answer

    thinker = Renamed(lambda messages: None)
    with provider_server(thinker) as server:
        assert play(server, kind, send_reasoning=True).outcome.success is True
    last = [m for m in thinker.seen[2] if m["role"] == "assistant"]
    assert [{key: m[key] for key in m if key.startswith("reasoning")} for m in last] == [
        dict.fromkeys(names, "Turn 0."),
        dict.fromkeys(names, "Turn 1."),
    ]


def test_the_name_that_a_server_asks_for_is_sent_whatever_it_says_itself() -> None:
    back = ReasoningBack(None, "m")
    back.note({"choices": [{"message": {"reasoning": "Hm.", "reasoning_content": None}}]})
    assert back.names == ("reasoning",)
    learn(back, ModelError(ASKING[0][1], status=400), "hi")
    assert back.names == ("reasoning_content", "reasoning")


@given(st.recursive(st.none() | st.text(max_size=3) | st.integers(), lambda inner: st.lists(inner, max_size=2)))
def test_an_answer_without_reasoning_teaches_no_name(odd: Any) -> None:
    back = ReasoningBack(None, "m")
    held = (
        {"choices": odd},
        {"choices": [odd]},
        {"choices": [{"message": odd}]},
        {"choices": [{"message": {"reasoning": []}}]},
    )
    for data in (odd, *held):
        back.note(data)
    assert back.names == ("reasoning_content",)


THOUGHT = (Message("user", "go"), Message("assistant", "", (ToolCall("look", {}, "c"),), reasoning="Hm."))


@pytest.mark.parametrize(
    ("model", "url", "provider", "form"),
    [
        ("deepseek-chat", "https://api.deepseek.com", "", Form.FILLED),
        ("anything", "https://api.deepseek.com/v1", "", Form.FILLED),
        ("kimi-k2.5", "https://api.moonshot.ai/v1", "", Form.FILLED),
        ("anything", "https://open.bigmodel.cn/api/paas/v4", "", Form.FILLED),
        ("anything", "https://api.z.ai/api/coding/paas/v4", "", Form.FILLED),
        ("qwen-max", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "", Form.FILLED),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507", "http://127.0.0.1:8000/v1", "", Form.FILLED),
        ("zai-org/GLM-4.6", "https://api.together.xyz/v1", "", Form.FILLED),
        ("anything", "", "deepseek", Form.FILLED),
        ("MiniMax-M2", "https://api.minimax.io/v1", "", Form.TAGS),
        ("MiniMaxAI/MiniMax-M2.5", "http://127.0.0.1:8000/v1", "", Form.TAGS),
        ("anything", "https://api.minimaxi.com/v1", "", Form.TAGS),
        ("anything", "", "minimax", Form.TAGS),
        ("gpt-5-mini", "https://api.openai.com/v1", "", Form.NONE),
        ("moonshotai/kimi-k2-instruct", "https://api.groq.com/openai/v1", "", Form.NONE),
        ("deepseek/deepseek-v3.2", "https://openrouter.ai/api/v1", "", Form.NONE),
        ("deepseek/deepseek-v3.2", "", "openrouter", Form.NONE),
        ("mistral-large", "https://api.mistral.ai/v1", "", Form.NONE),
        ("llama", "http://127.0.0.1:8000/v1", "", Form.NONE),
        ("anything", "https://notdeepseek.com.example/v1", "", Form.NONE),
    ],
)
def test_who_asks_for_it_is_known(model: str, url: str, provider: str, form: Form) -> None:
    back = ReasoningBack(None, model, url, provider)
    assert back.form(THOUGHT, True) is form
    assert back.form(THOUGHT, False) is Form.NONE, "without tools nothing is thought between calls"
    assert back.form(THOUGHT[:1], True) is Form.NONE, "a model that has not thought"
    assert ReasoningBack(True, model, url, provider).form(THOUGHT, False) is Form.FIELD
    assert ReasoningBack(False, model, url, provider).form(THOUGHT, True) is Form.NONE


def test_forms_on_the_wire() -> None:
    from palaestra.agents.backends.wire import request_body

    dialogue = (*THOUGHT, Message("tool", "ok", tool_call_id="c"), Message("assistant", "done", reasoning=""))
    sent = {form: request_body("m", Request(dialogue), send_reasoning=form)["messages"] for form in Form}
    assert [said(sent[form]) for form in Form] == [[None, None], ["Hm.", None], ["Hm.", BLANK], [None, None]]
    assert [m["content"] for m in sent[Form.TAGS]] == ["go", "<think>\nHm.\n</think>\n\n", "ok", "done"]
    assert {form: sent[form][1]["content"] for form in Form if form is not Form.TAGS} == dict.fromkeys(
        [Form.NONE, Form.FIELD, Form.FILLED], ""
    )


def answers(*outcomes: Any) -> Any:
    """Return a function that asks: each outcome is an error or what is answered."""
    asked: list[Form] = []

    async def ask(form: Form) -> Generation:
        asked.append(form)
        outcome = outcomes[len(asked) - 1]
        if isinstance(outcome, ModelError):
            raise outcome
        return Generation(Message("assistant", outcome))

    return ask, asked


REQUEST = Request(THOUGHT, tools=TOOLS)


def learn(back: ReasoningBack, *outcomes: Any) -> tuple[str, list[Form]]:
    ask, asked = answers(*outcomes)
    try:
        return asyncio.run(back.ask(REQUEST, ask)).message.content, asked
    except ModelError as error:
        return str(error), asked


def test_a_request_is_asked_at_most_twice_and_only_for_its_reasoning() -> None:
    wants = ModelError(ASKING[0][1], status=400)
    assert learn(ReasoningBack(None, "m"), wants, wants) == (ASKING[0][1], [Form.NONE, Form.FILLED])
    assert learn(ReasoningBack(None, "m"), ModelError("Bad request", status=400)) == ("Bad request", [Form.NONE])
    assert learn(ReasoningBack(None, "m"), ContextWindowError("long", status=400)) == ("long", [Form.NONE])
    busy = ModelError("rate limit of reasoning_content", status=429)
    assert learn(ReasoningBack(None, "m"), busy) == (str(busy), [Form.NONE])


@pytest.mark.parametrize(("status", "text"), REFUSING)
def test_an_option_that_a_server_refuses_is_an_error_and_is_not_overruled(status: int, text: str) -> None:
    back = ReasoningBack(True, "m")
    assert learn(back, ModelError(text, status=status)) == (text, [Form.FIELD])
    assert learn(back, "hi") == ("hi", [Form.FIELD])


@pytest.mark.parametrize(("status", "text"), ASKING)
def test_a_server_that_asks_for_what_it_has_been_sent_is_not_asked_without_it(status: int, text: str) -> None:
    back = ReasoningBack(None, "deepseek-chat")
    assert learn(back, ModelError(text, status=status)) == (text, [Form.FILLED])
    assert learn(back, "hi") == ("hi", [Form.FILLED])
    back = ReasoningBack(True, "m")
    assert learn(back, ModelError(text, status=status), "hi") == ("hi", [Form.FIELD, Form.FILLED]), "a blank where none is"


def test_what_was_learned_stays_where_the_second_request_fails_otherwise() -> None:
    wants, broken = ModelError(ASKING[0][1], status=400), ModelError("It broke.", status=500, retryable=True)
    back = ReasoningBack(None, "m")
    assert learn(back, wants, broken) == ("It broke.", [Form.NONE, Form.FILLED])
    assert learn(back, "hi") == ("hi", [Form.FILLED])
    back = ReasoningBack(None, "m")
    assert learn(back, wants, wants)[1] == [Form.NONE, Form.FILLED]
    assert learn(back, "hi") == ("hi", [Form.NONE]), "a server that refuses both has taught nothing"


@given(
    setting=st.sampled_from([None, True, False]),
    model=st.sampled_from(["m", "deepseek-chat", "MiniMax-M2"]),
    faults=st.lists(st.sampled_from([*ASKING, *REFUSING, (400, "Bad request"), (503, "busy")]), max_size=6),
)
def test_learning_ends_and_keeps_to_the_option(setting: bool | None, model: str, faults: list[tuple[int, str]]) -> None:
    back = ReasoningBack(setting, model)
    for status, text in faults:
        _, asked = learn(back, ModelError(text, status=status), "hi")
        assert 1 <= len(asked) <= 2
        assert len(set(asked)) == len(asked), "the same is not asked twice"
        if setting is False:
            assert asked == [Form.NONE]
        if setting is True:
            assert Form.NONE not in asked


def test_reasoning_that_goes_back_counts_as_tokens() -> None:
    long = (THOUGHT[0], Message("assistant", "", (ToolCall("look", {}, "c"),), reasoning="x" * 3500))
    with_it, without = ReasoningBack(None, "deepseek-chat"), ReasoningBack(None, "m")
    assert with_it.count_tokens(long) == without.count_tokens(long) + 1000
    for kind in CHATS:
        with provider_server(lambda asked: {}) as server:
            backend = backend_at(server, kind, send_reasoning=True)
        assert backend.count_tokens(long) == with_it.count_tokens(long), kind


def test_nothing_is_said_of_what_is_learned_but_the_fault_itself(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="palaestra"):
        learn(ReasoningBack(None, "m"), ModelError(ASKING[0][1], status=400), "hi")
    assert not caplog.records


ASKED, REFUSED = "reasoning_content is required", "unknown field reasoning_content"


@pytest.mark.parametrize(
    ("form", "said", "setting", "other"),
    [
        (Form.NONE, ASKED, None, Form.FILLED),
        (Form.TAGS, ASKED, True, Form.FILLED),
        (Form.FIELD, ASKED, None, Form.FILLED),
        (Form.FIELD, REFUSED, None, None),
        (Form.FILLED, ASKED, None, None),
        (Form.FILLED, ASKED, True, None),
        (Form.FILLED, REFUSED, True, None),
        (Form.FILLED, REFUSED, None, Form.NONE),
        (Form.NONE, ASKED, False, None),
        (Form.NONE, "no such model", None, None),
    ],
)
def test_a_refusal_leads_to_another_form_or_to_none(form: Form, said: str, setting: bool | None, other: Form | None) -> None:
    assert ReasoningBack(setting, "m")._other(form, ModelError(said, status=400)) is other
    assert ReasoningBack(setting, "m")._other(form, ModelError(said, status=429)) is None
