"""Kept answers: which sample of which request each one is, what a replay gives, and what is asked only once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents import LLMAgent, RunStore, evaluate, make_agent
from palaestra.agents.backends.cache import ResponseCache, request_key
from palaestra.agents.backends.limits import Budget
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.core import Generation, Request, Sampling
from palaestra.errors import BudgetError, ModelError
from palaestra.types import Message
from tests.agents.answering_server import AnsweringServer, chat

TEXTCRAFT = "palaestra/TextCraft-v0"
GREEDY = Request((Message("user", "hello"),), sampling=Sampling(temperature=0))


def counting() -> ScriptedBackend:
    """A model that never answers the same twice."""
    numbers = count()
    return ScriptedBackend(lambda request: f"answer {next(numbers)}")


async def answers(backend: Reliable, requests: Sequence[Request]) -> list[str]:
    return [(await backend.generate(request)).message.content for request in requests]


def requests() -> st.SearchStrategy[list[Request]]:
    """Programs that ask: episodes whose turns are counted, sessions whose turns are not, and loose questions."""
    sampling = st.builds(Sampling, temperature=st.sampled_from([0.0, 1.0]), seed=st.sampled_from([None, 3]))
    message = st.sampled_from("ab").map(lambda text: (Message("user", text),))
    session, turn = st.sampled_from(["", "e#0", "e#1"]), st.none() | st.integers(0, 1)
    return st.lists(st.builds(Request, message, sampling=sampling, session=session, turn=turn), max_size=12)


@settings(max_examples=40, deadline=None)
@given(asked=requests())
def test_a_replay_gives_the_same_list_and_asks_nothing(asked: list[Request]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = ResponseCache(Path(folder) / "cache.db")
        first, second = counting(), counting()
        given_ = asyncio.run(answers(Reliable(first, cache=cache, cache_sampled=True), asked))
        again = asyncio.run(answers(Reliable(second, cache=cache, cache_sampled=True), asked))
        cache.close()
    assert again == given_
    assert not second.requests
    samples: dict[tuple[str, object], list[str]] = {}
    for request, answer in zip(asked, given_, strict=True):
        greedy = request.sampling.temperature == 0 or request.sampling.seed is not None
        counted = request.session and request.turn is not None
        name = "greedy" if greedy else (request.session, request.turn) if counted else None
        found = samples.setdefault((repr((request.messages, request.sampling)), name or request.session), [])
        found.append(answer)
        if name is not None:
            assert len(set(found)) == 1, "one request, or one turn of one episode"
    loose = [found for (_, name), found in samples.items() if isinstance(name, str) and name != "greedy"]
    assert all(len(set(found)) == len(found) for found in loose), "samples that nobody else counts differ"
    assert len({answer for found in samples.values() for answer in found}) == len(first.requests)


def schema(**changes: object) -> dict[str, object]:
    """One tool: its name stays the same, whatever else is changed."""
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], **changes}
    return {
        "type": "function",
        "function": {"name": "move", "description": changes.pop("told", "Move."), "parameters": parameters},
    }


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling()])
async def test_tools_of_one_name_with_other_schemas_are_other_questions(tmp_path: Path, sampling: Sampling) -> None:
    schemas = [schema(), schema(told="Go."), schema(required=[]), schema(properties={"n": {"type": "integer", "maximum": 3}})]
    offered = [(), *((one,) for one in schemas), (schemas[0], schemas[1]), (schemas[1], schemas[0])]
    asked = [Request(GREEDY.messages, tools, sampling, session="e#0", turn=0) for tools in offered]
    assert len({request_key("scripted", request) for request in asked}) == len(asked)
    model, cache = counting(), ResponseCache(tmp_path / "cache.db")
    found = await answers(Reliable(model, cache=cache, cache_sampled=True), asked)
    assert len(set(found)) == len(model.requests) == len(asked)
    assert await answers(Reliable(model, cache=cache, cache_sampled=True), asked) == found
    assert len(model.requests) == len(asked)
    cache.close()


async def test_equal_requests_in_several_turns_of_episodes_are_samples_of_their_own(tmp_path: Path) -> None:
    hot = [replace(GREEDY, sampling=Sampling(), session=session, turn=turn) for session in ("e#0", "e#1") for turn in range(3)]
    model, cache = counting(), ResponseCache(tmp_path / "cache.db")
    found = await answers(Reliable(model, cache=cache, cache_sampled=True), hot)
    assert len(set(found)) == len(model.requests) == 6
    again = await answers(Reliable(model, cache=cache, cache_sampled=True), hot[::-1])
    assert again == found[::-1], "in whatever order they come"
    assert len(model.requests) == 6
    cache.close()


def test_four_samples_are_four_answers_whatever_the_concurrency_and_replay_to_the_same(tmp_path: Path) -> None:
    def played(seed: int = 0, samples: int = 4, concurrency: int = 1) -> dict[str, str]:
        agent = make_agent(
            server.url, cache=str(tmp_path / "cache.db"), cache_sampled=True, max_retries=0, temperature=1.0, format="text"
        )
        with RunStore(tmp_path / f"{len(list(tmp_path.iterdir()))}") as store:
            options = {"n": 2, "samples": samples, "max_turns": 2, "seed": seed, "concurrency": concurrency}
            run = evaluate(TEXTCRAFT, agent, store=store, close_agent=True, **options).run_id  # type: ignore[arg-type]
            return {t.episode_id: " ".join(step.action.content for step in t.steps) for t in store.trajectories(run)}

    with AnsweringServer() as server:
        numbers = count()
        server.answer = lambda body: chat(f"get {next(numbers)} oak log")
        part = played(samples=2)
        assert len(server.received) == 8
        whole = played(concurrency=8)
        assert len(server.received) == 16, "the samples that were played before are free"
        assert len(set(whole.values())) == 8
        assert {name: whole[name] for name in part} == part
        assert played() == whole
        assert len(server.received) == 16
        other = played(seed=1)
    assert not set(other.values()) & set(whole.values())


def test_the_samples_of_plain_loops_differ_and_replay(tmp_path: Path) -> None:
    async def played() -> list[str]:
        backend = Reliable(model, cache=ResponseCache(tmp_path / "cache.db"), cache_sampled=True)
        agent, found = LLMAgent(backend, format="text"), []
        for _ in range(3):
            agent.reset({"task": {"key": "k"}, "instructions": "", "tools": []})
            found.append((await agent.aact("hello", {})).content)
        await backend.aclose()
        return found

    model = counting()
    first = asyncio.run(played())
    assert len(set(first)) == 3
    assert asyncio.run(played()) == first
    assert len(model.requests) == 3


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (Request(GREEDY.messages), "03fda32e3cd8e8816b5b93fe7594ad80475c12bd8793b196c2ba6959dd5487b6"),
        (GREEDY, "b9f0881d42563f23b77683374e6a47f171ffa94d1bcfec745b5909f5161edaa0"),
        (
            Request(GREEDY.messages, sampling=Sampling(seed=3), session="e#1", turn=4),
            "c121089527d1042446604b788f4802906340e5f10fc01e35f19fbbad5280f8d0",
        ),
    ],
)
async def test_answers_that_an_earlier_version_kept_are_found(tmp_path: Path, request_: Request, key: str) -> None:
    assert request_key("scripted", request_) == key
    cache = ResponseCache(tmp_path / "cache.db")
    cache.put(key, await counting().generate(request_))
    backend = Reliable(ScriptedBackend([]), cache=cache, cache_sampled=True)
    assert (await backend.generate(request_)).message.content == "answer 0"
    cache.close()


class Slow(ScriptedBackend):
    """Answers when it is let, the first question apart from the others; `fails` times with an error."""

    def __init__(self, fails: int = 0) -> None:
        super().__init__(lambda request: "done")
        self.first, self.others, self.fails = asyncio.Event(), asyncio.Event(), fails

    async def generate(self, request: Request) -> Generation:
        answer = await super().generate(request)
        await (self.first if len(self.requests) == 1 else self.others).wait()
        self.fails -= 1
        if self.fails >= 0:
            raise ModelError("down")
        return answer


@pytest.mark.parametrize(("fails", "asked"), [(0, 1), (1, 8), (8, 8)])
async def test_equal_questions_at_once_are_asked_once_and_wait_for_one_failure_at_most(
    tmp_path: Path, fails: int, asked: int
) -> None:
    model, cache = Slow(fails), ResponseCache(tmp_path / "cache.db")
    backend = Reliable(model, cache=cache, policy=RetryPolicy(retries=0))
    tasks = [asyncio.create_task(backend.generate(GREEDY)) for _ in range(8)]
    await asyncio.sleep(0.01)
    assert len(model.requests) == 1
    model.first.set()
    await asyncio.sleep(0.01)
    assert len(model.requests) == asked, "after a failure all others ask at once"
    model.others.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, ModelError) for one in found].count(True) == fails
    assert (await backend.generate(GREEDY)).message.content == "done"
    cache.close()


async def test_whoever_waited_goes_on_when_the_first_is_cancelled(tmp_path: Path) -> None:
    model, cache = Slow(), ResponseCache(tmp_path / "cache.db")
    backend = Reliable(model, cache=cache)
    first, second = (asyncio.create_task(backend.generate(GREEDY)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    model.others.set()
    assert (await second).message.content == "done"
    assert len(model.requests) == 2
    cache.close()


async def test_samples_at_once_are_asked_each_and_a_spent_budget_leaves_what_is_kept(tmp_path: Path) -> None:
    cache = ResponseCache(tmp_path / "cache.db")
    sampled = replace(GREEDY, sampling=Sampling())
    backend = Reliable(counting(), cache=cache, cache_sampled=True, budget=Budget(calls=4))
    found = await asyncio.gather(*(backend.generate(sampled) for _ in range(4)))
    assert len({one.message.content for one in found}) == 4
    with pytest.raises(BudgetError):
        await backend.generate(sampled)
    again = Reliable(counting(), cache=cache, cache_sampled=True, budget=Budget(calls=1))
    assert await answers(again, [sampled] * 4) == [one.message.content for one in found]
    assert (await again.generate(sampled)).usage.calls == 1, "the fifth is the first that is asked"
    cache.close()
