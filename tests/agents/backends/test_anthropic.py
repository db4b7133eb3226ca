from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.anthropic_sdk import MAX_TOKENS, messages_body, read_message_json
from palaestra.agents.backends.registry import make_backend, make_bare_backend
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.core import Generation, Request
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.errors import ConfigError, ContextWindowError, ModelError, UnsupportedMediaError, UsageError
from palaestra.media.making import wav_bytes
from palaestra.media.store import current_media
from palaestra.types import Message, ToolCall
from tests.agents.backends.provider_server import Asked, ProviderServer, Reply, desk_turns, picture, play_desk, provider_server
from tests.agents.backends.test_wire import TOOLS, names, text, values

ASK = Request((Message("system", "Be brief."), Message("user", "hello")), tools=TOOLS)
MODEL = "anthropic:claude-test"


def answer(content: list[dict[str, Any]], stop_reason: str = "end_turn", **usage: int) -> dict[str, Any]:
    """A message as Anthropic's API reference shows it."""
    return {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 7, **usage},
    }


def error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}


class Claude:
    """Plays Desk as the Messages API: it insists on what the API insists on, and that its own blocks come back untouched."""

    def __init__(self) -> None:
        self.turns = desk_turns()
        self.said: list[list[dict[str, Any]]] = []

    def __call__(self, asked: Asked) -> Any:
        body = asked.body
        assert asked.path == "/v1/messages"
        assert "sk-ant-test-000000" in (asked.headers.get("x-api-key"), asked.headers["authorization"].removeprefix("Bearer "))
        assert asked.headers["anthropic-version"]
        assert "stream" not in body
        assert body["max_tokens"] > 0
        self.check(body["messages"])
        number = sum(message["role"] == "assistant" for message in body["messages"])
        turn = self.turns[number]
        thought = {"type": "thinking", "thinking": f"Turn {number}.", "signature": f"EqQBCgIYAhIM{number}=="}
        hidden = {"type": "redacted_thinking", "data": f"EmwKAhgBEgy{number}"}
        if isinstance(turn, str):
            content = [thought, {"type": "text", "text": turn, "citations": None}]
        else:
            uses = [
                {"type": "tool_use", "id": f"toolu_{number}{n}", "name": call.name, "input": dict(call.arguments)}
                for n, call in enumerate(turn)
            ]
            content = [thought, {"type": "text", "text": "I look."}, hidden, *uses]
        self.said.append(content)
        return answer(content, "end_turn" if isinstance(turn, str) else "tool_use", cache_read_input_tokens=100 * number)

    def check(self, messages: list[dict[str, Any]]) -> None:
        roles = [message["role"] for message in messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"], roles
        for index, message in enumerate(messages):
            if message["role"] == "user":
                continue
            served = [{k: v for k, v in block.items() if v is not None} for block in self.said[index // 2]]
            assert message["content"] == served
            uses = [block["id"] for block in served if block["type"] == "tool_use"]
            results = messages[index + 1]["content"]
            assert [block["tool_use_id"] for block in results[: len(uses)]] == uses


def test_desk_is_played_with_parallel_calls_and_thinking() -> None:
    claude = Claude()
    with provider_server(claude) as server:
        episode = play_desk(MODEL, base_url=server.url, api_key="sk-ant-test-000000", thinking=2048)
    assert episode.outcome.success is True, episode.outcome
    assert [len(step.action.tool_calls) for step in episode.steps] == [2, 1, 0]
    assert [step.action.reasoning for step in episode.steps] == ["Turn 0.", "Turn 1.", "Turn 2."]
    usage = episode.usage
    assert (usage.calls, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (3, 36 + 300, 300, 21)
    first = server.asked[0].body
    assert first["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert first["max_tokens"] == MAX_TOKENS + 2048
    assert first["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert server.asked[2].body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    marks = json.dumps(server.asked[2].body).count("cache_control")
    assert marks == 2, "the API takes four marks at most"
    assert "sk-ant-test" not in json.dumps(episode.to_json())


async def ask(server: ProviderServer, request: Request = ASK, **options: Any) -> Generation:
    backend = make_bare_backend(MODEL, base_url=server.url, api_key="sk-ant-test-000000", **options)
    try:
        return await backend.generate(request)
    finally:
        await backend.aclose()


ERRORS: dict[str, tuple[Reply, bool, str]] = {
    "key": (Reply(error("authentication_error", "invalid x-api-key"), 401), False, "Check the API key"),
    "permission": (Reply(error("permission_error", "Your API key may not use this."), 403), False, "what it may use"),
    "model": (Reply(error("not_found_error", "model: claude-test"), 404), False, "the model's name"),
    "payment": (Reply(error("billing_error", "Please pay."), 402), False, "Check the API key and the credit of its account"),
    "credit": (Reply(error("invalid_request_error", "Your credit balance is too low."), 400), False, "credit balance"),
    "rate": (
        Reply(error("rate_limit_error", "This request would exceed your rate limit."), 429, {"retry-after": "7"}),
        True,
        "rate_limit_error",
    ),
    "api": (Reply(error("api_error", "Internal server error"), 500), True, "Internal server error"),
    "timeout": (Reply(error("timeout_error", "Request timed out"), 504), True, "timed out"),
    "overloaded": (Reply(error("overloaded_error", "Overloaded"), 529), True, "Overloaded"),
    "html": (Reply(b"<html>Bad gateway</html>", 502), True, "Bad gateway"),
    "no json": (Reply(b"<html>hello</html>"), True, "web page"),
    "no content": (Reply({"type": "message"}), True, "holds no content"),
    "moved": (Reply(b"", 307, {"Location": "http://elsewhere.invalid/v1/messages"}), False, "Redirects to another origin"),
    "large": (Reply(answer([{"type": "text", "text": "x" * 300_000}]), is_packed=True), True, "the limit is 200000"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_say_what_they_are_and_whether_to_try_again(name: str) -> None:
    reply, retryable, words = ERRORS[name]
    with provider_server(lambda asked: reply) as server:
        with pytest.raises(ModelError, match=words) as caught:
            await ask(server, max_response_bytes=200_000)
        assert len(server.asked) == 1, "the SDK's own retries are off"
    assert type(caught.value) is ModelError
    assert caught.value.retryable is retryable
    assert caught.value.retry_after_s == (7.0 if name == "rate" else None)
    assert "sk-ant-test-000000" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, "invalid_request_error", "prompt is too long: 215634 tokens > 200000 maximum"),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"),
        (413, "request_too_large", "Request exceeds the maximum size"),
    ],
)
async def test_a_prompt_that_is_too_long_ends_the_dialogue_not_the_run(status: int, kind: str, message: str) -> None:
    with provider_server(lambda asked: Reply(error(kind, message), status)) as server, pytest.raises(ContextWindowError):
        await ask(server)


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_stop_reasons_have_one_name_for_all_providers(stop_reason: str, finish: str) -> None:
    generation = read_message_json(answer([{"type": "text", "text": "I"}], stop_reason), ASK)
    assert generation.finish_reason == finish


async def test_what_the_server_asks_for_is_waited_for_and_the_answer_packed() -> None:
    replies = [
        Reply(error("rate_limit_error", "slow"), 429, {"retry-after": "0.2"}),
        Reply(error("overloaded_error", "Overloaded"), 529),
        Reply(
            answer([{"type": "text", "text": "hi"}], cache_read_input_tokens=5, cache_creation_input_tokens=3), is_packed=True
        ),
    ]
    with provider_server(lambda asked: replies[len(server.asked) - 1]) as server:
        prices = {"models": {"claude-*": {"prompt": 1e6, "cached": 0, "completion": 1}}}
        backend = make_backend(MODEL, base_url=server.url, api_key="k" * 20, prices=prices)
        backend.policy = RetryPolicy(first_wait_s=0.01)
        generation = await backend.generate(ASK)
        await backend.aclose()
    assert isinstance(backend, Reliable)
    assert generation.message.content == "hi"
    assert generation.usage.retries == 2
    assert generation.usage.prompt_tokens == 20
    assert generation.usage.cached_tokens == 5
    assert generation.usage.cost == pytest.approx(15.0, rel=1e-3)


async def test_tools_may_be_strict() -> None:
    with provider_server(lambda asked: answer([{"type": "text", "text": "hi"}])) as server:
        await ask(server, strict_tools=True)
    [tool] = server.asked[0].body["tools"]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False


def test_pictures_go_out_as_blocks_and_sounds_are_refused() -> None:
    tag = current_media().put(picture()).tag
    shown = Message.of_text("user", f"See {tag}")
    result = Message.of_text("tool", f"It shows {tag}", tool_call_id="c1", name="look")
    called = Message("assistant", "", (ToolCall("look", {}, "c1"),))
    body = messages_body("m", Request((shown, called, result)))
    blocks = body["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["text", "image"]
    assert blocks[1]["source"]["media_type"] == "image/png"
    [answered] = body["messages"][2]["content"]
    assert [block["type"] for block in answered["content"]] == ["text", "image"]
    import numpy as np

    sound = current_media().put(wav_bytes(np.zeros(10, np.int16), 16_000))
    with pytest.raises(UnsupportedMediaError, match="audio/wav"):
        messages_body("m", Request((Message.of_text("user", sound.tag),)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_cache": "5m"}, "expected one of auto, 1h, off"),
        ({"thinking": 5}, "from 1024"),
        ({"clint": 1}, "Unknown option"),
        ({"path": "/x"}, "Unknown option"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_bare_backend(MODEL, api_key="k", **options)


def test_a_key_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    with pytest.raises(UsageError, match="ANTHROPIC_API_KEY"):
        make_bare_backend(MODEL)
    with pytest.raises(UsageError, match="names no model"):
        make_bare_backend("anthropic:")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-111111")
    assert "sk-ant" not in repr(make_bare_backend(MODEL).endpoint)  # type: ignore[attr-defined]


opaque = st.dictionaries(names, values, max_size=2).map(
    lambda own: {"type": "thinking", "thinking": "t", "signature": "s", **own}
)
written = text.filter(lambda value: bool(value.strip()) and split_reasoning(value)[1] == value)
arguments = st.dictionaries(text, values, max_size=2)
uses = st.tuples(names, arguments).map(lambda pair: {"type": "tool_use", "name": pair[0], "input": pair[1]})
blocks = st.lists(opaque | written.map(lambda value: {"type": "text", "text": value}) | uses, min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(blocks)
def test_what_the_model_wrote_goes_back_untouched_and_in_its_order(content: list[dict[str, Any]]) -> None:
    for index, block in enumerate(content):
        if block["type"] == "tool_use":
            block["id"] = f"toolu_{index}"
    message = read_message_json(answer(content), ASK).message
    stored = Message.from_json(json.loads(json.dumps(message.to_json())))
    assert stored == message
    sent = messages_body("m", Request((Message("user", "x"), stored)), prompt_cache="off")["messages"][1]["content"]
    assert sent == content


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        values,
        lambda inner: st.dictionaries(st.sampled_from(["content", "type", "text", "usage"]), inner) | st.lists(inner),
        max_leaves=6,
    )
)
def test_no_answer_breaks_the_reader(data: Any) -> None:
    try:
        generation = read_message_json(data, ASK)
    except ModelError:
        return
    assert isinstance(generation, Generation)
    assert isinstance(data, Mapping)


def test_what_was_thought_in_tags_is_no_content_and_what_is_opaque_still_goes_back() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": "s"}
    message = read_message_json(answer([thought, {"type": "text", "text": "<think>hm</think>yes"}]), ASK).message
    assert (message.reasoning, message.content) == ("hm", "yes")
    sent = messages_body("m", Request((Message("user", "x"), message)), prompt_cache="off")["messages"][1]["content"]
    assert sent == [thought, {"type": "text", "text": "yes"}]


THOUGHT = {"type": "thinking", "thinking": "t", "signature": "s"}


def sent_back(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the turns that follow an answer which the dialogue keeps."""
    message = read_message_json(answer(content), ASK).message
    told = [Message("tool", f"of {n}", tool_call_id=call.id) for n, call in enumerate(message.tool_calls)]
    return messages_body("m", Request((Message("user", "x"), message, *told)), prompt_cache="off")["messages"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["", "a.1", "a:1", "a_1", "a_1_2", "é", "ü", "_", "call_2_1", "t", "\ud83d", None]), min_size=1)
)
def test_ids_of_calls_are_unique_in_the_characters_that_are_sent(ids: list[Any]) -> None:
    content = [THOUGHT, *({"type": "tool_use", "id": name, "name": "get", "input": {"n": n}} for n, name in enumerate(ids))]
    _, said, told = sent_back(content)
    uses = said["content"][1:]
    assert len({use["id"] for use in uses}) == len(ids)
    assert all(re.fullmatch("[A-Za-z0-9_-]+", use["id"]) for use in uses)
    assert [use["input"]["n"] for use in uses] == list(range(len(ids)))
    assert [(block["tool_use_id"], block["content"][0]["text"]) for block in told["content"]] == [
        (use["id"], f"of {n}") for n, use in enumerate(uses)
    ]
    known = read_message_json(answer(content), ASK).message.tool_calls
    assert len({call.id for call in known}) == len(ids)
    json.dumps([call.to_json() for call in known], ensure_ascii=False).encode()


ODD = [
    {**THOUGHT, "thinking": "half \ud83d of it"},
    {**THOUGHT, "more": [float("inf"), {"a": -float("inf"), "\udc00": 1}]},
    {"type": "redacted_thinking", "data": "\udfff\ud800"},
    {**THOUGHT, "deep": json.loads("[" * 200 + "]" * 200)},
]


@pytest.mark.parametrize("block", ODD)
async def test_blocks_that_no_strict_json_holds_are_stored_and_go_back_as_they_came(block: dict[str, Any]) -> None:
    use = {"type": "tool_use", "id": "t1", "name": "get", "input": {}, "own": block}
    text_block = {"type": "text", "text": "é ", "citations": [block]}
    content = [block, text_block, block, use]
    body = json.dumps(answer(content, "tool_use")).replace("Infinity", "1e999").encode()
    answers = iter([Reply(body), answer([{"type": "text", "text": "done"}])])
    with provider_server(lambda _: next(answers)) as server:
        message = (await ask(server)).message
        line = json.dumps(message.to_json(), allow_nan=False, ensure_ascii=False).encode()
        stored = Message.from_json(json.loads(line))
        result = Message("tool", "ok", tool_call_id=stored.tool_calls[0].id)
        await ask(server, Request((*ASK.messages, stored, result), tools=TOOLS))
        assert server.asked[1].body["messages"][1]["content"] == content


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["", " ", "a", "b \n", "<think>", "</think>", "x<think>hm</think>y", "\n\n", 1, 2]), max_size=8)
)
def test_what_is_thought_in_tags_leaves_the_order_of_blocks(items: list[Any]) -> None:
    content: list[dict[str, Any]] = []
    for n, item in enumerate(items):
        if isinstance(item, str):
            content.append({"type": "text", "text": item})
        else:
            use = {"type": "tool_use", "id": f"t{n}", "name": "get", "input": {"n": n}}
            content.append({**THOUGHT, "signature": f"s{n}"} if item == 1 else use)
    message = read_message_json(answer(content), ASK).message
    assert message.content == split_reasoning("".join(item for item in items if isinstance(item, str)))[1]
    _, said, *_ = sent_back(content)
    others = [block for block in content if block["type"] != "text"]
    assert [block for block in said["content"] if block["type"] != "text"] == others
    shown = "".join(block["text"] for block in said["content"] if block["type"] == "text" and block["text"] != "(empty)")
    assert shown.split() == message.content.split()
    assert [block for block in said["content"] if block["type"] != "text" or block["text"] != "(empty)"] or not others


def test_texts_stay_between_the_blocks_where_they_stood() -> None:
    one, two = {**THOUGHT, "signature": "1"}, {**THOUGHT, "signature": "2"}
    texts = [{"type": "text", "text": value} for value in ("<think>hm</think>First.", "Second.")]
    _, said = sent_back([one, texts[0], two, texts[1]])
    assert said["content"] == [one, {"type": "text", "text": "First."}, two, texts[1]]


@pytest.mark.parametrize(
    "cut", [{**THOUGHT, "signature": ""}, {"type": "thinking", "thinking": "so"}, {"type": "redacted_thinking"}]
)
def test_thinking_that_was_cut_does_not_go_back(cut: dict[str, Any]) -> None:
    _, said = sent_back([cut])
    assert said["content"] == [{"type": "text", "text": "(empty)"}]
    _, said = sent_back([THOUGHT, {"type": "text", "text": "yes"}, cut])
    assert said["content"] == [THOUGHT, {"type": "text", "text": "yes"}]


@pytest.mark.parametrize("content", ["", "I look. And more.", "Other."])
def test_a_text_that_was_changed_goes_back_whole_behind_what_is_opaque(content: str) -> None:
    use = {"type": "tool_use", "id": "t1", "name": "get", "input": {}}
    message = read_message_json(answer([{"type": "text", "text": "I look."}, THOUGHT, use]), ASK).message
    changed = replace(message, content=content)
    sent = messages_body("m", Request((Message("user", "x"), changed)), prompt_cache="off")["messages"][1]["content"]
    assert sent == [THOUGHT, *([{"type": "text", "text": content}] if content else []), use]


@pytest.mark.parametrize("parameters", [{}, {"parameters": None}, {"parameters": {}}])
def test_a_tool_without_parameters_takes_an_empty_object(parameters: dict[str, Any]) -> None:
    function: dict[str, Any] = {"name": "wait", **parameters}
    request = Request((Message("user", "go"),), tools=({"type": "function", "function": function},))
    tool: Any
    (tool,) = messages_body("m", request)["tools"]
    assert {key: value for key, value in tool.items() if key != "cache_control"} == {
        "name": "wait",
        "description": "",
        "input_schema": {"type": "object", "properties": {}},
    }
