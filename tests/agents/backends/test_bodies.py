"""One dialogue as each API takes it, to the last field, and one answer of each as it is read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from palaestra.agents.backends.anthropic_sdk import MAX_TOKENS, messages_body, read_message_json
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.google_sdk import content_body, read_content
from palaestra.agents.backends.openai_responses import read_response, responses_body
from palaestra.agents.backends.wire import read_generation, request_body
from palaestra.agents.core import Generation, Request, Sampling
from palaestra.media.store import MemoryMedia, current_media, use_media
from palaestra.types import Message, ToolCall, Usage
from tests.agents.backends.provider_server import picture

ENDPOINT = Endpoint(name="m", model="m1", base_url="http://127.0.0.1:9/v1")
AT = {"type": "object", "properties": {"at": {"type": "string"}}}
NONE: dict[str, Any] = {"type": "object", "properties": {}}
TOOLS = (
    {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": AT}},
    {"type": "function", "function": {"name": "wait"}},
)
SAMPLING = Sampling(
    temperature=0.5, top_p=0.9, max_tokens=77, stop=("END", "\ud800"), seed=3, extra={"service_tier": "flex", "user": None}
)
DATA = base64.b64encode(picture()).decode()
URL = f"data:image/png;base64,{DATA}"
LOST = "\ufffd" * 3  # a lone surrogate, as UTF-8 cannot carry it


@pytest.fixture(autouse=True)
def media() -> Any:
    with use_media(MemoryMedia()) as kept:
        yield kept


def asked(**sampling: Any) -> Request:
    tag = current_media().put(picture()).tag
    dialogue = (
        Message("system", "Be brief."),
        Message("system", " "),
        Message.of_text("user", f"See {tag} there"),
        Message(
            "assistant", "I look.", (ToolCall("look", {"at": "é"}, "c1"), ToolCall("ns.go", "up", "c:2")), reasoning="Hm."
        ),
        Message("tool", "a cup\ud800", tool_call_id="c1", name="look"),
        Message.of_text("tool", f"or {tag}{tag}", tool_call_id="c:2"),
        Message("user", "And?"),
        Message("assistant", "", (ToolCall("look", {}),), raw="<tool_call>look"),  # read from text, so it goes back as text
        Message("user", " "),
        Message("system", "Hurry."),
        Message("user", "End.\ud800"),
    )
    return Request(dialogue, tools=TOOLS, sampling=replace(SAMPLING, **sampling))


def test_anthropic() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
    results = [
        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": f"a cup{LOST}"}]},
        {"type": "tool_result", "tool_use_id": "c_2", "content": [{"type": "text", "text": "or "}, image, image]},
    ]
    calls = [
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "é"}},
        {"type": "tool_use", "id": "c_2", "name": "ns_go", "input": {"arguments": "up"}},
    ]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    body = messages_body("m1", asked(), thinking=thinking)
    assert body == {
        "model": "m1",
        "max_tokens": 77,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "See "}, image, {"type": "text", "text": " there"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, *calls]},
            {"role": "user", "content": [*results, {"type": "text", "text": "And?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "<tool_call>look"}]},
            {"role": "user", "content": [{"type": "text", "text": f"End.{LOST}", **mark}]},
        ],
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Hurry.", **mark}],
        "tools": [
            {"name": "look", "description": "Look.", "input_schema": AT},
            {"name": "wait", "description": "", "input_schema": NONE},
        ],
        "thinking": thinking,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop_sequences": ["END", LOST],
        "service_tier": "flex",
    }
    hour = messages_body("m1", asked(), prompt_cache="1h")
    assert hour["system"][-1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert "cache_control" not in json.dumps(messages_body("m1", asked(), prompt_cache="off"))


def test_google() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": DATA}}
    results = [
        {"functionResponse": {"name": "look", "response": {"output": f"a cup{LOST}"}}},
        {"functionResponse": {"name": "ns_go", "response": {"output": "or (image 1)(image 2)"}}},
    ]
    calls = [
        {"functionCall": {"name": "look", "args": {"at": "é"}}},
        {"functionCall": {"name": "ns_go", "args": {"arguments": "up"}}},
    ]
    labelled = [{"text": "Image 1 of ns.go:"}, image, {"text": "Image 2 of ns.go:"}, image]
    declared = [
        {"name": "look", "description": "Look.", "parametersJsonSchema": AT},
        {"name": "wait", "description": ""},
    ]
    body = content_body(asked(extra={"service_tier": "flex", "generationConfig": {"topK": 4}}), strict=True)
    assert body == {
        "contents": [
            {"role": "user", "parts": [{"text": "See "}, image, {"text": " there"}]},
            {"role": "model", "parts": [{"text": "I look."}, *calls]},
            {"role": "user", "parts": [*results, *labelled, {"text": "And?"}]},
            {"role": "model", "parts": [{"text": "<tool_call>look"}]},
            {"role": "user", "parts": [{"text": " "}, {"text": f"End.{LOST}"}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": " "}, {"text": "Hurry."}]},
        "tools": [{"functionDeclarations": declared}],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.9,
            "maxOutputTokens": 77,
            "stopSequences": ["END", LOST],
            "seed": 3,
            "topK": 4,
        },
        "service_tier": "flex",
    }
    assert "toolConfig" not in content_body(asked())
    assert "generationConfig" not in content_body(asked(extra={"generationConfig": None}))


def test_openai_responses() -> None:
    image = {"type": "input_image", "image_url": URL, "detail": "auto"}
    body = responses_body(ENDPOINT, asked(stop=(), extra={"reasoning": {"effort": "low"}, "top_p": None}))
    assert body == {
        "model": "m1",
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": " "},
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "See "}, image, {"type": "input_text", "text": " there"}],
            },
            {"role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": "é"}'},
            {"type": "function_call", "call_id": "c:2", "name": "ns_go", "arguments": '{"arguments": "up"}'},
            {"type": "function_call_output", "call_id": "c1", "output": f"a cup{LOST}"},
            {
                "type": "function_call_output",
                "call_id": "c:2",
                "output": [{"type": "input_text", "text": "or "}, image, image],
            },
            {"role": "user", "content": "And?"},
            {"role": "assistant", "content": "<tool_call>look"},
            {"role": "user", "content": " "},
            {"role": "system", "content": "Hurry."},
            {"role": "user", "content": f"End.{LOST}"},
        ],
        "store": False,
        "tools": [
            {"type": "function", "name": "look", "description": "Look.", "parameters": AT, "strict": False},
            {"type": "function", "name": "wait", "description": "", "parameters": NONE, "strict": False},
        ],
        "temperature": 0.5,
        "max_output_tokens": 77,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low"},
    }
    strict = responses_body(replace(ENDPOINT, strict_tools=True), asked(stop=()))["tools"]
    closed = {"type": "object", "properties": {"at": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "required": ["at"]}
    assert strict[0] | {"description": ""} == {
        "type": "function",
        "name": "look",
        "description": "",
        "parameters": closed | {"additionalProperties": False},
        "strict": True,
    }


def test_chat_completions() -> None:
    image = {"type": "image_url", "image_url": {"url": URL}}
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "é"}'}},
        {"id": "c:2", "type": "function", "function": {"name": "ns.go", "arguments": '"up"'}},
    ]
    labelled = [{"type": "text", "text": "Image 1:"}, image, {"type": "text", "text": "Image 2:"}, image]
    body = request_body("m1", asked(), send_reasoning=True, return_tokens=True)
    assert body == {
        "model": "m1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": " "},
            {"role": "user", "content": [{"type": "text", "text": "See "}, image, {"type": "text", "text": " there"}]},
            {"role": "assistant", "content": "I look.", "tool_calls": calls, "reasoning_content": "Hm."},
            {"role": "tool", "content": f"a cup{LOST}", "tool_call_id": "c1", "name": "look"},
            {"role": "tool", "content": "or (image 1)(image 2)", "tool_call_id": "c:2"},
            {"role": "user", "content": [*labelled, {"type": "text", "text": "And?"}]},
            {"role": "assistant", "content": "<tool_call>look"},
            {"role": "user", "content": " "},
            {"role": "system", "content": "Hurry."},
            {"role": "user", "content": f"End.{LOST}"},
        ],
        "tools": list(TOOLS),
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 77,
        "stop": ["END", LOST],
        "seed": 3,
        "logprobs": True,
        "top_logprobs": 0,
        "return_token_ids": True,
        "service_tier": "flex",
    }
    assert "reasoning_content" not in json.dumps(request_body("m1", asked()))


Body = Callable[[Request], dict[str, Any]]
PLAIN: dict[str, tuple[Body, dict[str, Any]]] = {
    "anthropic": (
        lambda request: messages_body("m1", request),
        {
            "model": "m1",
            "max_tokens": MAX_TOKENS,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        },
    ),
    "google": (content_body, {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
    "responses": (
        lambda request: responses_body(ENDPOINT, request),
        {
            "model": "m1",
            "input": [{"role": "user", "content": "hi"}],
            "store": False,
            "include": ["reasoning.encrypted_content"],
        },
    ),
    "chat": (
        lambda request: request_body("m1", request),
        {"model": "m1", "messages": [{"role": "user", "content": "hi"}], "temperature": 1.0, "top_p": 1.0},
    ),
    "chat at OpenAI": (
        lambda request: request_body("m1", request, send_defaults=False),
        {"model": "m1", "messages": [{"role": "user", "content": "hi"}]},
    ),
}


@pytest.mark.parametrize("api", PLAIN)
def test_a_plain_question_is_sent_with_nothing_that_was_not_asked_for(api: str) -> None:
    build, expected = PLAIN[api]
    assert build(Request((Message("user", "hi"),))) == expected


def test_thinking_adds_its_budget_to_a_limit_that_is_ours_and_an_empty_dialogue_is_marked_nowhere() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2048}
    assert messages_body("m1", Request((Message("user", "hi"),)), thinking=thinking)["max_tokens"] == MAX_TOKENS + 2048
    assert messages_body("m1", Request(()), prompt_cache="1h") == {"model": "m1", "max_tokens": MAX_TOKENS, "messages": []}
    assert messages_body("m1", Request((Message("user", " "),)))["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "(empty)"}]}
    ]
    body = messages_body("m1", Request((Message("tool", "", tool_call_id="c"),), tools=TOOLS[:1]))
    mark = {"type": "ephemeral"}
    assert body["tools"][-1]["cache_control"] == mark
    assert body["messages"] == [
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": "(empty)", "cache_control": mark}],
        }
    ]
    assert content_body(Request((Message("user", ""),)))["contents"] == [{"role": "user", "parts": [{"text": " "}]}]


READ = Request((Message("user", "x"),) * 3, tools=TOOLS)
TEXT = f"I look.{LOST}"


def test_an_answer_of_anthropic() -> None:
    thoughts = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "thinking", "thinking": "So.", "signature": "t"},
    ]
    data = {
        "content": [
            *thoughts,
            {"type": "text", "text": "I look.\ud800", "citations": [1], "nothing": None},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}, "caller": {"type": "direct"}, "nothing": []},
            {"type": "tool_use", "id": "t1", "name": "go", "input": {}},
            {"type": "text", "text": "b"},
        ],
        "stop_reason": None,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 7},
    }
    calls = (ToolCall("look", {"at": 1}, "t1", {"anthropic": {"caller": {"type": "direct"}}}), ToolCall("go", {}, "call_3_5"))
    order = [["opaque", one] for one in thoughts]
    order += [["text", len(TEXT), {"citations": [1]}], ["call", 0], ["call", 1], ["text", 1]]
    message = Message("assistant", f"{TEXT}b", calls, reasoning="Hm.\n\nSo.", provider={"anthropic": order})
    usage = Usage(calls=1, prompt_tokens=18, cached_tokens=5, completion_tokens=7)
    assert read_message_json(data, READ) == Generation(message, "tool_calls", usage)
    said = {"content": [{"type": "text", "text": "b"}], "stop_reason": "pause_turn"}
    assert read_message_json(said, READ) == Generation(Message("assistant", "b"), "pause_turn", Usage(calls=1))
    assert read_message_json({**said, "stop_reason": None}, READ).finish_reason == "stop"


def test_an_answer_of_google() -> None:
    parts: list[Any] = [
        {"text": "Hm.", "thought": True},
        {"text": " So.", "thought": True, "thoughtSignature": "s"},
        {"text": "I look.\ud800", "thoughtSignature": "t"},
        {"functionCall": {"name": "look", "args": {"at": 1}, "id": "t1"}, "thoughtSignature": "u"},
        {"functionCall": {"name": "go", "id": "t1"}},
        {"executableCode": {"code": "1"}},
    ]
    data = {
        "candidates": [{"content": {"parts": ["no part", *parts]}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 10,
            "toolUsePromptTokenCount": 5,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 7,
            "thoughtsTokenCount": 2,
        },
    }
    calls = (
        ToolCall("look", {"at": 1}, "t1", {"google": {"thoughtSignature": "u", "id": "t1"}}),
        ToolCall("go", {}, "call_3_5"),
    )
    order = [
        ["opaque", parts[1]],
        ["text", len(TEXT), {"thoughtSignature": "t"}],
        ["call", 0],
        ["call", 1],
        ["opaque", parts[5]],
    ]
    message = Message("assistant", TEXT, calls, reasoning="Hm. So.", provider={"google": order})
    usage = Usage(calls=1, prompt_tokens=15, cached_tokens=4, completion_tokens=9)
    assert read_content(data, READ) == Generation(message, "tool_calls", usage)
    sent = content_body(
        Request((message, Message("tool", "ok", tool_call_id="t1"), Message("tool", "", tool_call_id="call_3_5")))
    )
    assert sent["contents"] == [
        {
            "role": "model",
            "parts": [parts[1], {**parts[2], "text": TEXT}, parts[3], {"functionCall": {"name": "go", "args": {}}}, parts[5]],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "look", "response": {"output": "ok"}, "id": "t1"}},
                {"functionResponse": {"name": "go", "response": {"output": ""}}},
            ],
        },
    ]
    assert read_content({"candidates": [{}]}, READ) == Generation(Message("assistant"), "stop", Usage(calls=1))
    assert read_content({"candidates": [{"finishReason": "NEW_ONE"}]}, READ).finish_reason == "new_one"


def test_an_answer_of_chat_completions() -> None:
    calls = [
        {
            "id": "t1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"at": 1}'},
            "extra_content": {"google": 1},
        },
        {"id": "t1", "type": "function", "function": {"name": "go", "arguments": None}},
        {"id": "t2", "type": "function", "function": {"arguments": "{}"}},
    ]
    thoughts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "thinking", "thinking": "So."}]
    content = [*thoughts, {"type": "text", "text": "I look.\ud800"}, 3]
    usage = {"prompt_tokens": 10, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}
    message = {"role": "assistant", "content": content, "tool_calls": calls, "annotations": [1]}
    read = read_generation({"choices": [{"message": message, "finish_reason": None}], "usage": usage}, READ)
    assert read == Generation(
        Message(
            "assistant",
            TEXT,
            (
                ToolCall("look", {"at": 1}, "t1", {"chat": {"extra_content": {"google": 1}}}),
                ToolCall("go", {}, "call_3_1"),
                ToolCall("", '(a call without a name) {"arguments": "{}"}', "t2"),
            ),
            reasoning="Hm.\n\nSo.",
        ),
        "tool_calls",
        Usage(calls=1, prompt_tokens=10, cached_tokens=4, completion_tokens=7),
    )


def test_an_answer_of_openai_responses() -> None:
    thoughts = [
        {
            "type": "reasoning",
            "id": "r1",
            "content": None,
            "summary": [{"type": "summary_text", "text": "Hm."}, {"type": "summary_text", "text": "So."}, "no part"],
            "encrypted_content": "e",
        },
        {
            "type": "reasoning",
            "id": "r2",
            "content": [{"type": "reasoning_text", "text": "Done."}],
            "summary": [{"text": "no"}],
        },
    ]
    said = [{"type": "output_text", "text": "I look.\ud800", "annotations": []}, {"type": "refusal", "refusal": " Or not."}]
    data = {
        "status": "completed",
        "output": [
            thoughts[0],
            {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": said},
            {"type": "function_call", "id": "f1", "call_id": "t1", "name": "look", "arguments": '{"at": 1}', "status": None},
            {"type": "function_call", "call_id": "t1", "name": "go", "arguments": ""},
            thoughts[1],
            "no item",
        ],
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7},
    }
    calls = (ToolCall("look", {"at": 1}, "t1", {"responses": {"id": "f1"}}), ToolCall("go", {}, "call_3_3"))
    text = f"{TEXT} Or not."
    order = [["opaque", thoughts[0]], ["text", len(text), {"id": "m1", "status": "completed"}], ["call", 0], ["call", 1]]
    order.append(["opaque", thoughts[1]])
    message = Message("assistant", text, calls, reasoning="Hm.\n\nSo.\n\nDone.", provider={"responses": order})
    usage = Usage(calls=1, prompt_tokens=10, cached_tokens=4, completion_tokens=7)
    assert read_response(ENDPOINT, data, READ) == Generation(message, "tool_calls", usage)
    plain = {"output": [], "usage": {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 9}}}
    assert read_response(ENDPOINT, plain, READ).usage == Usage(calls=1, prompt_tokens=3, cached_tokens=3)
    assert read_response(ENDPOINT, {"output": []}, READ) == Generation(Message("assistant"), "stop", Usage(calls=1))


LOOK = ToolCall("look", {}, "c1")


@pytest.mark.parametrize(
    ("messages", "tools", "cache", "expected"),
    [
        ((), (), "1h", {"messages": []}),
        ((Message("system", " "), Message("user", "hi")), (), "auto", {"messages": [("user", "hi")]}),
        ((Message("user", ""),), (), "off", {"messages": [("user", "(empty)")]}),
        (
            (Message("user", "hi"), Message("assistant", " ")),
            (),
            "auto",
            {"messages": [("user", "hi"), ("assistant", "(empty)*")]},
        ),
        ((Message("user", "a"), Message("user", "b")), (), "1h", {"messages": [("user", "a", "b*")]}),
        ((Message("user", "hi"),), TOOLS, "auto", {"messages": [("user", "hi*")], "tools": ["look", "wait*"]}),
        (
            (Message("system", "s"), Message("user", "hi")),
            TOOLS,
            "auto",
            {"messages": [("user", "hi*")], "tools": ["look", "wait"], "system": ["s*"]},
        ),
        (
            (
                Message("user", "hi"),
                Message("assistant", "", (LOOK,)),
                Message("user", "well?"),
                Message("tool", " ", tool_call_id="c1"),
            ),
            (),
            "auto",
            {"messages": [("user", "hi"), ("assistant", "call c1"), ("user", "result c1 (empty)", "well?*")]},
        ),
        (
            (Message("user", "hi"), Message("assistant", "", (LOOK,))),
            (),
            "auto",
            {"messages": [("user", "hi"), ("assistant", "call c1")]},
        ),
    ],
)
def test_turns_of_anthropic_and_their_marks(messages: Any, tools: Any, cache: Any, expected: Any) -> None:
    """Turns in short: each block by its text, a star where it is marked for the cache."""

    def short(block: Any) -> str:
        said = {
            "text": lambda: block["text"],
            "tool_use": lambda: f"call {block['id']}",
            "tool_result": lambda: f"result {block['tool_use_id']} {block['content']}",
        }[block.get("type", "text")]()
        return f"{said}{'*' if 'cache_control' in block else ''}"

    body = messages_body("m", Request(messages, tools=tools), prompt_cache=cache)
    assert body.pop("model") == "m"
    assert body.pop("max_tokens") == MAX_TOKENS
    found = {"messages": [(turn["role"], *map(short, turn["content"])) for turn in body.pop("messages")]}
    if "tools" in body:
        found["tools"] = [f"{tool['name']}{'*' if 'cache_control' in tool else ''}" for tool in body.pop("tools")]
    if "system" in body:
        found["system"] = [short(block) for block in body.pop("system")]
    assert (found, body) == (expected, {})
