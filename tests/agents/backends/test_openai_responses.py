from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.openai_responses import read_response, responses_body
from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.core import Generation, Request, Sampling
from palaestra.errors import ContentFilterError, ContextWindowError, ModelError, UnsupportedMediaError, UsageError
from palaestra.media import tone
from palaestra.media.store import current_media
from palaestra.types import Message
from tests.agents.backends.provider_server import Asked, ProviderServer, Reply, desk_turns, picture, play_desk, provider_server
from tests.agents.backends.test_wire import TOOLS, names, text, values

ASK = Request((Message("system", "Be brief."), Message("user", "hello")), tools=TOOLS)
ENDPOINT = Endpoint(name="m", model="m", base_url="http://127.0.0.1:9/v1", path="/responses", like_openai=True)
KEY = "sk-test-000000"


def answer(output: list[dict[str, Any]], status: str = "completed", **fields: Any) -> dict[str, Any]:
    """A response as OpenAI's API reference shows it."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": "gpt-test",
        "output": output,
        "usage": {
            "input_tokens": 40,
            "input_tokens_details": {"cached_tokens": 16},
            "output_tokens": 12,
            "output_tokens_details": {"reasoning_tokens": 8},
            "total_tokens": 52,
        },
        **fields,
    }


def error(status: int, kind: str, code: str | None, message: str, **headers: str) -> Reply:
    return Reply({"error": {"message": message, "type": kind, "param": None, "code": code}}, status, headers)


def said(content: str, number: int = 0) -> dict[str, Any]:
    part = {"type": "output_text", "text": content, "annotations": []}
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


class Responses:
    """Plays Desk as the Responses API: its items have to come back as they were, and each call has to be answered."""

    def __init__(self, path: str, key_header: tuple[str, str], *, encrypts: bool = True) -> None:
        self.encrypts = encrypts
        self.path = path
        self.key_header = key_header
        self.turns = desk_turns()
        self.said: list[list[dict[str, Any]]] = []

    def __call__(self, asked: Asked) -> Any:
        body = asked.body
        assert asked.path == self.path
        assert asked.headers[self.key_header[0]] == self.key_header[1]
        assert body["store"] is False
        if body.get("include") and not self.encrypts:
            return error(400, "invalid_request_error", None, "Encrypted content is not supported with this model.")
        assert body.get("include") == (["reasoning.encrypted_content"] if self.encrypts else None)
        assert all(tool["strict"] is False for tool in body["tools"])
        items = iter(body["input"])
        assert [next(items)["role"], next(items)["role"]] == ["system", "user"]
        for served in self.said:
            if not self.encrypts:  # as the API does: what is not stored is not found by its id
                served = [{k: v for k, v in item.items() if k != "id"} for item in served if item["type"] != "reasoning"]
            assert [next(items) for _ in served] == served
            called = [item["call_id"] for item in served if item["type"] == "function_call"]
            assert [next(items)["call_id"] for _ in called] == called
        assert next(items, None) is None
        number = len(self.said)
        turn = self.turns[number]
        summary = [{"type": "summary_text", "text": f"Turn {number}."}]
        output: list[dict[str, Any]] = [
            {"id": f"rs_{number}", "type": "reasoning", "summary": summary}
            | ({"encrypted_content": f"gAAAA{number}"} if self.encrypts else {})
        ]
        if isinstance(turn, str):
            output.append(said(turn, number))
        else:
            output.append(said("I look.", number))
            output += [
                {
                    "id": f"fc_{number}{n}",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": f"call_{number}{n}",
                    "name": call.name,
                    "arguments": json.dumps(dict(call.arguments)),
                }
                for n, call in enumerate(turn)
            ]
        self.said.append(output)
        return answer(output)


PROVIDERS = {
    "openai-responses:gpt-test": ("/v1/responses", "/v1", ("authorization", f"Bearer {KEY}")),
    "azure-responses:gpt-test": ("/openai/responses?api-version=2025-04-01-preview", "", ("api-key", KEY)),
}


@pytest.mark.parametrize("encrypts", [True, False])
@pytest.mark.parametrize("extra", [{"reasoning": {"effort": "low", "summary": "auto"}}, {}], ids=["asked", "by itself"])
@pytest.mark.parametrize("model", PROVIDERS)
def test_desk_is_played_with_parallel_calls_and_encrypted_reasoning(model: str, extra: dict[str, Any], encrypts: bool) -> None:
    path, version, header = PROVIDERS[model]
    sampling = Sampling(extra=extra)
    with provider_server(Responses(path, header, encrypts=encrypts)) as server:
        episode = play_desk(model, sampling=sampling, base_url=server.url + version, api_key=KEY)
    assert episode.outcome.success is True, episode.outcome
    assert [len(step.action.tool_calls) for step in episode.steps] == [2, 1, 0]
    assert [step.action.reasoning for step in episode.steps] == ["Turn 0.", "Turn 1.", "Turn 2."]
    usage = episode.usage
    assert (usage.calls, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (3, 120, 48, 36)
    assert KEY not in json.dumps(episode.to_json())
    assert len(server.asked) == 3 + (not encrypts)  # that it has none is asked once


@pytest.mark.parametrize(
    ("model", "extra", "include"),
    [
        ("gpt-5-mini", {}, True),
        ("o4-mini", {}, True),
        ("my-deployment", {}, True),
        ("gpt-4o", {}, False),
        ("gpt-4.1-mini", {}, False),
        ("chatgpt-4o-latest", {}, False),
        ("gpt-4o", {"reasoning": {"effort": "low"}}, True),
        ("gpt-5-mini", {"store": True}, False),
        ("gpt-5-mini", {"store": None}, False),
        ("gpt-5-mini", {"store": False}, True),
        ("gpt-5-mini", {"include": None}, False),
    ],
)
def test_reasoning_is_asked_for_where_it_is_not_stored(model: str, extra: dict[str, Any], include: bool) -> None:
    body = responses_body(replace(ENDPOINT, model=model), Request(ASK.messages, sampling=Sampling(extra=extra)))
    assert ("include" in body) == include


BARE = {"id": "rs_0", "type": "reasoning", "summary": [], "encrypted_content": None}
CALLED = {"id": "fc_0", "type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}


@pytest.mark.parametrize("own", [{}, {"encrypted_content": "gA"}, {"content": [{"type": "reasoning_text", "text": "hm"}]}])
@pytest.mark.parametrize("store", [False, True])
def test_bare_reasoning_goes_back_only_to_a_server_that_has_stored_it(own: dict[str, Any], store: bool) -> None:
    read = read_response(ENDPOINT, answer([{**BARE, **own}, CALLED]), ASK).message
    sent = responses_body(ENDPOINT, Request((read,), sampling=Sampling(extra={"store": store})))["input"]
    assert [item["type"] for item in sent] == ["reasoning", "function_call"][not (own or store) :]
    assert ("id" in sent[-1]) == bool(own or store)


async def test_many_at_once_are_refused_once_each_and_then_never_again() -> None:
    gate = threading.Barrier(4)

    def answered(asked: Asked) -> Any:
        if asked.body.get("include"):
            gate.wait(5)  # all are on their way before the first is refused
            return error(400, "invalid_request_error", None, "Encrypted content is not supported with this model.")
        return answer([said("Yes.")])

    with provider_server(answered) as server:
        backend = make_bare_backend("openai-responses:gpt-test", base_url=f"{server.url}/v1", api_key=KEY)
        found = await asyncio.gather(*(backend.generate(ASK) for _ in range(4)), backend_later(backend))
        await backend.aclose()
        assert [one.message.content for one in found] == ["Yes."] * 5
        assert len(server.asked) == 9


async def backend_later(backend: Any) -> Generation:
    """Ask once the refusals are in."""
    while backend._encrypts:
        await asyncio.sleep(0.01)
    found: Generation = await backend.generate(ASK)
    return found


async def test_a_refusal_of_something_else_is_not_asked_again() -> None:
    refused = error(400, "invalid_request_error", None, "Unknown parameter: 'galaxy'.")
    with provider_server(lambda asked: refused) as server:
        with pytest.raises(ModelError, match="galaxy"):
            await ask(server)
        assert len(server.asked) == 1


async def ask(server: ProviderServer, request: Request = ASK, **options: Any) -> Generation:
    backend = make_bare_backend("openai-responses:gpt-test", base_url=f"{server.url}/v1", api_key=KEY, **options)
    try:
        return await backend.generate(request)
    finally:
        await backend.aclose()


def failed(code: str, message: str) -> dict[str, Any]:
    return answer([], "failed", error={"code": code, "message": message})


ERRORS: dict[str, tuple[Any, bool, str]] = {
    "key": (error(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-t**00."), False, "API key"),
    "model": (error(404, "invalid_request_error", "model_not_found", "No such model."), False, "the model's name"),
    "rate": (error(429, "requests", "rate_limit_exceeded", "Slow down.", **{"retry-after-ms": "1500"}), True, "Slow down"),
    "quota": (error(429, "insufficient_quota", "insufficient_quota", "No credit."), False, "insufficient_quota"),
    "server": (error(500, "server_error", None, "Sorry."), True, "Sorry"),
    "overloaded": (error(503, "server_error", None, "Overloaded."), True, "Overloaded"),
    "filtered": (
        error(400, "invalid_request_error", "content_policy_violation", "Flagged."),
        False,
        "content_policy_violation",
    ),
    "failed": (failed("server_error", "It broke."), True, "It broke"),
    "refused": (failed("invalid_prompt", "Not so."), False, "invalid_prompt"),
    "no output": ({"id": "resp"}, True, "no output"),
    "error inside": ({"error": {"code": "rate_limit_exceeded", "message": "Later."}}, True, "Later"),
    "moved": (Reply(b"", 307, {"Location": "http://elsewhere.invalid/"}), False, "Redirects to another origin"),
    "large": (Reply(answer([said("x" * 300_000)]), is_packed=True), True, "the limit is 200000"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_say_what_they_are_and_whether_to_try_again(name: str) -> None:
    reply, retryable, words = ERRORS[name]
    with provider_server(lambda asked: reply) as server:
        with pytest.raises(ModelError, match=words) as caught:
            await ask(server, max_response_bytes=200_000)
        assert len(server.asked) == 1, "the SDK's own retries are off"
    assert type(caught.value) is (ContentFilterError if name == "filtered" else ModelError)
    assert caught.value.retryable is retryable
    assert caught.value.retry_after_s == (1.5 if name == "rate" else None)


@pytest.mark.parametrize(
    "reply",
    [
        error(400, "invalid_request_error", "context_length_exceeded", "Your input exceeds the context window of this model."),
        failed("context_length_exceeded", "Too long."),
    ],
)
async def test_a_prompt_that_is_too_long_ends_the_dialogue_not_the_run(reply: Any) -> None:
    with provider_server(lambda asked: reply) as server, pytest.raises(ContextWindowError):
        await ask(server)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length"), ("galaxy", "length")],
)
def test_incomplete_responses_say_why(reason: str | None, finish: str) -> None:
    data = answer([said("I")], "incomplete", incomplete_details={"reason": reason})
    assert read_response(ENDPOINT, data, ASK).finish_reason == finish
    assert read_response(ENDPOINT, answer([said("I")]), ASK).finish_reason == "stop"


def test_what_the_api_does_not_take_is_refused_before_the_request() -> None:
    with pytest.raises(UsageError, match="no stop texts"):
        responses_body(ENDPOINT, Request(ASK.messages, sampling=Sampling(stop=("x",))))
    with pytest.raises(UsageError, match="129 tools"):
        responses_body(ENDPOINT, Request(ASK.messages, tools=TOOLS * 129))
    sound = current_media().put(tone(300, 0.05))
    with pytest.raises(UnsupportedMediaError, match="text and pictures"):
        responses_body(ENDPOINT, Request((Message.of_text("user", sound.tag),)))


def test_pictures_go_out_in_messages_and_in_results() -> None:
    tag = current_media().put(picture()).tag
    request = Request((Message.of_text("user", f"See {tag}"), Message.of_text("tool", f"Or {tag}", tool_call_id="c")))
    shown, result = responses_body(ENDPOINT, request)["input"]
    assert [part["type"] for part in shown["content"]] == ["input_text", "input_image"]
    assert [part["type"] for part in result["output"]] == ["input_text", "input_image"]
    assert shown["content"][1]["image_url"].startswith("data:image/png;base64,")


own = st.dictionaries(st.sampled_from(["status", "phase"]), names, max_size=2)
reasoning = st.builds(
    lambda data, n: {"type": "reasoning", "id": n, "summary": [], "encrypted_content": data}, text.filter(bool), names
)
call = st.builds(
    lambda name, arguments, fields: {"type": "function_call", "name": name, "arguments": json.dumps(arguments), **fields},
    names,
    st.dictionaries(text, values, max_size=2),
    own,
)
message = st.builds(lambda value, fields, n: {**said(value), "id": f"msg{n}", **fields}, text.filter(bool), own, names)


@settings(max_examples=150, deadline=None)
@given(st.lists(reasoning | call | message, min_size=1, max_size=6))
def test_what_the_model_wrote_goes_back_untouched_and_in_its_order(output: list[dict[str, Any]]) -> None:
    for index, item in enumerate(output):
        if item["type"] == "function_call":
            item["call_id"] = f"call_{index}"
    read = read_response(ENDPOINT, answer(output), ASK).message
    stored = Message.from_json(json.loads(json.dumps(read.to_json())))
    assert stored == read
    sent = responses_body(ENDPOINT, Request((stored,)))["input"]
    for item in (*sent, *output):
        if "arguments" in item:
            item["arguments"] = json.loads(item["arguments"])
    assert sent == output


keys = st.sampled_from(["output", "content", "type", "text", "status", "error", "usage", "summary"])


@settings(max_examples=100, deadline=None)
@given(st.recursive(values, lambda inner: st.dictionaries(keys, inner) | st.lists(inner), max_leaves=8))
def test_no_answer_breaks_the_reader(data: Any) -> None:
    try:
        generation = read_response(ENDPOINT, data, ASK)
    except ModelError:
        return
    assert isinstance(generation, Generation)
