from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.wire import (
    clean_text,
    message_from_wire,
    message_to_wire,
    read_arguments,
    read_generation,
    request_body,
)
from palaestra.agents.core import Request, Sampling
from palaestra.errors import ModelError
from palaestra.types import Message, ToolCall
from tests.agents.backends.fault_server import chat_completion

TOOLS = ({"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}},)
ASK = Request((Message("user", "hello"),), tools=TOOLS)

text = st.text(max_size=30)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
names = st.text(st.sampled_from("abc_-1"), min_size=1, max_size=12)
own_fields = st.dictionaries(
    st.sampled_from(["extra_content", "reasoning_details", "thought_signature", "x"]),
    st.recursive(
        st.text(min_size=1) | st.integers(1),
        lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(text, inner, min_size=1, max_size=2),
    ),
    min_size=1,
    max_size=2,
)
attached = st.just({}) | own_fields.map(lambda fields: {"chat": fields})
attached_to_calls = attached | own_fields.map(lambda fields: {"chat": {"function": fields}})
drawn_calls = st.tuples(names, st.dictionaries(text, values, max_size=3), attached_to_calls)
calls = st.lists(drawn_calls, max_size=3).map(
    lambda rows: tuple(ToolCall(name, args, f"call_{n}", own) for n, (name, args, own) in enumerate(rows))
)
assistant = st.builds(Message, st.just("assistant"), text, calls, reasoning=text, provider=attached)
tool = st.builds(Message, st.just("tool"), text, tool_call_id=names, name=names)
spoken = st.builds(Message, st.sampled_from(["system", "user"]), text)
messages = assistant | tool | spoken


@settings(max_examples=150, deadline=None)
@given(messages)
def test_messages_survive_the_wire(message: Message) -> None:
    wire = message_to_wire(message, send_reasoning=True)
    assert message_from_wire(json.loads(json.dumps(wire))) == message


@given(st.text(), st.characters(categories=["Cs"]), st.text())
def test_a_lone_surrogate_is_replaced_and_the_text_around_it_stays(before: str, lone: str, after: str) -> None:
    assert clean_text(before + after) == before + after
    found = clean_text(before + lone + after)
    assert found.startswith(before)
    assert found.endswith(after)
    assert set(found[len(before) : len(found) - len(after)]) == {"\ufffd"}


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_text_can_be_encoded_and_read(content: str) -> None:
    wire = message_to_wire(Message("user", content))
    assert json.loads(json.dumps(wire, ensure_ascii=False).encode("utf-8"))["content"] == wire["content"]
    if content.encode("utf-8", "replace") == content.encode("utf-8", "surrogatepass"):
        assert wire["content"] == content


@settings(max_examples=100, deadline=None)
@given(text)
def test_arguments_on_the_wire_are_always_json(raw: str) -> None:
    wire = message_to_wire(Message("assistant", "", (ToolCall("look", raw, "c1"),)))
    json.loads(wire["tool_calls"][0]["function"]["arguments"])


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        values,
        lambda inner: st.fixed_dictionaries(
            {}, optional={"choices": st.lists(inner), "message": inner, "usage": inner, "content": inner, "tool_calls": inner}
        ),
    )
)
def test_any_json_is_a_generation_or_a_model_error(data: object) -> None:
    try:
        generation = read_generation(data, ASK)
    except ModelError:
        return
    assert generation.message.role in ("assistant", "user", "system", "tool")


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        (None, {}),
        ({"a": 1}, {"a": 1}),
        ("[1]", "[1]"),
        ('{"a": 1', '{"a": 1'),
        ('{"a": NaN}', '{"a": NaN}'),
        ("look", "look"),
    ],
)
def test_arguments_that_are_no_object_stay_as_the_model_wrote_them(raw: object, read: object) -> None:
    assert read_arguments(raw) == read


def test_an_answer_is_read_field_by_field() -> None:
    call = {"id": "abc", "type": "function", "function": {"name": "look", "arguments": '{"at": "door"}'}}
    data = chat_completion(None, finish_reason="tool_calls", tool_calls=[call], reasoning_content="hm")
    generation = read_generation(data, ASK)
    assert generation.message == Message("assistant", "", (ToolCall("look", {"at": "door"}, "abc"),), reasoning="hm")
    assert generation.finish_reason == "tool_calls"
    usage = generation.usage
    assert (usage.calls, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (1, 20, 8, 5)


@pytest.mark.parametrize("value", [None, "", [], {}, False, float("inf"), "\ud800"])
def test_fields_that_say_nothing_or_are_not_strict_json_are_not_kept(value: object) -> None:
    call = {"id": "c", "index": 0, "type": "function", "function": {"name": "look", "arguments": "{}", "extra": value}}
    data = chat_completion("hi", tool_calls=[{**call, "extra": value}], extra=value, refusal=None, annotations=[{"a": 1}])
    message = read_generation(data, ASK).message
    assert not message.provider
    assert not message.tool_calls[0].provider


def test_what_other_apis_attached_is_not_sent() -> None:
    call = ToolCall("look", {}, "c", {"google": {"signature": "x"}, "chat": {"extra_content": {"a": 1}}})
    wire = message_to_wire(Message("assistant", "hi", (call,), provider={"anthropic": {"blocks": [1]}}))
    assert set(wire) == {"role", "content", "tool_calls"}
    assert wire["tool_calls"][0] == {
        "id": "c",
        "type": "function",
        "function": {"name": "look", "arguments": "{}"},
        "extra_content": {"a": 1},
    }


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("[1]", "[1]"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("null", '"null"'),
        ('{"a": 1}', '"{\\"a\\": 1}"'),
        ("a é", '"a é"'),
        ("", '""'),
        ({"a": "é"}, '{"a": "é"}'),
        ({}, "{}"),
    ],
)
def test_arguments_go_back_as_json_whatever_they_were(arguments: Any, sent: str) -> None:
    wire = message_to_wire(Message("assistant", "", (ToolCall("look", arguments, "c"), ToolCall("", "x", "d"))))
    assert wire["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "look", "arguments": sent}},
        {"id": "d", "type": "function", "function": {"name": "unreadable_call", "arguments": '"x"'}},
    ]


def test_calls_without_or_with_repeated_ids_are_numbered() -> None:
    call = {"id": "x", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    data = chat_completion("", tool_calls=[call, call, {**call, "id": None}])
    assert [one.id for one in read_generation(data, ASK).message.tool_calls] == ["x", "call_1_1", "call_1_2"]


def test_tagged_calls_are_read_where_the_server_did_not() -> None:
    tagged = 'I look.\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
    generation = read_generation(chat_completion(tagged), ASK)
    assert generation.message.content == "I look."
    assert generation.message.raw == tagged
    assert [(call.name, bool(call.id)) for call in generation.message.tool_calls] == [("look", True)]
    assert generation.finish_reason == "tool_calls"


def test_tags_are_plain_text_where_no_tools_were_offered() -> None:
    tagged = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'
    assert read_generation(chat_completion(tagged), Request((Message("user", "hi"),))).message == Message("assistant", tagged)


def test_calls_read_from_text_go_back_as_text() -> None:
    played = Message("assistant", "I look.", (ToolCall("look", {"at": "door"}),))
    wire = message_to_wire(played)
    assert "tool_calls" not in wire
    assert '{"name": "look", "arguments": {"at": "door"}}' in wire["content"]


def test_sampling_has_the_names_of_the_api() -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=7, stop=("END",), seed=3, extra={"top_k": 5, "seed": None})
    body = request_body("m", Request((Message("user", "hi"),), sampling=sampling))
    assert {key: body[key] for key in ("temperature", "top_p", "max_tokens", "stop", "top_k")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop": ["END"],
        "top_k": 5,
    }
    assert "seed" not in body, "None in extra takes a field out"
    body = request_body(
        "m", Request((), sampling=Sampling(max_tokens=7)), max_tokens_field="max_completion_tokens", send_defaults=False
    )
    assert body == {"model": "m", "messages": [], "max_completion_tokens": 7}


def test_token_ids_are_read_as_vllm_reports_them() -> None:
    data = chat_completion("hi")
    data["prompt_token_ids"] = [1, 2, 3]
    data["choices"][0] |= {
        "token_ids": [7, 8],
        "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1}]},
        "stop_reason": None,
    }
    tokens = read_generation(data, ASK, return_tokens=True).tokens
    assert tokens is not None
    assert (tokens.prompt_ids, tokens.completion_ids, tokens.log_probs) == ((1, 2, 3), (7, 8), (-0.5, -1.0))
    assert tokens.stop == "eos"
    data["choices"][0]["stop_reason"] = "END"
    assert read_generation(data, ASK, return_tokens=True).tokens.stop == "stop_string"  # type: ignore[union-attr]


def test_text_alone_is_refused_where_tokens_are_needed() -> None:
    with pytest.raises(ModelError, match="not for policy gradients") as caught:
        read_generation(chat_completion("hi"), ASK, return_tokens=True)
    assert not caught.value.retryable


def test_as_many_log_probs_as_ids_are_needed() -> None:
    data = chat_completion("hi")
    data["prompt_token_ids"] = [1]
    data["choices"][0] |= {"token_ids": [7, 8], "logprobs": {"content": [{"logprob": -0.5}]}}
    with pytest.raises(ModelError, match="2 token ids but 1 log-probs"):
        read_generation(data, ASK, return_tokens=True)


@pytest.mark.parametrize("depth", [63, 64, 300, 900, 20_000])
def test_arguments_nested_too_deeply_stay_text(depth):
    text = f'{{"n": {"[" * depth}{"]" * depth}}}'
    assert (read_arguments(text) == text) == (depth + 1 > 64)
    lists = 0
    for _ in range(depth):
        lists = [lists]
    assert isinstance(read_arguments({"n": lists}), str) == (depth + 1 > 64)


def test_what_cannot_be_sent_costs_no_signature_next_to_it() -> None:
    details = [{"signature": "s", "n": float("inf"), "text": "half \ud83d"}, float("nan")]
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}, "extra_content": {"s": ["\ud83d"]}}
    message = read_generation(chat_completion("hi", tool_calls=[call], reasoning_details=details), ASK).message
    json.dumps(message.to_json(), allow_nan=False, ensure_ascii=False).encode()
    sent = message_to_wire(message)
    assert sent["reasoning_details"] == [{"signature": "s", "n": None, "text": "half ?"}, None]
    assert sent["tool_calls"][0]["extra_content"] == {"s": ["?"]}


@pytest.mark.parametrize(
    ("fields", "content", "reasoning"),
    [
        ({"reasoning_content": "a", "reasoning": "b"}, "hi", "a"),
        ({"reasoning_content": "", "reasoning": "b"}, "hi", "b"),
        ({"reasoning_content": None, "reasoning": None}, "hi", ""),
        ({"reasoning": ["x"]}, "hi", ""),
        ({"reasoning": [{"text": "a"}, {"text": "b"}, "c"]}, "hi", "ab"),
        ({"content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "hi"}]}, "hi", "t"),
        ({"content": [{"type": "reasoning", "text": "t"}, {"text": "hi"}]}, "hi", "t"),
        ({"content": [{"type": "redacted_thinking", "text": "t"}, {"text": "h"}, {"text": "i"}]}, "hi", "t"),
        ({"content": [{"type": "thinking", "thinking": [{"text": "t"}, 3]}, {"type": "thinking", "text": "u"}]}, "", "t\n\nu"),
        ({"content": [{"type": "thinking", "thinking": ""}, {"type": "thinking"}, {"text": 3}]}, "", ""),
        ({"content": [{"type": "thinking", "thinking": "t"}], "reasoning": "r"}, "", "r"),
        ({"content": None, "refusal": "no"}, "no", ""),
        ({"content": "", "refusal": [{"text": "no"}]}, "no", ""),
        ({"content": 7, "refusal": 8}, "", ""),
    ],
)
def test_what_was_thought_and_what_was_said_are_told_apart(fields: dict[str, Any], content: str, reasoning: str) -> None:
    message = message_from_wire({"role": "assistant", "content": "hi", **fields})
    assert (message.role, message.content, message.reasoning) == ("assistant", content, reasoning)


@pytest.mark.parametrize(
    ("data", "prompt", "said"),
    [
        ({"prompt_token_ids": [1, 2]}, (1, 2), ""),
        ({}, (7,), ""),
        ({"prompt_token_ids": [0]}, (0,), ""),
        ({"prompt_token_ids": [-1]}, None, "no token ids"),
        ({"prompt_token_ids": [1.0]}, None, "no token ids"),
        ({"prompt_token_ids": "12"}, None, "no token ids"),
        ({"token_ids": [1, -1]}, None, "no token ids"),
        ({"token_ids": None}, None, "no token ids"),
        ({"logprobs": None}, None, "no token ids"),
        ({"logprobs": {"content": None}}, None, "no token ids"),
        ({"token_ids": [3]}, None, "1 token ids but 2 log-probs"),
    ],
)
def test_tokens_are_ids_of_prompt_and_answer_with_a_log_prob_each(data: Any, prompt: Any, said: str) -> None:
    probs = {"content": [{"logprob": -0.5}, {"logprob": -1}]}
    choice = {
        "token_ids": [3, 4],
        "logprobs": probs,
        "prompt_token_ids": [7],
        "message": {"content": "hi"},
        "finish_reason": "stop",
    }
    top = {key: value for key, value in data.items() if key == "prompt_token_ids"}
    choice.update({key: value for key, value in data.items() if key != "prompt_token_ids"})
    body = {**top, "choices": [choice]}
    if said:
        with pytest.raises(ModelError, match=said):
            read_generation(body, ASK, return_tokens=True)
        assert read_generation(body, ASK).tokens is None
    else:
        tokens = read_generation(body, ASK, return_tokens=True).tokens
        assert tokens is not None
        assert (tokens.prompt_ids, tokens.completion_ids, tokens.log_probs, tokens.stop) == (
            prompt,
            (3, 4),
            (-0.5, -1.0),
            "eos",
        )


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        (ToolCall("look", {"at": "é"}, "c"), {"name": "look", "arguments": '{"at": "é"}'}),
        (ToolCall("look", "né", "c"), {"name": "look", "arguments": '"né"'}),
        (ToolCall("", {}, "c"), {"name": "unreadable_call", "arguments": "{}"}),
        (
            ToolCall("look", {}, "c", {"chat": {"function": {"signature": "S"}}}),
            {"name": "look", "arguments": "{}", "signature": "S"},
        ),
        (ToolCall("look", {}, "c", {"other": {"function": {"signature": "S"}}}), {"name": "look", "arguments": "{}"}),
    ],
)
def test_a_call_goes_back_with_what_its_provider_attached(call: ToolCall, sent: dict[str, Any]) -> None:
    message = Message("assistant", "", (call,))
    assert message_to_wire(message)["tool_calls"] == [{"id": "c", "type": "function", "function": sent}]
    extra = replace(call, provider={"chat": {**call.provider.get("chat", {}), "extra": 1}})
    function = {**sent, **call.provider.get("chat", {}).get("function", {})}
    assert message_to_wire(Message("assistant", "", (extra,)))["tool_calls"] == [
        {"id": "c", "type": "function", "function": function, "extra": 1}
    ]
