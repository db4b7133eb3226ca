"""Providers that speak chat completions: Azure through its SDK's client, all others through litellm."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from palaestra.agents.backends.litellm_prices import LiteLLMPrices
from palaestra.agents.backends.registry import make_backend, make_bare_backend
from palaestra.agents.core import Generation, Request, Sampling
from palaestra.errors import BudgetError, ContentFilterError, ContextWindowError, MissingExtraError, ModelError, UsageError
from palaestra.types import Message, Usage
from tests.agents.backends.fault_server import chat_completion
from tests.agents.backends.provider_server import Asked, Reply, desk_turns, play_desk, provider_server
from tests.agents.backends.test_wire import TOOLS

ASK = Request((Message("system", "Be brief."), Message("user", "hello")), tools=TOOLS)
KEY = "test-key-000000"


class Chat:
    """Plays Desk as chat completions: each call has to come back, and each has to be answered."""

    def __init__(self, path: str, model: str | None) -> None:
        self.path = path
        self.model = model
        self.turns = desk_turns()
        self.called: list[list[str]] = []

    def __call__(self, asked: Asked) -> Any:
        assert asked.path == self.path
        assert KEY in (asked.headers.get("api-key"), asked.headers.get("authorization", "").removeprefix("Bearer "))
        messages = asked.body["messages"]
        assert asked.body["model"] == self.model
        number = len(self.called)
        assert [m["role"] for m in messages].count("assistant") == number
        answered = [m["tool_call_id"] for m in messages if m["role"] == "tool"]
        assert answered == [call_id for ids in self.called for call_id in ids]
        turn = self.turns[number]
        if isinstance(turn, str):
            return chat_completion(turn, reasoning_content=f"Turn {number}.")
        ids = [f"call_{number}{n}" for n in range(len(turn))]
        self.called.append(ids)
        calls = [
            {"id": i, "type": "function", "function": {"name": c.name, "arguments": json.dumps(dict(c.arguments))}}
            for i, c in zip(ids, turn, strict=True)
        ]
        return chat_completion(None, finish_reason="tool_calls", tool_calls=calls, reasoning_content=f"Turn {number}.")


PLAYED = {
    "azure:gpt-test": ("/openai/deployments/gpt-test/chat/completions?api-version=2025-04-01-preview", "", "gpt-test"),
    "litellm:mistral/mistral-test": ("/v1/chat/completions", "/v1", "mistral-test"),
    "litellm:openai/some-model": ("/v1/chat/completions", "/v1", "some-model"),
}


@pytest.mark.parametrize("model", PLAYED)
def test_desk_is_played_with_parallel_calls_and_reasoning(model: str) -> None:
    path, version, name = PLAYED[model]
    with provider_server(Chat(path, name)) as server:
        episode = play_desk(model, base_url=server.url + version, api_key=KEY)
    assert episode.outcome.success is True, episode.outcome
    assert [len(step.action.tool_calls) for step in episode.steps] == [2, 1, 0]
    assert [step.action.reasoning for step in episode.steps] == ["Turn 0.", "Turn 1.", "Turn 2."]
    usage = episode.usage
    assert (usage.calls, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (3, 60, 24, 15)
    assert KEY not in json.dumps(episode.to_json())


async def ask(model: str, url: str, request: Request = ASK, **options: Any) -> Generation:
    backend = make_bare_backend(model, base_url=url, api_key=KEY, **options)
    try:
        return await backend.generate(request)
    finally:
        await backend.aclose()


def error(status: int, code: str, message: str, **headers: str) -> Reply:
    return Reply({"error": {"message": message, "type": code, "code": code}}, status, headers)


FILTERED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"violence": {"filtered": True}}},
    }
}
ERRORS: dict[str, tuple[Reply, bool, str]] = {
    "key": (error(401, "invalid_api_key", "Access denied due to invalid subscription key."), False, "Check the API key"),
    "model": (error(404, "DeploymentNotFound", "The API deployment does not exist."), False, "DeploymentNotFound"),
    "rate": (error(429, "429", "Requests have exceeded the call rate limit.", **{"retry-after": "7"}), True, "rate limit"),
    "filtered": (Reply(FILTERED, 400), False, "content_filter"),
    "server": (error(500, "InternalServerError", "It broke."), True, "It broke"),
    "overloaded": (error(503, "unavailable", "Overloaded."), True, "Overloaded"),
    "moved": (Reply(b"", 307, {"Location": "http://elsewhere.invalid/"}), False, "Redirects to another origin"),
    "large": (Reply(chat_completion("x" * 300_000), is_packed=True), True, "the limit is 200000"),
}


@pytest.mark.parametrize("model", ["azure:gpt-test", "litellm:mistral/mistral-test", "litellm:openai/some-model"])
@pytest.mark.parametrize("name", ERRORS)
async def test_errors_say_what_they_are_and_whether_to_try_again(model: str, name: str) -> None:
    reply, retryable, words = ERRORS[name]
    with provider_server(lambda asked: reply) as server:
        with pytest.raises(ModelError, match=words) as caught:
            await ask(model, server.url, max_response_bytes=200_000)
        assert len(server.asked) == 1, "the SDK's own retries are off"
    assert type(caught.value) is (ContentFilterError if name == "filtered" else ModelError)
    assert caught.value.retryable is retryable
    assert caught.value.retry_after_s == (7.0 if name == "rate" else None)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("model", ["azure:gpt-test", "litellm:mistral/mistral-test", "litellm:openai/some-model"])
async def test_a_prompt_that_is_too_long_ends_the_dialogue_not_the_run(model: str) -> None:
    reply = error(400, "context_length_exceeded", "This model's maximum context length is 128000 tokens.")
    with provider_server(lambda asked: reply) as server, pytest.raises(ContextWindowError):
        await ask(model, server.url)


@pytest.mark.parametrize("model", ["azure:gpt-test", "litellm:mistral/mistral-test", "litellm:openai/some-model"])
async def test_no_server_and_a_slow_one_are_worth_another_try(model: str) -> None:
    with pytest.raises(ModelError) as caught:
        await ask(model, "http://127.0.0.1:9")
    assert caught.value.retryable
    import time

    def slow(asked: Asked) -> Any:
        time.sleep(0.5)
        return chat_completion("late")

    with provider_server(slow) as server:
        with pytest.raises(ModelError, match=r"within 0\.1 s") as caught:
            await ask(model, server.url, timeout_s=0.1)
        assert caught.value.retryable


@pytest.mark.parametrize("model", ["litellm:mistral/mistral-test", "litellm:openai/some-model"])
async def test_the_transport_of_litellm_waits_as_long_as_we_do(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from palaestra.agents.backends import litellm_sdk

    waited: list[Any] = []
    prepare = litellm_sdk._Opened._prepare

    async def noted(self: Any, request: Any) -> None:
        await prepare(self, request)
        waited.append(request.extensions["timeout"]["read"])

    monkeypatch.setattr(litellm_sdk._Opened, "_prepare", noted)
    with provider_server(lambda asked: chat_completion("hi")) as server:
        await ask(model, server.url, timeout_s=7000.0)  # longer than litellm waits by itself
    assert waited == [7000.0]


@pytest.mark.parametrize("model", ["azure:gpt-test", "litellm:mistral/mistral-test"])
async def test_more_than_128_tools_are_refused_before_the_request(model: str) -> None:
    with provider_server(lambda asked: chat_completion("hi")) as server:
        with pytest.raises(UsageError, match=r"129 tools.*at most 128.*format='hermes'"):
            await ask(model, server.url, Request(ASK.messages, tools=TOOLS * 129))
        assert server.asked == []
        generation = await ask(model, server.url, Request(ASK.messages, tools=TOOLS * 129), max_tools=200)
    assert generation.message.content == "hi"


async def test_litellm_is_asked_with_our_limits_and_without_retries_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = make_bare_backend(
        "litellm:mistral/mistral-test", base_url="http://127.0.0.1:9/v1", api_key=KEY, timeout_s=3.5, headers={"X-Team": "a"}
    )
    given: list[dict[str, Any]] = []

    async def acompletion(**arguments: Any) -> Any:
        given.append(arguments)
        error = ConnectionError("over")
        error.status_code = 429  # type: ignore[attr-defined]
        error.response = SimpleNamespace(headers={"retry-after": "7"})  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(backend._litellm, "acompletion", acompletion)  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="over") as caught:
        await backend.generate(Request((Message("user", "hi"),), sampling=Sampling(max_tokens=9)))
    assert caught.value.retry_after_s == 7.0
    assert given == [
        {
            "model": "mistral/mistral-test",
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 9,
            "api_key": KEY,
            "api_base": "http://127.0.0.1:9/v1",
            "extra_headers": {"X-Team": "a"},
            "timeout": 3.5,
            "num_retries": 0,
            "max_retries": 0,
        }
    ]
    await backend.aclose()


@pytest.mark.parametrize(
    ("model", "header", "value"),
    [
        ("openai-responses:m", "authorization", "Bearer none"),
        ("anthropic:m", "authorization", "Bearer none"),
        ("google:m", "x-goog-api-key", "none"),
    ],
)
async def test_a_server_without_keys_is_sent_one_that_says_so(
    model: str, header: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with provider_server(lambda asked: Reply({"error": {"message": "no"}}, 400)) as server:
        backend = make_bare_backend(model, base_url=server.url, api_key=None)
        with pytest.raises(ModelError):
            await backend.generate(Request((Message("user", "hi"),)))
        await backend.aclose()  # type: ignore[attr-defined]
        assert [asked.headers[header] for asked in server.asked] == [value]


UNREADABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "openai-responses:m": (
        {"output": None, "usage": {"input_tokens": 10, "output_tokens": 7}},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]},
    ),
    "anthropic:m": (
        {"content": None, "usage": {"input_tokens": 10, "output_tokens": 7}},
        {"content": [{"type": "text", "text": "hi"}]},
    ),
    "google:m": (
        {
            "candidates": [],
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 7},
        },
        {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]},
    ),
}


@pytest.mark.parametrize("model", UNREADABLE)
async def test_what_an_unreadable_answer_cost_is_on_its_error_and_a_note_next_to_an_answer_is_none(model: str) -> None:
    broken, good = UNREADABLE[model]
    replies = [broken, {**good, "message": "A new model is out."}]
    with provider_server(lambda asked: replies.pop(0)) as server:
        with pytest.raises(ModelError) as caught:
            await ask(model, server.url)
        assert caught.value.usage == Usage(calls=1, prompt_tokens=10, completion_tokens=7)
        assert (await ask(model, server.url)).message.content == "hi"


async def test_an_answer_that_comes_in_many_pieces_is_whole() -> None:
    text = "".join(map(str, range(300_000)))
    with provider_server(lambda asked: chat_completion(text)) as server:
        for client in ("aiohttp", "openai"):
            backend = make_bare_backend(f"{server.url}/v1#m", client=client)
            assert (await backend.generate(ASK)).message.content == text
            await backend.aclose()  # type: ignore[attr-defined]


LIMITS = {"timeout_s": 3.5, "connect_timeout_s": 2.5, "read_timeout_s": 1.5, "max_connections": 7, "max_response_bytes": 999}


@pytest.mark.parametrize(
    ("model", "path", "like_openai", "most"),
    [
        ("openai:m", "/chat/completions", False, None),
        ("openai-responses:m", "/responses", True, 128),
        ("anthropic:m", "/v1/messages", False, None),
        ("google:m", "/v1beta/models/m:generateContent", False, 128),
        ("azure:m", "/openai/deployments/m/chat/completions", True, 128),
        ("azure-responses:m", "/openai/responses", True, 128),
    ],
)
def test_every_limit_reaches_the_endpoint_of_every_provider(
    model: str, path: str, like_openai: bool, most: int | None
) -> None:
    backend = make_bare_backend(model, base_url="http://127.0.0.1:9", api_key=KEY, headers={"X-Team": "a"}, **LIMITS)
    endpoint = backend.endpoint  # type: ignore[attr-defined]
    assert {name: getattr(endpoint, name) for name in LIMITS} == LIMITS
    assert (endpoint.name, endpoint.model, endpoint.base_url) == (model, "m", "http://127.0.0.1:9")
    assert (endpoint.path, endpoint.like_openai, endpoint.tool_limit) == (path, like_openai, most)
    assert endpoint.headers["X-Team"] == "a"


async def test_a_token_takes_the_place_of_a_key_at_azure() -> None:
    with provider_server(lambda asked: chat_completion("hi")) as server:
        backend = make_bare_backend(
            "azure:gpt-test", base_url=server.url, azure_ad_token="entra-token-1", api_version="2026-01-01"
        )
        await backend.generate(Request(ASK.messages, sampling=Sampling(max_tokens=9)))
        await backend.aclose()
    [asked] = server.asked
    assert asked.headers["authorization"] == "Bearer entra-token-1"
    assert asked.path.endswith("api-version=2026-01-01")
    assert asked.body["max_completion_tokens"] == 9
    assert "temperature" not in asked.body


async def test_what_litellm_takes_to_be_unsupported_is_one_error_with_the_way_round() -> None:
    with provider_server(lambda asked: chat_completion("hi")) as server:
        with pytest.raises(UsageError, match="allowed_openai_params"):
            await ask("litellm:together_ai/some-model", server.url)
        assert server.asked == []
        allowed = Request(ASK.messages, tools=TOOLS, sampling=Sampling(extra={"allowed_openai_params": ["tools"]}))
        await ask("litellm:together_ai/some-model", server.url, allowed)
    assert server.asked[0].body["tools"] == list(TOOLS)


def test_what_is_missing_is_said_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "MISTRAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="AZURE_OPENAI_ENDPOINT"):
        make_bare_backend("azure:gpt-test")
    with pytest.raises(UsageError, match="AZURE_OPENAI_API_KEY"):
        make_bare_backend("azure:gpt-test", base_url="https://x.openai.azure.com")
    with pytest.raises(UsageError, match="MISTRAL_API_KEY"):
        make_bare_backend("litellm:mistral/mistral-test")
    with pytest.raises(UsageError, match="knows no provider of 'nonsense/x'"):
        make_bare_backend("litellm:nonsense/x")
    with pytest.raises(UsageError, match="names no model"):
        make_bare_backend("litellm:")
    with pytest.raises(UsageError, match="names no deployment"):
        make_bare_backend("azure:")


def test_prices_of_litellm_count_cached_tokens_and_keep_budgets() -> None:
    prices = LiteLLMPrices()
    price = prices.find("litellm:deepseek/deepseek-chat", "deepseek/deepseek-chat")
    assert price is not None
    listed = price.litellm.model_cost["deepseek/deepseek-chat"]
    fresh, cached, written = (
        listed[key] for key in ("input_cost_per_token", "cache_read_input_token_cost", "output_cost_per_token")
    )
    usage = Usage(prompt_tokens=1000, cached_tokens=400, completion_tokens=100)
    assert price.cost(usage) == pytest.approx(600 * fresh + 400 * cached + 100 * written)
    for names in (("anthropic:claude-sonnet-4-5", "claude-sonnet-4-5"), ("google:gemini-2.5-flash", "gemini-2.5-flash")):
        assert prices.find(*names) is not None
    assert prices.find("http://127.0.0.1:1/v1#tiny", "tiny") is None


async def test_a_budget_in_money_holds_without_a_table_of_ones_own() -> None:
    with provider_server(lambda asked: chat_completion("hi")) as server:
        options = {"base_url": server.url, "api_key": KEY, "budget": {"cost": 1e-9}}
        backend = make_backend("litellm:deepseek/deepseek-chat", **options)
        assert backend.has_price
        assert (await backend.generate(ASK)).usage.cost > 0
        with pytest.raises(BudgetError):
            await backend.generate(ASK)
        await backend.aclose()
        assert not make_backend("litellm:mistral/no-such-model", base_url=server.url, api_key=KEY).has_price


@pytest.mark.parametrize(
    ("model", "package", "extra"),
    [
        ("openai:m", "openai", "llm"),
        ("openai-responses:m", "openai", "llm"),
        ("azure:m", "openai", "llm"),
        ("anthropic:m", "anthropic", "anthropic"),
        ("google:m", "google.genai", "google"),
        ("litellm:mistral/m", "litellm", "litellm"),
    ],
)
def test_a_missing_sdk_names_its_extra(model: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"palaestra\[{extra}\]"):
        make_bare_backend(model, base_url="http://127.0.0.1:9", api_key="k")
