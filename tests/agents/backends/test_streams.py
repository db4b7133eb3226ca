"""Streams that nobody asked for are read as the answers that they make, through every API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.anthropic_sdk import read_message_json
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.google_sdk import read_content
from palaestra.agents.backends.openai_responses import read_response
from palaestra.agents.backends.streams import read_list, read_stream
from palaestra.agents.core import Generation, Request
from palaestra.agents.endings import check_ending
from palaestra.errors import ContentFilterError, ModelError
from palaestra.types import Message
from tests.agents.backends.provider_answers import MODELS, Answer, Call, backend_at
from tests.agents.backends.provider_server import Reply, provider_server

ASK = Request((Message("user", "hello"),))
END = Endpoint(name="stub", model="m", base_url="http://127.0.0.1:9/v1")
APIS = ("chat", "anthropic", "google", "responses")


def sse(events: Sequence[Any], *, named: bool = False, done: bool = False) -> bytes:
    """Write events as a server sends them."""
    lines = [": keep-alive\n\n"]
    for event in events:
        lines.append((f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\r\n\r\n")
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def read(api: str, data: Any) -> Generation:
    """Read an answer, as a body or as JSON, as the backend of an API does."""
    data = END.decode(data if isinstance(data, bytes) else json.dumps(data).encode())
    reader = {
        "chat": lambda: END.read_data(data, ASK),
        "anthropic": lambda: read_message_json(data, ASK),
        "google": lambda: read_content(data, ASK),
        "responses": lambda: read_response(END, data, ASK),
    }
    return check_ending(reader[api](), "stub")


def cut(text: str, step: int) -> list[str]:
    return [text[i : i + step] for i in range(0, len(text), step)]


def streamed(api: str, whole: Any, step: int) -> list[Any]:
    """Return the events in which an API sends an answer."""
    return {"chat": chunks, "anthropic": blocks, "google": contents, "responses": items}[api](whole, step)


def chunks(whole: Any, step: int) -> list[Any]:
    choice = whole["choices"][0]
    message = choice["message"]
    deltas: list[Any] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in cut(message["content"] or "", step)]
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {"name": function["name"], "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in cut(function["arguments"], step)
        ]
    events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    return [
        *events,
        {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}], "usage": whole["usage"]},
    ]


def blocks(whole: Any, step: int) -> list[Any]:
    start = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    events: list[Any] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(whole["content"]):
        key, kind, text = {
            "text": ("text", "text_delta", block.get("text")),
            "thinking": ("thinking", "thinking_delta", block.get("thinking")),
            "tool_use": ("partial_json", "input_json_delta", json.dumps(block.get("input"))),
        }[block["type"]]
        opening = {
            **block,
            **({"input": {}} if kind == "input_json_delta" else {key: ""}),
            **({"signature": ""} if "signature" in block else {}),
        }
        events.append({"type": "content_block_start", "index": index, "content_block": opening})
        deltas = [{"type": kind, key: piece} for piece in cut(text, step)]
        deltas += [{"type": "signature_delta", "signature": block["signature"]}] if "signature" in block else []
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    usage = {"output_tokens": whole["usage"]["output_tokens"]}
    events.append({"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"]}, "usage": usage})
    return [*events, {"type": "message_stop"}]


def contents(whole: Any, step: int) -> list[Any]:
    first = whole["candidates"][0]
    parts: list[Any] = []
    for part in first["content"]["parts"]:
        parts += [{**part, "text": piece} for piece in cut(part["text"], step)] if set(part) <= {"text", "thought"} else [part]
    events = [{"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]} for part in parts]
    last = {"candidates": [{"content": {"role": "model"}, "finishReason": first["finishReason"], "index": 0}]}
    return [*events, {**last, "usageMetadata": whole["usageMetadata"]}]


def items(whole: Any, step: int) -> list[Any]:
    events: list[Any] = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}}
    ]
    for index, item in enumerate(whole["output"]):
        events.append({"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    return [*events, {"type": f"response.{whole['status']}", "response": whole}]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
answers = st.builds(
    Answer,
    text=texts,
    calls=st.lists(
        st.builds(Call, st.sampled_from(["look", "get"]), st.dictionaries(texts, texts | st.integers(), max_size=2)),
        max_size=3,
    ),
)


@pytest.mark.parametrize("api", APIS)
@given(answer=answers, step=st.integers(1, 4))
def test_a_stream_is_read_as_the_answer_that_it_makes(api: str, answer: Answer, step: int) -> None:
    whole = answer.by(api)
    events = streamed(api, whole, step)
    assert read(api, sse(events, named=api in ("anthropic", "responses"), done=api == "chat")) == read(api, whole)


@pytest.mark.parametrize("api", APIS)
@given(answer=answers.filter(lambda answer: answer.text.strip() or answer.calls), step=st.integers(1, 4), data=st.data())
def test_a_stream_that_stops_early_was_broken_off(api: str, answer: Answer, step: int, data: st.DataObject) -> None:
    events = streamed(api, answer.by(api), step)
    ending = 2 if api == "anthropic" else 1
    left = data.draw(st.integers(1, len(events) - ending))
    with pytest.raises(ModelError, match="broke its answer off") as found:
        read(api, sse(events[:left]))
    assert found.value.retryable


@pytest.mark.parametrize("kind", MODELS)
def test_every_backend_reads_its_own_stream_at_once(kind: str) -> None:
    api = MODELS[kind][0]
    answer = Answer("It is done.", [Call()]).by(api)
    reply = Reply(sse(streamed(api, answer, 3)), headers={"Content-Type": "text/event-stream"})

    async def both(server: Any, good: list[Any]) -> list[Generation]:
        backend = backend_at(server, kind, retries=3)
        found = []
        for body in (reply, answer):
            good[0] = body
            found.append(await backend.generate(ASK))
        await backend.aclose()
        return found

    current: list[Any] = [None]
    with provider_server(lambda asked: current[0]) as server:
        one, other = asyncio.run(both(server, current))
        assert (one.message, one.finish_reason) == (other.message, other.finish_reason)
        assert (one.usage.prompt_tokens, one.usage.completion_tokens) == (7, 3)
        assert len(server.asked) == 2


ERROR_EVENTS = {
    "chat": {"error": {"code": 529, "message": "Overloaded"}},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "google": {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Overloaded"}},
    "responses": {"type": "error", "code": "server_error", "message": "Overloaded", "param": None},
}


@pytest.mark.parametrize("kind", ["openai", "litellm", "anthropic", "google", "responses"])
def test_an_error_among_the_events_counts_and_is_paid_for(kind: str) -> None:
    api = MODELS[kind][0]
    events = [*streamed(api, Answer("It is done.").by(api), 3), ERROR_EVENTS[api]]

    async def ask(server: Any) -> None:
        backend = backend_at(server, kind, retries=1)
        with pytest.raises(ModelError, match="Overloaded") as found:
            await backend.generate(ASK)
        await backend.aclose()
        assert found.value.usage is not None
        assert found.value.usage.prompt_tokens == 14

    with provider_server(lambda asked: Reply(sse(events))) as server:
        asyncio.run(ask(server))
        assert len(server.asked) == 2


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google", "responses"])
def test_a_stream_of_no_known_kind_is_one_clear_error(kind: str) -> None:
    async def ask(server: Any) -> None:
        backend = backend_at(server, kind, retries=3)
        with pytest.raises(ModelError, match=r"a stream of events, which was not asked for.*Turn streaming off"):
            await backend.generate(ASK)
        await backend.aclose()

    with provider_server(lambda asked: Reply(sse([{"type": "galaxy"}]))) as server:
        asyncio.run(ask(server))
        assert len(server.asked) == 1


def test_thinking_and_its_signature_come_back_whole() -> None:
    whole = Answer("Yes.", [Call()]).anthropic()
    whole["content"].insert(0, {"type": "thinking", "thinking": "I look first.", "signature": "SIG=="})
    made = read("anthropic", sse(blocks(whole, 2)))
    assert made == read("anthropic", whole)
    assert made.message.reasoning == "I look first."
    parts = Answer("Yes.").google()
    parts["candidates"][0]["content"]["parts"][:0] = [
        {"text": "I look.", "thought": True},
        {"text": "", "thoughtSignature": "S"},
    ]
    assert read("google", sse(contents(parts, 2))) == read("google", parts)


def chat_stream(*deltas: Any, finish: str = "stop") -> bytes:
    events: list[Any] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    return sse([*events, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}])


def call(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [fields]}


LOOK, REST = {"name": "look", "arguments": '{"q":'}, {"arguments": ' "a"}'}
WHOLE = {"name": "look", "arguments": '{"q": "a"}'}
PIECES = {
    "by index": ([call(index=0, id="a", function=LOOK), call(index=0, function=REST)], ["a"]),
    "by id alone": ([call(id="a", function=LOOK), call(id="a", function=REST)], ["a"]),
    "by id and index": ([call(index=0, id="a", function=LOOK), call(index=0, id="a", function=REST)], ["a"]),
    "by place": ([call(id="a", function=LOOK), call(function=REST)], ["a"]),
    "two by id": ([call(id="a", function=LOOK), call(id="b", function=WHOLE), call(id="a", function=REST)], ["a", "b"]),
    "two by place": ([call(function=LOOK), call(function=REST), call(function=WHOLE)], ["call_1_0", "call_1_1"]),
    "two of one index": ([call(index=0, id="a", function=WHOLE), call(index=0, id="b", function=WHOLE)], ["a", "b"]),
    "two of one id": ([call(index=0, id="a", function=WHOLE), call(index=1, id="a", function=WHOLE)], ["a", "call_1_1"]),
    "an empty id later": ([call(index=0, id="a", function=LOOK), call(index=0, id="", function={**REST, "name": ""})], ["a"]),
    "as older servers write": ([{"function_call": LOOK}, {"function_call": REST}], ["call_1_0"]),
}


@pytest.mark.parametrize("pieces", PIECES)
def test_pieces_of_calls_find_each_other(pieces: str) -> None:
    deltas, ids = PIECES[pieces]
    made = read("chat", chat_stream(*deltas, finish="tool_calls")).message
    assert [(one.id, one.name, one.arguments) for one in made.tool_calls] == [(name, "look", {"q": "a"}) for name in ids]


def part(text: str, kind: str = "text") -> dict[str, Any]:
    inner = [{"type": "text", "text": text}] if kind == "thinking" else text
    return {"content": [{"type": kind, kind: inner}]}


@pytest.mark.parametrize(
    "deltas",
    [
        [part("th", "thinking"), part("ink", "thinking"), part("hello "), {"content": "world"}],
        [part("think", "thinking"), part("hel"), part("lo "), part("world")],
        [{"content": ""}, part("think", "thinking"), {"content": "hello "}, part("world")],
        [{"content": None}, part("think", "thinking"), part("hello "), {"content": None}, part("world")],
    ],
)
def test_contents_may_be_lists(deltas: Any) -> None:
    made = read("chat", chat_stream({"role": "assistant"}, *deltas)).message
    assert (made.content, made.reasoning) == ("hello world", "think")


def test_fields_of_a_provider_that_are_lists_are_kept_whole() -> None:
    made = read(
        "chat",
        chat_stream(
            {"reasoning_details": [{"type": "reasoning.text", "text": "one ", "index": 0}]},
            {"reasoning_details": [{"type": "reasoning.text", "text": "two", "index": 0}]},
            {"reasoning_details": [{"type": "reasoning.text", "signature": "SIG", "index": 0}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "E", "index": 1}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "F"}]},
            {"content": "hi"},
        ),
    ).message
    assert made.provider["chat"]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "one two", "index": 0, "signature": "SIG"},
        {"type": "reasoning.encrypted", "data": "E", "index": 1},
        {"type": "reasoning.encrypted", "data": "F"},
    ]


NO_DELTA = {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]}


@pytest.mark.parametrize("more", [NO_DELTA, {"choices": [{"index": 0, "delta": None}]}, {"choices": []}, {"choices": [None]}])
def test_a_chunk_without_a_delta_changes_nothing(more: Any) -> None:
    events = chunks(Answer("hi").chat(), 1)
    for place in range(len(events) + 1):
        assert read("chat", sse([*events[:place], more, *events[place:]])).message.content == "hi"


def test_other_alternatives_are_left_out_and_a_whole_answer_may_be_one_event() -> None:
    events = chunks(Answer("hi").chat(), 1)
    others = [{"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}]
    assert read("chat", sse([*others, *events, *others])).message.content == "hi"
    assert read("chat", sse([Answer("hi").chat()])) == read("chat", Answer("hi").chat())


@pytest.mark.parametrize("api", APIS)
def test_an_answer_in_a_list_is_the_answer(api: str) -> None:
    whole = Answer("hi", [Call()]).by(api)
    assert read(api, [whole]) == read(api, whole)


def test_googles_stream_may_be_a_list() -> None:
    whole = Answer("It is done.", [Call()]).google()
    assert read("google", contents(whole, 4)) == read("google", whole)
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
    with pytest.raises(ContentFilterError):
        read("google", sse([blocked]))
    assert read_list([1, 2]) == [1, 2]


@given(
    st.lists(
        st.recursive(
            st.none() | st.integers() | st.sampled_from(["", "a", "text"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "choices",
                            "delta",
                            "index",
                            "content",
                            "tool_calls",
                            "function",
                            "id",
                            "type",
                            "candidates",
                            "parts",
                            "message",
                            "response",
                            "item",
                            "error",
                            "usage",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        max_size=4,
    )
)
def test_any_events_are_an_answer_or_an_error_of_the_model(events: list[Any]) -> None:
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    made = read_stream(body)
    assert made is None or isinstance(made, dict)
    for api in APIS:
        try:
            read(api, body or b"data: 1")
        except ModelError:
            continue


def test_a_deep_event_is_left_out() -> None:
    deep = b'data: {"choices":[{"delta":{"a":' + b"[" * 500 + b"]" * 500 + b"}}]}\n\n"
    assert read_stream(deep) is None
    assert read("chat", deep + sse(chunks(Answer("hi").chat(), 1))).message.content == "hi"


JOINED: dict[str, tuple[list[Any], Any]] = {
    "chat": (
        [
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "content_filter_results": {"hate": 1}}]},
            {"prompt_filter_results": [{"p": 1}], "choices": []},
            {"choices": [{"delta": {"content": "b", "name": "n"}, "finish_reason": "length", "native_finish_reason": "MAX"}]},
            {"choices": [{"index": None, "delta": {"content": "", "name": "m"}, "finish_reason": "stop"}]},
            {"choices": [{"native_finish_reason": "END", "delta": {}}], "usage": {"prompt_tokens": 3, "total": None}},
            {"choices": [], "usage": {"completion_tokens": 2}, "output_sensitive": True, "input_sensitive": False},
        ],
        {
            "prompt_filter_results": [{"p": 1}],
            "output_sensitive": True,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "ab", "name": "m"},
                    "finish_reason": "stop",
                    "content_filter_results": [{"hate": 1}],
                    "native_finish_reason": "END",
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        },
    ),
    "chat, whole messages": (
        [
            {"choices": [{"message": {"role": "assistant", "content": "first"}}]},
            {"choices": [{"message": {"role": "assistant", "content": "last"}}]},
        ],
        {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "last"}, "finish_reason": "error"}],
            "usage": None,
        },
    ),
    "anthropic": (
        [
            {
                "type": "message_start",
                "message": {"id": "m1", "model": "c", "stop_reason": None, "usage": {"input_tokens": 5}},
            },
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"at": 1}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"at": 2}}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "thinking_delta", "thinking": "hm"}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "S"}},
            {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "c"}},
            {"type": "content_block_delta", "index": 3, "delta": {"type": "galaxy_delta", "galaxy": "g", "n": 3}},
            {"type": "content_block_start", "index": 4, "content_block": {"type": "tool_use", "id": "t", "input": {}}},
            {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
            {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
            {"type": "content_block_start", "index": 5, "content_block": {"type": "tool_use", "id": "u", "input": {}}},
            {"type": "content_block_delta", "index": 5, "delta": {"type": "input_json_delta", "partial_json": '{"a"'}},
            {"type": "content_block_start", "index": 6, "content_block": {"type": "tool_use", "id": "v", "input": {}}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        ],
        {
            "type": "message",
            "role": "assistant",
            "id": "m1",
            "model": "c",
            "content": [
                {"type": "text", "text": "ab", "citations": [{"at": 1}, {"at": 2}]},
                {"type": "thinking", "thinking": "hm", "signature": "S"},
                {"type": "text", "text": "c"},
                {"type": "unknown", "galaxy": "g"},
                {"type": "tool_use", "id": "t", "input": {"a": 1}},
                {"type": "tool_use", "id": "u", "input": '{"a"'},
                {"type": "tool_use", "id": "v", "input": {}},
            ],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 7},
        },
    ),
    "google": (
        [
            {
                "candidates": [{"content": {"parts": [{"text": "a"}, {"text": "t", "thought": True}]}, "index": 0}],
                "responseId": "r",
            },
            {"candidates": [{"content": {"parts": [{"text": "u", "thought": True}, {"text": "b"}]}, "finishReason": None}]},
            {
                "candidates": [
                    {"content": {"parts": [{"text": "c"}, {"text": "d", "thoughtSignature": "S"}, {"text": "e"}, 3]}}
                ]
            },
            {"candidates": [{"finishReason": "STOP", "avgLogprobs": -1}], "usageMetadata": {"promptTokenCount": 4}},
        ],
        {
            "responseId": "r",
            "candidates": [
                {
                    "index": 0,
                    "content": {
                        "role": "model",
                        "parts": [
                            {"text": "a"},
                            {"text": "tu", "thought": True},
                            {"text": "bc"},
                            {"text": "d", "thoughtSignature": "S"},
                            {"text": "e"},
                            3,
                        ],
                    },
                    "finishReason": "STOP",
                    "avgLogprobs": -1,
                }
            ],
            "usageMetadata": {"promptTokenCount": 4},
        },
    ),
    "google, cut": (
        [{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}],
        {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}, "finishReason": "error"}],
            "usageMetadata": None,
        },
    ),
    "responses": (
        [
            {"type": "response.output_item.done", "item": {"type": "message", "id": "i"}},
            {"type": "response.output_item.done", "item": None},
            {"type": "response.incomplete", "response": {"status": "incomplete", "output": [], "usage": {"input_tokens": 1}}},
        ],
        {"status": "incomplete", "output": [{"type": "message", "id": "i"}], "usage": {"input_tokens": 1}},
    ),
    "responses, cut": (
        [
            {"type": "response.created", "response": {"status": "in_progress", "usage": {"input_tokens": 9}}},
            {"type": "response.output_item.done", "item": {"type": "message", "id": "i"}},
        ],
        {"status": "error", "output": [{"type": "message", "id": "i"}], "usage": {"input_tokens": 9}},
    ),
    "an error": (
        [
            {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}, "usageMetadata": {"promptTokenCount": 1}},
            {"type": "error", "error": {"message": "no"}},
        ],
        {
            "error": {"message": "no"},
            "usage": {"input_tokens": 5, "output_tokens": 2},
            "usageMetadata": {"promptTokenCount": 1},
        },
    ),
}


@pytest.mark.parametrize("name", JOINED)
def test_the_answer_of_a_stream_holds_exactly_what_its_events_say(name: str) -> None:
    events, whole = JOINED[name]
    assert read_stream(sse(events)) == whole
