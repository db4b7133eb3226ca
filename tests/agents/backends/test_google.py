from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.google_sdk import content_body, read_content
from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.core import Generation, Request, Sampling, session_seed
from palaestra.envs.formats.reasoning import split_reasoning
from palaestra.errors import ContextWindowError, ModelError, UsageError
from palaestra.media.store import current_media
from palaestra.types import Message, ToolCall
from tests.agents.backends.provider_server import Asked, ProviderServer, Reply, desk_turns, picture, play_desk, provider_server
from tests.agents.backends.test_wire import TOOLS, names, text, values

ASK = Request((Message("system", "Be brief."), Message("user", "hello")), tools=TOOLS)
MODEL = "google:gemini-test"
KEY = "AIzaTest000000"


def answer(parts: list[dict[str, Any]], reason: str = "STOP", **usage: int) -> dict[str, Any]:
    """An answer as the Gemini API reference shows it."""
    return {
        "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": reason, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 20,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 30,
            "totalTokenCount": 55,
            **usage,
        },
        "modelVersion": "gemini-test",
        "responseId": "Zx",
    }


def error(code: int, status: str, message: str, *details: dict[str, Any]) -> Reply:
    return Reply({"error": {"code": code, "message": message, "status": status, "details": list(details)}}, code)


class Gemini:
    """Plays Desk as the Gemini API: it insists on its thought signatures, and on a response for each call."""

    def __init__(self, *, gives_ids: bool) -> None:
        self.turns = desk_turns()
        self.gives_ids = gives_ids
        self.said: list[list[dict[str, Any]]] = []

    def __call__(self, asked: Asked) -> Any:
        assert asked.path == "/v1beta/models/gemini-test:generateContent"
        assert asked.headers["x-goog-api-key"] == KEY
        body = asked.body
        given = {
            "maxOutputTokens": 500,
            "seed": session_seed("e", len(self.said)),
            "thinkingConfig": {"includeThoughts": True},
        }
        assert body["generationConfig"] == given
        assert [turn["role"] for turn in body["contents"]] == ["user", "model"] * len(self.said) + ["user"]
        for index, served in enumerate(self.said):
            kept = [part for part in served if not part.get("thought")]
            assert body["contents"][2 * index + 1]["parts"] == kept
            called = [part["functionCall"] for part in kept if "functionCall" in part]
            given = [part["functionResponse"] for part in body["contents"][2 * index + 2]["parts"]]
            assert [call["name"] for call in called] == [response["name"] for response in given]
            assert [call.get("id") for call in called] == [response.get("id") for response in given]
        number = len(self.said)
        turn = self.turns[number]
        thought = {"text": f"Turn {number}.", "thought": True}
        if isinstance(turn, str):
            parts = [thought, {"text": turn, "thoughtSignature": "c2ln"}]
        else:
            calls = [
                {
                    "name": call.name,
                    "args": dict(call.arguments),
                    **({"id": f"fc{number}{n}"} if self.gives_ids else {}),
                }
                for n, call in enumerate(turn)
            ]
            parts = [thought, {"text": "I look."}, *({"functionCall": call} for call in calls)]
            parts[2]["thoughtSignature"] = f"c2lnbmF0dXJl{number}"  # on the first call of a turn only
        self.said.append(parts)
        return answer(parts, cachedContentTokenCount=10)


@pytest.mark.parametrize("gives_ids", [True, False])
def test_desk_is_played_with_parallel_calls_and_thought_signatures(gives_ids: bool) -> None:
    with provider_server(Gemini(gives_ids=gives_ids)) as server:
        extra = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
        episode = play_desk(MODEL, base_url=server.url, api_key=KEY, sampling=Sampling(max_tokens=500, extra=extra))
    assert episode.outcome.success is True, episode.outcome
    assert [len(step.action.tool_calls) for step in episode.steps] == [2, 1, 0]
    assert [step.action.reasoning for step in episode.steps] == ["Turn 0.", "Turn 1.", "Turn 2."]
    usage = episode.usage
    assert (usage.calls, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (3, 60, 30, 105)
    declared = server.asked[0].body["tools"][0]["functionDeclarations"]
    assert len(declared) == 14
    assert declared[0]["parametersJsonSchema"]["type"] == "object"
    assert KEY not in json.dumps(episode.to_json())


async def ask(server: ProviderServer, request: Request = ASK, **options: Any) -> Generation:
    backend = make_bare_backend(MODEL, base_url=server.url, api_key=KEY, **options)
    try:
        return await backend.generate(request)
    finally:
        await backend.aclose()


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}
QUOTA = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaMetric": "generate_content_free_tier_requests", "quotaValue": "10"}],
}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
ERRORS: dict[str, tuple[Reply, bool, str]] = {
    "key": (
        error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", BAD_KEY),
        False,
        "API key not valid.*Check the API key",
    ),
    "argument": (error(400, "INVALID_ARGUMENT", "Unknown name."), False, r"Unknown name. \(INVALID_ARGUMENT\)$"),
    "permission": (error(403, "PERMISSION_DENIED", "Permission denied on resource."), False, "Check the API key"),
    "model": (error(404, "NOT_FOUND", "models/gemini-test is not found for API version v1beta"), False, "the model's name"),
    "rate": (error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", QUOTA, RETRY), True, "RESOURCE_EXHAUSTED"),
    "internal": (error(500, "INTERNAL", "An internal error has occurred."), True, "INTERNAL"),
    "overloaded": (error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), True, "overloaded"),
    "deadline": (error(504, "DEADLINE_EXCEEDED", "Deadline expired."), True, "Deadline"),
    "html": (Reply(b"<html>\xff</html>", 502), True, "html"),
    "list": (Reply([{"error": {"code": 500, "message": "oops", "status": "INTERNAL"}}], 500), True, "oops"),
    "nested": (Reply(b"[" * 100_000, 500), True, "answered 500"),
    "no json": (Reply(b"<html>hello</html>"), True, "web page"),
    "not utf-8": (Reply(b'{"candidates": "\xff\xfe"}'), True, "no candidates"),
    "no candidates": (Reply({"usageMetadata": {}}), True, "no candidates"),
    "moved": (Reply(b"", 308, {"Location": "http://elsewhere.invalid/"}), False, "Redirects to another origin"),
    "large": (Reply(answer([{"text": "x" * 300_000}]), is_packed=True), True, "the limit is 200000"),
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
    assert caught.value.retry_after_s == (7.5 if name == "rate" else None)
    assert KEY not in str(caught.value)


async def test_a_prompt_that_is_too_long_ends_the_dialogue_not_the_run() -> None:
    message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    reply = error(400, "INVALID_ARGUMENT", message)
    with provider_server(lambda asked: reply) as server, pytest.raises(ContextWindowError):
        await ask(server)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    import time

    def slow(asked: Asked) -> Any:
        time.sleep(0.5)
        return answer([{"text": "late"}])

    with provider_server(slow) as server:
        with pytest.raises(ModelError, match=r"within 0\.1 s") as caught:
            await ask(server, timeout_s=5, read_timeout_s=0.1)
        assert caught.value.retryable
        with pytest.raises(ModelError, match=r"answer in full within 0\.1 s"):
            await ask(server, timeout_s=0.1)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("OTHER", "other"),
    ],
)
def test_finish_reasons_have_one_name_for_all_providers(reason: str, finish: str) -> None:
    assert read_content(answer([{"text": "I"}], reason), ASK).finish_reason == finish


def test_a_blocked_prompt_is_filtered() -> None:
    data = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}}
    generation = read_content(data, ASK)
    assert generation.finish_reason == "content_filter"
    assert generation.usage.prompt_tokens == 9


def test_a_call_that_google_could_not_read_is_answered_with_advice() -> None:
    data = answer([], "MALFORMED_FUNCTION_CALL")
    data["candidates"][0]["finishMessage"] = "Malformed function call: print(look("
    message = read_content(data, ASK).message
    assert "could not be read" in message.error
    assert "print(look(" in message.raw


async def test_tools_may_be_strict_and_are_at_most_128() -> None:
    with provider_server(lambda asked: answer([{"text": "hi"}])) as server:
        await ask(server, strict_tools=True)
        many = Request(ASK.messages, tools=TOOLS * 129)
        with pytest.raises(UsageError, match=r"129 tools.*at most 128.*format='hermes'"):
            await ask(server, many)
        assert len(server.asked) == 1, "nothing is sent"
        await ask(server, many, max_tools=200)
    assert server.asked[0].body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


def test_pictures_go_out_inline_also_next_to_results() -> None:
    tag = current_media().put(picture()).tag
    shown = Message.of_text("user", f"See {tag}")
    called = Message("assistant", "", (ToolCall("look", {}, "c1"),))
    result = Message.of_text("tool", f"It shows {tag}", tool_call_id="c1", name="look")
    turns = content_body(Request((shown, called, result)))["contents"]
    assert turns[0]["parts"][1]["inlineData"]["mimeType"] == "image/png"
    response, label, inline = turns[2]["parts"]
    assert response["functionResponse"] == {"name": "look", "response": {"output": "It shows (image 1)"}}
    assert label == {"text": "Image 1 of look:"}
    assert "inlineData" in inline


def test_a_key_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="GOOGLE_API_KEY or GEMINI_API_KEY"):
        make_bare_backend(MODEL)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    assert KEY not in repr(make_bare_backend(MODEL).endpoint)  # type: ignore[attr-defined]


signature = st.sampled_from([{}, {"thoughtSignature": "c2ln"}])
arguments = st.dictionaries(text, values, max_size=2)
texts = st.builds(
    lambda value, own: {"text": value, **own},
    text.filter(lambda value: value and split_reasoning(value)[1] == value),
    signature,
)
called = st.builds(lambda name, args, own: {"functionCall": {"name": name, "args": args}, **own}, names, arguments, signature)
code = text.map(lambda value: {"executableCode": {"language": "PYTHON", "code": value}})
parts = st.lists(texts | called | code, min_size=1, max_size=6)
keys = st.sampled_from(["candidates", "content", "parts", "text", "functionCall", "promptFeedback", "blockReason"])


@settings(max_examples=150, deadline=None)
@given(parts)
def test_what_the_model_wrote_goes_back_untouched_and_in_its_order(written: list[dict[str, Any]]) -> None:
    message = read_content(answer(written), ASK).message
    stored = Message.from_json(json.loads(json.dumps(message.to_json())))
    assert stored == message
    assert content_body(Request((Message("user", "x"), stored)))["contents"][1]["parts"] == written


@settings(max_examples=100, deadline=None)
@given(st.recursive(values, lambda inner: st.dictionaries(keys, inner) | st.lists(inner), max_leaves=8))
def test_no_answer_breaks_the_reader(data: Any) -> None:
    try:
        generation = read_content(data, ASK)
    except ModelError:
        return
    assert isinstance(generation, Generation)


@pytest.mark.parametrize("odd", ["half \ud83d of it", float("inf"), {"\udc00": [-float("inf")]}])
async def test_parts_that_no_strict_json_holds_are_stored_and_go_back_as_they_came(odd: Any) -> None:
    own = {"thoughtSignature": "c2ln", "more": odd}
    written = [
        {"text": str(odd), "thought": True, **own},
        {"text": "é", **own},
        {"functionCall": {"name": "get", "args": {}}, **own},
    ]
    body = json.dumps(answer(written)).replace("Infinity", "1e999").encode()
    answers = iter([Reply(body), answer([{"text": "done"}])])
    with provider_server(lambda _: next(answers)) as server:
        message = (await ask(server)).message
        stored = Message.from_json(json.loads(json.dumps(message.to_json(), allow_nan=False, ensure_ascii=False).encode()))
        result = Message("tool", "ok", tool_call_id=stored.tool_calls[0].id, name="get")
        await ask(server, Request((*ASK.messages, stored, result), tools=TOOLS))
        assert server.asked[1].body["contents"][1]["parts"] == written


def test_ids_of_calls_are_unique_whatever_the_server_gives() -> None:
    call = {"functionCall": {"name": "get", "args": {}}}
    named = [{"functionCall": {**call["functionCall"], "id": value}} for value in ("1", "1", "", "call_2_1", "\ud83d", 5)]
    message = read_content(answer([*named, call]), ASK).message
    assert len({one.id for one in message.tool_calls}) == 7
    json.dumps(message.to_json(), ensure_ascii=False).encode()
