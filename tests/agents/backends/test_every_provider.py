"""What an answer means does not depend on the API that it comes through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaestra.agents.backends.limits import Budget
from palaestra.agents.backends.token_usage import MOST_TOKENS, token_count
from palaestra.agents.core import Generation, Request
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout import EpisodePlan, RolloutEngine
from palaestra.agents.store.records import EpisodeSummary
from palaestra.errors import BudgetError, ModelError
from palaestra.types import Message, Trajectory
from tests.agents.backends.provider_answers import CHATS, MISSING, MODELS, Answer, Call, backend_at
from tests.agents.backends.provider_server import DESK, DESK_SEED, Asked, provider_server

ASK = Request((Message("user", "hello"),))
NAMES = {"missing": MISSING, "null": None, "empty": "", "blank": "  ", "a number": 5, "a list": ["x"]}
OTHERS = [kind for kind in MODELS if kind not in CHATS]
LOOK = '{"query": "Glass"}'


async def _play(backend: Any, turns: int) -> Trajectory:
    agent = LLMAgent(backend)
    plans = [EpisodePlan("e", DESK, {}, seed=DESK_SEED, max_turns=turns)]
    [played] = [one async for one in RolloutEngine(1).run(plans, agent)]
    await agent.aclose()
    return played


def play(kind: str, *answers: Any, turns: int = 2) -> tuple[Trajectory, list[Asked]]:
    """Play Desk against a server that gives answers in turn, the last one from then on."""
    bodies = [answer.by(MODELS[kind][0]) if isinstance(answer, Answer) else answer for answer in answers]
    with provider_server(lambda asked: bodies[min(len(server.asked), len(bodies)) - 1]) as server:
        return asyncio.run(_play(backend_at(server, kind, retries=2), turns)), server.asked


def ask(kind: str, body: Any, *, retries: int = 0, request: Request = ASK, **options: Any) -> tuple[Generation, int]:
    """Ask once; return the answer and the number of requests that it took."""

    async def go(backend: Any) -> Generation:
        try:
            found: Generation = await backend.generate(request)
            return found
        finally:
            await backend.aclose()

    with provider_server(lambda asked: body) as server:
        return asyncio.run(go(backend_at(server, kind, retries=retries, **options))), len(server.asked)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["openai", "litellm", *OTHERS])
def test_a_call_without_a_name_is_advice_and_the_call_next_to_it_is_run(kind: str, name: str) -> None:
    slip = Answer(calls=(Call(), Call(NAMES[name])))
    played, asked = play(kind, slip, Answer("It is done."), turns=3)
    assert played.outcome.error is None
    first = played.steps[0]
    assert [call.name for call in first.action.tool_calls] == ["search_notes", ""]
    assert [(result["name"], result["status"]) for result in first.info["tool_results"]] == [
        ("search_notes", "ok"),
        ("", "invalid_arguments"),
    ]
    assert len(asked) == len(played.steps) == 2  # nothing was asked again


@pytest.mark.parametrize("kind", ["openai", "litellm", *OTHERS])
def test_a_word_that_nobody_knows_is_played_and_counted(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        played, _ = play(kind, Answer(calls=[Call()], reason=f"galaxy {kind}"), turns=2)
    word = f"galaxy_{kind}"
    assert [step.finish_reason for step in played.steps] == [word, word]
    assert EpisodeSummary.of(played).answer_faults == {word: 2}
    assert sum(word in record.getMessage() for record in caplog.records) == 1


UNFINISHED = {
    "anthropic": [("pause_turn", False), ("compaction", False)],
    "google": [
        ("OTHER", True),
        ("TOO_MANY_TOOL_CALLS", True),
        ("FINISH_REASON_UNSPECIFIED", True),
        ("IMAGE_OTHER", True),
        ("MALFORMED_RESPONSE", True),
        ("MISSING_THOUGHT_SIGNATURE", False),
        ("PUP_LIMITED_DISABLED", False),
        ("ESCALATION", False),
    ],
    "responses": [("in_progress", False), ("queued", False), ("failed", True), ("cancelled", True)],
    "litellm": [("error", True), ("abort", True), ("server_error", True), ("sensitive", False), ("safety", False)],
    "openai": [("error", True), ("abort", True), ("server_error", True), ("sensitive", False), ("safety", False)],
}


@pytest.mark.parametrize(("kind", "reason", "is_retried"), [(kind, *row) for kind, rows in UNFINISHED.items() for row in rows])
@pytest.mark.parametrize("answer", [Answer("I fou"), Answer(calls=[Call()])], ids=["text", "call"])
def test_an_unfinished_answer_is_never_played(kind: str, reason: str, is_retried: bool, answer: Answer) -> None:
    played, asked = play(kind, Answer(answer.text, answer.calls, reason))
    assert not played.steps
    assert played.outcome.error is not None
    assert played.outcome.error.boundary == "model"
    assert len(asked) == (3 if is_retried else 1)
    assert played.usage.completion_tokens == 3 * len(asked)  # it is paid for


CUTS = {
    "anthropic": ["max_tokens", "model_context_window_exceeded"],
    "google": ["MAX_TOKENS", "CONTINUATION"],
    "responses": ["incomplete"],
    "litellm": ["length", "max_tokens", "model_length", "max_output_tokens", "incomplete"],
    "openai": ["length", "max_tokens", "model_length", "max_output_tokens", "incomplete"],
}


@pytest.mark.parametrize(("kind", "reason"), [(kind, reason) for kind, reasons in CUTS.items() for reason in reasons])
@pytest.mark.parametrize("answer", [Answer("I fou"), Answer(calls=[Call()])], ids=["text", "call"])
def test_a_cut_answer_runs_nothing(kind: str, reason: str, answer: Answer) -> None:
    played, _ = play(kind, Answer(answer.text, answer.calls, reason))
    assert [step.finish_reason for step in played.steps] == ["length", "length"]
    assert not any(step.action.tool_calls or step.terminated for step in played.steps)


@pytest.mark.parametrize("spell", [int, float, str, lambda n: f" {n}.0 ", lambda n: n + 0.2], ids=range(5))
@pytest.mark.parametrize("kind", MODELS)
def test_what_is_plainly_a_number_is_counted(kind: str, spell: Any) -> None:
    body = Answer("Yes.", prompt=spell(300), completion=spell(500)).by(MODELS[kind][0])
    usage = ask(kind, body)[0].usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (300, 500)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("count", [10**30, 1e300, "1" * 400, -3, True, None, [], "many", "1_000"], ids=repr)
def test_what_cannot_be_a_count_is_none(kind: str, count: Any) -> None:
    body = Answer("Yes.", prompt=count, completion=count).by(MODELS[kind][0])
    usage = ask(kind, body)[0].usage
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (1, 0, 0)


@pytest.mark.parametrize("kind", MODELS)
def test_a_budget_is_kept_whatever_the_spelling(kind: str) -> None:
    async def go(backend: Any) -> None:
        try:
            await backend.generate(ASK)
            with pytest.raises(BudgetError):
                await backend.generate(ASK)
        finally:
            await backend.aclose()

    body = Answer("Yes.", prompt="60", completion=60.0).by(MODELS[kind][0])
    with provider_server(lambda asked: body) as server:
        asyncio.run(go(backend_at(server, kind, budget=Budget(tokens=100))))


@given(st.one_of(st.integers(), st.floats(), st.text(max_size=40), st.booleans(), st.none(), st.lists(st.integers())))
def test_a_count_is_a_number_within_bounds(value: Any) -> None:
    count = token_count(value)
    assert type(count) is int
    assert 0 <= count <= MOST_TOKENS
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        assert token_count(value) == token_count(str(value)) == token_count(float(value)) == value


@pytest.mark.parametrize("kind", CHATS)
def test_a_call_in_the_form_of_older_servers_is_run(kind: str) -> None:
    legacy = Answer("").chat()
    legacy["choices"][0] = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "function_call": {"name": "search_notes", "arguments": LOOK}},
        "finish_reason": "function_call",
    }
    played, asked = play(kind, legacy)
    assert [call.name for step in played.steps for call in step.action.tool_calls] == ["search_notes"] * 2
    sent = asked[1].body["messages"]
    assert [message["role"] for message in sent][-2:] == ["assistant", "tool"]
    assert sent[-2]["tool_calls"][0]["id"] == sent[-1]["tool_call_id"]


@pytest.mark.parametrize("kind", ["openai", "litellm", *OTHERS])
@pytest.mark.parametrize("text", ["<|end|>", "<|im_end|>\n", "</s>"])
def test_a_token_that_ends_a_turn_is_not_an_answer(kind: str, text: str) -> None:
    played, _ = play(kind, Answer(text))
    assert [(step.finish_reason, step.action.content) for step in played.steps] == [("empty", ""), ("empty", "")]
    assert not any(step.terminated for step in played.steps)


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("content", [[], None, "", [{"type": "text", "text": ""}]], ids=repr)
def test_an_empty_content_is_an_empty_answer(kind: str, content: Any) -> None:
    body = Answer("").chat()
    body["choices"][0]["message"]["content"] = content
    generation, asked = ask(kind, body)
    assert (generation.message, generation.finish_reason, asked) == (Message("assistant"), "stop", 1)


@pytest.mark.parametrize("kind", [*CHATS, *OTHERS])
def test_an_error_of_the_model_keeps_its_usage(kind: str) -> None:
    reason = {"chat": "error", "anthropic": "pause_turn", "google": "OTHER", "responses": "queued"}[MODELS[kind][0]]
    with pytest.raises(ModelError) as found:
        ask(kind, Answer("half", reason=reason).by(MODELS[kind][0]))
    assert found.value.usage is not None
    assert found.value.usage.completion_tokens == 3


CALLS = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["a", "b", "", None])},
        optional={
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["search_notes", "look", "", None]),
                    "arguments": st.sampled_from([LOOK, "{", "", {}]),
                }
            ),
            "extra_content": st.just({"google": {"thought_signature": "S"}}),
        },
    ),
    max_size=3,
)
MESSAGES = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": st.sampled_from([None, "", [], "It is done.", [{"type": "text", "text": "Yes."}]]),
    },
    optional={
        "tool_calls": CALLS,
        "function_call": st.just({"name": "search_notes", "arguments": LOOK}),
        "reasoning_content": st.sampled_from(["", "hm"]),
        "reasoning_details": st.just([{"type": "reasoning.encrypted", "data": "E"}]),
        "refusal": st.sampled_from([None, "I cannot."]),
    },
)
REASONS = st.sampled_from(
    ["stop", "length", "model_length", "tool_calls", "content_filter", "sensitive", "error", "abort", "eos", "galaxy", None, 7]
)
ERRORS = st.sampled_from([None, {"code": 502, "message": "up"}, {"code": 400, "message": "prompt is too long: 9 tokens > 8"}])
NUMBERS = st.sampled_from([3, 3.0, "3", None, -1, 10**30])
COMPLETIONS = st.builds(
    lambda message, reason, inside, error, tokens: {
        "id": "c", "object": "chat.completion", "created": 1, "model": "stub", "error": error,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "error": inside}],
        "usage": {"prompt_tokens": tokens, "completion_tokens": tokens},
    },
    MESSAGES, REASONS, ERRORS, ERRORS, NUMBERS,
)  # fmt: skip


@pytest.fixture(scope="module")
def chats() -> Iterator[tuple[Callable[[str, Any], Any], list[Any]]]:
    """Return what asks one backend after the other, each kept open, on one loop."""
    body: list[Any] = [None]
    with provider_server(lambda asked: body[0]) as server, asyncio.Runner() as runner:
        made = {kind: backend_at(server, kind) for kind in CHATS}

        def read(kind: str, sent: Any) -> Any:
            body[0] = sent
            try:
                generation = runner.run(made[kind].generate(ASK))
            except ModelError as error:
                return type(error), error.retryable, error.usage and error.usage.completion_tokens
            return generation.message, generation.finish_reason, generation.usage.completion_tokens

        yield read, CHATS[1:]
        for backend in made.values():
            runner.run(backend.aclose())


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(sent=COMPLETIONS)
def test_the_same_bytes_mean_the_same_through_every_chat_backend(chats: Any, sent: Any) -> None:
    read, others = chats
    expected = read(CHATS[0], sent)
    for kind in others:
        assert read(kind, sent) == expected, kind
