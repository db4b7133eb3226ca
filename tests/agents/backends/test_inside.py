"""Errors that come inside of an answer with status 200: what they mean, and what they cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.cache import ResponseCache
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.inside import fault_in, fault_status
from palaestra.agents.backends.limits import Budget
from palaestra.agents.backends.prices import Price, PriceTable
from palaestra.agents.backends.registry import make_backend
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.backends.too_long import says_too_long
from palaestra.agents.backends.vllm import VLLMBackend
from palaestra.agents.core import Backend, Generation, Request, Sampling
from palaestra.agents.evaluation.summary import summarize
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout import EpisodePlan, RolloutEngine
from palaestra.errors import BudgetError, ContentFilterError, ContextWindowError, ModelError
from palaestra.types import Message, Trajectory, Usage
from tests.agents.answering_server import AnsweringServer, chat
from tests.agents.backends.provider_server import Reply, provider_server

ROWS = [json.loads(line) for line in Path(__file__).with_name("too_long.jsonl").read_text(encoding="utf-8").splitlines()]
ASK = Request((Message("user", "hello"),))
END = Endpoint(name="stub", model="m", base_url="http://127.0.0.1:9/v1")
USAGE = {"prompt_tokens": 700, "completion_tokens": 30, "total_tokens": 730}


def in_choice(error: Any) -> dict[str, Any]:
    whole = chat("It is done.", "error")
    return {**whole, "choices": [{**whole["choices"][0], "error": error}]}


def stream(*events: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([": keep-alive\n\n", *lines, "data: [DONE]\n\n" if done else ""]).encode()


def inner(body: Any) -> Any:
    return body["error"] if isinstance(body, dict) and body.get("error") else body


CHUNK = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "It"}, "finish_reason": None}]}
CARRIERS: dict[str, Callable[[Any], Any]] = {
    "the body as it is": lambda body: body,
    "at the top": lambda body: {"error": inner(body)},
    "at the top of an answer": lambda body: {**chat("It is done."), "error": inner(body)},
    "in a list": lambda body: [{"error": inner(body)}],
    "in a choice": lambda body: in_choice(inner(body)),
    "as an event": lambda body: stream({"error": inner(body)}),
    "as a later event": lambda body: stream(CHUNK, {"error": inner(body)}, done=False),
    "in a choice of an event": lambda body: stream({**CHUNK, "choices": [{"index": 0, "delta": {}, "error": inner(body)}]}),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_what_is_said_of_a_prompt_means_the_same_inside_of_a_good_status(carrier: str) -> None:
    for row in ROWS:
        carried = CARRIERS[carrier](row["body"])
        with pytest.raises(ModelError) as found:
            END.read(carried if isinstance(carried, bytes) else json.dumps(carried).encode(), ASK)
        status = fault_status(inner(row["body"])) or 0
        if row["kind"] == "too_long":
            assert isinstance(found.value, ContextWindowError), row
        elif not says_too_long(status, json.dumps(row["body"])):  # without the row's own status a few look like it
            assert not isinstance(found.value, ContextWindowError), row


@given(st.sampled_from(ROWS), st.text(max_size=20))
def test_an_answer_that_speaks_of_too_long_prompts_is_an_answer(row: dict[str, Any], around: str) -> None:
    text = around + json.dumps(row["body"])
    assert END.read(json.dumps(chat(text)).encode(), ASK).message.content
    assert fault_in(chat(text)) is None


LONG = {"code": 400, "message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."}
BUSY = {"code": 503, "message": "busy"}
BAD_KEY = {"type": "authentication_error", "message": "invalid x-api-key"}
BLOCKED = {"code": "content_filter", "message": "The prompt triggered our content management policy."}
MODELS = {
    "openai": ("{url}/v1#stub", {"client": "openai"}),
    "aiohttp": ("{url}/v1#stub", {"client": "aiohttp"}),
    "responses": ("openai-responses:stub", {"api_key": "k" * 8, "base_url": "{url}/v1"}),
    "anthropic": ("anthropic:stub", {"api_key": "k" * 8, "base_url": "{url}"}),
    "google": ("google:stub", {"api_key": "k" * 8, "base_url": "{url}"}),
    "litellm": ("litellm:mistral/stub", {"api_key": "k" * 8, "base_url": "{url}/v1"}),
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_provider_is_sent_how_to_sample(kind: str) -> None:
    name, options = MODELS[kind]
    asked_for = Request(ASK.messages, sampling=Sampling(temperature=0.25, top_p=0.75, max_tokens=20))
    with provider_server(lambda asked: Reply({"error": BUSY})) as server:
        options = {key: value.format(url=server.url) for key, value in options.items()}
        backend = make_backend(name.format(url=server.url), max_retries=0, **options)
        with pytest.raises(ModelError, match="busy"):
            asyncio.run(_once(backend, asked_for))
        sent = json.dumps(server.asked[0].body)
        assert "0.25" in sent
        assert "0.75" in sent


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("error", "expected", "is_retried"),
    [
        (LONG, ContextWindowError, False),
        ({**LONG, "code": None}, ContextWindowError, False),
        (BUSY, ModelError, True),
        (BAD_KEY, ModelError, False),
        (BLOCKED, ContentFilterError, False),
    ],
)
def test_every_provider_reads_them_alike(kind: str, error: Any, expected: type[ModelError], is_retried: bool) -> None:
    name, options = MODELS[kind]
    with provider_server(lambda asked: Reply({"type": "error", "error": error})) as server:
        options = {key: value.format(url=server.url) for key, value in options.items()}
        backend = make_backend(name.format(url=server.url), max_retries=1, **options)
        with pytest.raises(ModelError) as found:
            asyncio.run(_once(backend))
        assert type(found.value) is expected
        assert len(server.asked) == 1 + is_retried


def test_litellm_keeps_what_they_say() -> None:
    body: Any = None
    with provider_server(lambda asked: Reply({"error": inner(body)})) as server:
        backend = make_backend("litellm:mistral/stub", max_retries=0, api_key="k" * 8, base_url=f"{server.url}/v1")

        async def ask_all() -> None:
            nonlocal body
            for row in ROWS:
                body = row["body"]
                message = inner(body).get("message") if isinstance(inner(body), dict) else None
                if row["kind"] != "too_long" or not isinstance(message, str) or not says_too_long(0, message):
                    continue  # litellm keeps the message alone
                with pytest.raises(ContextWindowError):
                    await backend.generate(ASK)
            await backend.aclose()

        asyncio.run(ask_all())
        assert len(server.asked) > 20


def test_the_token_backend_reads_them_too() -> None:
    from tests.algorithms.toy_recipe import toy_policy

    models = {"data": [{"id": "policy", "max_model_len": 128}]}
    for answer, expected in (
        ({"error": LONG}, ContextWindowError),
        ({"object": "error", "message": LONG["message"], "code": 400}, ContextWindowError),
        ({"error": BUSY}, ModelError),
        ({"choices": [_tokens("abort")], "usage": USAGE}, ModelError),
        ({"choices": [_tokens("error")], "usage": USAGE}, ModelError),
        ({"choices": [{**_tokens("stop"), "error": BUSY}], "usage": USAGE}, ModelError),
    ):
        with provider_server(lambda asked, a=answer: models if asked.path.endswith("/models") else a) as server:
            backend = VLLMBackend(f"{server.url}/v1", toy_policy().tokenizer, model="policy")
            with pytest.raises(ModelError) as found:
                asyncio.run(_once(backend))
            assert type(found.value) is expected
            assert found.value.usage == (Usage(1, 0, 700, 0, 30) if "usage" in answer else None)


def test_a_stream_of_another_kind_says_what_to_turn_off() -> None:
    with pytest.raises(ModelError, match=r"a stream of events, which was not asked for.*Turn streaming off"):
        END.read(stream({"type": "galaxy"}), ASK)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
said_calls = st.lists(
    st.tuples(st.sampled_from(["look", "get"]), st.dictionaries(texts, texts | st.integers(), max_size=2)), max_size=3
)


@given(texts, texts, said_calls, st.sampled_from(["stop", "length", "tool_calls"]), st.integers(1, 4))
def test_a_stream_is_read_as_the_answer_that_it_makes(content: str, thought: str, calls: Any, finish: str, step: int) -> None:
    native = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for n, (name, arguments) in enumerate(calls)
    ]
    message = {"reasoning_content": thought} | ({"tool_calls": native} if native else {})
    whole = {**chat(content, finish, **message), "usage": USAGE}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": thought[i : i + step]} for i in range(0, len(thought), step)]
    deltas += [{"content": content[i : i + step]} for i in range(0, len(content), step)]
    for index, one in enumerate(native):
        text = one["function"]["arguments"]
        deltas.append(
            {"tool_calls": [{**one, "index": index, "function": {"name": one["function"]["name"], "arguments": ""}}]}
        )
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": text[i : i + step]}}]}
            for i in range(0, len(text), step)
        ]
    events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}, {"choices": [], "usage": USAGE}]
    assert END.read(stream(*events), ASK) == END.read(json.dumps(whole).encode(), ASK)
    with pytest.raises(ModelError, match="broke its answer off") as broken:
        END.read(stream(*events[:-2], done=False), ASK)
    assert broken.value.retryable


# -- what they cost ---------------------------------------------------------------------------------------------------

FAILING: dict[str, Any] = {
    "filtered": chat("", "content_filter"),
    "filtered with text": chat("It is", "content_filter"),
    "broken off": chat("It is", "error"),
    "aborted": chat(None, "abort"),
    "an error at the top": {**chat("It is"), "error": BUSY},
    "an error without a status": {**chat("It is"), "error": {"message": "something"}},
    "an error in the choice": in_choice(BUSY),
    "no choices": {**chat("It is"), "choices": []},
    "no message": {**chat("It is"), "choices": [{"finish_reason": "stop"}]},
    "calls that are none": chat(None, tool_calls="x"),
}
for answered in FAILING.values():
    answered["usage"] = USAGE
FAILING["an event"] = stream({**CHUNK, "usage": USAGE}, {"error": BUSY})
PRICES = PriceTable({"stub": Price(2.0, 10.0, 2.0)})
COST = (700 * 2.0 + 30 * 10.0) / 1e6


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with AnsweringServer() as running:
        yield running


@pytest.mark.parametrize("client", ["openai", "aiohttp"])
@pytest.mark.parametrize("fault", FAILING)
def test_an_answer_that_failed_is_paid_for(server: AnsweringServer, client: str, fault: str) -> None:
    server.answer = lambda body: FAILING[fault]
    inside = make_backend(server.url, client=client).backend
    backend = Reliable(inside, policy=RetryPolicy(retries=1, first_wait_s=0.01), prices=PRICES)
    played = _play(backend)
    tries = len(server.received)
    assert played.outcome.error is not None
    for usage in (played.usage, backend.usage, summarize([played]).usage):
        assert (usage.prompt_tokens, usage.completion_tokens, usage.calls) == (700 * tries, 30 * tries, tries)
        assert usage.cost == pytest.approx(COST * tries)


def test_a_good_answer_after_one_that_failed_costs_both_and_is_kept_as_it_is(server: AnsweringServer, tmp_path: Path) -> None:
    server.answer = lambda body: FAILING["broken off"] if len(server.received) == 1 else {**chat("hi"), "usage": USAGE}
    cache = ResponseCache(tmp_path / "cache.db")
    inside = make_backend(server.url, max_retries=0).backend
    backend = Reliable(inside, policy=RetryPolicy(retries=1, first_wait_s=0.01), cache=cache, cache_sampled=True)
    first = asyncio.run(_once(backend, close=False)).usage
    assert (first.prompt_tokens, first.completion_tokens, first.calls, first.retries) == (1400, 60, 2, 1)
    second = asyncio.run(_once(backend)).usage
    assert (second.prompt_tokens, second.cached_tokens, second.completion_tokens) == (700, 700, 30)
    assert len(server.received) == 2


@pytest.mark.parametrize("budget", [Budget(tokens=700), Budget(cost=COST)])
def test_a_budget_is_spent_by_answers_that_failed(server: AnsweringServer, budget: Budget) -> None:
    server.answer = lambda body: FAILING["broken off"]
    inside = make_backend(server.url, max_retries=0).backend
    policy = RetryPolicy(retries=5, first_wait_s=0.01)
    with pytest.raises(BudgetError, match="The budget is spent"):
        asyncio.run(_once(Reliable(inside, policy=policy, budget=budget, prices=PRICES)))
    assert len(server.received) == 1


@given(st.lists(st.sampled_from(["stop", "content_filter", "error", "length"]), min_size=1, max_size=6), st.integers(0, 3))
def test_usage_adds_up_over_every_answer_that_was_given(reasons: list[str], retries: int) -> None:
    given_ = iter([*reasons, "stop", "stop", "stop", "stop"])
    count = 0

    def answer(request: Request) -> Generation:
        nonlocal count
        count += 1
        return Generation(Message("assistant", "x"), next(given_), Usage(1, 0, 10, 0, 3))

    async def go() -> Usage:
        policy = RetryPolicy(retries=retries, first_wait_s=1e-6)
        backend = Reliable(ScriptedBackend(answer), policy=policy)
        try:
            told = (await backend.generate(ASK)).usage
        except ModelError as error:
            told = error.usage
        assert backend.usage.prompt_tokens == told.prompt_tokens
        assert backend.usage.calls == told.calls
        return told

    told = asyncio.run(go())
    assert (told.calls, told.prompt_tokens, told.completion_tokens) == (count, 10 * count, 3 * count)


def test_an_agent_without_retries_counts_them_too() -> None:
    blocked = Generation(Message("assistant", "x"), "content_filter", Usage(1, 0, 10, 0, 3))
    played = _play(ScriptedBackend(lambda request: blocked))
    assert (played.usage.calls, played.usage.prompt_tokens, played.usage.completion_tokens) == (1, 10, 3)


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "unexpected_tool_call"])
def test_a_call_that_the_server_could_not_read_is_answered_with_advice(reason: str) -> None:
    played = _play(ScriptedBackend(lambda request: Generation(Message("assistant", "print(look("), reason)), turns=2)
    assert played.outcome.error is None
    assert len(played.steps) == 2
    assert "could not be read" in played.final_observation


def _tokens(reason: str) -> dict[str, Any]:
    return {"token_ids": [5, 6], "logprobs": {"token_logprobs": [-1.0, -1.0]}, "finish_reason": reason}


async def _once(backend: Backend, request: Request | None = None, *, close: bool = True) -> Generation:
    try:
        greedy = Request(ASK.messages, sampling=Sampling(temperature=0, max_tokens=20))
        return await backend.generate(request or greedy)
    finally:
        if close:
            await backend.aclose()


def _play(backend: Backend, turns: int = 1) -> Trajectory:
    async def go() -> Trajectory:
        agent = LLMAgent(backend)
        plans = [EpisodePlan("e", "palaestra/Desk-v0", {}, seed=0, max_turns=turns)]
        (played,) = [one async for one in RolloutEngine(1).run(plans, agent)]
        await agent.aclose()
        return played

    return asyncio.run(go())
