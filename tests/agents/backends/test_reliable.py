from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from palaestra.agents.backends import reliable
from palaestra.agents.backends.cache import ResponseCache
from palaestra.agents.backends.limits import Budget, RateLimit
from palaestra.agents.backends.prices import PriceTable
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.backends.scripted import ScriptedBackend, ScriptedReply
from palaestra.agents.context import estimate_tokens
from palaestra.agents.core import Generation, Request, Sampling, Tokens
from palaestra.agents.llm import LLMAgent
from palaestra.errors import BudgetError, ConfigError, ModelError, StoreError
from palaestra.types import Message, ToolCall, Usage

ASK = Request((Message("user", "hello"),))
GREEDY = Request((Message("user", "hello"),), sampling=Sampling(temperature=0))
PAID = ScriptedReply(Message("assistant", "hi"), usage=Usage(1, 0, 1_000_000, 400_000, 100_000), repeat=True)
PRICES = PriceTable.load({"models": {"scripted": {"prompt": 1.0, "cached": 0.5, "completion": 10.0}}})


def fault(**options: object) -> ModelError:
    return ModelError("slow down", retryable=True, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "refused", "taken", "expected"),
    [
        ("retries", [-1, 1.5, None], [0, 10**15], "a whole number of at least 0 and at most"),
        ("first_wait_s", [0, None, 10**8 + 1], [1e-9, 10**8], "a number above 0 and at most 100,000,000."),
        ("longest_wait_s", [0, None, 10**8 + 1], [1e-9, 10**8], "a number above 0 and at most 100,000,000."),
        ("timeout_s", [0, 10**8 + 1], [1e-9, 10**8, None], "a number above 0 and at most 100,000,000, or None for no limit."),
        ("deadline_s", [0, 10**8 + 1], [1e-9, 10**8, None], "a number above 0 and at most 100,000,000, or None for no limit."),
    ],
)
def test_settings_of_retries_are_taken_up_to_their_bounds(
    option: str, refused: list[object], taken: list[object], expected: str
) -> None:
    for value in taken:
        assert getattr(RetryPolicy(**{option: value}), option) == value  # type: ignore[arg-type]
    for value in refused:
        with pytest.raises(ConfigError, match=f"{option} is {value!r}; expected {expected}"):
            RetryPolicy(**{option: value})  # type: ignore[arg-type]


async def test_waits_double_with_full_jitter_and_are_the_same_again() -> None:
    policy = RetryPolicy(first_wait_s=1.0, longest_wait_s=8.0)
    draws = [[policy.wait_s(retry, fault(), random.Random(seed)) for retry in range(6)] for seed in range(200)]
    tops = [max(column) for column in zip(*draws, strict=True)]
    assert all(0.9 * limit < top <= limit for top, limit in zip(tops, [1, 2, 4, 8, 8, 8], strict=True))
    assert min(draw[5] for draw in draws) < 0.5, "full jitter begins at 0"
    assert draws[3] == [policy.wait_s(retry, fault(), random.Random(3)) for retry in range(6)]


async def test_a_wait_asked_for_is_never_cut_short() -> None:
    waits = [RetryPolicy().wait_s(0, fault(retry_after_s=90.0), random.Random(seed)) for seed in range(50)]
    assert all(90.0 <= wait <= 90.5 for wait in waits)


async def test_an_attempt_that_takes_too_long_is_repeated() -> None:
    slow = ScriptedReply(Message("assistant", "late"), delay_s=5)
    backend = Reliable(ScriptedBackend([slow, "soon"]), policy=RetryPolicy(timeout_s=0.05, first_wait_s=0.01))
    generation = await backend.generate(ASK)
    assert generation.message.content == "soon"
    assert generation.usage.retries == 1
    assert 0.05 <= generation.usage.model_s < 2


async def test_the_deadline_holds_over_all_attempts() -> None:
    slow = ScriptedReply(Message("assistant", "late"), delay_s=5, repeat=True)
    backend = Reliable(ScriptedBackend([slow]), policy=RetryPolicy(retries=99, deadline_s=0.2, first_wait_s=0.01))
    started = time.monotonic()
    with pytest.raises(ModelError, match="did not answer within"):
        await backend.generate(ASK)
    assert time.monotonic() - started < 2


async def test_a_backend_counts_its_own_tokens_and_keeps_its_own_seeds() -> None:
    asked: list[Request] = []

    def answer(request: Request) -> str:
        asked.append(request)
        return "ok"

    counting = ScriptedBackend(answer)
    counting.count_tokens = lambda messages: 7 * len(messages)  # type: ignore[attr-defined]
    backend = Reliable(counting)
    assert backend.count_tokens(ASK.messages * 3) == 21 * len(ASK.messages)
    request = replace(ASK, session="s", turn=3)
    await backend.generate(request)
    assert asked == [request]
    assert Reliable(ScriptedBackend(answer)).count_tokens(ASK.messages) == estimate_tokens(ASK.messages)


async def test_errors_that_are_ours_are_not_retried() -> None:
    asked = []

    def broken(request: Request) -> str:
        asked.append(request)
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await Reliable(ScriptedBackend(broken)).generate(ASK)
    assert len(asked) == 1


async def test_a_cancelled_request_stops_and_gives_its_place_back() -> None:
    slow = ScriptedReply(Message("assistant", "late"), delay_s=5, match=None)
    backend = Reliable(ScriptedBackend([slow, "next"]), concurrency=1)
    task = asyncio.create_task(backend.generate(ASK))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await asyncio.wait_for(backend.generate(ASK), 1)).message.content == "next"


async def test_no_more_than_so_many_are_in_flight() -> None:
    inside = most = 0

    async def count(request: Request) -> str:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.005)
        inside -= 1
        return "ok"

    backend = Reliable(ScriptedBackend(count), concurrency=3)
    await asyncio.gather(*[backend.generate(ASK) for _ in range(20)])
    assert most == 3
    await backend.aclose()


async def test_requests_per_minute_are_kept_to() -> None:
    asked: list[float] = []

    def note(request: Request) -> str:
        asked.append(time.monotonic())
        return "ok"

    backend = Reliable(ScriptedBackend(note), rate_limit=RateLimit(requests_per_minute=60 * 20))
    started = time.monotonic()
    await asyncio.gather(*[backend.generate(ASK) for _ in range(26)])
    # a second's worth at once, then 20 a second
    assert asked[-1] - started >= 6 / 20 - 0.02
    assert asked[19] - started < 0.2


async def test_what_a_cancelled_wait_had_reserved_is_given_back() -> None:
    limit = RateLimit(requests_per_minute=600, tokens_per_minute=10**6)
    backend = Reliable(ScriptedBackend(lambda request: "ok"), rate_limit=limit)
    for _ in range(10):
        await backend.generate(ASK)
    waiting = [asyncio.create_task(backend.generate(ASK)) for _ in range(50)]
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    started = time.monotonic()
    await backend.generate(ASK)
    assert time.monotonic() - started < 2  # else it stands behind fifty that will never ask


async def test_tokens_per_minute_are_kept_to_by_what_was_really_used() -> None:
    reply = ScriptedReply(Message("assistant", "ok"), usage=Usage(1, 0, 900, 0, 100), repeat=True)
    backend = Reliable(ScriptedBackend([reply]), rate_limit=RateLimit(tokens_per_minute=60 * 5000))
    started = time.monotonic()
    for _ in range(8):
        await backend.generate(ASK)
    assert time.monotonic() - started >= 0.35, "5000 tokens are free at once, the next 2000 take their time"


@pytest.mark.parametrize(
    ("budget", "asked"),
    [(Budget(calls=2), 2), (Budget(tokens=2_000_000), 2), (Budget(cost=3.5), 2), (Budget(calls=9, tokens=1), 1)],
)
async def test_a_spent_budget_is_an_error_that_no_retry_mends(budget: Budget, asked: int) -> None:
    inner = ScriptedBackend([PAID])
    backend = Reliable(inner, budget=budget, prices=PRICES)
    for _ in range(asked):
        await backend.generate(ASK)
    with pytest.raises(BudgetError, match=r"The budget is spent.*Raise budget\.") as caught:
        await backend.generate(ASK)
    assert not caught.value.retryable
    assert len(inner.requests) == asked


async def test_retries_count_against_the_budget_of_calls() -> None:
    backend = Reliable(
        ScriptedBackend([fault(), fault(), "ok"]), budget=Budget(calls=2), policy=RetryPolicy(first_wait_s=0.01)
    )
    with pytest.raises(BudgetError, match="The budget is spent"):
        await backend.generate(ASK)


async def test_cost_follows_the_price_table() -> None:
    backend = Reliable(ScriptedBackend([PAID]), prices=PRICES)
    generation = await backend.generate(ASK)
    assert generation.usage.cost == pytest.approx(0.6 * 1.0 + 0.4 * 0.5 + 0.1 * 10.0)
    await backend.generate(ASK)
    assert backend.usage.cost == pytest.approx(2 * generation.usage.cost)
    unknown = Reliable(ScriptedBackend([PAID]))
    assert (await unknown.generate(ASK)).usage.cost == 0.0
    assert not unknown.has_price


async def test_a_kept_answer_is_given_again_at_no_cost(tmp_path: Path) -> None:
    message = Message("assistant", "é\ud800"[:1], (ToolCall("look", {"at": 1}, "c1"),), reasoning="hm")
    answer = Generation(message, "tool_calls", Usage(1, 0, 50, 10, 5), Tokens((1, 2), (3,), (-0.5,), 2, "length"))
    inner = ScriptedBackend([answer])
    backend = Reliable(inner, cache=ResponseCache(tmp_path / "deep" / "cache.db"), prices=PRICES)
    first = await backend.generate(GREEDY)
    await backend.aclose()
    backend = Reliable(inner, cache=ResponseCache(tmp_path / "deep" / "cache.db"), prices=PRICES)
    again = await backend.generate(Request(GREEDY.messages, sampling=GREEDY.sampling, session="another"))
    assert (again.message, again.finish_reason, again.tokens) == (first.message, first.finish_reason, first.tokens)
    assert again.usage == Usage(calls=0, prompt_tokens=50, cached_tokens=50, completion_tokens=5)
    assert len(inner.requests) == 1
    await backend.aclose()


async def test_only_repeatable_answers_are_kept_unless_asked_for(tmp_path: Path) -> None:
    cache = ResponseCache(tmp_path / "cache.db")
    inner = ScriptedBackend([PAID])
    backend = Reliable(inner, cache=cache)
    other_model = Reliable(ScriptedBackend([PAID], name="other"), cache=cache)
    seeded = Request(ASK.messages, sampling=Sampling(seed=1))
    for request, kept in ((ASK, 0), (seeded, 1), (GREEDY, 2), (seeded, 2)):
        await backend.generate(request)
        assert len(cache) == kept
    await other_model.generate(GREEDY)
    await backend.generate(Request(GREEDY.messages, tools=({"type": "function"},), sampling=GREEDY.sampling))
    assert len(cache) == 4
    await Reliable(inner, cache=cache, cache_sampled=True).generate(ASK)
    assert len(cache) == 5
    cache.close()


async def test_answers_of_the_cache_spend_no_budget(tmp_path: Path) -> None:
    cache = ResponseCache(tmp_path / "cache.db")
    inner = ScriptedBackend([PAID] * 9)
    ask = [replace(ASK, sampling=Sampling(temperature=0, seed=n)) for n in range(3)]
    backend = Reliable(inner, cache=cache, budget=Budget(tokens=2_200_000, calls=2), prices=PRICES)
    for _ in range(20):  # 1.1 million tokens; kept answers have tokens too, which were paid for once
        await backend.generate(ask[0])
    await backend.generate(ask[1])
    assert backend.usage.prompt_tokens == 21_000_000
    with pytest.raises(BudgetError, match="The budget is spent"):
        await backend.generate(ask[2])
    assert (await backend.generate(ask[1])).message.content, "what is kept needs no budget"
    cache.close()


async def test_an_answer_of_the_cache_is_counted_once_everywhere(tmp_path: Path) -> None:
    cache = ResponseCache(tmp_path / "cache.db")
    reply = ScriptedReply(Message("assistant", "hi"), usage=Usage(1, 0, 50, 10, 5), repeat=True)
    prices = PriceTable.load({"models": {"scripted": {"prompt": 1e6, "cached": 5e5, "completion": 1e7}}})
    backend = Reliable(ScriptedBackend([reply]), cache=cache, prices=prices)
    asked = (await backend.generate(GREEDY)).usage
    assert replace(backend.usage, model_s=0.0) == replace(asked, model_s=0.0)
    kept = (await backend.generate(GREEDY)).usage
    assert kept == Usage(calls=0, prompt_tokens=50, cached_tokens=50, completion_tokens=5)
    assert backend.usage == asked + kept
    assert replace(backend.usage, cost=0.0, model_s=0.0) == Usage(1, 0, 100, 60, 10)
    for calls, cached in ((1, 10), (0, 50)):  # what an agent asks: paid for, then from the cache
        agent = LLMAgent(backend, sampling=GREEDY.sampling, system_prompt="Play.")
        agent.reset({"task": {"key": "k"}, "instructions": "", "tools": []})
        await agent.aact("hello", {})
        used = replace(agent.record().usage, cost=0.0, model_s=0.0)
        assert used == Usage(calls, prompt_tokens=50, cached_tokens=cached, completion_tokens=5)
    assert replace(backend.usage, cost=0.0, model_s=0.0) == Usage(2, 0, 200, 120, 20)
    assert backend.usage.cost == pytest.approx(2 * asked.cost)
    cache.close()


def test_a_file_that_is_no_cache_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="Give another path or delete the file"):
        ResponseCache(tmp_path / "cache.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        ResponseCache(tmp_path / "file" / "cache.db")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = ", "is not TOML"),
        ("", r"no \[models.NAME\] sections"),
        ("[model.a]\nprompt = 1", "Did you mean 'models'"),
        ("[models.a]\nprompt = 1", "completion is missing"),
        ("[models.a]\nprompt = -1\ncompletion = 1", "prompt is -1"),
        ("[models.a]\nprompt = 1\ncompletion = 1\ncache = 1", "Did you mean 'cached'"),
    ],
)
def test_a_wrong_price_table_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        PriceTable.load(tmp_path / "prices.toml")


def test_the_nearest_price_is_taken(tmp_path: Path) -> None:
    entry = "prompt = {0}\ncompletion = {0}\n"
    text = "".join(f'[models."{name}"]\n{entry.format(n)}' for n, name in enumerate(["*", "gpt-*", "gpt-5-*", "gpt-5-mini"]))
    (tmp_path / "prices.toml").write_text(text)
    table = PriceTable.load(tmp_path / "prices.toml")
    found = [table.find(f"openai:{name}", name) for name in ("llama", "gpt-4", "gpt-5-nano", "gpt-5-mini")]
    assert [price and price.prompt for price in found] == [0, 1, 2, 3]
    assert PriceTable.load({"models": {"a": {"prompt": 1, "completion": 1}}}).find("b") is None


class Clock:
    """A clock that answers and waits move on, and nothing else does."""

    def __init__(self) -> None:
        self.now, self.waits = 100.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reliable, "time", clock)
    monkeypatch.setattr(reliable, "asyncio", SimpleNamespace(sleep=clock.sleep, timeout=asyncio.timeout))
    return clock


def taking(clock: Clock, *replies: tuple[float, Generation | ModelError]) -> ScriptedBackend:
    """Return a backend whose replies take so many seconds of a clock each."""
    left = list(replies)

    def answer(request: Request) -> Generation:
        seconds, reply = left.pop(0)
        clock.now += seconds
        if isinstance(reply, ModelError):
            raise reply
        return reply

    return ScriptedBackend(answer)


HI = Message("assistant", "hi")
BROKEN_OFF = Usage(1, 0, 2_000_000, 1_000_000, 100_000, model_s=50.0, env_s=60.0)


async def test_each_attempt_and_what_broke_off_is_counted_once(clock: Clock) -> None:
    answer = Generation(HI, "stop", Usage(1, 2, 1_000_000, 400_000, 100_000, model_s=70.0))
    inner = taking(clock, (3.0, fault(usage=BROKEN_OFF)), (5.0, fault(usage=BROKEN_OFF)), (7.0, fault()), (11.0, answer))
    backend = Reliable(inner, prices=PRICES, policy=RetryPolicy(retries=3, first_wait_s=2.0))
    used = (await backend.generate(ASK)).usage
    assert len(clock.waits) == 3
    assert all(0 <= wait <= limit for wait, limit in zip(clock.waits, (2, 4, 8), strict=True))
    assert clock.now == 100 + 3 + 5 + 7 + 11 + sum(clock.waits)
    paid, lost = 0.6 * 1.0 + 0.4 * 0.5 + 0.1 * 10.0, 1.0 * 1.0 + 1.0 * 0.5 + 0.1 * 10.0
    mine, all_of_it = used, backend.usage
    assert (mine.retries, mine.model_s, mine.env_s) == (5, 26.0, 0.0), "seconds of the model, without waits"
    assert (all_of_it.retries, all_of_it.model_s, all_of_it.env_s) == (5, 26.0, 0.0)
    assert all_of_it.cost == pytest.approx(paid + 2 * lost)
    assert (all_of_it.calls, all_of_it.prompt_tokens, all_of_it.cached_tokens, all_of_it.completion_tokens) == (
        3, 5_000_000, 2_400_000, 300_000,
    )  # fmt: skip


@pytest.mark.parametrize(("deadline_s", "asked"), [(8.0, 1), (8.5, 2), (1000.0, 3)])
async def test_waits_and_attempts_count_against_the_deadline(clock: Clock, deadline_s: float, asked: int) -> None:
    inner = taking(clock, *[(3.0, fault(retry_after_s=5.0))] * 3)
    policy = RetryPolicy(retries=2, deadline_s=deadline_s, first_wait_s=1e-9)
    with pytest.raises(
        ModelError, match="slow down" if asked == 3 else f"the next try would come 5 s later, past deadline_s={deadline_s:g}"
    ):
        await Reliable(inner, policy=policy).generate(ASK)
    assert len(inner.requests) == asked
    assert clock.waits == pytest.approx([5.0] * (asked - 1))


async def test_the_pause_of_a_server_holds_for_others(clock: Clock) -> None:
    paused = fault(status=429, retry_after_s=30.0)
    inner = taking(clock, (1.0, paused), *[(1.0, Generation(HI, "stop", Usage(1)))] * 2)
    backend = Reliable(inner, policy=RetryPolicy(first_wait_s=0.5))
    asked_at: list[float] = []

    async def another(seconds: float) -> None:
        reliable.asyncio.sleep = wait  # type: ignore[assignment]
        await backend.generate(ASK)
        asked_at.append(clock.now)
        await wait(seconds)

    wait = clock.sleep
    reliable.asyncio.sleep = another  # type: ignore[assignment]
    await backend.generate(ASK)
    assert 131 + 1 <= asked_at[0] <= 131.5 + 1, "it waits until the server takes requests again, and not all at once"
