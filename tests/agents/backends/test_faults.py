from __future__ import annotations

import asyncio
import time

import pytest

from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.core import Backend, Request
from palaestra.errors import ModelError
from palaestra.types import Message
from tests.agents.backends.fault_server import FAULTS, FINAL, FaultServer

ASK = Request((Message("user", "hello"),))
QUICK = RetryPolicy(retries=2, first_wait_s=0.01)


@pytest.fixture(params=["aiohttp", "openai"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connect(server: FaultServer, client: str, **options: object) -> Backend:
    options.setdefault("timeout_s", 0.4)
    options.setdefault("max_response_bytes", 200_000)
    return make_bare_backend(server.model_string, client=client, **options)


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_is_a_model_error_that_says_whether_to_retry(server: FaultServer, client: str, fault: str) -> None:
    server.plan.append(fault)
    backend = connect(server, client)
    with pytest.raises(ModelError) as caught:
        await backend.generate(ASK)
    await backend.aclose()
    error = caught.value
    assert error.retryable == (fault not in FINAL), error
    assert error.status == (int(fault[:3]) if fault[:3].isdigit() else None)
    assert server.base_url in str(error) or "server" in str(error)
    assert len(str(error)) < 700
    assert len(server.received) == 1, "a client asks once; retries happen around it"


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_is_retried_or_reported(server: FaultServer, client: str, fault: str) -> None:
    server.plan.append(fault)
    backend = Reliable(connect(server, client), policy=QUICK)
    if fault in FINAL:
        with pytest.raises(ModelError):
            await backend.generate(ASK)
        assert len(server.received) == 1
    else:
        generation = await backend.generate(ASK)
        assert generation.message.content == "look around"
        assert generation.usage.retries == backend.usage.retries == 1
        assert generation.usage.calls == 1
        assert len(server.received) == 2
    await backend.aclose()


async def test_retry_after_is_kept_to(server: FaultServer, client: str) -> None:
    server.retry_after = "0.3"
    server.plan.append("429")
    backend = Reliable(connect(server, client), policy=QUICK)
    await backend.generate(ASK)
    assert server.received[1].at - server.received[0].at >= 0.3
    await backend.aclose()


async def test_a_pause_asked_for_holds_for_all_requests(server: FaultServer, client: str) -> None:
    server.retry_after = "0.3"
    server.plan.append("429")
    backend = Reliable(connect(server, client, timeout_s=5), policy=QUICK)
    first = asyncio.create_task(backend.generate(ASK))
    while not server.received:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    await asyncio.gather(first, backend.generate(ASK), backend.generate(ASK))
    assert all(later.at - server.received[0].at >= 0.29 for later in server.received[1:])
    await backend.aclose()


async def test_a_wait_past_the_deadline_is_not_begun(server: FaultServer, client: str) -> None:
    server.retry_after = "3600"
    server.plan.append("503")
    backend = Reliable(connect(server, client), policy=RetryPolicy(deadline_s=60))
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"the next try would come 3\.6e\+03 s later, past deadline_s=60"):
        await backend.generate(ASK)
    assert time.monotonic() - started < 5
    await backend.aclose()


async def test_after_the_last_retry_the_error_tells_how_often_it_was_tried(server: FaultServer, client: str) -> None:
    server.default = "500"
    backend = Reliable(connect(server, client), policy=QUICK)
    with pytest.raises(ModelError, match=r"answered 500: oops \(error\) \(after 2 retries\)") as caught:
        await backend.generate(ASK)
    assert caught.value.status == 500
    assert len(server.received) == 3
    assert backend.usage.retries == 2
    assert backend.usage.calls == 0
    await backend.aclose()


async def test_a_server_that_is_not_there_is_a_retryable_error(client: str) -> None:
    backend = make_bare_backend("http://127.0.0.1:9/v1#stub", client=client)
    with pytest.raises(ModelError, match="Is the server running") as caught:
        await backend.generate(ASK)
    assert caught.value.retryable
    await backend.aclose()


async def test_a_storm_of_faults_loses_no_answer(server: FaultServer, client: str) -> None:
    server.retry_after = "0.01"
    server.answer = lambda body: {"choices": [{"message": {"role": "assistant", "content": body["messages"][0]["content"]}}]}
    server.plan.extend(["ok", "500", "429", "cut body", "ok", "html", "drop", "no choices"] * 10)
    backend = Reliable(connect(server, client, timeout_s=10), policy=RetryPolicy(retries=30, first_wait_s=0.01))
    asked = [f"question {n}" for n in range(60)]
    answers = await asyncio.gather(*[backend.generate(Request((Message("user", text),))) for text in asked])
    assert [answer.message.content for answer in answers] == asked
    assert backend.usage.calls == 60
    assert backend.usage.retries == 60  # six faults in each round of eight
    await backend.aclose()
